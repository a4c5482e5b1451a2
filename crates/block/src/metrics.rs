//! What a block replica tells about itself in numbers, in the words of the glossary.

use dynomesh_runtime::telemetry::Registry;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

/// Labels of a count per verdict and reason.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct AnswerLabels {
    pub(crate) verdict: &'static str,
    pub(crate) reason: &'static str,
}

/// Labels of a figure per app.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct AppLabels {
    pub(crate) app: String,
}

/// All figures of a replica; cloning shares them.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    pub(crate) requests: Family<AnswerLabels, Counter>,
    pub(crate) queue_seconds: Histogram,
    pub(crate) grant_seconds: Histogram,
    pub(crate) connect_seconds: Histogram,
    pub(crate) service_seconds: Histogram,
    pub(crate) dyno_connects: Counter,
    pub(crate) dyno_reuses: Counter,
    pub(crate) dyno_resends: Counter,
    pub(crate) dyno_idle: Gauge,
    pub(crate) grants_refused: Counter,
    pub(crate) late: Counter,
    pub(crate) holds: Counter,
    pub(crate) orphans_freed: Counter,
    pub(crate) snapshots_loaded: Counter,
    pub(crate) wedged: Counter,
    pub(crate) adopted: Counter,
    pub(crate) released: Counter,
    pub(crate) drain_cuts: Counter,
    pub(crate) drain_seconds: Histogram,
    pub(crate) map_waits: Counter,
    pub(crate) evicted: Gauge,
    pub(crate) leader: Gauge,
    pub(crate) term: Gauge,
    pub(crate) applied: Gauge,
    pub(crate) running: Gauge,
    pub(crate) slots: Family<AppLabels, Gauge>,
    pub(crate) slots_used: Family<AppLabels, Gauge>,
    pub(crate) slots_held: Family<AppLabels, Gauge>,
    pub(crate) slots_orphaned: Family<AppLabels, Gauge>,
    pub(crate) queued: Family<AppLabels, Gauge>,
}

fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.0001, 2.5, 16))
}

impl Metrics {
    /// Makes the figures and enters them into `registry`.
    pub(crate) fn new(registry: &Registry) -> Self {
        let metrics = Metrics {
            requests: Family::default(),
            queue_seconds: seconds(),
            grant_seconds: seconds(),
            connect_seconds: seconds(),
            service_seconds: seconds(),
            dyno_connects: Counter::default(),
            dyno_reuses: Counter::default(),
            dyno_resends: Counter::default(),
            dyno_idle: Gauge::default(),
            grants_refused: Counter::default(),
            late: Counter::default(),
            holds: Counter::default(),
            orphans_freed: Counter::default(),
            snapshots_loaded: Counter::default(),
            wedged: Counter::default(),
            adopted: Counter::default(),
            released: Counter::default(),
            drain_cuts: Counter::default(),
            // From an idle dyno's two rounds of the log to a request that streams for an hour.
            drain_seconds: Histogram::new(exponential_buckets(0.001, 4.0, 12)),
            map_waits: Counter::default(),
            evicted: Gauge::default(),
            leader: Gauge::default(),
            term: Gauge::default(),
            applied: Gauge::default(),
            running: Gauge::default(),
            slots: Family::default(),
            slots_used: Family::default(),
            slots_held: Family::default(),
            slots_orphaned: Family::default(),
            queued: Family::default(),
        };
        let m = &metrics;
        registry.register("block_requests", "Requests answered, by verdict and reason", m.requests.clone());
        registry.register("block_queue_seconds", "Wait for a slot", m.queue_seconds.clone());
        registry.register("block_commit_seconds", "Wait for a grant to commit", m.grant_seconds.clone());
        registry.register("block_connect_seconds", "Wait for a connection to a dyno", m.connect_seconds.clone());
        registry.register("block_service_seconds", "From dispatch to the head of the dyno's response", m.service_seconds.clone());
        registry.register("block_dyno_connects", "Connections to dynos begun for requests", m.dyno_connects.clone());
        registry.register("block_dyno_reuses", "Requests sent over a connection used before", m.dyno_reuses.clone());
        registry.register("block_dyno_resends", "Requests sent over a fresh connection after a used one had ended", m.dyno_resends.clone());
        registry.register("block_dyno_idle", "Idle connections to dynos", m.dyno_idle.clone());
        registry.register("block_grants_refused", "Grants that the log refused", m.grants_refused.clone());
        registry.register("block_late", "Requests stopped by the write gate", m.late.clone());
        registry.register("block_holds", "Slots held after an error", m.holds.clone());
        registry.register("block_orphans_freed", "Orphaned slots freed after proof", m.orphans_freed.clone());
        registry.register("block_snapshots_loaded", "Snapshots taken over from a peer or disk", m.snapshots_loaded.clone());
        registry.register("block_wedged", "Times the lease was given up because a data thread was late", m.wedged.clone());
        registry.register("block_dynos_adopted", "Dynos adopted while leading", m.adopted.clone());
        registry.register("block_dynos_released", "Dynos released while leading", m.released.clone());
        registry.register("block_drain_cuts", "Requests cut because their dyno's time to drain was up", m.drain_cuts.clone());
        registry.register("block_drain_seconds", "From a dyno's drain to its release or return", m.drain_seconds.clone());
        registry.register("block_map_waits", "Times a fresh process came to lead before it had heard the map", m.map_waits.clone());
        registry.register("block_evicted", "1 once this block was evicted", m.evicted.clone());
        registry.register("block_leader", "1 while this replica leads its block", m.leader.clone());
        registry.register("block_term", "Raft term", m.term.clone());
        registry.register("block_applied", "Log index applied last", m.applied.clone());
        registry.register("block_running", "Requests this replica has at dynos", m.running.clone());
        registry.register("block_slots", "Slots of dynos that take requests, by app", m.slots.clone());
        registry.register("block_slots_used", "Slots taken, held, orphaned or in quarantine, by app", m.slots_used.clone());
        registry.register("block_slots_held", "Slots held after an error, by app", m.slots_held.clone());
        registry.register("block_slots_orphaned", "Slots that wait for a proof of their end, by app", m.slots_orphaned.clone());
        registry.register("block_queued", "Requests waiting for a slot, by app", m.queued.clone());
        metrics
    }
}
