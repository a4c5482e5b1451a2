//! What stands on the command line of `dynomesh sim size`.

use std::path::PathBuf;
use std::sync::Arc;

use dynomesh_core::time::Span;

use super::ask::{Ask, Rules};
use super::error::SizeError;
use crate::scenario::{Failing, Setup};
use crate::trace::{Trace, TraceOptions};
use crate::workload::Draw;

/// The mesh and its load, what is wanted of it, and what may be assumed.
#[derive(Debug, Clone, clap::Args)]
#[command(allow_negative_numbers = true)]
pub struct SizeArgs {
    /// Dynos in all; without it, as many as --p99-ms needs
    #[arg(long, value_name = "N", required_unless_present = "p99_ms")]
    pub dynos: Option<usize>,
    /// What a request takes at a dyno, in milliseconds: a fixed part, an exponential one (its mean), or both
    #[arg(long, value_name = "DISTRIBUTION", default_value = "20+exp100")]
    pub service_ms: Draw,
    /// Requests per second
    #[arg(long, value_name = "RATE", required_unless_present = "trace", conflicts_with = "trace")]
    pub rps: Option<f64>,
    /// Requests in flight at a dyno at most
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub max_conns: u32,
    /// Mean time between two failures of a dyno; 0s for never
    #[arg(long, value_name = "DURATION", default_value = "20s")]
    pub mtbf: Span,
    /// Mean time of such a failure
    #[arg(long, value_name = "DURATION", default_value = "1s")]
    pub mttr: Span,
    /// Mean time between two failures of a block's leader; 0s for never
    #[arg(long, value_name = "DURATION", default_value = "20s")]
    pub router_mtbf: Span,
    /// Time until another leader routes
    #[arg(long, value_name = "DURATION", default_value = "300ms")]
    pub router_mttr: Span,
    /// Replay the arrivals and service times of this access log: the mesh's own, or combined log format with a request time at its end
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// How the trace is read.
    #[command(flatten)]
    pub reading: TraceOptions,
    /// Latency that 99 of 100 requests must keep, in milliseconds
    #[arg(long, value_name = "MS")]
    pub p99_ms: Option<f64>,
    /// Without a target: how much slower than the best p99 is still as good, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 3.0)]
    pub within: f64,
    /// Most of the traffic that the death of one block may touch, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 10.0)]
    pub blast: f64,
    /// Requests per second that a data thread of an edge carries, with room to spare
    #[arg(long, value_name = "RATE", default_value_t = super::ask::EDGE_RPS)]
    pub edge_rps: f64,
    /// Requests per second that a data thread of a block's leader carries, with room to spare
    #[arg(long, value_name = "RATE", default_value_t = super::ask::BLOCK_RPS)]
    pub block_rps: f64,
    /// Runs per candidate
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub seeds: u64,
    /// Requests per run [default: those of 20 seconds, from 50000 to 200000]
    #[arg(long, value_name = "N")]
    pub requests: Option<u64>,
}

impl SizeArgs {
    /// The question, its trace read.
    pub fn ask(&self) -> Result<Ask, SizeError> {
        let trace = self.trace.as_deref().map(|file| Trace::read(file, &self.reading)).transpose()?;
        let failing = |up: Span, down: Draw| Failing { up: if up == Span::ZERO { Draw::fixed(up) } else { Draw::exponential(up) }, down };
        let setup = Setup {
            service: self.service_ms,
            rps: self.rps.unwrap_or(0.0),
            trace: trace.map(Arc::new),
            max_conns: self.max_conns,
            dyno_failures: failing(self.mtbf, Draw::exponential(self.mttr)),
            router_failures: failing(self.router_mtbf, Draw::fixed(self.router_mttr)),
            ..Setup::default()
        };
        let rules = Rules { within: self.within / 100.0, blast: self.blast / 100.0, edge_rps: self.edge_rps, block_rps: self.block_rps };
        let ask = Ask { setup, dynos: self.dynos, target: self.p99_ms, seeds: self.seeds, requests: self.requests, rules };
        ask.check()?;
        Ok(ask)
    }
}
