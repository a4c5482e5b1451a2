//! Many apps of unequal size under one load.

use std::rc::Rc;

/// How requests are spread over apps: the chance that a request belongs to the first n, for each n.
#[derive(Debug, Clone)]
pub struct Apps(Rc<[f64]>);

impl Apps {
    /// A single app.
    pub fn one() -> Self {
        Apps(Rc::new([1.0]))
    }

    /// `count` apps whose shares fall as 1 / rank^exponent (Zipf's law).
    pub fn zipf(count: u32, exponent: f64) -> Self {
        let weights: Vec<f64> = (1..=count.max(1)).map(|rank| libm::pow(f64::from(rank), -exponent)).collect();
        let total: f64 = weights.iter().sum();
        let mut sum = 0.0;
        Apps(
            weights
                .iter()
                .map(|weight| {
                    sum += weight / total;
                    sum
                })
                .collect(),
        )
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The share of requests of the app at `place`.
    pub fn share(&self, place: usize) -> f64 {
        self.0[place] - if place == 0 { 0.0 } else { self.0[place - 1] }
    }

    /// The app for a uniform number from 0 to 1.
    pub fn draw(&self, uniform: f64) -> u32 {
        let place = self.0.partition_point(|sum| *sum <= uniform).min(self.0.len() - 1);
        u32::try_from(place).unwrap_or(u32::MAX)
    }
}
