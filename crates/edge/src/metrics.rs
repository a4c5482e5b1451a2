//! What an edge counts.
//!
//! Labels are bounded by configuration, never by traffic: apps, blocks, codes. Hosts, paths and methods are for the access log.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use dynomesh_core::dispatch::Verdict;
use dynomesh_core::id::BlockName;
use dynomesh_core::time::Span;
use dynomesh_runtime::telemetry::Registry;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use crate::reply::Fault;

/// Seconds; from well under a millisecond to the request deadline.
const BUCKETS: [f64; 16] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// All of an edge's counts. Clones count in the same place, and cost nothing.
#[derive(Debug, Clone)]
pub(crate) struct Metrics(Arc<Counts>);

/// See [`Metrics`].
#[derive(Debug)]
pub(crate) struct Counts {
    /// Requests by app and class of their status.
    pub(crate) requests: Family<RequestLabels, Counter>,
    /// From head to end of response, by app.
    pub(crate) duration: Family<AppLabels, Histogram>,
    /// Errors of the edge's own by code.
    pub(crate) errors: Family<ErrorLabels, Counter>,
    /// Attempts by block and how they ended.
    pub(crate) attempts: Family<AttemptLabels, Counter>,
    /// Corrections followed.
    pub(crate) corrections: Counter,
    /// Retries that the budget refused.
    pub(crate) budget_refused: Counter,
    /// Attempts given up because their block was silent.
    pub(crate) abandoned: Counter,
    /// Replicas found silent.
    pub(crate) silences: Counter,
    /// Beats that were missed while our own ticks were on time.
    pub(crate) beats_missed: Counter,
    /// Responses that broke off, by either side.
    pub(crate) broken: Counter,
    /// Connections made to blocks.
    pub(crate) connects: Counter,
    /// Requests being served.
    pub(crate) in_flight: Gauge,
    /// 1 once a wanted drain is over.
    pub(crate) drained: Gauge,
    /// Requests in flight at blocks, all apps together.
    pub(crate) at_blocks: Gauge<u64, AtomicU64>,
    /// Blocks with a usable leader.
    pub(crate) blocks_led: Gauge,
    /// Blocks known.
    pub(crate) blocks_known: Gauge,
    /// Hosts known.
    pub(crate) hosts_known: Gauge,
    /// Leaders learned.
    pub(crate) leader_changes: Gauge<u64, AtomicU64>,
    /// Access log lines lost.
    pub(crate) log_dropped: Gauge<u64, AtomicU64>,
}

/// What is counted of one app, found once and not for every request.
#[derive(Debug)]
pub(crate) struct AppCounts {
    /// By class of the status, from `1xx` to `5xx`.
    answered: [Counter; 5],
    duration: Histogram,
}

/// See [`Counts::requests`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RequestLabels {
    /// The app; empty when no app was found.
    pub(crate) app: String,
    /// `2xx`, `4xx` ...
    pub(crate) status: StatusClass,
}

/// Class of a status, `2` for all from 200 to 299: equal classes are one series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct StatusClass(u16);

/// See [`Counts::duration`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct AppLabels {
    /// The app; empty when no app was found.
    pub(crate) app: String,
}

/// See [`Counts::errors`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ErrorLabels {
    /// As in `x-dynomesh-error`.
    pub(crate) code: &'static str,
}

/// See [`Counts::attempts`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct AttemptLabels {
    /// The block.
    pub(crate) block: String,
    /// `answered`, or the verdict.
    pub(crate) end: &'static str,
}

impl EncodeLabelValue for StatusClass {
    fn encode(&self, encoder: &mut prometheus_client::encoding::LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        use std::fmt::Write;
        write!(encoder, "{}xx", self.0)
    }
}

// === impl Metrics ===

impl Deref for Metrics {
    type Target = Counts;
    fn deref(&self) -> &Counts {
        &self.0
    }
}

impl Metrics {
    /// Registers all counts.
    pub(crate) fn register(registry: &Registry) -> Self {
        let metrics = Counts {
            requests: Family::default(),
            duration: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            errors: Family::default(),
            attempts: Family::default(),
            corrections: Counter::default(),
            budget_refused: Counter::default(),
            abandoned: Counter::default(),
            silences: Counter::default(),
            beats_missed: Counter::default(),
            broken: Counter::default(),
            connects: Counter::default(),
            in_flight: Gauge::default(),
            drained: Gauge::default(),
            at_blocks: Gauge::default(),
            blocks_led: Gauge::default(),
            blocks_known: Gauge::default(),
            hosts_known: Gauge::default(),
            leader_changes: Gauge::default(),
            log_dropped: Gauge::default(),
        };
        metrics.shown_by(registry);
        for fault in Fault::ALL {
            drop(metrics.errors.get_or_create(&ErrorLabels { code: fault.code() }));
        }
        Metrics(Arc::new(metrics))
    }

