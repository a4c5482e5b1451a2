//! From a request to a slot it may use: picked, committed, claimed.
//!
//! [`acquire`] is the one way to a slot. It asks the [`Router`], waits in the queue if it must, has the grant committed by the group
//! (or, leased, relies on the lease), and returns a [`Claim`]. Whatever becomes of the caller, dropping the claim settles the slot:
//! nothing sent frees it, something sent leaves it in doubt until it is proven idle (P11, P13).

mod router;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use dynomesh_consensus::{Lease, ProposeError, Replica};
use dynomesh_core::balance::{Full, Outcome};
use dynomesh_core::block::{BlockSettings, Command, Reply};
use dynomesh_core::id::{AppName, BlockName, DynoId, SlotId, Term};
use dynomesh_core::time::{Span, Time};
use dynomesh_runtime::clock::Clock;
use dynomesh_runtime::http::headers;
use http::HeaderValue;
use tokio::sync::oneshot;
use tracing::debug;

pub(crate) use router::{Admission, Ask, Behind, Doubt, DueProbe, DynoReport, Load, Manner, Pick, Probing, Refusal, Right, Router};

use crate::config::Limits;
use crate::machine::BlockMachine;
use crate::metrics::Metrics;
use crate::upstream::{Freedom, Link};

/// What every thread of the daemon shares.
pub(crate) struct Shared {
    pub(crate) block: BlockName,
    /// The block's name, ready to be sent.
    pub(crate) block_header: HeaderValue,
    pub(crate) clock: Clock,
    pub(crate) limits: Limits,
    pub(crate) metrics: Metrics,
    pub(crate) proposer: Proposer,
    router: Mutex<Router>,
}

/// A free that no grant takes along goes after this long. Until it is in the log only the next leader's picture is late, by a few slots
/// beside all those in flight.
const FREE_WITHIN: Span = Span::from_millis(10);
/// The same of commands that should be in the log soon.
const SOON: Span = Span::from_millis(1);

/// The way to the log. Empty until the replica runs; then the same for all threads.
#[derive(Clone, Default)]
pub(crate) struct Proposer {
    replica: Arc<OnceLock<Replica<BlockMachine>>>,
    /// What would have gone into the log.
    #[cfg(test)]
    written: Arc<Mutex<Vec<Command>>>,
}

// === impl Proposer ===

impl Proposer {
    /// Called once, when the replica has started.
    pub(crate) fn set(&self, replica: Replica<BlockMachine>) {
        assert!(self.replica.set(replica).is_ok(), "the replica starts once");
    }

    pub(crate) fn replica(&self) -> Option<&Replica<BlockMachine>> {
        self.replica.get()
    }

    /// Frees ride with the next grant, or go after [`FREE_WITHIN`].
    pub(crate) fn free(&self, slots: Vec<SlotId>) {
        self.within(Command::Free { slots }, FREE_WITHIN);
    }

    /// Proposed as the office opens.
    pub(crate) fn settings(&self, settings: BlockSettings) {
        self.lazily(Command::Configure(settings));
    }

    /// Whatever nobody waits for.
    pub(crate) fn lazily(&self, command: Command) {
        self.within(command, SOON);
    }

    fn within(&self, command: Command, within: Span) {
        #[cfg(test)]
        self.written.lock().expect("no test panics under this lock").push(command.clone());
        if let Some(replica) = self.replica() {
            replica.propose_lazily(command, within);
        }
    }
}

// === impl Shared ===

impl Shared {
    pub(crate) fn new(block: BlockName, clock: Clock, limits: Limits, metrics: Metrics, proposer: Proposer, router: Router) -> Arc<Self> {
        let block_header = headers::value(&block);
        Arc::new(Shared { block, block_header, clock, limits, metrics, proposer, router: Mutex::new(router) })
    }

