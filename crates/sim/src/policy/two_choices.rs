//! Two choices: two dynos by chance, the less busy one of them. `choices` may ask for more than two.
//!
//! Vvedenskaya, Dobrushin and Karpelevich, *Queueing System with Selection of the Shortest of Two Queues: An Asymptotic Approach*,
//! Problems of Information Transmission 32, 1996; Mitzenmacher, *The Power of Two Choices in Randomized Load Balancing*, IEEE
//! Transactions on Parallel and Distributed Systems 12, 2001. With very many dynos at load a, a share `a^(2^i - 1)` of them has i
//! requests or more, so that the mean time is the sum of `a^(2^i - 2)` over i from 1: 2.614 at 0.9, where random has 10.
//!
//! The papers have one queue of truth. Here a router sees either the true depth at the very moment, which nobody can have over a
//! cable (it still does not see what is on its way), or what it has sent itself.

use std::rc::Rc;

use rand::RngExt;

use super::Fleet;
use super::counts::Counts;
use crate::dyno::Dyno;
use crate::engine::World;
use crate::part::{Answer, Part};
use crate::scenario::Setup;
use crate::workload::Request;

/// What a router of two choices knows of a dyno.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// Its own requests in flight.
    Local,
    /// All requests in the dyno.
    True,
}

struct TwoChoices {
    dynos: Rc<[Dyno]>,
    choices: u32,
    sight: Sight,
    /// Own requests in flight and failed ones, or only the failed ones.
    counts: Counts,
}

/// Routers that choose the less busy of two dynos.
pub fn two_choices(setup: &Setup, dynos: Rc<[Dyno]>, sight: Sight) -> impl Part + use<> {
    let counts = || Counts::new(setup.dynos, setup.hold);
    Fleet::new(setup, |_| TwoChoices { dynos: dynos.clone(), choices: setup.choices, sight, counts: counts() })
}

impl TwoChoices {
    fn load(&self, place: usize) -> u32 {
        let depth = if self.sight == Sight::True { self.dynos[place].depth() } else { 0 };
        depth + self.counts.of(place)
    }

    /// The first drawn wins among equals, which is chance enough.
    fn choose(&self, world: &World) -> usize {
        let any = || world.chance(|rng| rng.random_range(0..self.dynos.len()));
        (0..self.choices).map(|_| any()).min_by_key(|place| self.load(*place)).unwrap_or_else(any)
    }
}

impl Part for TwoChoices {
    async fn ask(&self, world: &World, request: Request) -> Answer {
        self.counts.lapse(world.now());
        let place = self.choose(world);
        if self.sight == Sight::Local {
            self.counts.take(place);
        }
        let answer = self.dynos[place].ask(world, request).await;
        match self.sight {
            Sight::Local => self.counts.end(place, answer, world.now()),
            Sight::True => self.counts.note_failure(place, answer, world.now()),
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use crate::policy::bare::{assert_near, bare, time};
    use crate::scenario::{Policy, Setup};

    fn fixed_point(load: f64) -> f64 {
        (1..20).map(|i| libm::pow(load, f64::from((1u32 << i) - 2))).sum()
    }

    #[test]
    fn many_dynos_come_to_the_fixed_point_of_the_supermarket_model() {
        assert!((fixed_point(0.9) - 2.614).abs() < 1e-3 && (fixed_point(0.99) - 5.432).abs() < 1e-3);
        for load in [0.7, 0.9] {
            let setup = Setup { requests: 300_000, ..bare(Policy::TwoChoicesTrue, 500, load) };
            assert_near(time(&setup), fixed_point(load), 0.02);
        }
    }

    #[test]
    fn local_counts_are_the_true_depth_for_a_single_router_and_worth_little_for_many() {
        let setup = Setup { requests: 150_000, ..bare(Policy::TwoChoicesLocal, 200, 0.9) };
        assert_near(time(&setup), fixed_point(0.9), 0.04);
        let many = time(&Setup { blocks: 20, ..setup });
        assert!(many > 1.5 * fixed_point(0.9), "{many}");
    }
}
