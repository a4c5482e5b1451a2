//! Seed sweeps: the same random story told with many seeds, for the tests of every stateful room.
//!
//! A failure names its seed and the one command that tells that story again. Seeds count up from zero, so a run is the same run
//! everywhere; `DYNOMESH_SEEDS` asks for another number of them, `DYNOMESH_SEED` for a single one.

use std::env;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Tells `story` once per seed, with its chance. `test` is the name of the calling test, for the replay command.
pub(crate) fn sweep(test: &str, seeds: u64, story: impl Fn(&mut StdRng)) {
    let number = |name| env::var(name).ok().map(|text| text.parse::<u64>().unwrap_or_else(|_| panic!("{name}={text} is not a number")));
    let range = match number("DYNOMESH_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("DYNOMESH_SEEDS").unwrap_or(seeds),
    };
    for seed in range {
        let _told = Teller { test, seed };
        story(&mut StdRng::seed_from_u64(seed));
    }
}

/// One of `weighted`, as often as its weight says.
pub(crate) fn draw<A: Copy>(rng: &mut StdRng, weighted: &[(u32, A)]) -> A {
    let total = weighted.iter().map(|(weight, _)| weight).sum();
    let mut left = rng.random_range(0..total);
    for (weight, action) in weighted {
        if left < *weight {
            return *action;
        }
        left -= weight;
    }
    unreachable!("the weights sum up to {total}")
}

/// Speaks up when the story it watches panics.
struct Teller<'a> {
    test: &'a str,
    seed: u64,
}

impl Drop for Teller<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Teller { test, seed } = self;
            eprintln!("seed {seed} failed; to replay it: DYNOMESH_SEED={seed} cargo test -p dynomesh-core {test}");
        }
    }
}