    /// The picture, for a moment; never across an await.
    pub(crate) fn router(&self) -> MutexGuard<'_, Router> {
        self.router.lock().expect("a panic under this lock stops the process")
    }

    pub(crate) fn replica(&self) -> &Replica<BlockMachine> {
        self.proposer.replica().expect("threads that ask start after the replica")
    }

    pub(crate) fn lease(&self) -> Arc<Lease> {
        self.replica().lease()
    }
}

/// A slot that is committed and may be used once. Dropped, it settles itself.
pub(crate) struct Claim {
    shared: Arc<Shared>,
    pub(crate) pick: Pick,
    /// The slot's connection to its dyno: idle before the request, and again, if it may rest, after it.
    link: Option<Link>,
    /// What dropping it now would mean.
    fate: Outcome,
    settled: bool,
}

/// What it took to get a slot.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Waited {
    pub(crate) queue: Span,
    pub(crate) grant: Span,
}

/// A question to a dyno that an idle connection would stand in the way of; none rests before it ends.
pub(crate) struct Question {
    shared: Arc<Shared>,
    dyno: DynoId,
}

/// A place in the queue that is given up when its request goes away, and with it the slot that was handed to it and not yet taken.
struct Place<'a> {
    shared: &'a Arc<Shared>,
    app: &'a AppName,
    key: u64,
    answer: oneshot::Receiver<Result<Pick, Refusal>>,
}

// === impl Claim ===

impl Claim {
    pub(crate) fn new(shared: Arc<Shared>, mut pick: Pick) -> Self {
        let link = pick.link.take();
        Claim { shared, pick, link, fate: Outcome::Done, settled: false }
    }

    /// The connection that came with the slot or was used in it, if there is one.
    pub(crate) fn link(&self) -> Option<&Link> {
        self.link.as_ref()
    }

    pub(crate) fn link_mut(&mut self) -> Option<&mut Link> {
        self.link.as_mut()
    }

    pub(crate) fn take_link(&mut self) -> Option<Link> {
        self.link.take()
    }

    pub(crate) fn set_link(&mut self, link: Link) {
        self.link = Some(link);
    }

    /// From here on something may have reached the dyno: dropping the claim leaves the slot in doubt.
    pub(crate) fn dispatched(&mut self) {
        self.fate = Outcome::Unknown;
    }

    /// The request's end is known.
    pub(crate) fn end(mut self, outcome: Outcome) {
        self.settle(outcome);
    }

    fn settle(&mut self, outcome: Outcome) {
        if std::mem::replace(&mut self.settled, true) {
            return;
        }
        let rests = |link: &Link| {
            outcome == Outcome::Done
                && self.pick.manner.keep_alive > Span::ZERO
                && !self.pick.cut.is_cut()
                && link.freedom() == Freedom::Free
        };
        // One that does not rest is closed here, before its slot is free.
        let link = self.link.take().filter(rests);
        let now = self.shared.clock.now();
        let mut router = self.shared.router();
        if let Some(link) = link {
            router.rest(now, &self.pick, link);
        }
        router.end(now, self.pick.slot, outcome);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.settle(self.fate);
    }
}

impl Question {
    /// Closes what rests at `dyno`.
    pub(crate) fn begin(shared: &Arc<Shared>, dyno: &DynoId) -> Self {
        shared.router().idle().begin_question(dyno);
        Question { shared: shared.clone(), dyno: dyno.clone() }
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        self.shared.router().idle().end_question(&self.dyno);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.shared.router().leave(self.app, self.key);
        self.answer.close();
        if let Ok(Ok(pick)) = self.answer.try_recv() {
            drop(Claim::new(self.shared.clone(), pick));
        }
    }
}

