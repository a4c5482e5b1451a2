//! Figures of a replica, read by whoever reports them.

use std::sync::Mutex;

use dynomesh_core::id::{Index, Term};
use dynomesh_core::time::Span;

/// Upper bounds of the commit latency buckets, in microseconds; the last bucket has none.
pub const LATENCY_BOUNDS: [u64; 12] = [100, 200, 300, 500, 750, 1_000, 2_000, 5_000, 10_000, 50_000, 250_000, 1_000_000];

/// How long rounds took from proposal to apply.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Latency {
    /// Rounds per bucket of [`LATENCY_BOUNDS`], the last one unbounded.
    pub buckets: [u64; LATENCY_BOUNDS.len() + 1],
    /// The sum of all.
    pub sum: Span,
}

/// What a replica has done and where it stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Its term.
    pub term: Term,
    /// The last entry in its log.
    pub last_log: Index,
    /// The last entry known to be committed.
    pub committed: Index,
    /// The last entry applied.
    pub applied: Index,
    /// The last entry the present snapshot covers.
    pub snapshot: Index,
    /// Rounds that were proposed here and committed.
    pub batches: u64,
    /// Commands in them.
    pub ops: u64,
    /// Commands applied here, whoever proposed them.
    pub applied_ops: u64,
    /// How long those rounds took.
    pub latency: Latency,
}

/// What the batcher counts.
#[derive(Debug, Default)]
pub(crate) struct Counters(Mutex<Counted>);

#[derive(Debug, Default, Clone)]
pub(crate) struct Counted {
    pub(crate) batches: u64,
    pub(crate) ops: u64,
    pub(crate) latency: Latency,
}

impl Counters {
    pub(crate) fn committed(&self, ops: usize, took: Span) {
        let micros = took.as_nanos() / 1_000;
        let bucket = LATENCY_BOUNDS.iter().position(|bound| micros <= *bound).unwrap_or(LATENCY_BOUNDS.len());
        let mut counted = self.0.lock().expect("nothing panics while it counts");
        counted.batches += 1;
        counted.ops += ops as u64;
        counted.latency.buckets[bucket] += 1;
        counted.latency.sum = Span::from_nanos(counted.latency.sum.as_nanos().saturating_add(took.as_nanos()));
    }

    pub(crate) fn read(&self) -> Counted {
        self.0.lock().expect("nothing panics while it counts").clone()
    }
}
