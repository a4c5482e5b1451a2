//! An edge: it chooses blocks by what they last told, and asks until one has served the request or the rules say that it is enough.
//!
//! A leader that refuses is left alone by the whole edge from then on: the edge asks for its successor every few milliseconds, as the
//! real one asks the replicas, and uses the block again when it has found one. A block that it waits at gets heartbeats, so that a death
//! is noticed also between requests.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use dynomesh_core::dispatch::{
    Attempted, BlockChoice, Candidate, Class, Retry, RetryLimits, Tier, Verdict, choose, estimate, least_full, pause, ramped, retry,
};
use dynomesh_core::time::{Span, Time};

use super::block::{Block, Reply, Word};
use super::{Counts, add};
use crate::engine::World;
use crate::part::Answer;
use crate::scenario::Setup;
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
    ramps: bool,
    counts: Rc<Counts>,
}

/// What an edge knows of one block.
struct Seat {
    block: Rc<Block>,
    word: Cell<Word>,
    own: Cell<u32>,
    own_then: Cell<u32>,
    /// Whether its leader failed this edge and no other was found yet.
    vacant: Cell<bool>,
    /// The term of the leader it knows, and since when if that was not the first.
    term: Cell<u64>,
    changed: Cell<Option<Time>>,
    beating: Cell<bool>,
}

/// What a request has been through.
#[derive(Default)]
struct Progress {
    tried: RefCell<Vec<usize>>,
    attempts: u32,
    dyno_attempts: u32,
    spills: u32,
    pauses: u32,
    must_queue: bool,
    waited: Span,
}

impl Edge {
    pub(super) fn new(setup: &Setup, blocks: &Rc<[Rc<Block>]>, counts: &Rc<Counts>) -> Self {
        let seat = |block: &Rc<Block>| {
            Rc::new(Seat {
                block: block.clone(),
                word: Cell::new(block.word(Time::ZERO)),
                own: Cell::new(0),
                own_then: Cell::new(0),
                vacant: Cell::new(false),
                term: Cell::new(1),
                changed: Cell::new(None),
                beating: Cell::new(false),
            })
        };
        Edge {
            seats: blocks.iter().map(seat).collect(),
            choice: setup.block_choice,
            limits: RetryLimits { attempts: setup.attempts, ..RetryLimits::default() },
            cable: setup.router_cable,
            notices: setup.notices_outages,
            ramps: setup.ramp_at_edge,
            counts: counts.clone(),
        }
    }

    /// Serves a request that has come to this edge.
    pub(super) async fn ask(&self, world: &World, request: Request) -> Answer {
        let mut progress = Progress::default();
        loop {
            let Some(at) = self.choose(world, &progress) else {
                let span = world.chance(|rng| pause(rng, 0));
                progress.waited = progress.waited + span;
                if progress.waited > PATIENCE {
                    return Answer::Failed;
                }
                world.sleep(span).await;
                continue;
            };
            progress.attempts += 1;
            if progress.attempts > 1 {
                add(&self.counts.retries);
            }
            let reply = self.attempt(world, at, request, &mut progress).await;
            if reply == Some(Reply::Served) {
                return Answer::Served;
            }
            progress.tried.borrow_mut().push(at);
            if reply == Some(Reply::Spilled) {
                progress.spills += 1;
                add(&self.counts.spills);
            }
            match self.next(&progress) {
                Retry::Elsewhere => {}
                Retry::MustQueue => progress.must_queue = true,
                Retry::Again => {
                    let span = world.chance(|rng| pause(rng, progress.pauses));
                    progress.pauses += 1;
                    world.sleep(span).await;
                }
                Retry::Never(_) => return Answer::Failed,
            }
        }
    }

    fn choose(&self, world: &World, progress: &Progress) -> Option<usize> {
        let now = world.now();
        let usable: Vec<usize> = (0..self.seats.len()).filter(|at| !self.seats[*at].vacant.get()).collect();
        let tried = progress.tried.borrow();
        let candidates: Vec<Candidate> = usable.iter().map(|at| self.seats[*at].candidate(now, tried.contains(at), self.ramps)).collect();
        let chosen = world.chance(|rng| match progress.must_queue {
            true => least_full(rng, &candidates),
            false => choose(rng, &candidates, self.choice),
        });
        chosen.map(|place| usable[place])
    }

    /// Asks one block; `None` if it had no leader to ask.
    async fn attempt(&self, world: &World, at: usize, request: Request, progress: &mut Progress) -> Option<Reply> {
        let seat = &self.seats[at];
        seat.own.set(seat.own.get() + 1);
        if self.notices && !seat.beating.replace(true) {
            world.spawn(seat.clone().beat(world.clone(), self.cable));
        }
        world.sleep(self.cable).await;
        let reply = match seat.block.term() {
            None => None,
            Some(_) => {
                let (reply, tries) = seat.block.route(world, request, progress.dyno_attempts, progress.must_queue).await;
                progress.dyno_attempts += tries;
                Some(reply)
            }
        };
        let word = seat.block.word(world.now());
        world.sleep(self.cable).await;
        seat.own.set(seat.own.get() - 1);
        match reply {
            Some(_) => seat.told(word),
            None if self.notices => seat.lost(world, self.cable),
            None => {}
        }
        reply
    }

    /// The retry rule. No dyno has seen any of a request that failed here: dead leaders and dead dynos refuse.
    fn next(&self, progress: &Progress) -> Retry {
        let tried = progress.tried.borrow();
        let untried = (0..self.seats.len()).any(|at| !self.seats[at].vacant.get() && !tried.contains(&at));
        let attempted = Attempted {
            class: Class::Safe,
            verdict: Verdict::NotDispatched,
            body_begun: false,
            replayable: true,
            answering: false,
            attempts: progress.attempts,
            dyno_attempts: progress.dyno_attempts,
            spills: progress.spills,
            left: Span::from_secs(60),
            untried,
        };
        retry(&attempted, &self.limits)
    }
}

impl Seat {
    fn candidate(&self, now: Time, tried: bool, ramps: bool) -> Candidate {
        let Word { slots, load } = self.word.get();
        let capacity = self.changed.get().filter(|_| ramps).map_or(slots, |changed| ramped(slots, now.since(changed)));
        Candidate { capacity, load: estimate(load, self.own.get(), self.own_then.get()), tier: Tier::of(true, tried) }
    }

    fn told(&self, word: Word) {
        self.word.set(word);
        self.own_then.set(self.own.get());
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
            let term = self.block.term();
            world.sleep(cable).await;
            if let Some(term) = term {
                if self.term.replace(term) != term {
                    self.changed.set(Some(world.now()));
                }
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
            let led = self.block.term().is_some();
            world.sleep(cable).await;
            if !led {
                self.lost(&world, cable);
            }
            world.sleep(BEAT - cable - cable).await;
        }
        self.beating.set(false);
    }
}
