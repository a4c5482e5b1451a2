//! Large bodies: sent there and back, or asked for, in sizes drawn between small and the largest. Their content is known at every place.

use dynomesh_core::time::Span;
use dynomesh_testkit::client::{Arrivals, Ask, Framing, Load};
use hyper::Method;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::Deserialize;

use super::Place;

/// Smallest body.
const SIZE_MIN: u64 = 1 << 10;

/// How many, and how large.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    /// Requests per second.
    rate: f64,
    /// Largest body in bytes. Sizes are drawn so that each doubling is as likely as any other.
    size_max: u64,
}

// === impl Spec ===

impl Spec {
    pub(super) fn load(&self, place: &Place) -> Load {
        let (most, mut rng) = (self.size_max.max(SIZE_MIN), StdRng::seed_from_u64(place.seed ^ 1));
        let make = move |n: u64| {
            let size = size(most, rng.random());
            let ask = match n % 4 {
                0 | 1 => Ask::get("/content").content_back(size),
                2 => Ask::post("/echo").echo(size, Framing::Length),
                _ => Ask::new(Method::PUT, "/echo").echo(size, Framing::Chunked),
            };
            ask.service(Span::from_millis(20))
        };
        Load { rate: self.rate, arrivals: Arrivals::Poisson(place.seed ^ 1), make: Box::new(make) }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "sizes far below 2^52")]
fn size(most: u64, drawn: f64) -> u64 {
    let (least, most) = (SIZE_MIN as f64, most as f64);
    (least * (most / least).powf(drawn)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_lie_between_the_smallest_and_the_largest() {
        assert_eq!((size(1 << 20, 0.0), size(1 << 20, 0.5)), (1 << 10, 1 << 15));
        assert!(size(1 << 20, 0.9999) <= 1 << 20);
    }
}