/// Gets a slot for a request, or says why there is none; nothing was sent to a dyno either way.
pub(crate) async fn acquire(shared: &Arc<Shared>, ask: &Ask<'_>) -> Result<(Claim, Waited), Refusal> {
    let began = shared.clock.now();
    let mut waited = Waited::default();
    for _ in 0..GRANT_TRIES_MAX {
        let admission = {
            let now = shared.clock.now();
            let mut router = shared.router();
            router.may_lead(&shared.lease(), now)?;
            router.admit(now, ask)
        };
        let pick = match admission {
            Admission::Go(pick) => pick,
            Admission::Refuse(refusal) => return Err(refusal),
            Admission::Wait { key, answer } => {
                let mut place = Place { shared, app: ask.app, key, answer };
                let answered = tokio::time::timeout(shared.clock.now().until(ask.deadline).to_std(), &mut place.answer).await;
                drop(place);
                match answered {
                    Ok(Ok(picked)) => picked?,
                    Ok(Err(_)) => return Err(Refusal::Electing),
                    Err(_) => return Err(Refusal::QueueTimeout),
                }
            }
        };
        let picked_at = shared.clock.now();
        waited.queue = picked_at.since(began);
        let claim = Claim::new(shared.clone(), pick);
        if let Some(claim) = commit(shared, claim).await? {
            waited.grant = shared.clock.now().since(picked_at);
            return Ok((claim, waited));
        }
    }
    Err(Refusal::NoDyno)
}

/// Waits until all that the leader of an earlier term began for an app is over (P23), or says why nobody here will know.
pub(crate) async fn behind(shared: &Arc<Shared>, app: &AppName, term: Term, deadline: Time) -> Result<Waited, Refusal> {
    let began = shared.clock.now();
    let changes = shared.router().past_changes();
    loop {
        let mut changed = std::pin::pin!(changes.notified());
        // From here on no change is missed.
        changed.as_mut().enable();
        let behind = {
            let now = shared.clock.now();
            let mut router = shared.router();
            router.may_lead(&shared.lease(), now)?;
            router.behind(app, term)
        };
        match behind {
            Behind::Over => break,
            Behind::Unknown => return Err(Refusal::Unproven),
            Behind::Running => {}
        }
        let left = shared.clock.now().until(deadline).to_std();
        // Its end may have come to be known by then, and be of no use to anybody.
        tokio::time::timeout(left, changed).await.map_err(|_| Refusal::Unproven)?;
    }
    Ok(Waited { queue: shared.clock.now().since(began), grant: Span::ZERO })
}

/// A grant that the log refuses (the dyno was drained or re-adopted meanwhile) is asked for anew, this often.
const GRANT_TRIES_MAX: u32 = 3;

/// Has the grant committed. `None`: the log refused it. A grant whose fate is unknown is given up for ever (P11): dropping the claim
/// puts a free behind it.
pub(crate) async fn commit(shared: &Arc<Shared>, claim: Claim) -> Result<Option<Claim>, Refusal> {
    if !claim.pick.commit_first {
        return Ok(Some(claim));
    }
    let Pick { slot, dyno, epoch, span, .. } = &claim.pick;
    let command = Command::Grant { slot: *slot, dyno: dyno.clone(), epoch: *epoch, span: *span };
    let proposal = shared.replica().propose(command);
    match tokio::time::timeout(shared.limits.grant_wait.to_std(), proposal).await {
        Ok(Ok(Reply::Granted)) => Ok(Some(claim)),
        Ok(Ok(refused)) => {
            debug!(slot = %slot, dyno = %dyno, ?refused, "grant refused");
            shared.metrics.grants_refused.inc();
            Ok(None)
        }
        Ok(Err(ProposeError::NotLeader { .. })) => Err(Refusal::NotLeader),
        Ok(Err(ProposeError::NotAppended(_))) => Err(Refusal::Electing),
        Ok(Err(ProposeError::Stopping)) => Err(Refusal::Stopping),
        Ok(Err(_)) | Err(_) => Err(Refusal::Late),
    }
}

fn refusal_of(full: Full) -> Refusal {
    match full {
        Full::Length => Refusal::QueueFull,
        Full::Doubt => Refusal::InDoubt,
        Full::Overload => Refusal::Overloaded,
    }
}
