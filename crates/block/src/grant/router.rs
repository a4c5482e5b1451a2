//! The block's one picture of its dynos: what the group has agreed, and on top of it what the leader knows by the moment.
//!
//! Below is the replicated state, the same on every replica. Above it, only where this replica leads, stands the *office*: per app a
//! ledger of slots and a queue. The ledger runs ahead of the log (a slot counts from the moment it is picked, and is free from the
//! moment its response ends) and never behind it: a free is put into the log before the next grant of the same place.
//!
//! One mutex guards all of it; nothing here waits. The consensus thread applies entries, data threads ask for slots and return them,
//! and the housekeeping thread lets holds lapse and proves orphans.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dynomesh_consensus::Lease;
use dynomesh_core::app::{AppSpec, ClientGone, DynoProtocol, Phase, Policy, Probe, Serial};
use dynomesh_core::balance::{
    DynoShape, DynoView, Ended, Floor, LedgerSettings, Occupied, Outcome, Place, Probed, QueueSettings, Standing,
};
use dynomesh_core::block::{BlockSettings, BlockState, Command, Drains, DynoRecord, Reply, SlotsMode, doubt};
use dynomesh_core::id::{Address, AppName, DynoId, Epoch, Holder, Incarnation, Index, ReplicaId, SlotId, Term};
use dynomesh_core::time::{Span, Time};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::oneshot;

use super::Proposer;
use crate::config::Limits;
use crate::metrics::Metrics;
use crate::upstream::{Cut, Idle, Link};
pub(crate) use past::Behind;
use past::Past;

mod housekeeping;
mod log;
mod office;
mod past;
mod probes;
mod reports;
#[cfg(test)]
mod tests;

/// How an app wants its dynos to be spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Manner {
    /// How long an idle connection is kept; zero: not at all.
    pub(crate) keep_alive: Span,
    pub(crate) protocol: DynoProtocol,
    /// Whether an `Idempotency-Key` counts.
    pub(crate) keyed: bool,
    /// What becomes of a request that nobody waits for any more (P13).
    pub(crate) client_gone: ClientGone,
}

/// A slot and the dyno it is for, picked but not yet known to be committed.
pub(crate) struct Pick {
    pub(crate) slot: SlotId,
    pub(crate) dyno: DynoId,
    pub(crate) address: Address,
    /// Under which this block owns the dyno; see [`Router::epoch_of`].
    pub(crate) epoch: Epoch,
    /// The term in which it was picked: the write gate asks for the lease of this term.
    pub(crate) term: Term,
    pub(crate) span: Span,
    /// Told when the slot must be given up: its time ran out unrenewed, or another freed it.
    pub(crate) cut: Arc<Cut>,
    /// Whether the grant must be committed before the slot is used.
    pub(crate) commit_first: bool,
    pub(crate) manner: Manner,
    /// An idle connection to the dyno, to be used or closed before another is opened.
    pub(crate) link: Option<Link>,
}

/// Why a request gets no slot here. Nothing was sent to any dyno.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    NotLeader,
    Electing,
    /// The block was evicted, or its name is another group's: its dynos are others'.
    Evicted,
    UnknownApp,
    NoDyno,
    QueueFull,
    /// Nobody knows when the slots come free; another block may have room.
    InDoubt,
    Overloaded,
    QueueTimeout,
    Late,
    Stopping,
    /// It was to begin when what an earlier leader began is over, and that will never be known.
    Unproven,
}

/// Answer to a request that asks for a slot.
pub(crate) enum Admission {
    Go(Pick),
    Wait { key: u64, answer: oneshot::Receiver<Result<Pick, Refusal>> },
    Refuse(Refusal),
}

/// What a request asks for.
pub(crate) struct Ask<'a> {
    pub(crate) app: &'a AppName,
    pub(crate) deadline: Time,
    /// Dynos that failed this request before.
    pub(crate) exclude: &'a [DynoId],
    /// The edge has been sent away twice: wait here rather than be sent away again (P25).
    pub(crate) must_queue: bool,
    /// The leader of this term is meant, and no other (P23).
    pub(crate) term: Option<Term>,
}

/// How loaded an app is, as edges are told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) used: u32,
    pub(crate) slots: u32,
    pub(crate) queued: u32,
    pub(crate) dynos: u32,
}

/// One dyno as operators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DynoReport {
    pub(crate) id: DynoId,
    pub(crate) epoch: Epoch,
    pub(crate) phase: Phase,
    pub(crate) up: Option<bool>,
    pub(crate) in_flight: u32,
}

