//! A block: one leader with the whole picture of its dynos, by the production floor of ledger and queue, one for each app.
//!
//! The ledgers survive an outage, as the replicated slots of a real block do. What a block has let in before goes on meanwhile, unless
//! the scenario says that a leader's death kills what it carries; the dynos know nothing of that, and their slots stay counted until
//! they are done, as orphans do until their proof.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use dynomesh_core::app::Phase;
use dynomesh_core::balance::{DynoShape, Ended, Floor, Full, LedgerSettings, Outcome, QueueSettings};
use dynomesh_core::dispatch::{DYNO_ATTEMPTS_PER_BLOCK_MAX, Verdict, another_dyno, told_used};
use dynomesh_core::id::{DynoId, Epoch, SlotId};
use dynomesh_core::time::{Span, Time};
use rand::RngExt;

use super::{Counts, add, travel};
use crate::dyno::Dyno;
use crate::engine::{First, Giver, Promised, World, race};
use crate::part::{dyno_id, place_of, slot_id};
use crate::scenario::{Setup, Told};
use crate::stack;
use crate::workload::{Request, Source};

mod guests;
mod keep;
mod members;
mod pinned;

use guests::Guests;
pub(super) use guests::overlap;
use pinned::Lines;

/// A block that leaves queueing to its dynos bounds none of them.
const NO_LIMIT: u32 = 1 << 20;
/// Time that a request has left as far as dyno attempts care: the model sets no deadline.
const LEFT: Span = Span::from_secs(60);

/// What a block tells of an app.
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
    /// Its slots are in doubt; nothing was dispatched.
    Doubted,
    /// Every dyno that was tried refused it.
    Refused,
}

/// What a request and the block know of each other while it is here.
#[derive(Debug, Default)]
pub(super) struct Visit {
    /// Attempts at dynos so far, those of other blocks included.
    pub(super) tries: Cell<u32>,
    /// Whether a dyno has it now.
    pub(super) dispatched: Cell<bool>,
    /// Whether it must be queued rather than sent away.
    pub(super) must_queue: bool,
}

/// See the module's doc.
pub(super) struct Block {
    floors: BTreeMap<u32, RefCell<Floor<Waiter>>>,
    dynos: Rc<[Dyno]>,
    next: Cell<u64>,
    /// Outages that go on now; it has a leader while there is none.
    outages: Cell<u32>,
    /// Since when the present leader leads, if it is not the first.
    led_since: Cell<Option<Time>>,
    /// Those who want to know of the leader's death.
    mourners: RefCell<Vec<Giver<()>>>,
    /// What the map says of each app, and which saying that is.
    published: RefCell<(u64, BTreeMap<u32, Word>)>,
    /// Dynos of other blocks that it may use too.
    guests: OnceCell<Guests>,
    /// Requests that wait for one dyno and no other.
    pinned: Option<Lines>,
    settings: Settings,
    counts: Rc<Counts>,
}

struct Settings {
    ramps: bool,
    commit: Span,
    hedge_after: Span,
    hedge_max: f64,
    service: Source,
}

struct Waiter {
    exclude: Vec<DynoId>,
    turn: Giver<(SlotId, DynoId)>,
}

impl Block {
    /// A block whose dynos are at `places`, each with its app.
    pub(super) fn new(world: &World, setup: &Setup, dynos: &Rc<[Dyno]>, places: &[(usize, u32)], counts: &Rc<Counts>) -> Rc<Self> {
        let mut floors: BTreeMap<u32, RefCell<Floor<Waiter>>> = BTreeMap::new();
        for (place, app) in places {
            let floor =
                floors.entry(*app).or_insert_with(|| RefCell::new(empty_floor(setup, places.iter().filter(|(_, of)| of == app).count())));
            let max_conns = if setup.queue_at_dyno { NO_LIMIT } else { setup.max_conns };
            floor.get_mut().ledger.upsert(dyno_id(*place), DynoShape { max_conns, epoch: Epoch(1), phase: Phase::Active });
        }
        for floor in floors.values_mut() {
            floor.get_mut().ledger.assume_up();
        }
        let block = Rc::new(Block {
            floors,
            dynos: dynos.clone(),
            next: Cell::new(0),
            outages: Cell::new(0),
            led_since: Cell::new(None),
            mourners: RefCell::default(),
            published: RefCell::default(),
            guests: OnceCell::new(),
            pinned: Lines::new(setup, places, counts.pins.get()),
            settings: Settings {
                ramps: setup.leader_ramps,
                commit: setup.commit,
                hedge_after: setup.hedge_after,
                hedge_max: setup.hedge_max,
                service: stack::service(setup),
            },
            counts: counts.clone(),
        });
        world.spawn(keep::keep(block.clone(), world.clone(), setup.probes));
        if setup.told == Told::Map {
            world.spawn(keep::publish(block.clone(), world.clone(), setup.load_age));
        }
        block
    }