    /// Counts one answered request.
    pub(crate) fn answered(&self, app: Option<&AppCounts>, status: u16, took: Span) {
        match app {
            Some(app) => app.answered(status, took),
            None => self.of_app("").answered(status, took),
        }
    }

    /// Counts one attempt; `None` = answered by a dyno.
    pub(crate) fn attempted(&self, block: &BlockName, verdict: Option<Verdict>) {
        self.attempts_at(block, verdict).inc();
    }
}

impl AppCounts {
    fn answered(&self, status: u16, took: Span) {
        let class = usize::from(status / 100).clamp(1, 5) - 1;
        self.answered[class].inc();
        self.duration.observe(took.as_secs_f64());
    }
}

impl Counts {
    /// The counts of an app; of requests for none, by an empty name.
    pub(crate) fn of_app(&self, app: &str) -> AppCounts {
        let labels = |class| RequestLabels { app: app.to_owned(), status: StatusClass(class) };
        AppCounts {
            answered: [1, 2, 3, 4, 5].map(|class| self.requests.get_or_create_owned(&labels(class))),
            duration: self.duration.get_or_create_owned(&AppLabels { app: app.to_owned() }),
        }
    }

    /// How often attempts at a block ended so; `None` = answered by a dyno.
    pub(crate) fn attempts_at(&self, block: &BlockName, verdict: Option<Verdict>) -> Counter {
        let end = match verdict {
            None => "answered",
            Some(Verdict::NotDispatched) => "not-dispatched",
            Some(Verdict::Over) => "over",
            Some(Verdict::Unknown) => "unknown",
        };
        self.attempts.get_or_create_owned(&AttemptLabels { block: block.to_string(), end })
    }

    fn shown_by(&self, registry: &Registry) {
        let m = self;
        registry.register("edge_requests", "Requests answered, by app and class of status", m.requests.clone());
        registry.register("edge_request_duration_seconds", "From a request's head to the end of its response, by app", m.duration.clone());
        registry.register("edge_errors", "Errors of the mesh's own, by code", m.errors.clone());
        registry.register("edge_attempts", "Attempts at blocks, by block and end", m.attempts.clone());
        registry.register("edge_corrections", "Words of followers about their leader that were followed", m.corrections.clone());
        registry.register("edge_retry_budget_refused", "Retries that the budget could not pay", m.budget_refused.clone());
        registry.register("edge_attempts_abandoned", "Attempts given up because their block was silent", m.abandoned.clone());
        registry.register("edge_replica_silences", "Replicas found silent", m.silences.clone());
        registry.register("edge_beats_missed", "Beats missed while our own ticks were on time", m.beats_missed.clone());
        registry.register("edge_responses_broken", "Responses that broke off before their end", m.broken.clone());
        registry.register("edge_block_connects", "Connections made to blocks", m.connects.clone());
        registry.register("edge_requests_in_flight", "Requests being served", m.in_flight.clone());
        registry.register("edge_drained", "1 while this edge is wanted drained and nobody uses it", m.drained.clone());
        registry.register("edge_requests_at_blocks", "Requests in flight at blocks, all apps together", m.at_blocks.clone());
        registry.register("edge_blocks_led", "Blocks with a usable leader", m.blocks_led.clone());
        registry.register("edge_blocks_known", "Blocks known", m.blocks_known.clone());
        registry.register("edge_hosts_known", "Hosts known", m.hosts_known.clone());
        registry.register("edge_leader_changes", "Leaders learned since start", m.leader_changes.clone());
        registry.register("edge_access_log_dropped", "Access log lines lost because the writer was behind", m.log_dropped.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_count_is_exposed_with_its_labels() {
        let registry = Registry::new("edge", "edge-1");
        let metrics = Metrics::register(&registry);
        metrics.answered(Some(&metrics.of_app("shop")), 204, Span::from_millis(3));
        metrics.attempted(&BlockName::new("b1").unwrap(), Some(Verdict::Over));
        let text = registry.encode();
        for line in [
            "dynomesh_edge_requests_total{app=\"shop\",status=\"2xx\"} 1",
            "dynomesh_edge_attempts_total{block=\"b1\",end=\"over\"} 1",
            "dynomesh_edge_errors_total{code=\"no-block\"} 0",
            "dynomesh_edge_request_duration_seconds_count{app=\"shop\"} 1",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }
}
