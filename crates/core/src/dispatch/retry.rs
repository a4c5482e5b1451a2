//! May this request be tried again, and where?
//!
//! Never if it could run twice with effect: the first question is always what can have run. Only then come the limits, which keep a
//! retry from being a waste. The rule sees no budget; whoever acts on "yes" pays for it first ([`super::Budget`]).
//!
//! An attempt whose block's leader was lost may run on at a dyno. Of an idempotent request that is no end: the next leader of that block
//! waits for the proof that the dyno is done with whatever the lost one began, and runs the repetition behind it ([`Retry::Behind`]).

use rand::{Rng, RngExt};

use super::method::Class;
use super::verdict::Verdict;
use crate::time::Span;

#[cfg(test)]
mod tests;

/// Attempts at blocks per client request, the first included. Past it the edge answers 503 and says how many it made.
pub const ATTEMPTS_MAX: u32 = 5;
/// Attempts at dynos per client request, over all blocks; the count travels with the request.
pub const DYNO_ATTEMPTS_MAX: u32 = 6;
/// Attempts at dynos that one block makes for one request it was sent.
pub const DYNO_ATTEMPTS_PER_BLOCK_MAX: u32 = 3;
/// Times a full block may send a request back. After that it must queue, once.
pub const SPILLS_MAX: u32 = 2;

/// Shortest first pause before a block is asked a second time (P24).
pub const PAUSE_MIN: Span = Span::from_millis(10);
/// Longest first pause before a block is asked a second time.
pub const PAUSE_MAX: Span = Span::from_millis(50);
/// How often the pause doubles. All attempts together then outlast an election, also where there is but one block.
pub const PAUSE_DOUBLINGS_MAX: u32 = 3;

/// Limits of the retries of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryLimits {
    /// See [`ATTEMPTS_MAX`].
    pub attempts: u32,
    /// See [`DYNO_ATTEMPTS_MAX`].
    pub dyno_attempts: u32,
    /// See [`SPILLS_MAX`].
    pub spills: u32,
}

impl Default for RetryLimits {
    fn default() -> Self {
        RetryLimits { attempts: ATTEMPTS_MAX, dyno_attempts: DYNO_ATTEMPTS_MAX, spills: SPILLS_MAX }
    }
}

/// A request whose last attempt has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempted {
    /// What running it twice would mean.
    pub class: Class,
    /// What became of the last attempt.
    pub verdict: Verdict,
    /// Whether that is unknown because its connection was lost, without a word of the block.
    pub lost: bool,
    /// Whether an attempt before the last may still run: the last was to begin only when that was over.
    pub earlier: bool,
    /// Whether any of the body, or the end of the request, was let go to the block. While it was not, nothing can have run (P22).
    pub body_begun: bool,
    /// Whether the whole body can be sent again: it is buffered, or there is none.
    pub replayable: bool,
    /// Whether the client has been sent any of a response.
    pub answering: bool,
    /// Attempts at blocks so far.
    pub attempts: u32,
    /// Attempts at dynos so far.
    pub dyno_attempts: u32,
    /// Times a block was full so far.
    pub spills: u32,
    /// Times a block sent it away since its slots are in doubt, while other blocks may have room. These are neither attempts nor spills.
    pub doubts: u32,
    /// Whether the last attempt ended so.
    pub doubted: bool,
    /// What is left of the request's deadline.
    pub left: Span,
    /// Whether a block with the app is left that this request has not tried.
    pub untried: bool,
}

/// What to do after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Try another block, at once.
    Elsewhere,
    /// Try any block again after a [`pause`]: none is left untried.
    Again,
    /// Try the least full block ([`super::least_full`]), which must queue the request and not send it back.
    MustQueue,
    /// Ask the same block, which must queue the request and begin it only when all that its lost leader began is over.
    Behind,
    /// Answer the client with an error.
    Never(Reason),
}

/// Why a request is not tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The client has part of a response.
    Answering,
    /// It may have run, and running twice would not be the same as once.
    MayHaveRun,
    /// It may still run, and a second run beside it would not be the same as once.
    MayStillRun,
    /// Its body is gone.
    BodySpent,
    /// Its deadline has passed.
    Deadline,
    /// All attempts at blocks are made.
    Attempts,
    /// All attempts at dynos are made.
    DynoAttempts,
    /// Every block it was offered to is full.
    Full,
}

