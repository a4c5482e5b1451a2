//! A world without faults and cables, in which a rival reproduces what was published of it.

use std::num::NonZero;

use dynomesh_core::time::Span;

use crate::parallel;
use crate::scenario::{Failing, Policy, Setup};
use crate::stack;
use crate::workload::Draw;

const SERVICE: Span = Span::from_millis(100);

/// One router over `dynos` with exponential service.
pub(super) fn bare(policy: Policy, dynos: usize, load: f64) -> Setup {
    Setup {
        policy,
        dynos,
        load,
        blocks: 1,
        service: Draw::exponential(SERVICE),
        dyno_failures: never(),
        router_failures: never(),
        store_failures: never(),
        dyno_cable: Span::ZERO,
        router_cable: Span::ZERO,
        store_cable: Span::ZERO,
        ..Setup::default()
    }
}

/// What never fails.
pub(super) fn never() -> Failing {
    Failing { up: Draw::fixed(Span::ZERO), down: Draw::fixed(Span::ZERO) }
}

/// The mean time of requests in service times.
pub(super) fn time(setup: &Setup) -> f64 {
    let seeds = [1, 2];
    let threads = NonZero::new(2).unwrap();
    let means = parallel::map(&seeds, threads, || (), |seed| stack::run(setup, *seed).tally.mean());
    means.iter().sum::<f64>() / 2.0 / SERVICE.as_millis_f64()
}

/// Whether a figure is the known one, but for a share of it.
pub(super) fn assert_near(figure: f64, known: f64, share: f64) {
    assert!((figure - known).abs() < share * known, "{figure} is not {known} within {share}");
}