/// A slot whose fate must be proven: its holder is gone, or its request was cut with unknown outcome.
#[derive(Debug, Clone)]
pub(crate) struct Doubt {
    pub(crate) slot: SlotId,
    pub(crate) dyno: DynoId,
    pub(crate) address: Address,
    pub(crate) app: AppSpec,
    /// What the core must know to judge it.
    pub(crate) facts: doubt::Doubt,
}

/// Which probe an answer is of.
#[derive(Debug, Clone)]
pub(crate) struct Probing {
    pub(crate) app: AppName,
    pub(crate) dyno: DynoId,
    /// The slot in whose place it runs.
    pub(crate) place: SlotId,
    /// The term in which it was allowed.
    pub(crate) term: Term,
}

/// A dyno whose probe is due, its place already taken in the ledger.
pub(crate) struct DueProbe {
    pub(crate) probing: Probing,
    pub(crate) probe: Probe,
    pub(crate) address: Address,
    /// The slot of a probe that is a request and found a free place; its grant is to be committed first.
    pub(crate) pick: Option<Pick>,
    /// Whether an idle connection shows that it accepts them.
    pub(crate) is_open: bool,
}

struct Waiter {
    exclude: Vec<DynoId>,
    span: Span,
    answer: oneshot::Sender<Result<Pick, Refusal>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holding {
    Running,
    /// Ended in an error that was seen; counted until then.
    Held(Time),
    /// Cut with unknown outcome then; counted until an idle proof from later on, or its deadline.
    Doubted(Time),
}

/// What the log knows of a slot of this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Logged {
    Nothing,
    /// Its grant was proposed then, and nobody waits for the answer: it may have been lost on the way.
    Proposed(Time),
    /// Its grant, or whoever proposed that waits for the answer.
    Granted,
}

struct Own {
    app: AppName,
    dyno: DynoId,
    holding: Holding,
    logged: Logged,
    since: Time,
    /// Its span counts from here: from before its grant, or what renewed it, was proposed (P10).
    counts_from: Time,
    /// When the first of the renewals was proposed of which nothing is known.
    renewing: Option<Time>,
    /// Whether a probe runs in its place, under which it may not lapse.
    is_probed: bool,
    span: Span,
    cut: Arc<Cut>,
}

struct Office {
    term: Term,
    since: Time,
    /// When the group was last asked for this process's settings.
    configured: Option<Time>,
    /// Took over from another leader: its first second is gentle.
    ramps: bool,
    leased: bool,
    floors: BTreeMap<AppName, Floor<Waiter>>,
}

/// What keeps a leader from giving out slots, besides its lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Right {
    /// The process has just started and has not heard the map yet.
    Unheard,
    /// Nothing does.
    Full,
    /// Its name is bound to another group (P5).
    Stranger,
    /// The block was evicted; for good.
    Evicted,
}

impl Manner {
    fn of(policy: &Policy) -> Self {
        Manner {
            keep_alive: policy.keep_alive,
            protocol: policy.dyno_protocol,
            keyed: policy.idempotency_key,
            client_gone: policy.client_gone,
        }
    }
}

/// A leased grant that is not in the log after this long is proposed again: what nobody waits for is lost when a round fails.
const GRANT_AGAIN: Span = Span::from_millis(100);
/// Settings that the group has not agreed on after this long are proposed again.
const CONFIGURE_AGAIN: Span = Span::from_secs(1);
/// Slots freed in one go by a sweep.
const SWEEP_MAX: usize = 1024;

/// See the module's doc.
pub(crate) struct Router {
    me: Holder,
    limits: Limits,
    wanted: BlockSettings,
    proposer: Proposer,
    metrics: Metrics,
    rng: StdRng,
    state: BlockState,
    /// When this replica applied each slot's grant or renewal (P10).
    seen: BTreeMap<SlotId, Time>,
    /// Slots of this run of this replica that are still counted on purpose (P11).
    own: BTreeMap<SlotId, Own>,
    seq: u64,
    key: u64,
    office: Option<Office>,
    right: Right,
    drains: Drains,
    idle: Idle,
    /// What the leader before this one began.
    past: Past,
    /// Whose blank entry was applied last.
    led: Option<(Term, ReplicaId)>,
    stopping: bool,
}

impl Router {
    pub(crate) fn new(limits: Limits, wanted: BlockSettings, proposer: Proposer, metrics: Metrics, seed: u64) -> Self {
        Router {
            me: Holder { replica: ReplicaId(0), incarnation: Incarnation(0) },
            limits,
            wanted,
            proposer,
            metrics,
            rng: StdRng::seed_from_u64(seed),
            state: BlockState::new(),
            seen: BTreeMap::new(),
            own: BTreeMap::new(),
            seq: 0,
            key: 0,
            office: None,
            right: Right::Unheard,
            drains: Drains::default(),
            idle: Idle::default(),
            past: Past::default(),
            led: None,
            stopping: false,
        }
    }

