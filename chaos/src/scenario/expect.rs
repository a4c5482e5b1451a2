//! What a scenario expects beyond the invariants, which hold in every run.

use dynomesh_core::time::Span;
use serde::Deserialize;

/// Figures that a run must reach. What is not set is reported and not judged.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Expect {
    /// Least share of safe requests, which change nothing, that the app answers. The mesh repeats these whatever became of them before.
    pub(crate) safe_success: Option<f64>,
    /// Least share of idempotent requests that the app answers, by the repetition where a client repeats ([`crate::workload`]). Of those that are not safe the mesh does not repeat what may still run
    /// somewhere (P23).
    pub(crate) idempotent_success: Option<f64>,
    /// Requests that are not safe fail only if they were on their way when a fault began.
    pub(crate) unsafe_failures_in_flight_only: bool,
    /// Longest time without an answer of the app.
    pub(crate) longest_gap: Option<Span>,
    /// Longest time that a GET may take beyond the work of its dyno.
    pub(crate) get_slower_than_service_max: Option<Span>,
    /// How soon after the last fault was healed latency is back to what it was before the first, its 99th percentile and its quickest
    /// quarter.
    pub(crate) p99_back_within: Option<Span>,
    /// How soon after all faults have taken hold it is that, while they last: for what those who are left can carry.
    pub(crate) p99_carried_within: Option<Span>,
    /// Least number of requests that dynos ran.
    pub(crate) dispatches_min: Option<u64>,
    /// Largest share of the machine's processors that may be busy, else expectations are not judged.
    pub(crate) cpu_max: Option<f64>,
}

/// Processors are no fault of the mesh past this share.
pub(crate) const CPU_MAX: f64 = 0.7;

// === impl Expect ===

impl Expect {
    /// Refuses shares that are none: one is always met, the other never.
    pub(super) fn check(&self) -> Result<(), String> {
        let shares = [("safe_success", self.safe_success), ("idempotent_success", self.idempotent_success), ("cpu_max", self.cpu_max)];
        let wrong =
            shares.into_iter().find_map(|(key, share)| share.filter(|share| !(0.0..=1.0).contains(share)).map(|share| (key, share)));
        wrong.map_or(Ok(()), |(key, share)| Err(format!("expect.{key} = {share} must be from 0 to 1")))
    }

    /// The limit of the processors, where something is expected that takes time.
    pub(crate) fn cpu_limit(&self) -> Option<f64> {
        let spans = [self.longest_gap, self.get_slower_than_service_max, self.p99_back_within, self.p99_carried_within];
        let shares = [self.safe_success, self.idempotent_success, self.cpu_max];
        let is_timed = spans.iter().any(Option::is_some) || shares.iter().any(Option::is_some) || self.unsafe_failures_in_flight_only;
        is_timed.then(|| self.cpu_max.unwrap_or(CPU_MAX))
    }
}
