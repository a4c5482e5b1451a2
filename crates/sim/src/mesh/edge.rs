//! An edge: it chooses blocks by what they last told, and asks until one has served the request or the rules say that it is enough.
//!
//! A leader that refuses is left alone by the whole edge from then on: the edge asks for its successor every few milliseconds, as the
//! real one asks the replicas, and uses the block again when it has found one. A block that it waits at gets heartbeats, so that a death
//! is noticed also between requests.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::pin::pin;
use std::rc::Rc;

use dynomesh_core::dispatch::{
    Attempted, BlockChoice, Candidate, Class, Reason, Retry, RetryLimits, Tier, Verdict, choose, estimate, least_full, pause, retry,
};
use dynomesh_core::time::{Span, Time};

use super::block::{Block, Reply, Visit, Word};
use super::pins::Pins;
use super::{Counts, add};
use crate::engine::{First, World, race};
use crate::part::Answer;
use crate::scenario::{Death, Setup, Told};
use crate::workload::Request;

/// Between two questions to a block without a leader.
const SEARCH_PAUSE: Span = Span::from_millis(15);
/// Between two heartbeats to a block where requests of this edge wait.
const BEAT: Span = Span::from_millis(50);
/// How long a request waits for any block to have a leader.
const PATIENCE: Span = Span::from_secs(5);

/// See the module's doc.
pub(super) struct Edge {
    seats: Rc<[Rc<Seat>]>,
    choice: BlockChoice,
    limits: RetryLimits,
    cable: Span,
    notices: bool,
    death: Death,
    safe_share: f64,
    pins: Option<Rc<Pins>>,
    counts: Rc<Counts>,
}

/// What an edge knows of one block.
struct Seat {
    block: Rc<Block>,
    loads: BTreeMap<u32, Load>,
    told: Told,
    /// Requests of this edge there.
    own: Cell<u32>,
    /// Whether its leader failed this edge and no other was found yet.
    vacant: Cell<bool>,
    beating: Cell<bool>,
}

/// What an edge knows of one app in one block.
#[derive(Default)]
struct Load {
    word: Cell<Word>,
    own: Cell<u32>,
    own_then: Cell<u32>,
    /// The number of the map's last saying.
    said: Cell<u64>,
}

/// What a request has been through.
#[derive(Default)]
struct Progress {
    tried: Vec<usize>,
    /// How often a block was asked, for whatever it said.
    asked: u32,
    attempts: u32,
    dyno_attempts: u32,
    spills: u32,
    doubts: u32,
    pauses: u32,
    must_queue: bool,
    waited: Span,
}

/// How an attempt ended without an answer.
enum Miss {
    /// The block said so.
    Said(Reply),
    /// It had no leader to ask.
    NoLeader,
    /// Its leader died with the request; a dyno may have run it.
    Killed { dispatched: bool },
}

impl Edge {
    pub(super) fn new(setup: &Setup, blocks: &Rc<[Rc<Block>]>, counts: &Rc<Counts>) -> Self {
        Edge {
            seats: blocks.iter().map(|block| Rc::new(Seat::new(setup, block))).collect(),
            choice: setup.block_choice,
            limits: RetryLimits { attempts: setup.attempts, ..RetryLimits::default() },
            cable: setup.router_cable,
            notices: setup.notices_outages,
            death: setup.death,
            safe_share: setup.safe_share,
            pins: counts.pins.get().cloned(),
            counts: counts.clone(),
        }
    }