impl Reason {
    /// The reason as logs and error codes write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Answering => "answering",
            Reason::MayHaveRun => "may-have-run",
            Reason::MayStillRun => "may-still-run",
            Reason::BodySpent => "body-spent",
            Reason::Deadline => "deadline",
            Reason::Attempts => "attempts",
            Reason::DynoAttempts => "dyno-attempts",
            Reason::Full => "full",
        }
    }
}

/// The rule for an edge whose attempt at a block has failed.
pub fn retry(request: &Attempted, limits: &RetryLimits) -> Retry {
    match refusal(request, limits) {
        Some(reason) => Retry::Never(reason),
        None if may_run_on(request) => Retry::Behind,
        None if request.spills >= limits.spills && request.spills > 0 => Retry::MustQueue,
        None if has_looked_enough(request, limits) => Retry::MustQueue,
        None if request.untried => Retry::Elsewhere,
        None => Retry::Again,
    }
}

/// Whether a request that a block sent away for doubt waits now. It does when no other block is left that may have room at once, or enough
/// of them doubted as well; and with its last attempt, or it would be refused for having looked.
fn has_looked_enough(request: &Attempted, limits: &RetryLimits) -> bool {
    let nowhere = !request.untried || request.doubted && request.doubts > limits.spills;
    request.doubts > 0 && (nowhere || request.attempts + 1 >= limits.attempts)
}

fn refusal(request: &Attempted, limits: &RetryLimits) -> Option<Reason> {
    let order = [
        (request.answering, Reason::Answering),
        (!(repeatable(request.class, certain(request)) || may_run_on(request)) || is_unproven(request), why_not(request.class)),
        ((request.body_begun || request.earlier) && !request.replayable, Reason::BodySpent),
        (request.left == Span::ZERO, Reason::Deadline),
        (request.attempts >= limits.attempts, Reason::Attempts),
        (request.dyno_attempts >= limits.dyno_attempts, Reason::DynoAttempts),
        (request.spills > limits.spills, Reason::Full),
    ];
    order.into_iter().find_map(|(holds, reason)| holds.then_some(reason))
}

/// What became of the last attempt, with what is certain whatever was said.
fn certain(request: &Attempted) -> Verdict {
    if request.body_begun { request.verdict } else { Verdict::NotDispatched }
}

/// Whether an attempt may still run of which a later leader of its block will know the end. One that was let go behind another began
/// when that was over.
fn may_run_on(request: &Attempted) -> bool {
    let last = certain(request) == Verdict::Unknown && request.lost;
    let before = certain(request) == Verdict::NotDispatched && request.earlier;
    request.class == Class::Idempotent && (last || before)
}

/// Whether the block was asked to wait for an earlier attempt's end and said that it will never know.
fn is_unproven(request: &Attempted) -> bool {
    request.earlier && request.verdict == Verdict::Unknown && !request.lost
}

/// Whether a request of this class may be sent again after this verdict: the heart of the matter.
fn repeatable(class: Class, verdict: Verdict) -> bool {
    match (class, verdict) {
        (_, Verdict::NotDispatched) | (Class::Safe, _) => true,
        (Class::Idempotent, Verdict::Over) => true,
        (Class::Idempotent, Verdict::Unknown) | (Class::Unsafe, Verdict::Over | Verdict::Unknown) => false,
    }
}

fn why_not(class: Class) -> Reason {
    if class == Class::Idempotent { Reason::MayStillRun } else { Reason::MayHaveRun }
}

/// The rule for a block whose attempt at a dyno has failed: whether it tries another of its dynos itself. It does only while the dyno
/// cannot have seen any of the request (a refused connection, a request handed back unsent), whatever its class: the other cases need
/// a body that only the edge can send again. `here` and `in_all` count the attempts at dynos, this one included; `here_max` is the limit
/// of the block, by default [`DYNO_ATTEMPTS_PER_BLOCK_MAX`].
pub fn another_dyno(verdict: Verdict, here: u32, in_all: u32, here_max: u32, left: Span) -> bool {
    verdict == Verdict::NotDispatched && here < here_max && in_all < DYNO_ATTEMPTS_MAX && left > Span::ZERO
}

/// How long to wait before a block is asked again, after `pauses` earlier pauses for the same request: long enough for an election to
/// move on, and by chance, so that requests which failed together do not come back together.
pub fn pause(rng: &mut impl Rng, pauses: u32) -> Span {
    let first = rng.random_range(PAUSE_MIN.as_nanos()..=PAUSE_MAX.as_nanos());
    Span::from_nanos(first << pauses.min(PAUSE_DOUBLINGS_MAX))
}
