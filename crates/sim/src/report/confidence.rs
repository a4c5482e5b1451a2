//! How far a mean over seeds can be trusted.

use serde::Serialize;

/// A mean over independent runs with its 95 % confidence interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// Half the width of the interval; infinite for a single run, which says nothing about the spread.
    pub half: f64,
}

/// Two-sided 95 % quantiles of Student's t for 1 to 30 degrees of freedom; past that the normal one is near enough for our purpose.
const T95: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093,
    2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];
const NORMAL95: f64 = 1.96;

impl Estimate {
    /// The estimate from one value per run.
    pub fn of(values: &[f64]) -> Estimate {
        let runs = values.len() as f64;
        let mean = values.iter().sum::<f64>() / runs.max(1.0);
        if values.len() < 2 {
            return Estimate { mean, half: f64::INFINITY };
        }
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (runs - 1.0);
        let quantile = T95.get(values.len() - 2).copied().unwrap_or(NORMAL95);
        Estimate { mean, half: quantile * (variance / runs).sqrt() }
    }

    /// The lower end of the interval.
    pub fn low(self) -> f64 {
        self.mean - self.half
    }

    /// The upper end of the interval.
    pub fn high(self) -> f64 {
        self.mean + self.half
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_that_of_students_t() {
        let estimate = Estimate::of(&[1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(estimate.mean, 3.0);
        assert!((estimate.half - 2.776 * (2.5f64 / 5.0).sqrt()).abs() < 1e-9);
        assert_eq!(Estimate::of(&[2.0]).half, f64::INFINITY);
        assert_eq!(Estimate::of(&[2.0, 2.0]).half, 0.0);
    }
}