    /// Who this run is, known once its disk is open. The log may have been replayed before that, so the last word about who leads is
    /// heard again; if it was an old one, the lease will not stand for its term.
    pub(crate) fn identify(&mut self, now: Time, me: Holder) {
        self.me = me;
        if let Some((term, leader)) = self.led {
            self.lead(now, term, leader);
        }
    }

    pub(crate) fn state(&self) -> &BlockState {
        &self.state
    }

    pub(crate) fn stopping(&self) -> bool {
        self.stopping
    }

    pub(crate) fn leads(&self) -> Option<Term> {
        self.office.as_ref().map(|office| office.term)
    }

    // === requests ===

    /// Whether this replica leads, has the lease of its term, and may give out slots.
    pub(crate) fn may_lead(&self, lease: &Lease, now: Time) -> Result<(), Refusal> {
        match self.leads() {
            None => Err(Refusal::NotLeader),
            Some(term) if !lease.valid_in(term, now) => Err(Refusal::Electing),
            Some(_) => self.may_give(),
        }
    }

    fn may_give(&self) -> Result<(), Refusal> {
        match self.right {
            _ if self.stopping => Err(Refusal::Stopping),
            Right::Full => Ok(()),
            Right::Unheard => Err(Refusal::Electing),
            Right::Stranger | Right::Evicted => Err(Refusal::Evicted),
        }
    }

    /// Gives a slot, a place in the queue, or the reason why neither is to be had.
    pub(crate) fn admit(&mut self, now: Time, ask: &Ask<'_>) -> Admission {
        if let Err(refusal) = self.may_give() {
            return Admission::Refuse(refusal);
        }
        let meant = |office: &&mut Office| ask.term.is_none_or(|term| term == office.term);
        let Some(office) = self.office.as_mut().filter(meant) else { return Admission::Refuse(Refusal::NotLeader) };
        let Some(floor) = office.floors.get_mut(ask.app) else { return Admission::Refuse(Refusal::UnknownApp) };
        if floor.ledger.slots() == 0 {
            return Admission::Refuse(Refusal::NoDyno);
        }
        let span = self.limits.slot_span.max(now.until(ask.deadline));
        let slot = SlotId { holder: self.me, seq: self.seq };
        let picked = floor.pick_for_newcomer(&mut self.rng, slot, ask.exclude);
        if let Some(pick) = picked.and_then(|dyno| self.picked(now, ask.app, slot, dyno, span)) {
            return Admission::Go(pick);
        }
        let Some(floor) = self.office.as_mut().and_then(|office| office.floors.get_mut(ask.app)) else {
            return Admission::Refuse(Refusal::UnknownApp);
        };
        self.key += 1;
        let (sender, answer) = oneshot::channel();
        let waiter = Waiter { exclude: ask.exclude.to_vec(), span, answer: sender };
        match floor.wait(now, self.key, waiter, ask.deadline, ask.must_queue) {
            Ok(()) => Admission::Wait { key: self.key, answer },
            Err((full, _)) => Admission::Refuse(super::refusal_of(full)),
        }
    }

    /// A request left the queue by itself.
    pub(crate) fn leave(&mut self, app: &AppName, key: u64) {
        if let Some(floor) = self.office.as_mut().and_then(|office| office.floors.get_mut(app)) {
            floor.queue.remove(key);
        }
    }

    /// A connection may rest once the request of `pick` is over, and right before its slot is freed. Otherwise it is closed: the dyno or
    /// this leader's right to it has changed meanwhile.
    pub(crate) fn rest(&mut self, now: Time, pick: &Pick, link: Link) {
        let counts = self.own.get(&pick.slot).is_some_and(|own| own.holding == Holding::Running);
        let leads = self.leads() == Some(pick.term) && self.right == Right::Full && !self.stopping;
        let record = self.state.dyno(&pick.dyno);
        let same = record.is_some_and(|record| {
            record.phase == Phase::Active && record.epoch == pick.epoch && self.manner(&record.spec.app) == pick.manner
        });
        if counts && leads && same {
            self.idle.put(now, &pick.dyno, link, pick.manner.keep_alive);
        }
    }

    /// Under which epoch this block owns the dyno of `pick` by now. Between a grant and its dispatch, for which a withheld body is waited for,
    /// a drain may have come and gone: the slot is kept (P15), and a dyno that has seen the newer epoch must not see the older one again.
    pub(crate) fn epoch_of(&self, pick: &Pick) -> Epoch {
        let counts = self.own.contains_key(&pick.slot);
        self.state.dyno(&pick.dyno).filter(|_| counts).map_or(pick.epoch, |record| record.epoch)
    }

    /// The connections that rest.
    pub(crate) fn idle(&mut self) -> &mut Idle {
        &mut self.idle
    }