    // === leadership ===

    /// The leader dies, or its zone does.
    pub(super) fn lose_leader(&self) {
        if self.outages.replace(self.outages.get() + 1) == 0 {
            add(&self.counts.outages);
            // Dropped, they are told.
            self.mourners.take();
        }
    }

    /// That outage is over; another leader is elected when no other goes on.
    pub(super) fn elect(&self, now: Time) {
        self.outages.set(self.outages.get() - 1);
        if self.outages.get() == 0 {
            self.led_since.set(self.settings.ramps.then_some(now));
        }
    }

    /// Whether it has a leader.
    pub(super) fn is_led(&self) -> bool {
        self.outages.get() == 0
    }

    /// Ready when the leader dies.
    pub(super) fn death(&self, world: &World) -> Promised<()> {
        let (giver, told) = world.promise();
        let mut mourners = self.mourners.borrow_mut();
        if mourners.len() > 4096 {
            mourners.retain(|giver| !giver.is_idle());
        }
        mourners.push(giver);
        told
    }

    // === load ===

    /// The apps that have dynos here.
    pub(super) fn apps(&self) -> impl Iterator<Item = u32> {
        self.floors.keys().copied()
    }

    /// What it would tell of an app now.
    pub(super) fn word(&self, app: u32, now: Time) -> Word {
        let Some(floor) = self.floors.get(&app) else { return Word::default() };
        let floor = floor.borrow();
        let load = floor.ledger.load();
        let used = self.led_since.get().map_or(load.used, |since| told_used(load.used, load.slots, now.since(since)));
        Word { slots: load.slots, load: used + self.at_guests() + u32::try_from(floor.queue.len()).unwrap_or(u32::MAX) }
    }

    /// What the map last said of an app, and the number of that saying.
    pub(super) fn published(&self, app: u32) -> Option<(u64, Word)> {
        let published = self.published.borrow();
        published.1.get(&app).map(|word| (published.0, *word))
    }

    // === requests ===

    /// Serves a request that has come to the leader.
    pub(super) async fn route(self: &Rc<Self>, world: &World, request: Request, visit: &Visit) -> Reply {
        if let Some(reply) = self.route_pinned(world, request, visit).await {
            return reply;
        }
        let mut exclude = Vec::new();
        let mut tries = 0;
        loop {
            let (slot, dyno) = match self.acquire(world, request.app, &exclude, visit.must_queue).await {
                Ok(taken) => taken,
                Err(Full::Doubt) => return Reply::Doubted,
                Err(Full::Length | Full::Overload) => return Reply::Spilled,
            };
            tries += 1;
            visit.tries.set(visit.tries.get() + 1);
            visit.dispatched.set(true);
            let served = self.run_at(world, slot, &dyno, request).await;
            visit.dispatched.set(false);
            if served {
                return Reply::Served;
            }
            if !another_dyno(Verdict::NotDispatched, tries, visit.tries.get(), DYNO_ATTEMPTS_PER_BLOCK_MAX, LEFT) {
                return Reply::Refused;
            }
            add(&self.counts.dyno_retries);
            exclude.push(dyno);
        }
    }

    /// Runs a request at the dyno whose slot it has, and at another one beside it if the first takes long and hedging is on.
    async fn run_at(self: &Rc<Self>, world: &World, slot: SlotId, dyno: &DynoId, request: Request) -> bool {
        let mut first = self.dispatch(world, slot, dyno, request);
        if self.settings.hedge_after == Span::ZERO {
            return first.await == Some(true);
        }
        match race(&mut first, world.sleep(self.settings.hedge_after)).await {
            First::One(served) => served == Some(true),
            First::Other(()) => match self.hedge(world, dyno, request) {
                None => first.await == Some(true),
                Some(mut second) => match race(&mut first, &mut second).await {
                    First::One(Some(true)) | First::Other(Some(true)) => true,
                    First::One(_) => second.await == Some(true),
                    First::Other(_) => first.await == Some(true),
                },
            },
        }
    }

