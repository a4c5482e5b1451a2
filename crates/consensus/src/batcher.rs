//! Group commit: all commands that wait become one log entry.
//!
//! One round is in flight at a time, and none begins too soon after the last one's beginning (see [`pace`]), so the batch is whatever came
//! meanwhile: under load batches grow, idle, nothing waits, and the order of proposals is the order in the log. A lazy command
//! (a free) rides with the next one, or goes after the time its proposer gave it if none comes.
//!
//! A leader whose lease lapsed has its writes refused by openraft before they are appended. Such a round is tried again, in
//! place, for a short while; past that its commands and all that wait are answered *not appended*, until the lease is back.

use std::collections::VecDeque;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dynomesh_core::id::Term;
use dynomesh_core::time::{Span, Time};
use openraft::errors::{ClientWriteError, ForwardReason};
use openraft::impls::OneshotResponder;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::engine::Engine;
use crate::error::ProposeError;
use crate::keeper::Keeper;
use crate::machine::Machine;
use crate::metrics::Counters;
use crate::payload::{BatchEncoder, Payload};
use crate::role::{Role, State};
use dynomesh_runtime::clock::Clock;

/// Most commands that wait for their round; past it a proposal is answered *not appended*.
pub const WAITING_MAX: usize = 65_536;
/// Most commands in one log entry.
pub const BATCH_MAX: usize = 4_096;
/// Once the encoded commands of an entry are longer than this, no more are added.
const BATCH_LEN_MAX: usize = 1024 * 1024;
/// Longest encoded command; a longer one is answered *not appended*.
pub const COMMAND_LEN_MAX: usize = 2 * 1024 * 1024;
/// Between the beginnings of two rounds, at least. The timer adds up to a millisecond.
const PACE: Duration = Duration::from_millis(1);
/// The same under load.
const LOADED_PACE: Duration = Duration::from_millis(2);
/// A round of so many commands that somebody waits for is one under load.
const LOADED: usize = 3;
/// Between two tries of a round that was refused because the lease had lapsed.
const RETRY: Duration = Duration::from_millis(2);
/// How long such a round is tried.
const RETRY_MAX: Duration = Duration::from_millis(250);
/// A round without an outcome for this long is answered *unknown*: the leader has lost its quorum.
const ROUND_MAX: Duration = Duration::from_secs(5);

type Reply<M> = Result<<M as Machine>::Reply, ProposeError>;
pub(crate) type Waiter<M> = oneshot::Sender<Reply<M>>;
type Commands<M> = Vec<(<M as Machine>::Command, Option<Waiter<M>>)>;

/// The commands of a round that was proposed here, and whom to answer; taken when they are applied.
pub(crate) struct Waiters<M: Machine> {
    commands: Mutex<Option<Commands<M>>>,
    begun: Time,
    clock: Clock,
    counters: Arc<Counters>,
}

impl<M: Machine> Waiters<M> {
    /// Takes the commands because they are committed, and counts them before anybody is answered: whoever has an answer finds it counted.
    pub(crate) fn take_committed(&self) -> Option<Commands<M>> {
        let commands = self.take()?;
        self.counters.committed(commands.len(), self.clock.now().since(self.begun));
        Some(commands)
    }

    fn take(&self) -> Option<Commands<M>> {
        self.commands.lock().expect("nothing panics while it holds the waiters").take()
    }
}

fn answer<T>(waiter: Option<oneshot::Sender<Result<T, ProposeError>>>, error: &ProposeError) {
    if let Some(waiter) = waiter {
        // Whoever proposed it may have left.
        let _ = waiter.send(Err(error.clone()));
    }
}

/// One proposal on its way to the batcher.
pub(crate) struct Proposal<M: Machine> {
    command: M::Command,
    urgency: Urgency<M>,
}

/// When a proposal must go.
enum Urgency<M: Machine> {
    /// With the next round: somebody waits.
    Now(Waiter<M>),
    /// With any round until then, or in one of its own.
    Until(Instant),
}

