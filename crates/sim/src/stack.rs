//! From a setup to a run: the world is built as the setup says, and the policy's stack is put into it.

use std::cell::OnceCell;
use std::rc::Rc;

use dynomesh_core::time::Span;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::dyno::{Dyno, DynoMake};
use crate::engine::World;
use crate::mesh::Mesh;
use crate::part::{Fault, Part};
use crate::policy::{self, Sight};
use crate::scenario::{Policy, Setup};
use crate::workload::{Apps, Draw, Outcome, Source, Workload, nanos_of};

/// Runs the setup once. It must have passed its checks.
pub fn run(setup: &Setup, seed: u64) -> Outcome {
    match setup.policy {
        Policy::Dynomesh => mesh(setup, seed),
        Policy::Random => over_dynos(setup, seed, |_, dynos| policy::random(setup, dynos)),
        Policy::RoundRobin => over_dynos(setup, seed, |world, dynos| policy::round_robin(setup, world, dynos)),
        Policy::LocalLeastConn => over_dynos(setup, seed, |_, dynos| policy::local_least_conn(setup, dynos)),
        Policy::TwoChoicesLocal => over_dynos(setup, seed, |_, dynos| policy::two_choices(setup, dynos, Sight::Local)),
        Policy::TwoChoicesTrue => over_dynos(setup, seed, |_, dynos| policy::two_choices(setup, dynos, Sight::True)),
        Policy::JoinIdle => over_dynos(setup, seed, |world, dynos| policy::join_idle(setup, world, dynos)),
        Policy::Prequal => over_dynos(setup, seed, |_, dynos| policy::prequal(setup, dynos)),
        Policy::Reports => over_dynos(setup, seed, |world, dynos| policy::reports(setup, world, dynos)),
        Policy::Store => over_dynos(setup, seed, |_, dynos| policy::store(setup, dynos)),
        Policy::Ideal => over_dynos(setup, seed, |_, dynos| policy::ideal(setup, dynos)),
    }
}

fn mesh(setup: &Setup, seed: u64) -> Outcome {
    let counts = OnceCell::new();
    let build = |world: &World, dynos: Rc<[Dyno]>| {
        let mesh = Mesh::new(world, setup, &apps(setup), &dynos);
        counts.get_or_init(|| mesh.counts());
        mesh
    };
    let mut outcome = over_dynos(setup, seed, build);
    if let Some(counts) = counts.get() {
        counts.note(&mut outcome);
    }
    outcome
}

/// Runs a stack that one function builds over the dynos of the world, and adds what the dynos have seen to the outcome.
fn over_dynos<P: Part>(setup: &Setup, seed: u64, build: impl FnOnce(&World, Rc<[Dyno]>) -> P) -> Outcome {
    let dynos = dynos(setup, seed);
    let book = dynos.clone();
    let mut outcome = workload(setup).run(seed, |world| build(world, dynos));
    let over_cap: u64 = book.iter().map(|dyno| dyno.book().over_cap).sum();
    let busy: f64 = book.iter().map(|dyno| dyno.book().busy.as_secs_f64()).sum();
    let capacity = outcome.length.as_secs_f64() * (setup.dynos as f64) * f64::from(setup.max_conns);
    outcome.note("over_cap", over_cap as f64 / setup.requests as f64);
    outcome.note("busy", busy / capacity);
    outcome
}

/// The load of a setup.
pub fn workload(setup: &Setup) -> Workload {
    let gap = || Source::Drawn(Draw::exponential(Span::from_nanos(nanos_of(1e9 / rate(setup)))));
    let gap = setup.trace.as_ref().map_or_else(gap, |trace| Source::Replayed(trace.gaps()));
    Workload { gap, service: service(setup), requests: setup.requests, apps: apps(setup) }
}

/// What requests of a setup take.
pub fn service(setup: &Setup) -> Source {
    let measured = setup.trace.as_ref().and_then(|trace| trace.services());
    measured.map_or(Source::Drawn(setup.service), Source::Replayed)
}

fn apps(setup: &Setup) -> Apps {
    if setup.apps > 1 { Apps::zipf(setup.apps, setup.zipf) } else { Apps::one() }
}

/// Requests per second that a setup asks for.
pub fn rate(setup: &Setup) -> f64 {
    match &setup.trace {
        Some(trace) => trace.rate(),
        None if setup.rps > 0.0 => setup.rps,
        None => setup.load * capacity(setup),
    }
}

/// Requests per second that the dynos of a setup could serve if they never failed and there were no cables.
pub fn capacity(setup: &Setup) -> f64 {
    setup.dynos as f64 * f64::from(setup.max_conns) / service(setup).mean().as_secs_f64()
}

/// The dynos of a setup. Which of them are slow is chance, so that slow ones do not all stand in one block.
pub fn dynos(setup: &Setup, seed: u64) -> Rc<[Dyno]> {
    let make = DynoMake { cable: setup.dyno_cable, workers: setup.max_conns, slowdown: setup.slowdown, slow: 1.0 };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a number of dynos")]
    let slow = (setup.slow_share * setup.dynos as f64).round() as usize;
    let mut places: Vec<bool> = (0..setup.dynos).map(|place| place < slow).collect();
    places.shuffle(&mut StdRng::seed_from_u64(seed));
    let fault = || setup.dyno_failures.failures().map(Fault::new);
    places.into_iter().map(|slow| Dyno::new(DynoMake { slow: if slow { setup.slow_factor } else { 1.0 }, ..make }, fault())).collect()
}
