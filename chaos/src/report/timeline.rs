//! A run second by second: how many requests were answered, and how slow the slowest hundredth was.

use dynomesh_core::time::{Span, Time};
use dynomesh_testkit::history::Exchange;
use dynomesh_testkit::latency::Latencies;

use crate::figures::share;
use crate::run::Run;

/// One second of a run, by when requests were due.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Second {
    pub(super) asked: usize,
    /// Share of them that the app answered.
    pub(super) success: f64,
    /// What was added to the service time, in milliseconds; `None` where nothing was answered.
    pub(super) p99: Option<f64>,
}

/// The seconds of a run.
pub(super) fn seconds(run: &Run) -> Vec<Second> {
    let mut buckets: Vec<Vec<&Exchange>> = vec![Vec::new(); place(run.began, run.ended) + 1];
    for exchange in run.history.exchanges.iter().filter(|exchange| exchange.due >= run.began && exchange.due < run.ended) {
        buckets[place(run.began, exchange.due)].push(exchange);
    }
    buckets.iter().map(|bucket| second(bucket)).collect()
}

fn place(began: Time, at: Time) -> usize {
    usize::try_from(at.since(began).as_nanos() / Span::from_secs(1).as_nanos()).unwrap_or(0)
}

fn second(bucket: &[&Exchange]) -> Second {
    let ok = bucket.iter().filter(|exchange| exchange.ok().is_some()).count();
    let added = Latencies::added(bucket.iter().copied());
    let p99 = (!added.is_empty()).then(|| added.percentile(99.0).as_millis_f64());
    Second { asked: bucket.len(), success: share(ok, bucket.len()), p99 }
}
