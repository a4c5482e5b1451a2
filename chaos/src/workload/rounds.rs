//! Load that comes round: every six seconds the same requests, at the same distances, with the same work for dynos.
//!
//! How long requests wait for a dyno depends far more on how they happen to come than on the mesh: with arrivals drawn anew all the time
//! the 99th percentile of a few seconds at 80 % load is anything from 30 to 350 ms with nothing wrong. So chance draws one round, by the
//! seed, and any stretch as long as a round holds the same requests as any other. What is then different is of the mesh.
//!
//! Within a round requests come as those of many users do. There are exactly as many as the load asks for, and their work is drawn
//! without the chance of drawing much or little: a round that repeats must not be a heavy one.

use std::sync::Arc;

use dynomesh_core::time::Span;
use dynomesh_testkit::client::{Arrivals, Ask, Load, Rounds};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

/// How long a round is.
pub(crate) const ROUND: Span = Span::from_secs(6);

/// One round: when requests are due, and a generator for whatever else is drawn of it.
pub(crate) struct Round {
    pub(crate) due: Arc<[Span]>,
    pub(crate) rng: StdRng,
}

// === impl Round ===

impl Round {
    /// The round of so many requests per second.
    pub(crate) fn new(rate: f64, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let count = part(ROUND, rate / 1e9).as_nanos().max(1);
        let mut due: Vec<Span> = (0..count).map(|_| part(ROUND, rng.random())).collect();
        due.sort();
        Round { due: due.into(), rng }
    }

    /// Works of this floor with an exponential time of this mean on top, one for each request: the middles of equal parts of that
    /// distribution, in an order that is drawn.
    pub(crate) fn services(&mut self, floor: Span, mean: Span) -> Vec<Span> {
        let count = self.due.len();
        #[expect(clippy::cast_precision_loss, reason = "requests of a few seconds")]
        let middle = |n: usize| (n as f64 + 0.5) / count as f64;
        let mut services: Vec<Span> = (0..count).map(|n| floor + part(mean, -(1.0 - middle(n)).ln())).collect();
        services.shuffle(&mut self.rng);
        services
    }

    /// The load that asks for them round after round; `make` is given the number of the request and its place in the round.
    pub(crate) fn load(self, mut make: impl FnMut(u64, usize) -> Ask + Send + 'static) -> Load {
        let len = self.due.len();
        #[expect(clippy::cast_precision_loss, reason = "requests of a few seconds")]
        let rate = len as f64 / ROUND.as_secs_f64();
        let place = move |n: u64| usize::try_from(n % len as u64).expect("it is less than a length in memory");
        let arrivals = Arrivals::Rounds(Rounds { length: ROUND, due: self.due });
        Load { rate, arrivals, make: Box::new(move |n| make(n, place(n))) }
    }
}

/// So many times a span.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "spans of seconds, none negative")]
fn part(whole: Span, times: f64) -> Span {
    Span::from_nanos((whole.as_nanos() as f64 * times).round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_has_as_many_requests_as_asked_and_as_much_work() {
        let (floor, mean) = (Span::from_millis(20), Span::from_millis(100));
        for seed in 0..5 {
            let mut round = Round::new(100.0, seed);
            assert_eq!(round.due.len(), 600);
            assert!(round.due.is_sorted() && round.due[599] < ROUND);
            let services = round.services(floor, mean);
            let work: f64 = services.iter().map(|service| service.as_secs_f64()).sum();
            assert!((71.5..72.0).contains(&work), "{work} s of work for 600 requests of 120 ms");
            assert!(!services.is_sorted() && services.iter().all(|service| *service >= floor));
        }
        assert_ne!(Round::new(100.0, 1).due, Round::new(100.0, 2).due);
    }
}
