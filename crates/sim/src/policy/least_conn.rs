//! Local least-conn: every router counts what it has sent itself, by the production ledger, over dynos that all routers share. What a
//! row of independent nginx, HAProxy or Envoy instances does.
//!
//! With one router this is the shortest queue. For two dynos its mean time is known: the chain of the two lengths (Haight, *Two Queues
//! in Parallel*, Biometrika 45, 1958; in closed form Flatto and McKean, *Two Queues in Parallel*, Communications on Pure and Applied
//! Mathematics 30, 1977) is solved in the test. With more routers and ties by the lowest index it is row 5 of the reference table.

use std::rc::Rc;

use super::Fleet;
use crate::dyno::Dyno;
use crate::part::{Part, hold, least_conn};
use crate::scenario::Setup;

/// Routers that choose the dyno with the fewest of their own requests; the setting `ties` decides between equals.
pub fn local_least_conn(setup: &Setup, dynos: Rc<[Dyno]>) -> impl Part + use<> {
    Fleet::new(setup, |_| least_conn(hold(setup.hold), setup.ties, dynos.clone()))
}

#[cfg(test)]
mod tests {
    use dynomesh_core::balance::Ties;
    use dynomesh_core::time::Span;

    use crate::policy::bare::{assert_near, bare, time};
    use crate::scenario::{Policy, Setup};
    use crate::stack;

    /// Mean time in the shorter of two queues at `load`, by iterating their chain until it rests; lengths past `MOST` are cut off.
    fn two_queues(load: f64) -> f64 {
        const MOST: usize = 60;
        let arrivals = 2.0 * load;
        let step = 1.0 / (arrivals + 2.0);
        let mut chance = vec![[0.0; MOST]; MOST];
        chance[0][0] = 1.0;
        for _ in 0..60_000 {
            let mut next = vec![[0.0; MOST]; MOST];
            for a in 0..MOST {
                for b in 0..MOST {
                    let (one, up) = (chance[a][b] * step, |n: usize| (n + 1).min(MOST - 1));
                    let half = one * arrivals / 2.0;
                    let [to_a, to_b] = if a < b {
                        [2.0, 0.0]
                    } else if b < a {
                        [0.0, 2.0]
                    } else {
                        [1.0, 1.0]
                    };
                    next[up(a)][b] += half * to_a;
                    next[a][up(b)] += half * to_b;
                    next[a.saturating_sub(1)][b] += one;
                    next[a][b.saturating_sub(1)] += one;
                }
            }
            chance = next;
        }
        let requests: f64 = (0..MOST).flat_map(|a| (0..MOST).map(move |b| (a, b))).map(|(a, b)| chance[a][b] * (a + b) as f64).sum();
        requests / arrivals
    }

    #[test]
    fn one_router_over_two_dynos_is_the_shorter_of_two_queues() {
        let setup = Setup { requests: 200_000, ..bare(Policy::LocalLeastConn, 2, 0.8) };
        assert_near(time(&setup), two_queues(0.8), 0.03);
    }

    #[test]
    fn with_ties_by_the_lowest_index_routers_that_do_not_know_of_each_other_herd() {
        let setup = Setup { blocks: 10, requests: 100_000, ..bare(Policy::LocalLeastConn, 50, 0.5) };
        let (random, lowest) = (time(&setup), time(&Setup { ties: Ties::Lowest, ..setup.clone() }));
        assert!(random > 1.3 && lowest > 3.0 * random, "{random} {lowest}");
    }

    #[test]
    fn the_hold_keeps_fast_failures_from_swallowing_the_traffic() {
        let setup = Setup { policy: Policy::LocalLeastConn, ties: Ties::Lowest, requests: 20_000, ..Setup::default() };
        let success = |hold| stack::run(&Setup { hold, ..setup.clone() }, 1).tally.figures().success;
        let (without, with) = (success(Span::ZERO), success(Span::from_secs(1)));
        assert!(without < 0.9 && with > 0.999, "{without} {with}");
    }
}
