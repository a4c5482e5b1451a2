//! What is asked of a simulated mesh: when requests come and what each takes.
//!
//! Arrivals and service times come from generators of their own, not from the world's: two policies under the same seed get the very
//! same requests, whatever chance they use themselves.

mod apps;
mod draw;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use dynomesh_core::time::{Span, Time};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::engine::World;
use crate::part::{Answer, Part};
use crate::report::Tally;

pub use apps::Apps;
pub use draw::{DRAW_MAX, Draw, Source, mean, nanos_of};

/// One request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// Counts the requests of a run from zero.
    pub number: u64,
    /// Whose request it is: the place of its app, the largest first.
    pub app: u32,
    /// What it takes at a dyno that does nothing else.
    pub service: Span,
}

/// A stream of requests.
#[derive(Debug, Clone)]
pub struct Workload {
    /// Between two requests.
    pub gap: Source,
    /// What a request takes.
    pub service: Source,
    /// How many come.
    pub requests: u64,
    /// Whose they are.
    pub apps: Apps,
}

/// What came of a run.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// The counted requests: the middle half by arrival, so that neither the empty start nor the end is counted.
    pub tally: Tally,
    /// How often a task was run.
    pub events: u64,
    /// Simulated time.
    pub length: Span,
    /// Each counted request by itself, in the order in which they ended.
    pub moments: Vec<Moment>,
    /// What else the run counted, each by the name of its column.
    pub notes: Vec<(&'static str, f64)>,
}

/// What became of one counted request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// When it came.
    pub arrived: Time,
    /// Microseconds that it took.
    pub micros: u32,
    /// Whether it was served.
    pub served: bool,
}

/// What a seed is told apart by: the world's chance is the seed itself.
const ARRIVALS: u64 = 0x6172_7269_7661_6c73;
const SERVICES: u64 = 0x7365_7276_6963_6573;

impl Outcome {
    /// Adds a figure of the run.
    pub fn note(&mut self, column: &'static str, value: f64) {
        self.notes.push((column, value));
    }
}

impl Workload {
    /// Sends the requests into the stack that `build` makes, and counts the middle half.
    pub fn run<P: Part>(&self, seed: u64, build: impl FnOnce(&World) -> P) -> Outcome {
        let requests = self.requests;
        let counted = requests / 4..requests - requests / 4;
        self.run_with(seed, build, move |number| counted.contains(&number), |_, _, _| ())
    }

    /// As [`Workload::run`], with a choice of what counts and an ear for every counted request: when it came, how long it took and
    /// how it ended.
    pub fn run_with<P: Part>(
        &self,
        seed: u64,
        build: impl FnOnce(&World) -> P,
        counts: impl Fn(u64) -> bool + 'static,
        heard: impl Fn(Time, Span, Answer) + 'static,
    ) -> Outcome {
        drive(seed, self.requests_of(seed), build, counts, heard)
    }

    /// The requests of a seed in the order in which they come, each with its time: what a real mesh must be sent to be compared.
    pub fn requests_of(&self, seed: u64) -> impl Iterator<Item = (Time, Request)> + use<> {
        let workload = self.clone();
        let mut gaps = StdRng::seed_from_u64(seed ^ ARRIVALS);
        let mut services = StdRng::seed_from_u64(seed ^ SERVICES);
        // A replay longer than one run is heard to its end over the seeds, each of which begins where the one before stopped.
        let first = seed.wrapping_sub(1).wrapping_mul(workload.requests);
        let mut at = Time::ZERO;
        (0..workload.requests).map(move |number| {
            at += workload.gap.at(first.wrapping_add(number), &mut gaps);
            let app = workload.apps.draw(services.random());
            (at, Request { number, app, service: workload.service.at(first.wrapping_add(number), &mut services) })
        })
    }
}

/// Sends given requests, whose times must not fall, into the stack that `build` makes in a world of `seed`. `counts` says by its number
/// whether a request counts; `heard` is told of each that does: when it came, how long it took and how it ended.
pub fn drive<P: Part>(
    seed: u64,
    requests: impl Iterator<Item = (Time, Request)> + 'static,
    build: impl FnOnce(&World) -> P,
    counts: impl Fn(u64) -> bool + 'static,
    heard: impl Fn(Time, Span, Answer) + 'static,
) -> Outcome {
    let world = World::new(seed);
    let stack = Rc::new(build(&world));
    let room = requests.size_hint().0 / 2;
    let counted = Rc::new(RefCell::new((Tally::with_room(room), Vec::with_capacity(room))));
    // The sending itself is one more that has to end.
    let left = Rc::new(Cell::new(1_u64));
    let ends = Rc::new((counts, heard));
    let (clock, sink) = (world.clone(), counted.clone());
    world.spawn(async move {
        for (at, request) in requests {
            clock.sleep_until(at).await;
            left.set(left.get() + 1);
            let (world, stack, sink, left, ends) = (clock.clone(), stack.clone(), sink.clone(), left.clone(), ends.clone());
            clock.spawn(async move {
                let arrived = world.now();
                let answer = stack.ask(&world, request).await;
                if ends.0(request.number) {
                    let latency = world.now().since(arrived);
                    let (tally, moments) = &mut *sink.borrow_mut();
                    let served = answer == Answer::Served;
                    tally.count(latency, served);
                    moments.push(Moment { arrived, micros: u32::try_from(latency.as_nanos() / 1_000).unwrap_or(u32::MAX), served });
                    ends.1(arrived, latency, answer);
                }
                end_one(&world, &left);
            });
        }
        end_one(&clock, &left);
    });
    world.run(Time::FAR);
    let (tally, moments) = counted.take();
    Outcome { tally, moments, events: world.events(), length: world.now().since(Time::ZERO), notes: Vec::new() }
}

/// Stops the world when nothing is left.
fn end_one(world: &World, left: &Cell<u64>) {
    left.set(left.get() - 1);
    if left.get() == 0 {
        world.stop();
    }
}
