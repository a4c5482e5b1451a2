//! Round robin: dynos in turn, each router for itself, from a dyno of its own.
//!
//! With one router and n dynos every n-th arrival comes to a dyno, so the gaps there are Erlang distributed: an E_n/M/1 queue. Its mean
//! time is `1 / (1 - r)` service times, r being the root of `r = (n a / (n a + 1 - r))^n` below 1 for load a (Kleinrock, *Queueing
//! Systems, Volume 1: Theory*, Wiley 1975, section 6.3; optimal among policies blind to load for equal servers: Liu and Towsley,
//! *Optimality of the Round-Robin Routing Policy*, Journal of Applied Probability 31, 1994).

use std::cell::Cell;
use std::rc::Rc;

use rand::RngExt;

use super::Fleet;
use crate::dyno::Dyno;
use crate::engine::World;
use crate::part::{Answer, Part};
use crate::scenario::Setup;
use crate::workload::Request;

struct RoundRobin {
    dynos: Rc<[Dyno]>,
    next: Cell<usize>,
}

/// Routers that ask their dynos in turn.
pub fn round_robin(setup: &Setup, world: &World, dynos: Rc<[Dyno]>) -> impl Part + use<> {
    let first = || world.chance(|rng| rng.random_range(0..dynos.len()));
    Fleet::new(setup, |_| RoundRobin { dynos: dynos.clone(), next: Cell::new(first()) })
}

impl Part for RoundRobin {
    async fn ask(&self, world: &World, request: Request) -> Answer {
        let place = self.next.get();
        self.next.set((place + 1) % self.dynos.len());
        self.dynos[place].ask(world, request).await
    }
}

#[cfg(test)]
mod tests {
    use crate::policy::bare::{assert_near, bare, time};
    use crate::scenario::{Policy, Setup};

    #[test]
    fn each_dyno_is_an_erlang_m_1_queue() {
        for (dynos, load) in [(2, 0.8), (10, 0.8)] {
            let (n, mut root) = (f64::from(dynos), 0.0);
            for _ in 0..10_000 {
                root = libm::pow(n * load / (n * load + 1.0 - root), n);
            }
            let setup = Setup { requests: 200_000, ..bare(Policy::RoundRobin, 10.min(dynos as usize), load) };
            assert_near(time(&setup), 1.0 / (1.0 - root), 0.03);
        }
    }
}
