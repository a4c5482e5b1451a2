//! Large bodies: sent there and back, or asked for, in sizes drawn between small and the largest. Their content is known at every place.

use dynomesh_core::time::Span;
use dynomesh_testkit::client::{Ask, Framing, Load};
use hyper::Method;
use rand::RngExt;
use serde::Deserialize;

use super::Place;
use super::rounds::Round;

/// Smallest body.
const SIZE_MIN: u64 = 1 << 10;

/// How many, and how large.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    /// Requests per second.
    pub(super) rate: f64,
    /// Largest body in bytes. Sizes are drawn so that each doubling is as likely as any other.
    size_max: u64,
}

// === impl Spec ===

impl Spec {
    pub(super) fn load(&self, place: &Place) -> Load {
        let (most, mut round) = (self.size_max.max(SIZE_MIN), Round::new(self.rate, place.seed ^ 1));
        let sizes: Vec<u64> = round.due.iter().map(|_| round.rng.random()).map(|drawn| size(most, drawn)).collect();
        round.load(move |_, nth| {
            let size = sizes[nth];
            let ask = match nth % 4 {
                0 | 1 => Ask::get("/content").content_back(size),
                2 => Ask::post("/echo").echo(size, Framing::Length),
                _ => Ask::new(Method::PUT, "/echo").echo(size, Framing::Chunked),
            };
            ask.service(Span::from_millis(20))
        })
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
