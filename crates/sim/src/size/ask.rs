//! What is asked, and whether it makes sense.

use std::fmt::Display;

use dynomesh_core::app::MAX_CONNS_MAX;
use dynomesh_core::time::Span;

use super::candidate::block_counts;
use super::capacity::Capacity;
use super::error::SizeError;
use super::search;
use crate::scenario::{Failing, Setup};
use crate::stack;

/// Most dynos that can be asked about.
pub const DYNOS_MAX: usize = 100_000;
/// Least and most requests per second: fewer need no sizing, and more have no room in a gap of nanoseconds.
pub const RPS: (f64, f64) = (0.1, 1e7);
/// Most runs of one candidate.
pub const SEEDS_MAX: u64 = 1000;
/// Fewest and most requests of a run.
pub const REQUESTS: (u64, u64) = (1_000, 10_000_000);
/// Requests per second that a data thread of an edge is taken to carry. Forwarding one small request costs 25 to 35 µs of CPU at
/// saturation, so this leaves a thread four fifths idle: for TLS, larger bodies, logs and the peak of a day.
pub const EDGE_RPS: f64 = 6_000.0;
/// The same for a leader, which also commits a grant for each request: 32 to 50 µs.
pub const BLOCK_RPS: f64 = 5_000.0;

/// Time of arrivals that a run covers, where its length is not given.
const RUN: f64 = 20.0;
/// Requests of such a run, whatever the rate.
const RUN_REQUESTS: (f64, f64) = (50_000.0, 200_000.0);
/// Longest time that a run covers: one of a few requests per hour would simulate years of probes.
const RUN_MAX: f64 = 3_600.0;

/// The question.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The load, the dynos and how things fail; its numbers of dynos, blocks, edges and requests are not used.
    pub setup: Setup,
    /// Dynos in all, if they are given.
    pub dynos: Option<usize>,
    /// The p99 that is wanted, in milliseconds.
    pub target: Option<f64>,
    /// Runs per candidate.
    pub seeds: u64,
    /// Requests per run, if they are given.
    pub requests: Option<u64>,
    /// What a good answer is.
    pub rules: Rules,
}

/// What a good answer is.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Without a target, how much slower than the best p99 is as good: 0.03 for 3 %.
    pub within: f64,
    /// Share of the traffic that one block's death may touch.
    pub blast: f64,
    /// Requests per second of an edge's thread.
    pub edge_rps: f64,
    /// Requests per second of a leader's thread.
    pub block_rps: f64,
}

impl Default for Rules {
    fn default() -> Self {
        Rules { within: 0.03, blast: 0.1, edge_rps: EDGE_RPS, block_rps: BLOCK_RPS }
    }
}

impl Ask {
    /// Refuses what makes no sense.
    pub fn check(&self) -> Result<(), SizeError> {
        let setup = &self.setup;
        if let Some(dynos) = self.dynos {
            within("--dynos", dynos, 1, DYNOS_MAX)?;
        }
        within("--max-conns", setup.max_conns, 1, MAX_CONNS_MAX)?;
        within("--seeds", self.seeds, 1, SEEDS_MAX)?;
        if let Some(requests) = self.requests {
            within("--requests", requests, REQUESTS.0, REQUESTS.1)?;
        }
        within(if setup.trace.is_some() { "the rate of --trace" } else { "--rps" }, self.rps(), RPS.0, RPS.1)?;
        let service = stack::service(setup).mean();
        if service == Span::ZERO {
            let expected = "must take time, for example 20+exp100 (20 ms and an exponential time of 100 ms on average)";
            return Err(SizeError::bad("--service-ms", setup.service, expected));
        }
        if let Some(target) = self.target {
            within("--p99-ms", target, 0.001, 3_600_000.0)?;
        }
        within("--within", self.rules.within * 100.0, 0.0, 1_000.0)?;
        within("--blast", self.rules.blast * 100.0, 0.1, 100.0)?;
        within("--edge-rps", self.rules.edge_rps, 1.0, 1e6)?;
        within("--block-rps", self.rules.block_rps, 1.0, 1e6)?;
        failures("--mtbf", "--mttr", setup.dyno_failures)?;
        failures("--router-mtbf", "--router-mttr", setup.router_failures)
    }

    /// Requests per second.
    pub fn rps(&self) -> f64 {
        // A load is not asked for here, so that a rate of zero is one.
        if self.setup.trace.is_some() { stack::rate(&self.setup) } else { self.setup.rps }
    }

    /// What dynos can do under this load.
    pub fn capacity(&self) -> Capacity {
        Capacity::of(&self.setup, self.rps())
    }

    /// Edges that carry the load, one spare, and data threads of each.
    pub fn edges(&self) -> (usize, usize) {
        let threads = self.rps() / self.rules.edge_rps;
        let each = [1, 2, 4, 8].into_iter().find(|each| threads <= 8.0 * *each as f64).unwrap_or(16);
        (ceil(threads / each as f64) + 1, each)
    }

    /// Data threads of each block's leader.
    pub fn block_threads(&self, blocks: usize) -> usize {
        ceil(self.rps() / blocks as f64 / self.rules.block_rps)
    }

    /// Requests of a run at `rps`.
    pub fn requests_at(&self, rps: f64) -> u64 {
        let usual = (rps * RUN).clamp(RUN_REQUESTS.0, RUN_REQUESTS.1).min(rps * RUN_MAX).max(REQUESTS.0 as f64);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped above")]
        self.requests.unwrap_or(usual as u64)
    }

    /// As many runs as an answer can take.
    pub fn runs_max(&self) -> u64 {
        let candidates = block_counts(self.dynos.unwrap_or(1000)).len() as u64 * self.seeds;
        candidates + if self.dynos.is_none() { search::STEPS_MAX * search::SEEDS } else { 0 }
    }
}

/// A number of things that is never less than one.
pub(super) fn ceil(number: f64) -> usize {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped before the cast")]
    let whole = number.ceil().clamp(1.0, 1e12) as usize;
    whole
}

fn within<T: PartialOrd + Display>(name: &'static str, value: T, least: T, most: T) -> Result<(), SizeError> {
    // Also false for what is no number.
    if value >= least && value <= most { Ok(()) } else { Err(SizeError::bad(name, value, format!("must be from {least} to {most}"))) }
}

fn failures(mtbf: &'static str, mttr: &'static str, failing: Failing) -> Result<(), SizeError> {
    let (up, down) = (failing.up.mean(), failing.down.mean());
    if failing.failures().is_none() || down <= up {
        return Ok(());
    }
    Err(SizeError::bad(mttr, down, format!("must not be longer than {mtbf} ({up}), the time between failures; {mtbf} 0s is never")))
}
