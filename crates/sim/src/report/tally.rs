//! What became of the counted requests of one run: exact percentiles, no buckets.

use dynomesh_core::time::Span;
use serde::Serialize;

/// Latencies and failures of counted requests. A failed one has a latency too, and is counted among them.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Microseconds each.
    latencies: Vec<u32>,
    failed: u64,
}

/// The figures of a run, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Figures {
    /// Share of requests that were served.
    pub success: f64,
    /// Half of all requests took no longer.
    pub p50: f64,
    /// 95 of a hundred took no longer.
    pub p95: f64,
    /// 99 of a hundred took no longer.
    pub p99: f64,
    /// The slowest.
    pub max: f64,
}

impl Tally {
    /// Room for `requests`.
    pub fn with_room(requests: usize) -> Self {
        Tally { latencies: Vec::with_capacity(requests), failed: 0 }
    }

    /// Counts one request.
    pub fn count(&mut self, latency: Span, served: bool) {
        self.latencies.push(u32::try_from(latency.as_nanos() / 1_000).unwrap_or(u32::MAX));
        self.failed += u64::from(!served);
    }

    /// Adds another run's requests.
    pub fn absorb(&mut self, other: &Tally) {
        self.latencies.extend_from_slice(&other.latencies);
        self.failed += other.failed;
    }

    /// How many were counted.
    pub fn counted(&self) -> u64 {
        self.latencies.len() as u64
    }

    /// How many of them failed.
    pub fn failed(&self) -> u64 {
        self.failed
    }

    /// The latency that `share` of the requests, from 0 to 1, do not exceed, in milliseconds; by nearest rank. Zero if none was counted.
    pub fn percentile(&mut self, share: f64) -> f64 {
        if self.latencies.is_empty() {
            return 0.0;
        }
        let len = self.latencies.len();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank within the length of the list")]
        let rank = ((len as f64 * share).ceil() as usize).clamp(1, len) - 1;
        let (_, micros, _) = self.latencies.select_nth_unstable(rank);
        f64::from(*micros) / 1e3
    }

    /// The mean latency, in milliseconds. Zero if none was counted.
    pub fn mean(&self) -> f64 {
        let sum: u64 = self.latencies.iter().map(|micros| u64::from(*micros)).sum();
        sum as f64 / 1e3 / self.counted().max(1) as f64
    }

    /// The figures of all counted requests.
    pub fn figures(&mut self) -> Figures {
        let success = if self.latencies.is_empty() { 0.0 } else { 1.0 - self.failed as f64 / self.counted() as f64 };
        Figures { success, p50: self.percentile(0.5), p95: self.percentile(0.95), p99: self.percentile(0.99), max: self.percentile(1.0) }
    }

    /// The latencies in milliseconds at `points` evenly spread shares from 0 to 1, for a distribution plot.
    pub fn distribution(&mut self, points: usize) -> Vec<(f64, f64)> {
        self.latencies.sort_unstable();
        let share = |point: usize| point as f64 / points.max(1) as f64;
        (0..=points).map(share).map(|share| (self.percentile(share), share)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_exact_and_include_failures() {
        let mut tally = Tally::default();
        for millis in 1..=100 {
            tally.count(Span::from_millis(millis), millis % 10 != 0);
        }
        let figures = tally.figures();
        assert_eq!(figures, Figures { success: 0.9, p50: 50.0, p95: 95.0, p99: 99.0, max: 100.0 });
        assert_eq!(Tally::default().figures().max, 0.0);
    }
}