    /// Serves a request that has come to this edge.
    pub(super) async fn ask(&self, world: &World, request: Request) -> Answer {
        let mut progress = Progress::default();
        loop {
            let chosen = match self.pinned(request, &progress) {
                Some(at) => Some(at).filter(|at| !self.seats[*at].vacant.get()),
                None => self.choose(world, request.app, &progress),
            };
            let Some(at) = chosen else {
                let span = world.chance(|rng| pause(rng, 0));
                progress.waited = progress.waited + span;
                if progress.waited > PATIENCE {
                    return Answer::Failed;
                }
                world.sleep(span).await;
                continue;
            };
            (progress.asked, progress.attempts) = (progress.asked + 1, progress.attempts + 1);
            if progress.asked > 1 {
                add(&self.counts.retries);
            }
            let Err(miss) = self.attempt(world, at, request, &mut progress).await else { return Answer::Served };
            progress.tried.push(at);
            match self.next(&miss, request, &mut progress) {
                Retry::Elsewhere => {}
                Retry::MustQueue => progress.must_queue = true,
                Retry::Again => {
                    let span = world.chance(|rng| pause(rng, progress.pauses));
                    progress.pauses += 1;
                    world.sleep(span).await;
                }
                // No request is idempotent and unsafe here.
                Retry::Behind | Retry::Never(_) => return Answer::Failed,
            }
        }
    }

    /// The block of the dyno that a request is pinned to. A pin that may be given up is, when the first attempt has failed or there is
    /// no leader to ask.
    fn pinned(&self, request: Request, progress: &Progress) -> Option<usize> {
        let pins = self.pins.as_ref()?;
        let at = pins.block_of(request)?;
        (pins.strict() || progress.asked == 0 && !self.seats[at].vacant.get()).then_some(at)
    }

    /// The seats whose blocks have dynos of the app and a leader that can be used.
    fn usable(&self, app: u32) -> impl Iterator<Item = (usize, &Seat, &Load)> {
        let seats = self.seats.iter().enumerate().filter(|(_, seat)| !seat.vacant.get());
        seats.filter_map(move |(at, seat)| Some((at, &**seat, seat.loads.get(&app)?)))
    }

    fn choose(&self, world: &World, app: u32, progress: &Progress) -> Option<usize> {
        let (places, candidates): (Vec<usize>, Vec<Candidate>) =
            self.usable(app).map(|(at, seat, load)| (at, seat.candidate(app, load, progress.tried.contains(&at)))).unzip();
        let chosen = world.chance(|rng| match progress.must_queue {
            true => least_full(rng, &candidates),
            false => choose(rng, &candidates, self.choice),
        });
        chosen.map(|place| places[place])
    }

    /// Asks one block.
    async fn attempt(&self, world: &World, at: usize, request: Request, progress: &mut Progress) -> Result<(), Miss> {
        let seat = &self.seats[at];
        let Some(load) = seat.loads.get(&request.app) else { return Err(Miss::NoLeader) };
        seat.own.set(seat.own.get() + 1);
        load.own.set(load.own.get() + 1);
        if self.notices && !seat.beating.replace(true) {
            world.spawn(seat.clone().beat(world.clone(), self.cable));
        }
        world.sleep(self.cable).await;
        let result = if seat.block.is_led() { self.visit(world, seat, request, progress).await } else { Err(Miss::NoLeader) };
        let word = seat.block.word(request.app, world.now());
        world.sleep(self.cable).await;
        seat.own.set(seat.own.get() - 1);
        load.own.set(load.own.get() - 1);
        match &result {
            Ok(()) | Err(Miss::Said(_)) if seat.told == Told::Answers => load.told(word),
            Err(Miss::NoLeader | Miss::Killed { .. }) if self.notices => seat.lost(world, self.cable),
            _ => {}
        }
        result
    }

    async fn visit(&self, world: &World, seat: &Seat, request: Request, progress: &mut Progress) -> Result<(), Miss> {
        let visit = Visit { tries: Cell::new(progress.dyno_attempts), must_queue: progress.must_queue, ..Visit::default() };
        let route = seat.block.route(world, request, &visit);
        let reply = match self.death {
            Death::SparesThem => Some(route.await),
            Death::KillsProxied | Death::KillsWaiting => {
                let mut route = pin!(route);
                match race(&mut route, seat.block.death(world)).await {
                    First::One(reply) => Some(reply),
                    First::Other(_) if self.death == Death::KillsWaiting && visit.dispatched.get() => Some(route.await),
                    First::Other(_) => None,
                }
            }
        };
        progress.dyno_attempts = visit.tries.get();
        match reply {
            Some(Reply::Served) => Ok(()),
            Some(reply) => Err(Miss::Said(reply)),
            None => {
                add(&self.counts.killed);
                Err(Miss::Killed { dispatched: visit.dispatched.get() })
            }
        }
    }

