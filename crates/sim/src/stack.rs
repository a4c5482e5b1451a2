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
use crate::part::{Fault, Part, random};
use crate::scenario::{Policy, Setup};
use crate::workload::{Apps, Draw, Outcome, Source, Workload, nanos_of};

/// Runs the setup once. It must have passed its checks.
pub fn run(setup: &Setup, seed: u64) -> Outcome {
    match setup.policy {
        Policy::Dynomesh => mesh(setup, seed),
        Policy::Random => over_dynos(setup, seed, |_, dynos| random(dynos)),
    }
}

fn mesh(setup: &Setup, seed: u64) -> Outcome {
    let counts = OnceCell::new();
    let build = |world: &World, dynos: Rc<[Dyno]>| {
        let mesh = Mesh::new(world, setup, &dynos);
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
    let gap = Span::from_nanos(nanos_of(1e9 / rate(setup)));
    Workload {
        gap: Source::Drawn(Draw::exponential(gap)),
        service: Source::Drawn(setup.service),
        requests: setup.requests,
        apps: Apps::one(),
    }
}

/// Requests per second that a setup asks for.
pub fn rate(setup: &Setup) -> f64 {
    if setup.rps > 0.0 { setup.rps } else { setup.load * capacity(setup) }
}

/// Requests per second that the dynos of a setup could serve if they never failed and there were no cables.
pub fn capacity(setup: &Setup) -> f64 {
    setup.dynos as f64 * f64::from(setup.max_conns) / setup.service.mean().as_secs_f64()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parallel;
    use crate::report::{Estimate, Tally};

    #[test]
    #[ignore = "a look"]
    fn look() {
        let base = Setup::default();
        let at = |load: f64| Setup { load, ..base.clone() };
        let case = std::env::var("CASE").unwrap_or_default();
        let mut list: Vec<(String, Setup)> = Vec::new();
        for edges in [1, 4, 10, 50] {
            for load in [0.32, 0.8, 0.85, 0.9] {
                for (re, rb) in [(true, true), (false, true), (false, false)] {
                    let setup = Setup { edges, ramp_at_edge: re, ramp_at_block: rb, requests: 200_000, ..at(load) };
                    list.push((format!("{load} e{edges} edge {re} block {rb} {case}"), setup));
                }
            }
        }
        for (name, setup) in list {
            let began = std::time::Instant::now();
            let seeds: Vec<u64> = (1..=8).collect();
            let mut runs = parallel::map(&seeds, parallel::cores(), || (), |seed| run(&setup, *seed));
            let figure = |pick: fn(&mut Tally) -> f64, runs: &mut Vec<Outcome>| {
                let values: Vec<f64> = runs.iter_mut().map(|run| pick(&mut run.tally)).collect();
                let e = Estimate::of(&values);
                format!("{:.1}+-{:.1}", e.mean, e.half)
            };
            let failed: u64 = runs.iter().map(|run| run.tally.failed()).sum();
            let notes: Vec<String> = (0..runs[0].notes.len())
                .map(|at| {
                    let mean = runs.iter().map(|run| run.notes[at].1).sum::<f64>() / 8.0;
                    format!("{}={:.5}", runs[0].notes[at].0, mean)
                })
                .collect();
            println!(
                "{name}: rate {:.0} p50 {} p95 {} p99 {} failed {failed} {} {:.2}s",
                rate(&setup),
                figure(|t| t.percentile(0.5), &mut runs),
                figure(|t| t.percentile(0.95), &mut runs),
                figure(|t| t.percentile(0.99), &mut runs),
                notes.join(" "),
                began.elapsed().as_secs_f64()
            );
        }
    }
}