    fn manner(&self, app: &AppName) -> Manner {
        let policy = self.state.app(app).map(|record| &record.spec.policy);
        policy.map_or_else(|| Manner::of(&Policy::default()), Manner::of)
    }

    /// A slot's request is over, or was never dispatched (`Outcome::Done`).
    pub(crate) fn end(&mut self, now: Time, slot: SlotId, outcome: Outcome) {
        let Some(own) = self.own.get_mut(&slot) else { return };
        let app = own.app.clone();
        let ended = match self.office.as_mut().and_then(|office| office.floors.get_mut(&app)) {
            Some(floor) => floor.ledger.end(slot, outcome, now),
            None => Ended::NotHere,
        };
        match (outcome, ended) {
            (Outcome::Done, _) | (_, Ended::Freed) => {
                let logged = own.logged;
                self.own.remove(&slot);
                if logged != Logged::Nothing {
                    self.free_in_log(vec![slot]);
                }
                self.pump(now, &app);
            }
            (Outcome::Error, ended) => {
                let until = if let Ended::HeldUntil(until) = ended { until } else { now + self.limits.hold };
                own.holding = Holding::Held(until);
                self.metrics.holds.inc();
            }
            // Nobody asks such a dyno: it was released, and not before this was known to be over.
            (Outcome::Unknown, _) if self.state.dyno(&own.dyno).is_none() => drop(self.own.remove(&slot)),
            (Outcome::Unknown, _) => own.holding = Holding::Doubted(now),
        }
    }

    fn pick(&mut self, now: Time, app: &AppName, exclude: &[DynoId], span: Span) -> Option<Pick> {
        let floor = self.office.as_mut()?.floors.get_mut(app)?;
        let slot = SlotId { holder: self.me, seq: self.seq };
        let dyno = floor.pick(&mut self.rng, slot, exclude)?;
        self.picked(now, app, slot, dyno, span)
    }

    fn picked(&mut self, now: Time, app: &AppName, slot: SlotId, dyno: DynoId, span: Span) -> Option<Pick> {
        let office = self.office.as_ref()?;
        let (term, leased) = (office.term, office.leased);
        self.seq += 1;
        Some(self.register(now, app, slot, dyno, span, term, leased))
    }

    #[expect(clippy::too_many_arguments, reason = "called twice, with what both callers already hold")]
    fn register(&mut self, now: Time, app: &AppName, slot: SlotId, dyno: DynoId, span: Span, term: Term, leased: bool) -> Pick {
        let cut = Arc::new(Cut::default());
        let manner = self.manner(app);
        let link = self.idle.take(now, &dyno);
        let record = self.state.dyno(&dyno).expect("the ledger holds only dynos of the state");
        let pick = Pick {
            slot,
            address: record.spec.address,
            epoch: record.epoch,
            dyno: dyno.clone(),
            term,
            span,
            cut: cut.clone(),
            commit_first: !leased,
            manner,
            link,
        };
        let logged = if leased { Logged::Nothing } else { Logged::Granted };
        let (holding, since, counts_from, renewing, is_probed) = (Holding::Running, now, now, None, false);
        self.own.insert(slot, Own { app: app.clone(), dyno, holding, logged, since, counts_from, renewing, is_probed, span, cut });
        pick
    }

    /// Hands free slots to the requests that wait longest.
    fn pump(&mut self, now: Time, app: &AppName) {
        loop {
            let Some(floor) = self.office.as_mut().and_then(|office| office.floors.get_mut(app)) else { return };
            let Some(popped) = floor.next(now) else { return };
            for waiter in popped.expired {
                let _ = waiter.answer.send(Err(Refusal::QueueTimeout));
            }
            let Some(waiter) = popped.item else { return };
            if waiter.answer.is_closed() {
                continue;
            }
            let picked = self.pick(now, app, &waiter.exclude, waiter.span).ok_or(Refusal::NoDyno);
            if let Err(Ok(mut unclaimed)) = waiter.answer.send(picked) {
                if let Some(link) = unclaimed.link.take() {
                    self.rest(now, &unclaimed, link);
                }
                self.withdraw(now, unclaimed.slot);
            }
        }
    }

    /// A picked slot that nobody proposed or used.
    fn withdraw(&mut self, now: Time, slot: SlotId) {
        if let Some(own) = self.own.remove(&slot)
            && let Some(floor) = self.office.as_mut().and_then(|office| office.floors.get_mut(&own.app))
        {
            floor.ledger.end(slot, Outcome::Done, now);
        }
    }

    fn free_in_log(&self, slots: Vec<SlotId>) {
        if self.office.is_some() {
            self.proposer.free(slots);
        }
    }
}
