//! When a slot may be freed whose end nobody saw: that of a holder which died or fell silent, or of a request cut with unknown outcome.
//!
//! A holder that answers is left alone: it streams on and frees its slots itself. One that is proven dead leaves orphans, freed as soon
//! as the dyno is proven idle, or after `orphan_hold` where no such proof can be had and the app allows it. One that is merely silent
//! may wake: its slots count until nothing it wrote can still be on its way, and then until proof or deadline (P8, P9).
//!
//! Only a *serial* dyno, which takes one request at a time, proves anything by answering: every other one answers while a request
//! runs. And an answer speaks only about requests that stood in the dyno's line before the question was sent, so every doubt says
//! from when on a question counts, and older answers are worth nothing however idle the dyno was then.
//!
//! Who asks, and how, is the daemon's business; here is only what follows from the answers.

use crate::app::Orphans;
use crate::planted;
use crate::time::{Span, Time};

/// What is known of a slot's holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Known {
    /// It answers.
    Alive,
    /// It does not answer, which proves nothing.
    Silent,
    /// Its address refuses connections or a newer run answers there, since this replica had the proof.
    Dead(Time),
}

/// What came of the last idle question to a dyno.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Asked {
    /// No answer yet.
    Waiting,
    /// Answered; the question was sent at this time.
    IdleSince(Time),
    /// The dyno did not accept it.
    Failed,
}

/// A slot whose fate must be proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doubt {
    /// Whether this very run held the slot and cut its request; its connection is closed then, so its holder is as good as dead.
    pub own: bool,
    /// Whether its dyno takes one request at a time, as far as is known.
    pub serial: Option<bool>,
    /// What the app allows without a proof.
    pub orphans: Orphans,
    /// An idle question sent earlier says nothing about the slot: when this replica began to lead, or its own request was cut.
    pub since: Time,
    /// When this replica saw the grant or its last renewal applied.
    pub seen: Time,
    /// How long the holder may keep it from then on.
    pub span: Span,
}

/// How long doubts last where nothing is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DoubtLimits {
    /// How long an orphan stays counted where no proof can be had and the app allows it to be freed without.
    pub orphan_hold: Span,
    /// How long a silent holder's slots count before the dyno is asked: by then what the holder wrote last has arrived or never will.
    pub silent_hold: Span,
}

/// What to do about a doubt now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: it stays counted.
    Wait,
    /// Send the dyno an idle question; meanwhile it stays counted.
    Ask,
    /// Free it, for this reason.
    Free(Why),
}

/// Why a slot may be freed whose end nobody saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Its dyno was idle since.
    Idle,
    /// Its time is up.
    Deadline,
    /// Its holder died long enough ago for an app that asks for no more. Its dyno may work on.
    HolderDead,
}

impl Why {
    /// The reason as logs write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Why::Idle => "its dyno is idle",
            Why::Deadline => "its time is up",
            Why::HolderDead => "its holder is dead",
        }
    }
}

/// What to do about a slot whose holder is `known`, when `asked` is the last question to its dyno.
pub fn verdict(doubt: &Doubt, known: Known, asked: Option<Asked>, now: Time, limits: DoubtLimits) -> Verdict {
    let known = if doubt.own { Known::Dead(doubt.since) } else { known };
    match known {
        Known::Alive => Verdict::Wait,
        _ if is_over(doubt, now) => Verdict::Free(Why::Deadline),
        Known::Dead(proof) => {
            let unprovable = doubt.serial != Some(true) || asked == Some(Asked::Failed);
            let prompt = !doubt.own && doubt.orphans == Orphans::Prompt && now.since(proof) >= limits.orphan_hold;
            match idle(doubt, asked, doubt.since, now) {
                Verdict::Free(why) => Verdict::Free(why),
                _ if prompt && unprovable => Verdict::Free(Why::HolderDead),
                other => other,
            }
        }
        Known::Silent if planted::PROBE_FREES_SILENT => idle(&Doubt { serial: Some(true), ..*doubt }, asked, doubt.since, now),
        Known::Silent => idle(doubt, asked, doubt.since + limits.silent_hold, now),
    }
}

/// What to do about a dyno that counts as full after a leased takeover (P14). Who granted there last may be any other replica of the group:
/// only if each of them answers or is dead (`all_known`) is nothing on its way any more that a frozen or cut off one wrote last (P8).
pub fn quarantine_verdict(doubt: &Doubt, all_known: bool, asked: Option<Asked>, now: Time, limits: DoubtLimits) -> Verdict {
    let on_its_way = if all_known { Span::ZERO } else { limits.silent_hold };
    if is_over(doubt, now) { Verdict::Free(Why::Deadline) } else { idle(doubt, asked, doubt.since + on_its_way, now) }
}

/// Whether the slot's time is up, with the margin that replicas other than the holder add, since clocks differ (P10).
fn is_over(doubt: &Doubt, now: Time) -> bool {
    let margin = doubt.span.over(10) + Span::from_secs(2);
    now >= doubt.seen + doubt.span + margin
}

/// Whether the dyno was idle at some moment after `after`, which only a serial one can tell.
pub fn idle(doubt: &Doubt, asked: Option<Asked>, after: Time, now: Time) -> Verdict {
    match asked {
        _ if doubt.serial != Some(true) || now < after => Verdict::Wait,
        Some(Asked::IdleSince(sent)) if sent >= after || planted::STALE_ANSWER => Verdict::Free(Why::Idle),
        Some(Asked::Waiting) => Verdict::Wait,
        _ => Verdict::Ask,
    }
}

#[cfg(test)]
mod tests;