/// The sending end, for any thread.
pub(crate) struct Proposer<M: Machine> {
    queue: mpsc::UnboundedSender<Proposal<M>>,
    waiting: Arc<AtomicUsize>,
}

impl<M: Machine> Clone for Proposer<M> {
    fn clone(&self) -> Self {
        Proposer { queue: self.queue.clone(), waiting: self.waiting.clone() }
    }
}

impl<M: Machine> Proposer<M> {
    pub(crate) fn propose(&self, command: M::Command) -> impl Future<Output = Reply<M>> + Send + use<M> {
        let (waiter, reply) = oneshot::channel();
        let sent = self.send(Proposal { command, urgency: Urgency::Now(waiter) });
        async move {
            sent?;
            reply.await.unwrap_or(Err(ProposeError::Unknown("the replica stopped")))
        }
    }

    pub(crate) fn propose_lazily(&self, command: M::Command, within: Span) {
        // A lazy command that is lost is proposed again by whoever compares its own books with the state.
        let _ = self.send(Proposal { command, urgency: Urgency::Until(Instant::now() + within.to_std()) });
    }

    fn send(&self, proposal: Proposal<M>) -> Result<(), ProposeError> {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= WAITING_MAX {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(ProposeError::NotAppended("too many commands wait"));
        }
        self.queue.send(proposal).map_err(|_| ProposeError::Stopping)
    }
}

/// A queue for the batcher and its sending end.
pub(crate) fn channel<M: Machine>() -> (Proposer<M>, Queue<M>) {
    let (tx, rx) = mpsc::unbounded_channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    (Proposer { queue: tx, waiting: waiting.clone() }, Queue { queue: rx, waiting })
}

/// Keeps the batcher closed for as long as it lives.
#[derive(Debug)]
pub(crate) struct Closed<'a>(&'a watch::Sender<u32>);

impl<'a> Closed<'a> {
    pub(crate) fn new(closed: &'a watch::Sender<u32>) -> Self {
        closed.send_modify(|by| *by += 1);
        Closed(closed)
    }
}

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|by| *by -= 1);
    }
}

/// The receiving end.
pub(crate) struct Queue<M: Machine> {
    queue: mpsc::UnboundedReceiver<Proposal<M>>,
    waiting: Arc<AtomicUsize>,
}

/// The task that makes rounds of proposals.
pub(crate) struct Batcher<M: Machine> {
    raft: openraft::Raft<Engine, Keeper<M>>,
    queue: Queue<M>,
    role: watch::Receiver<Role>,
    /// How many keep it closed, while leadership is handed over or the replica stops: nothing more is appended.
    closed: watch::Receiver<u32>,
    counters: Arc<Counters>,
    clock: Clock,
    waiting: VecDeque<Proposal<M>>,
    /// How many of them somebody waits for.
    urgent: usize,
    /// When the first of the lazy commands must go.
    lazy_until: Option<Instant>,
    /// When the next round may begin.
    earliest: Option<Instant>,
    /// The term that this replica leads.
    leads: Option<Term>,
    /// The term that it leads and has said so in the log.
    said: Option<Term>,
    round: Option<Round<M>>,
}

/// What is in flight.
struct Round<M: Machine> {
    term: Term,
    /// None of the entry with which a leader says that it leads.
    waiters: Option<Arc<Waiters<M>>>,
    outcome: Pin<Box<dyn Future<Output = Result<(), ProposeError>> + Send>>,
}

impl<M: Machine> Round<M> {
    /// Answers everybody the same, unless the round was applied meanwhile.
    fn answer(&self, error: &ProposeError) {
        for (_, waiter) in self.waiters.iter().filter_map(|waiters| waiters.take()).flatten() {
            answer(waiter, error);
        }
    }
}

enum Event<M: Machine> {
    Proposal(Option<Proposal<M>>),
    Over(Result<(), ProposeError>),
    Changed,
    Tick,
    End,
}

