//! The figures of several runs: each as a mean with its confidence interval.

use super::record::Record;
use super::{Estimate, Figures};

/// What several seeds say about each figure; latencies in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Share of requests that were served.
    pub success: Estimate,
    /// Median.
    pub p50: Estimate,
    /// 95th percentile.
    pub p95: Estimate,
    /// 99th percentile.
    pub p99: Estimate,
    /// The slowest request of a run.
    pub max: Estimate,
}

impl Spread {
    /// Over the figures of one run per seed.
    pub fn of(runs: &[Figures]) -> Self {
        let over = |figure: fn(&Figures) -> f64| Estimate::of(&runs.iter().map(figure).collect::<Vec<_>>());
        Spread {
            success: over(|run| run.success),
            p50: over(|run| run.p50),
            p95: over(|run| run.p95),
            p99: over(|run| run.p99),
            max: over(|run| run.max),
        }
    }

    /// All figures by the names that results have for them.
    pub fn named(&self) -> [(&'static str, Estimate); 5] {
        [("success", self.success), ("p50", self.p50), ("p95", self.p95), ("p99", self.p99), ("max", self.max)]
    }

    /// Adds the means to a record, to six digits: what is beyond is not known, and rounding keeps binary fractions out of sight.
    pub fn means(&self, record: Record) -> Record {
        self.named().into_iter().fold(record, |record, (name, estimate)| record.with(name, rounded(estimate.mean)))
    }

    /// Adds the means to a record, and under the key `half` half the widths of their intervals.
    pub fn record(&self, record: Record) -> Record {
        let halves = self.named().into_iter().fold(Record::default(), |record, (name, estimate)| record.with(name, rounded(estimate.half)));
        self.means(record).with("half", halves)
    }

    /// The figures as cells of a table, in the order of [`Spread::named`].
    pub fn cells(&self) -> Vec<String> {
        self.named().into_iter().map(|(name, estimate)| cell(estimate, if name == "success" { 5 } else { 1 })).collect()
    }
}

fn rounded(value: f64) -> f64 {
    if value.is_finite() { (value * 1e6).round() / 1e6 } else { value }
}

/// A mean with its interval, or the mean alone where one run says nothing about the spread.
pub fn cell(Estimate { mean, half }: Estimate, digits: usize) -> String {
    if half.is_finite() { format!("{mean:.digits$} ±{half:.digits$}") } else { format!("{mean:.digits$}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_figure_has_its_mean_and_its_interval() {
        let run = |p50: f64| Figures { success: 0.5, p50, p95: 1.0, p99: 2.0, max: 3.0 };
        let spread = Spread::of(&[run(90.0), run(94.0)]);
        assert_eq!(spread.cells(), ["0.50000 ±0.00000", "92.0 ±25.4", "1.0 ±0.0", "2.0 ±0.0", "3.0 ±0.0"]);
        assert_eq!(Spread::of(&[run(90.0)]).cells()[1], "90.0");
    }
}
