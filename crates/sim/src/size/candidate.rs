//! The numbers of blocks that are tried, and what each came to.

use std::num::NonZero;

use dynomesh_core::block::DYNOS_MAX;
use dynomesh_core::directory::BLOCKS_MAX;
use serde::Serialize;

use super::ask::{Ask, ceil};
use crate::parallel;
use crate::report::Estimate;
use crate::scenario::Setup;
use crate::stack;
use crate::workload::Outcome;

/// Dynos of a mesh that is simulated as a whole. Of a larger one so many are, or [`SLICE_BLOCKS`] blocks if those have more.
pub const SLICE_DYNOS: usize = 2_000;
/// Blocks of a slice at least: two choices among fewer would not be what they are among many.
pub const SLICE_BLOCKS: usize = 8;
/// Replicas of a block.
pub const REPLICAS: usize = 3;

/// Dynos per block that are tried.
const SIZES: [usize; 15] = [5, 10, 15, 20, 25, 35, 50, 75, 100, 150, 200, 300, 400, 600, 1000];
/// Largest block that is tried, unless that is the only one: past it the traffic of a block is one machine's work no more.
const SIZE_MAX: usize = 1_000;
/// Edges that are simulated at most: what one edge knows hardly gets less from there on.
const EDGES_MAX: usize = 50;

/// One number of blocks, and what the simulation says about it. Latencies are in milliseconds, shares from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Candidate {
    /// Blocks.
    pub blocks: usize,
    /// Dynos of the largest.
    pub dynos_each: usize,
    /// Three of each block.
    pub replicas: usize,
    /// Half of the requests took no longer.
    pub p50: Estimate,
    /// 95 of a hundred.
    pub p95: Estimate,
    /// 99 of a hundred.
    pub p99: Estimate,
    /// Share of requests that were served.
    pub success: Estimate,
    /// Attempts at blocks beyond the first, per request.
    pub retries: f64,
    /// Share of requests that waited in a block's queue.
    pub queued: f64,
    /// Share of requests whose first block has no leader when they come, were it chosen blindly.
    pub outage: f64,
    /// Share of the traffic that the death of the largest block touches.
    pub blast: f64,
}

/// Numbers of blocks for so many dynos, the fewest first: from one block, as far as a block can be so large, to blocks of five.
pub fn block_counts(dynos: usize) -> Vec<usize> {
    let few = [1, 2].into_iter();
    let sizes = SIZES.into_iter().map(|size| ((dynos + size / 2) / size).max(1));
    let mut counts: Vec<usize> = few.chain(sizes).filter(|blocks| *blocks <= dynos && *blocks <= BLOCKS_MAX).collect();
    counts.sort_unstable();
    counts.dedup();
    let fits = |blocks: &usize| dynos.div_ceil(*blocks) <= SIZE_MAX.min(DYNOS_MAX);
    counts.retain(|blocks| fits(blocks));
    counts
}

/// Simulates all numbers of blocks.
pub(super) fn all(ask: &Ask, dynos: usize, threads: NonZero<usize>, step: &(dyn Fn() + Sync)) -> Vec<Candidate> {
    let counts = block_counts(dynos);
    let runs: Vec<(Setup, u64)> = counts
        .iter()
        .map(|blocks| setup(ask, dynos, *blocks))
        .flat_map(|setup| (1..=ask.seeds).map(move |seed| (setup.clone(), seed)))
        .collect();
    let seen = parallel::map(&runs, threads, step, |(setup, seed)| Seen::of(stack::run(setup, *seed)));
    let seeds = usize::try_from(ask.seeds).unwrap_or(usize::MAX);
    counts.into_iter().zip(seen.chunks(seeds)).map(|(blocks, seen)| Candidate::of(ask, dynos, blocks, seen)).collect()
}

/// What is simulated for so many blocks. A trace is replayed as a whole, whatever the size.
pub(super) fn setup(ask: &Ask, dynos: usize, blocks: usize) -> Setup {
    let (edges, _) = ask.edges();
    let whole = ask.setup.trace.is_some() || dynos <= SLICE_DYNOS;
    let each = dynos as f64 / blocks as f64;
    let kept = if whole { blocks } else { ceil(SLICE_DYNOS as f64 / each).max(SLICE_BLOCKS).min(blocks) };
    let sliced = if kept == blocks { dynos } else { ceil(kept as f64 * each) };
    let share = sliced as f64 / dynos as f64;
    let rps = ask.rps() * share;
    Setup {
        dynos: sliced,
        blocks: kept,
        rps: if ask.setup.trace.is_some() { 0.0 } else { rps },
        edges: ceil(edges as f64 * share).min(EDGES_MAX),
        requests: ask.requests_at(rps),
        ..ask.setup.clone()
    }
}

/// What is kept of a run.
pub(super) struct Seen {
    p50: f64,
    p95: f64,
    pub(super) p99: f64,
    success: f64,
    notes: Vec<(&'static str, f64)>,
}

// === impl Seen ===

impl Seen {
    pub(super) fn of(mut outcome: Outcome) -> Self {
        let figures = outcome.tally.figures();
        Seen { p50: figures.p50, p95: figures.p95, p99: figures.p99, success: figures.success, notes: outcome.notes }
    }

    fn note(&self, column: &str) -> f64 {
        self.notes.iter().find(|(name, _)| *name == column).map_or(0.0, |(_, value)| *value)
    }
}

// === impl Candidate ===

impl Candidate {
    fn of(ask: &Ask, dynos: usize, blocks: usize, seen: &[Seen]) -> Self {
        let estimate = |figure: fn(&Seen) -> f64| Estimate::of(&seen.iter().map(figure).collect::<Vec<f64>>());
        let mean = |column| seen.iter().map(|seen| seen.note(column)).sum::<f64>() / seen.len() as f64;
        let dynos_each = dynos.div_ceil(blocks);
        Candidate {
            blocks,
            dynos_each,
            replicas: blocks * REPLICAS,
            p50: estimate(|seen| seen.p50),
            p95: estimate(|seen| seen.p95),
            p99: estimate(|seen| seen.p99),
            success: estimate(|seen| seen.success),
            retries: mean("retries"),
            queued: mean("queued"),
            outage: super::capacity::down(ask.setup.router_failures),
            blast: dynos_each as f64 / dynos as f64,
        }
    }
}