impl<M: Machine> Batcher<M> {
    pub(crate) fn new(
        raft: openraft::Raft<Engine, Keeper<M>>,
        queue: Queue<M>,
        role: watch::Receiver<Role>,
        closed: watch::Receiver<u32>,
        counters: Arc<Counters>,
        clock: Clock,
    ) -> Self {
        let waiting = VecDeque::new();
        Batcher {
            raft,
            queue,
            role,
            closed,
            counters,
            clock,
            waiting,
            urgent: 0,
            lazy_until: None,
            earliest: None,
            leads: None,
            said: None,
            round: None,
        }
    }

    /// Runs until every proposer is gone or the replica has stopped.
    pub(crate) async fn run(mut self) {
        loop {
            self.settle();
            self.start_round();
            match self.next_event().await {
                Event::Proposal(Some(proposal)) => self.take_in(proposal),
                Event::Proposal(None) | Event::End => break,
                Event::Over(outcome) => self.finish(outcome),
                Event::Changed => self.look(),
                Event::Tick => {}
            }
        }
        self.abandon(&ProposeError::Unknown("the replica stopped"));
        self.refuse(&ProposeError::Stopping);
    }

    async fn next_event(&mut self) -> Event<M> {
        let tick = self.next_round().filter(|_| self.round.is_none() && self.leads.is_some());
        let over = async {
            match &mut self.round {
                Some(round) => round.outcome.as_mut().await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            changed = self.role.changed() => if changed.is_ok() { Event::Changed } else { Event::End },
            changed = self.closed.changed() => if changed.is_ok() { Event::Changed } else { Event::End },
            outcome = over => Event::Over(outcome),
            proposal = self.queue.queue.recv() => Event::Proposal(proposal),
            () = sleep_until(tick.unwrap_or_else(Instant::now)), if tick.is_some() => Event::Tick,
        }
    }

    /// When the next round must begin, if none is in flight.
    fn next_round(&self) -> Option<Instant> {
        let wanted = if self.urgent > 0 { Some(Instant::now()) } else { self.lazy_until };
        wanted.map(|wanted| self.earliest.map_or(wanted, |earliest| earliest.max(wanted)))
    }

    /// Takes in what came and whatever else has come.
    fn take_in(&mut self, first: Proposal<M>) {
        let mut next = Some(first);
        while let Some(proposal) = next {
            match &proposal.urgency {
                Urgency::Now(_) => self.urgent += 1,
                Urgency::Until(until) => self.lazy_until = Some(self.lazy_until.map_or(*until, |first| first.min(*until))),
            }
            self.waiting.push_back(proposal);
            next = self.queue.queue.try_recv().ok();
        }
    }

    /// Notes the role. A round of another term may or may not take effect: its proposers are told at once.
    fn look(&mut self) {
        let role = self.role.borrow_and_update();
        self.leads = matches!(role.state, State::Leader { .. }).then_some(role.term);
        drop(role);
        if self.round.as_ref().is_some_and(|round| self.leads != Some(round.term)) {
            self.abandon(&ProposeError::Unknown("leadership was lost"));
        }
    }

    /// Answers those who can hope for nothing here.
    fn settle(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        if self.leads.is_none() {
            let leader = self.role.borrow().leader.clone();
            self.refuse(&ProposeError::NotLeader { leader });
        } else if *self.closed.borrow_and_update() > 0 {
            self.refuse(&ProposeError::NotLeader { leader: None });
        }
    }

    fn start_round(&mut self) {
        let Some(term) = self.leads.filter(|_| self.round.is_none() && *self.closed.borrow() == 0) else { return };
        if self.said != Some(term) {
            // Tried again for as long as it leads. Who waits behind it is answered each time: a leader that was cut off before its lease
            // came would else keep them for as long as it takes itself for one.
            let payload = Payload::lead(self.raft.node_id().to_owned());
            let outcome = Box::pin(write(self.raft.clone(), payload));
            self.round = Some(Round { term, waiters: None, outcome });
            return;
        }
        let now = Instant::now();
        if self.earliest.is_none_or(|earliest| earliest <= now) && (self.urgent > 0 || self.lazy_until.is_some_and(|until| until <= now)) {
            self.start_batch(term);
        }
    }

    fn start_batch(&mut self, term: Term) {
        self.earliest = Some(Instant::now() + pace(self.urgent));
        let mut encoder = BatchEncoder::new();
        let mut commands = Vec::new();
        while commands.len() < BATCH_MAX && encoder.len() < BATCH_LEN_MAX {
            let Some((command, waiter)) = self.pop() else { break };
            match encoder.push(&command, COMMAND_LEN_MAX) {
                true => commands.push((command, waiter)),
                false => answer(waiter, &ProposeError::NotAppended("the command is too long")),
            }
        }
        if commands.is_empty() {
            return;
        }
        let (clock, counters) = (self.clock.clone(), self.counters.clone());
        let waiters = Arc::new(Waiters { commands: Mutex::new(Some(commands)), begun: clock.now(), clock, counters });
        let payload = encoder.finish(waiters.clone());
        let outcome = Box::pin(write(self.raft.clone(), payload));
        self.round = Some(Round { term, waiters: Some(waiters), outcome });
    }

    fn finish(&mut self, outcome: Result<(), ProposeError>) {
        let Some(round) = self.round.take() else { return };
        match outcome {
            Ok(()) if round.waiters.is_none() => self.said = Some(round.term),
            Ok(()) => {}
            Err(error) => {
                round.answer(&error);
                if matches!(error, ProposeError::NotAppended(_)) {
                    // The lease has been gone for a while; those behind would only wait as long.
                    self.refuse(&error);
                }
            }
        }
    }

    fn pop(&mut self) -> Option<(M::Command, Option<Waiter<M>>)> {
        let Proposal { command, urgency } = self.waiting.pop_front()?;
        self.queue.waiting.fetch_sub(1, Ordering::Relaxed);
        if self.waiting.is_empty() {
            self.lazy_until = None;
        }
        match urgency {
            Urgency::Now(waiter) => {
                self.urgent -= 1;
                Some((command, Some(waiter)))
            }
            Urgency::Until(_) => Some((command, None)),
        }
    }

    fn refuse(&mut self, error: &ProposeError) {
        while let Some((_, waiter)) = self.pop() {
            answer(waiter, error);
        }
    }

    fn abandon(&mut self, error: &ProposeError) {
        if let Some(round) = self.round.take() {
            round.answer(error);
        }
    }
}

/// How soon the next round may follow one with so many commands that somebody waits for. A round costs every replica several times what
/// proxying a request does, however few commands it holds; who comes alone is not held up for that.
fn pace(urgent: usize) -> Duration {
    if urgent >= LOADED { LOADED_PACE } else { PACE }
}

/// Appends one entry and waits until it is applied.
pub(crate) async fn write<M: Machine>(raft: openraft::Raft<Engine, Keeper<M>>, payload: Payload) -> Result<(), ProposeError> {
    let begun = Instant::now();
    loop {
        let (responder, outcome) = OneshotResponder::new_pair();
        if raft.client_write_ff(payload.clone(), Some(responder)).await.is_err() {
            return Err(ProposeError::Unknown("the replica stopped"));
        }
        let outcome = timeout(ROUND_MAX, outcome).await;
        let lapsed = match outcome {
            Ok(Ok(Ok(_))) => return Ok(()),
            Ok(Ok(Err(ClientWriteError::ForwardToLeader(forward)))) => matches!(forward.reason, ForwardReason::LeaseExpired),
            Ok(Ok(Err(_))) => return Err(ProposeError::Unknown("the entry was discarded by a new leader")),
            Ok(Err(_)) => return Err(ProposeError::Unknown("the replica stopped")),
            Err(_) => return Err(ProposeError::Unknown("no quorum answered in time")),
        };
        if !lapsed {
            return Err(ProposeError::NotLeader { leader: None });
        }
        if begun.elapsed() >= RETRY_MAX {
            return Err(ProposeError::NotAppended("the leader has lost its quorum"));
        }
        sleep(RETRY).await;
    }
}
