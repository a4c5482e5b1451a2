//! What the sample dyno counts, and when a request is one too many.
//!
//! A request counts from its arrival to the last byte of its answer, or until its work ends though nobody waits for it any more.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The counts, as `GET /demo/stats` shows them. All are of this run of the process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// The dyno's id.
    pub id: String,
    /// Its process.
    pub pid: u32,
    /// Requests answered in full.
    pub served: u64,
    /// Requests whose client left or whose body ended early.
    pub cut: u64,
    /// Requests in flight now.
    pub running: u32,
    /// Most requests in flight at once: over 1 the cap was broken.
    pub running_max: u32,
    /// Requests that arrived while another was in flight.
    pub overlaps: u64,
    /// Requests under an epoch lower than one seen before.
    pub older_epochs: u64,
    /// Highest epoch seen.
    pub epoch: Option<u64>,
    /// Times somebody asked whether the dyno is idle, by a connection without a byte.
    pub idle_asked: u64,
    /// Requests arrived, by method.
    pub methods: BTreeMap<String, u64>,
}

impl Stats {
    /// Counts an arrival and returns its number.
    pub(super) fn arrive(&mut self, method: &str, epoch: Option<u64>) -> u64 {
        *self.methods.entry(method.to_owned()).or_default() += 1;
        self.overlaps += u64::from(self.running > 0);
        self.running += 1;
        self.running_max = self.running_max.max(self.running);
        self.older_epochs += u64::from(epoch.is_some() && epoch < self.epoch);
        self.epoch = self.epoch.max(epoch);
        self.methods.values().sum()
    }

    /// Counts the end of a request.
    pub(super) fn end(&mut self, done: bool) {
        self.running -= 1;
        if done { self.served += 1 } else { self.cut += 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_request_in_flight_is_an_overlap_and_one_after_the_other_is_not() {
        let mut stats = Stats::default();
        assert_eq!(stats.arrive("GET", None), 1);
        assert_eq!(stats.arrive("POST", None), 2);
        assert_eq!((stats.overlaps, stats.running_max), (1, 2));
        stats.end(true);
        stats.end(false);
        stats.arrive("GET", None);
        assert_eq!((stats.overlaps, stats.running, stats.served, stats.cut), (1, 1, 1, 1));
    }

    #[test]
    fn an_epoch_that_goes_back_is_counted_and_one_that_is_missing_is_not() {
        let mut stats = Stats::default();
        for epoch in [Some(5), Some(7), None, Some(7), Some(6)] {
            stats.arrive("GET", epoch);
        }
        assert_eq!((stats.older_epochs, stats.epoch), (1, Some(7)));
    }
}
