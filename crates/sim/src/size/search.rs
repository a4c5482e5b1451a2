//! How many dynos a latency needs: halving the distance between too few and enough, in blocks of the size of the rule of thumb.

use std::num::NonZero;

use super::advice::THUMB;
use super::ask::{Ask, DYNOS_MAX};
use super::candidate::{self, Seen};
use super::error::SizeError;
use crate::parallel;
use crate::stack;

/// Runs per number of dynos: latencies near the edge of a load are unsteady, but half a percent of dynos does not hang on that.
pub const SEEDS: u64 = 2;
/// Numbers of dynos that are tried at most.
pub const STEPS_MAX: u64 = 12;

/// At this load more dynos help no more.
const LOAD_IDLE: f64 = 0.2;
/// At this load a queue grows for longer than a run.
const LOAD_FULL: f64 = 0.995;
/// The answer is at most so many parts of it too large.
const PARTS: usize = 100;

/// The least number of dynos whose p99 is `target` milliseconds or less.
pub fn dynos_for(ask: &Ask, target: f64, threads: NonZero<usize>, step: &(dyn Fn() + Sync)) -> Result<usize, SizeError> {
    let capacity = ask.capacity();
    let mut few = capacity.dynos_for(LOAD_FULL) - 1;
    if few >= DYNOS_MAX {
        return Err(SizeError::TooMany { least: few + 1 });
    }
    let mut enough = capacity.dynos_for(LOAD_IDLE).clamp(THUMB.min(few + THUMB), DYNOS_MAX);
    let best = p99(ask, enough, threads, step);
    if best > target {
        return Err(SizeError::Target { target, dynos: enough, load: capacity.load(enough) * 100.0, p99: best });
    }
    for _ in 1..STEPS_MAX {
        if enough - few <= 1.max(enough / PARTS) {
            break;
        }
        let between = few + (enough - few) / 2;
        if p99(ask, between, threads, step) <= target { enough = between } else { few = between }
    }
    Ok(enough)
}

fn p99(ask: &Ask, dynos: usize, threads: NonZero<usize>, step: &(dyn Fn() + Sync)) -> f64 {
    let setup = candidate::setup(ask, dynos, (dynos / THUMB).max(1));
    let seeds: Vec<u64> = (1..=SEEDS).collect();
    let seen = parallel::map(&seeds, threads, step, |seed| Seen::of(stack::run(&setup, *seed)).p99);
    seen.iter().sum::<f64>() / seen.len() as f64
}
