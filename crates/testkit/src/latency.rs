//! Latencies and what to say of them.

use std::fmt;

use dynomesh_core::time::Span;
use hdrhistogram::Histogram;

use crate::history::Exchange;

/// Longest latency that is told apart from longer ones.
const LATENCY_MAX: Span = Span::from_secs(3600);

/// Latencies in microseconds, to three digits.
#[derive(Debug)]
pub struct Latencies(Histogram<u64>);

impl Latencies {
    /// None yet.
    pub fn new() -> Self {
        Latencies(Histogram::new_with_bounds(1, LATENCY_MAX.as_nanos() / 1000, 3).expect("the bounds are in order"))
    }

    /// How much longer exchanges took, from the moment they were due, than the dyno worked on them. Those without a full answer of a
    /// dyno are left out: their outcome is to be judged, not their time.
    pub fn added<'a>(exchanges: impl IntoIterator<Item = &'a Exchange>) -> Self {
        let mut latencies = Latencies::new();
        for added in exchanges.into_iter().filter_map(Exchange::added) {
            latencies.record(added);
        }
        latencies
    }

    /// Records one.
    pub fn record(&mut self, latency: Span) {
        self.0.saturating_record(latency.as_nanos() / 1000);
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The latency that `percent` of them do not exceed.
    pub fn percentile(&self, percent: f64) -> Span {
        Span::from_micros(self.0.value_at_percentile(percent))
    }

    /// The longest.
    pub fn max(&self) -> Span {
        Span::from_micros(self.0.max())
    }
}

impl Default for Latencies {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |span: Span| span.as_millis_f64();
        let [p50, p95, p99] = [50.0, 95.0, 99.0].map(|percent| ms(self.percentile(percent)));
        write!(f, "{} requests, p50 {p50:.2} ms, p95 {p95:.2} ms, p99 {p99:.2} ms, max {:.2} ms", self.len(), ms(self.max()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_what_was_recorded() {
        let mut latencies = Latencies::new();
        (1..=100).for_each(|ms| latencies.record(Span::from_millis(ms)));
        assert_eq!(latencies.percentile(50.0).as_millis(), 50);
        assert_eq!(latencies.max().as_millis(), 100);
        assert_eq!(latencies.len(), 100);
    }
}