    /// The retry rule.
    fn next(&self, miss: &Miss, request: Request, progress: &mut Progress) -> Retry {
        let doubted = matches!(miss, Miss::Said(Reply::Doubted));
        progress.doubts += u32::from(doubted);
        progress.attempts -= u32::from(doubted);
        if matches!(miss, Miss::Said(Reply::Spilled)) {
            progress.spills += 1;
            add(&self.counts.spills);
        }
        // Dead leaders and dead dynos refuse: no dyno has seen any of it, unless its leader died while one had it.
        let begun = matches!(miss, Miss::Killed { dispatched: true });
        let safe = (request.number % 1000) as f64 + 0.5 < self.safe_share * 1000.0;
        let attempted = Attempted {
            class: if safe { Class::Safe } else { Class::Unsafe },
            verdict: if begun { Verdict::Unknown } else { Verdict::NotDispatched },
            lost: begun,
            earlier: false,
            body_begun: begun,
            replayable: true,
            answering: false,
            attempts: progress.attempts,
            dyno_attempts: progress.dyno_attempts,
            spills: progress.spills,
            doubts: progress.doubts,
            doubted,
            left: Span::from_secs(60),
            untried: self.usable(request.app).any(|(at, ..)| !progress.tried.contains(&at)),
        };
        let next = retry(&attempted, &self.limits);
        let bound = self.pins.as_ref().is_some_and(|pins| pins.strict() && pins.block_of(request).is_some());
        match next {
            // Its block has tried the one dyno that it may go to until its time was over.
            _ if bound && matches!(miss, Miss::Said(_)) => Retry::Never(Reason::Deadline),
            Retry::Elsewhere | Retry::MustQueue if bound => Retry::Again,
            next => next,
        }
    }
}

impl Load {
    fn told(&self, word: Word) {
        self.word.set(word);
        self.own_then.set(self.own.get());
    }
}

impl Seat {
    fn new(setup: &Setup, block: &Rc<Block>) -> Self {
        let load = |app| (app, Load { word: Cell::new(block.word(app, Time::ZERO)), ..Load::default() });
        Seat {
            block: block.clone(),
            loads: block.apps().map(load).collect(),
            told: setup.told,
            own: Cell::new(0),
            vacant: Cell::new(false),
            beating: Cell::new(false),
        }
    }

    fn candidate(&self, app: u32, load: &Load, tried: bool) -> Candidate {
        if self.told == Told::Map
            && let Some((said, word)) = self.block.published(app)
            && load.said.replace(said) != said
        {
            load.told(word);
        }
        let word = load.word.get();
        Candidate { capacity: word.slots, load: estimate(word.load, load.own.get(), load.own_then.get()), tier: Tier::of(true, tried) }
    }

    /// Its leader refused: nobody is sent there until a leader is found.
    fn lost(self: &Rc<Self>, world: &World, cable: Span) {
        if !self.vacant.replace(true) {
            world.spawn(self.clone().search(world.clone(), cable));
        }
    }

    async fn search(self: Rc<Self>, world: World, cable: Span) {
        loop {
            world.sleep(cable).await;
            let found = self.block.is_led();
            world.sleep(cable).await;
            if found {
                self.vacant.set(false);
                return;
            }
            world.sleep(SEARCH_PAUSE).await;
        }
    }

    /// Asks the block for a sign of life while requests of this edge are there.
    async fn beat(self: Rc<Self>, world: World, cable: Span) {
        while self.own.get() > 0 {
            world.sleep(cable).await;
            let led = self.block.is_led();
            world.sleep(cable).await;
            if !led {
                self.lost(&world, cable);
            }
            world.sleep(BEAT - cable - cable).await;
        }
        self.beating.set(false);
    }
}
