//! A block: one leader with the whole picture of its dynos, by the production floor of ledger and queue.
//!
//! The ledger survives an outage, as the replicated slots of a real block do; what a block has let in before goes on meanwhile, unless
//! the scenario says that a leader's death kills what it carries.

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::rc::Rc;

use dynomesh_core::app::Phase;
use dynomesh_core::balance::{DynoShape, Floor, LedgerSettings, Outcome, Probed, QueueSettings};
use dynomesh_core::dispatch::{DYNO_ATTEMPTS_PER_BLOCK_MAX, Verdict, another_dyno, told_used};
use dynomesh_core::id::{DynoId, Epoch, SlotId};
use dynomesh_core::time::{Span, Time};

use super::{Counts, add, travel};
use crate::dyno::Dyno;
use crate::engine::{Giver, World};
use crate::part::{dyno_id, place_of, slot_id};
use crate::scenario::Setup;
use crate::workload::Request;

/// Between two looks at which holds have lapsed and which probes are due.
const LOOK: Span = Span::from_millis(25);
/// A block that leaves queueing to its dynos bounds none of them.
const NO_LIMIT: u32 = 1 << 20;

/// What a block tells with every answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Word {
    /// Slots of its dynos.
    pub(super) slots: u32,
    /// Slots in use and requests waiting.
    pub(super) load: u32,
}

/// What became of a request in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reply {
    /// A dyno served it.
    Served,
    /// The block is full; nothing was dispatched.
    Spilled,
    /// Every dyno that was tried refused it.
    Refused,
}

/// See the module's doc.
pub(super) struct Block {
    floor: RefCell<Floor<Waiter>>,
    dynos: Rc<[Dyno]>,
    next: Cell<u64>,
    /// Whether it has a leader that takes requests.
    led: Cell<bool>,
    /// Since when the present leader leads, if it is not the first.
    led_since: Cell<Option<Time>>,
    terms: Cell<u64>,
    ramps: bool,
    commit: Span,
    counts: Rc<Counts>,
}

struct Waiter {
    exclude: Vec<DynoId>,
    turn: Giver<(SlotId, DynoId)>,
}

impl Block {
    pub(super) fn new(world: &World, setup: &Setup, dynos: &Rc<[Dyno]>, share: Range<usize>, counts: &Rc<Counts>) -> Rc<Self> {
        let ledger = LedgerSettings { hold: setup.hold, ties: setup.ties, probe_idle: setup.probe_idle, ..LedgerSettings::default() };
        let max_conns = if setup.queue_at_dyno { NO_LIMIT } else { setup.max_conns };
        let slots = u32::try_from(share.len()).unwrap_or(u32::MAX).saturating_mul(setup.max_conns);
        let mut queue = QueueSettings::for_slots(slots, None, setup.queue_wait);
        if setup.queue_len > 0 {
            queue.len_max = usize::try_from(setup.queue_len).unwrap_or(usize::MAX);
        }
        let mut floor = Floor::new(ledger, queue);
        for place in share {
            floor.ledger.upsert(dyno_id(place), DynoShape { max_conns, epoch: Epoch(1), phase: Phase::Active });
        }
        floor.ledger.assume_up();
        let block = Rc::new(Block {
            floor: RefCell::new(floor),
            dynos: dynos.clone(),
            next: Cell::new(0),
            led: Cell::new(true),
            led_since: Cell::new(None),
            terms: Cell::new(1),
            ramps: setup.ramp_at_block,
            commit: setup.commit,
            counts: counts.clone(),
        });
        world.spawn(block.clone().keep(world.clone(), setup.probes));
        block
    }

    // === leadership ===

    /// The leader dies.
    pub(super) fn lose_leader(&self) {
        self.led.set(false);
        add(&self.counts.outages);
    }

    /// Another is elected.
    pub(super) fn elect(&self, now: Time) {
        self.led.set(true);
        self.led_since.set(self.ramps.then_some(now));
        self.terms.set(self.terms.get() + 1);
    }

    /// Its present term, if it has a leader.
    pub(super) fn term(&self) -> Option<u64> {
        self.led.get().then(|| self.terms.get())
    }

