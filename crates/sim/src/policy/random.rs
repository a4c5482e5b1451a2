//! Random: any dyno, by chance. The baseline of the whole literature, and what independent routers with local counts come down to.
//!
//! Poisson arrivals split at random are Poisson at each dyno, so with exponential service each dyno is an M/M/1 queue, whose mean time
//! is `1 / (1 - load)` service times (Kleinrock, *Queueing Systems, Volume 1: Theory*, Wiley 1975, chapter 3).

use std::rc::Rc;

use super::Fleet;
use crate::dyno::Dyno;
use crate::part::{Part, random as any};
use crate::scenario::Setup;

/// Routers that choose any dyno by chance.
pub fn random(setup: &Setup, dynos: Rc<[Dyno]>) -> impl Part + use<> {
    Fleet::new(setup, |_| any(dynos.clone()))
}

#[cfg(test)]
mod tests {
    use crate::policy::bare::{assert_near, bare, time};
    use crate::scenario::{Policy, Setup};

    #[test]
    fn each_dyno_is_an_mm1_queue() {
        for load in [0.5, 0.8] {
            assert_near(time(&Setup { requests: 200_000, ..bare(Policy::Random, 20, load) }), 1.0 / (1.0 - load), 0.03);
        }
    }
}
