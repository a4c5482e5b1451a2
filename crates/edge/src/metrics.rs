//! What an edge counts.
//!
//! Labels are bounded by configuration, never by traffic: apps, blocks, codes. Hosts, paths and methods are for the access log.

use std::sync::atomic::AtomicU64;

use dynomesh_core::dispatch::Verdict;
use dynomesh_core::id::{AppName, BlockName};
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

/// All of an edge's counts. Clones count in the same place.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
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

/// See [`Metrics::requests`].
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

impl StatusClass {
    /// The class of a status code.
    pub(crate) fn of(status: u16) -> Self {
        StatusClass(status / 100)
    }
}

/// See [`Metrics::duration`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct AppLabels {
    /// The app; empty when no app was found.
    pub(crate) app: String,
}

/// See [`Metrics::errors`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ErrorLabels {
    /// As in `x-dynomesh-error`.
    pub(crate) code: &'static str,
}

/// See [`Metrics::attempts`].
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

impl Metrics {
    /// Registers all counts.
    pub(crate) fn register(registry: &Registry) -> Self {
        let metrics = Metrics {
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
        let m = metrics.clone();
        registry.register("edge_requests", "Requests answered, by app and class of status", m.requests);
        registry.register("edge_request_duration_seconds", "From a request's head to the end of its response, by app", m.duration);
        registry.register("edge_errors", "Errors of the mesh's own, by code", m.errors);
        registry.register("edge_attempts", "Attempts at blocks, by block and end", m.attempts);
        registry.register("edge_corrections", "Words of followers about their leader that were followed", m.corrections);
        registry.register("edge_retry_budget_refused", "Retries that the budget could not pay", m.budget_refused);
        registry.register("edge_attempts_abandoned", "Attempts given up because their block was silent", m.abandoned);
        registry.register("edge_replica_silences", "Replicas found silent", m.silences);
        registry.register("edge_beats_missed", "Beats missed while our own ticks were on time", m.beats_missed);
        registry.register("edge_responses_broken", "Responses that broke off before their end", m.broken);
        registry.register("edge_block_connects", "Connections made to blocks", m.connects);
        registry.register("edge_requests_in_flight", "Requests being served", m.in_flight);
        registry.register("edge_drained", "1 while this edge is wanted drained and nobody uses it", m.drained);
        registry.register("edge_requests_at_blocks", "Requests in flight at blocks, all apps together", m.at_blocks);
        registry.register("edge_blocks_led", "Blocks with a usable leader", m.blocks_led);
        registry.register("edge_blocks_known", "Blocks known", m.blocks_known);
        registry.register("edge_hosts_known", "Hosts known", m.hosts_known);
        registry.register("edge_leader_changes", "Leaders learned since start", m.leader_changes);
        registry.register("edge_access_log_dropped", "Access log lines lost because the writer was behind", m.log_dropped);
        for fault in Fault::ALL {
            drop(metrics.errors.get_or_create(&ErrorLabels { code: fault.code() }));
        }
        metrics
    }

    /// Counts one answered request.
    pub(crate) fn answered(&self, app: Option<&AppName>, status: u16, took: Span) {
        let app = app.map_or_else(String::new, ToString::to_string);
        self.requests.get_or_create(&RequestLabels { app: app.clone(), status: StatusClass::of(status) }).inc();
        self.duration.get_or_create(&AppLabels { app }).observe(took.as_secs_f64());
    }

    /// Counts one attempt; `None` = answered by a dyno.
    pub(crate) fn attempted(&self, block: &BlockName, verdict: Option<Verdict>) {
        let end = match verdict {
            None => "answered",
            Some(Verdict::NotDispatched) => "not-dispatched",
            Some(Verdict::Over) => "over",
            Some(Verdict::Unknown) => "unknown",
        };
        self.attempts.get_or_create(&AttemptLabels { block: block.to_string(), end }).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_count_is_exposed_with_its_labels() {
        let registry = Registry::new("edge", "edge-1");
        let metrics = Metrics::register(&registry);
        metrics.answered(Some(&AppName::new("shop").unwrap()), 204, Span::from_millis(3));
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