    /// What it would tell now.
    pub(super) fn word(&self, now: Time) -> Word {
        let floor = self.floor.borrow();
        let load = floor.ledger.load();
        let used = self.led_since.get().map_or(load.used, |since| told_used(load.used, load.slots, now.since(since)));
        Word { slots: load.slots, load: used + u32::try_from(floor.queue.len()).unwrap_or(u32::MAX) }
    }

    // === requests ===

    /// Serves a request that has come to the leader.
    pub(super) async fn route(&self, world: &World, request: Request, tried_before: u32, must_queue: bool) -> (Reply, u32) {
        let mut exclude = Vec::new();
        let mut tries = 0;
        loop {
            let Some((slot, dyno)) = self.acquire(world, &exclude, must_queue).await else { return (Reply::Spilled, tries) };
            tries += 1;
            travel(world, self.commit).await;
            let target = &self.dynos[place_of(&dyno)];
            world.sleep(target.cable()).await;
            let served = target.serve(world, request).await;
            world.sleep(target.cable()).await;
            self.end(world, slot, if served { Outcome::Done } else { Outcome::Error });
            if served {
                return (Reply::Served, tries);
            }
            if !another_dyno(Verdict::NotDispatched, tries, tried_before + tries, DYNO_ATTEMPTS_PER_BLOCK_MAX, Span::from_secs(1)) {
                return (Reply::Refused, tries);
            }
            add(&self.counts.dyno_retries);
            exclude.push(dyno);
        }
    }

    async fn acquire(&self, world: &World, exclude: &[DynoId], must_queue: bool) -> Option<(SlotId, DynoId)> {
        let turn = {
            let floor = &mut *self.floor.borrow_mut();
            let slot = self.slot();
            let picked = world.chance(|rng| floor.pick_for_newcomer(rng, slot, exclude));
            if let Some(dyno) = picked {
                return Some((slot, dyno));
            }
            let (giver, turn) = world.promise();
            let waiter = Waiter { exclude: exclude.to_vec(), turn: giver };
            let (now, key) = (world.now(), slot.seq);
            let pushed = match must_queue {
                true => floor.queue.push_must(now, key, waiter, Time::FAR),
                false => floor.queue.push(now, key, waiter, Time::FAR),
            };
            pushed.ok()?;
            turn
        };
        add(&self.counts.queued);
        turn.await
    }

    fn end(&self, world: &World, slot: SlotId, outcome: Outcome) {
        self.floor.borrow_mut().ledger.end(slot, outcome, world.now());
        self.pump(world);
    }

    /// Lets those who wait have what has come free.
    fn pump(&self, world: &World) {
        let floor = &mut *self.floor.borrow_mut();
        // Those whose time has passed are dropped, by which they learn it.
        while let Some(popped) = floor.next(world.now()) {
            let Some(waiter) = popped.item else { return };
            let slot = self.slot();
            if let Some(dyno) = world.chance(|rng| floor.pick(rng, slot, &waiter.exclude)) {
                waiter.turn.give((slot, dyno));
            }
        }
    }

    fn slot(&self) -> SlotId {
        self.next.set(self.next.get() + 1);
        slot_id(self.next.get())
    }

    // === probes and holds ===

    /// Lets holds lapse, and probes dynos while the block is led.
    async fn keep(self: Rc<Self>, world: World, probes: bool) {
        loop {
            world.sleep(LOOK).await;
            if !self.floor.borrow_mut().ledger.lapse(world.now()).is_empty() {
                self.pump(&world);
            }
            if !probes || !self.led.get() {
                continue;
            }
            let due = self.floor.borrow().ledger.probe_due(world.now());
            for dyno in due {
                let slot = self.slot();
                if self.floor.borrow_mut().ledger.begin_probe(&dyno, slot, world.now()).is_some() {
                    world.spawn(self.clone().probe(world.clone(), dyno));
                }
            }
        }
    }

    async fn probe(self: Rc<Self>, world: World, dyno: DynoId) {
        let target = &self.dynos[place_of(&dyno)];
        world.sleep(target.cable()).await;
        let passed = !target.is_down(&world);
        world.sleep(target.cable()).await;
        let result = if passed { Probed::Passed } else { Probed::Failed };
        self.floor.borrow_mut().ledger.probed(&dyno, result, world.now());
        self.pump(&world);
    }
}