    /// A second copy at an idle dyno, if there is one, nobody waits, and hedges may still be spent.
    fn hedge(self: &Rc<Self>, world: &World, beside: &DynoId, request: Request) -> Option<Promised<bool>> {
        let Counts { hedges, requests, .. } = &*self.counts;
        if hedges.get() as f64 >= self.settings.hedge_max * requests.get() as f64 {
            return None;
        }
        let slot = self.slot();
        let dyno = {
            let floor = &mut *self.floors.get(&request.app)?.borrow_mut();
            let exclude = std::slice::from_ref(beside);
            world.chance(|rng| floor.queue.is_empty().then(|| floor.ledger.pick(rng, slot, exclude)).flatten())?
        };
        add(hedges);
        // Another dyno would take another time for it.
        let service = world.chance(|rng| self.settings.service.at(rng.random(), rng));
        Some(self.dispatch(world, slot, &dyno, Request { service, ..request }))
    }

    /// Sends a request to its dyno, and ends its slot when the answer is back, whoever still waits for it.
    fn dispatch(self: &Rc<Self>, world: &World, slot: SlotId, dyno: &DynoId, request: Request) -> Promised<bool> {
        let (giver, answer) = world.promise();
        let (block, world, place) = (self.clone(), world.clone(), place_of(dyno));
        world.clone().spawn(async move {
            let target = &block.dynos[place];
            travel(&world, block.settings.commit).await;
            world.sleep(target.cable()).await;
            let served = target.serve(&world, request).await;
            world.sleep(target.cable()).await;
            block.end(&world, request.app, slot, if served { Outcome::Done } else { Outcome::Error });
            giver.give(served);
        });
        answer
    }

    async fn acquire(&self, world: &World, app: u32, exclude: &[DynoId], must_queue: bool) -> Result<(SlotId, DynoId), Full> {
        let turn = {
            let floor = &mut *self.floors.get(&app).ok_or(Full::Length)?.borrow_mut();
            let slot = self.slot();
            let picked = world.chance(|rng| floor.pick_for_newcomer(rng, slot, exclude));
            if let Some(dyno) = picked.or_else(|| self.pick_guest(world, floor, slot, exclude)) {
                return Ok((slot, dyno));
            }
            let (giver, turn) = world.promise();
            let waiter = Waiter { exclude: exclude.to_vec(), turn: giver };
            let (now, key) = (world.now(), slot.seq);
            floor.wait(now, key, waiter, Time::FAR, must_queue).map_err(|(full, _)| full)?;
            turn
        };
        add(&self.counts.queued);
        turn.await.ok_or(Full::Length)
    }

    fn end(&self, world: &World, app: u32, slot: SlotId, outcome: Outcome) {
        if let Some(floor) = self.floors.get(&app) {
            let ended = floor.borrow_mut().ledger.end(slot, outcome, world.now());
            if ended == Ended::NotHere {
                self.end_guest(slot, outcome, world.now());
            }
        }
        self.pump(world, app);
    }

    /// Lets those who wait have what has come free.
    fn pump(&self, world: &World, app: u32) {
        let Some(floor) = self.floors.get(&app) else { return };
        let floor = &mut *floor.borrow_mut();
        self.pump_pinned(floor);
        // Those whose time has passed are dropped, by which they learn it.
        while let Some(popped) = floor.next(world.now()) {
            let Some(waiter) = popped.item else { return };
            // Who waits no longer died with a leader.
            if waiter.turn.is_idle() {
                continue;
            }
            let slot = self.slot();
            if let Some(dyno) = world.chance(|rng| floor.pick(rng, slot, &waiter.exclude)) {
                waiter.turn.give((slot, dyno));
            }
        }
        self.pump_guests(world, floor);
    }

    fn slot(&self) -> SlotId {
        self.next.set(self.next.get() + 1);
        slot_id(self.next.get())
    }
}

fn empty_floor(setup: &Setup, dynos: usize) -> Floor<Waiter> {
    let ledger = LedgerSettings { hold: setup.hold, ties: setup.ties, probe_idle: setup.probe_idle, ..LedgerSettings::default() };
    let slots = u32::try_from(dynos).unwrap_or(u32::MAX).saturating_mul(setup.max_conns);
    let mut queue = QueueSettings::for_slots(slots, None, setup.queue_wait);
    if setup.queue_len > 0 {
        queue.len_max = usize::try_from(setup.queue_len).unwrap_or(usize::MAX);
    }
    Floor::new(ledger, queue)
}
