//! A prober after Prequal: routers ask a few dynos, beside each request and not in its way, how many requests they have and how long
//! such requests took lately, keep the answers in a small pool, and choose from the pool by the hot-cold lexicographic rule.
//!
//! Wydrowski, Kleinberg, Rumble and Archer, *Load Is Not What You Should Balance: Introducing Prequal*, NSDI 2024. A probe is hot if its
//! requests in flight are past a quantile of those lately seen. If all are hot, the one with the fewest requests is chosen, else the cold
//! one with the least latency. A chosen probe has one request more, and may be used again as often as keeps the pool filled; a full pool
//! loses its oldest probe, each request also removes by turns the oldest and the worst, and past an age a probe is forgotten. With fewer
//! than two probes any dyno is chosen. The defaults are the paper's: 3 probes a request, a pool of 16, 1 removal, 1 s, quantile 0.84.
//!
//! The paper's figures are of its own test bed, tasks on shared machines, with neither arrivals nor service times in a form that could
//! be drawn again. So no number of it is reproduced; the tests hold what it claims of them: probing beats random and round robin in the
//! tail at high load, and over concurrent dynos of two speeds the rule beats both requests in flight alone and latency alone. Over
//! *serial* dynos, which the paper is not about, the latency half of the rule does harm: there each request in flight is a whole service
//! time of waiting, and a few past latencies are noise beside it. `prequal_cold = 0.0` gives that half up.
//!
//! Left open by the paper, decided here: a newer probe of a dyno replaces the older one; latency is the median of the last few at that
//! count of requests; and its aversion to errors is the hold: a dyno that failed a request leaves the pool and enters none of this
//! router's probes for that long. A dyno that is down answers no probe.

use std::cell::Cell;
use std::rc::Rc;

use dynomesh_core::time::{Span, Time};
use rand::RngExt;
use rand::seq::index;

use super::Fleet;
use crate::dyno::Dyno;
use crate::engine::World;
use crate::part::{Answer, Part};
use crate::scenario::Setup;
use crate::workload::Request;

mod meter;
mod pool;

use meter::Meter;
use pool::{Pool, Probe};

/// By how much a pool is to gain on what it loses, in the paper's rule for the reuse of probes.
const NET_GAIN: f64 = 1.0;

/// Most uses of one probe, where that rule knows no end.
const USES_MAX: f64 = 16.0;

struct Router {
    dynos: Rc<[Dyno]>,
    meters: Rc<[Meter]>,
    known: Rc<Known>,
    probes: f64,
    removals: f64,
    hold: Span,
}

/// What a router knows of the dynos; its probes on their way know of it too.
struct Known {
    pool: Pool,
    /// Until when a dyno that failed is not taken in.
    held_until: Vec<Cell<Time>>,
    uses: f64,
}

/// Routers that probe.
pub fn prequal(setup: &Setup, dynos: Rc<[Dyno]>) -> impl Part + use<> {
    let meters: Rc<[Meter]> = dynos.iter().map(|_| Meter::default()).collect();
    let known = || Known {
        pool: Pool::new(setup.prequal_pool, setup.prequal_age_max, setup.prequal_cold),
        held_until: vec![Cell::new(Time::ZERO); setup.dynos],
        uses: uses(setup),
    };
    Fleet::new(setup, |_| Router {
        dynos: dynos.clone(),
        meters: meters.clone(),
        known: Rc::new(known()),
        probes: setup.prequal_probes,
        removals: setup.prequal_removals,
        hold: setup.hold,
    })
}

/// How often a probe may be used, so that the pool neither runs dry nor grows old.
fn uses(setup: &Setup) -> f64 {
    let fresh = 1.0 - setup.prequal_pool as f64 / setup.dynos as f64;
    let gain = fresh * setup.prequal_probes - setup.prequal_removals;
    if gain > 0.0 { ((1.0 + NET_GAIN) / gain).clamp(1.0, USES_MAX) } else { USES_MAX }
}

/// A whole number whose mean is `number`.
fn whole(world: &World, number: f64) -> u32 {
    let up = world.chance(|rng| rng.random::<f64>()) < number.fract();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small number of probes")]
    let whole = number as u32;
    whole + u32::from(up)
}

impl Router {
    fn send_probes(&self, world: &World) {
        let count = whole(world, self.probes) as usize;
        let places = world.chance(|rng| index::sample(rng, self.dynos.len(), count.min(self.dynos.len())));
        for place in places {
            let (clock, dynos, meters, known) = (world.clone(), self.dynos.clone(), self.meters.clone(), self.known.clone());
            world.spawn(async move { known.probe(&clock, place, &dynos[place], &meters[place]).await });
        }
    }

    fn choose(&self, world: &World) -> usize {
        let chosen = self.known.pool.choose(world.now());
        for _ in 0..whole(world, self.removals) {
            self.known.pool.remove();
        }
        chosen.unwrap_or_else(|| world.chance(|rng| rng.random_range(0..self.dynos.len())))
    }
}

impl Known {
    async fn probe(&self, world: &World, place: usize, dyno: &Dyno, meter: &Meter) {
        world.sleep(dyno.cable()).await;
        if dyno.is_down(world) {
            return;
        }
        let requests = dyno.depth();
        let latency = meter.latency(requests);
        world.sleep(dyno.cable()).await;
        if world.now() >= self.held_until[place].get() {
            self.pool.insert(Probe { place, requests, latency, at: world.now(), uses: whole(world, self.uses) });
        }
    }
}

impl Part for Router {
    async fn ask(&self, world: &World, request: Request) -> Answer {
        self.send_probes(world);
        let place = self.choose(world);
        let dyno = &self.dynos[place];
        world.sleep(dyno.cable()).await;
        let (came, found) = (world.now(), dyno.depth());
        let served = dyno.serve(world, request).await;
        if served {
            self.meters[place].note(found, world.now().since(came));
        }
        world.sleep(dyno.cable()).await;
        if served {
            return Answer::Served;
        }
        if self.hold > Span::ZERO {
            self.known.pool.forget(place);
            self.known.held_until[place].set(world.now() + self.hold);
        }
        Answer::Failed
    }
}

#[cfg(test)]
mod tests {
    use crate::policy::bare::{bare, time};
    use crate::scenario::{Policy, Setup};
    use crate::stack;

    fn p99(setup: &Setup) -> f64 {
        stack::run(setup, 1).tally.percentile(0.99)
    }

    #[test]
    fn probing_beats_random_and_round_robin_in_the_tail_at_high_load() {
        let at = |policy| p99(&Setup { blocks: 10, requests: 80_000, ..bare(policy, 100, 0.9) });
        let (prequal, random, round_robin) = (at(Policy::Prequal), at(Policy::Random), at(Policy::RoundRobin));
        assert!(2.0 * prequal < random && 2.0 * prequal < round_robin, "{prequal} {random} {round_robin}");
    }

    /// Half of the dynos take twice as long.
    fn half_slow(cold: f64) -> Setup {
        Setup { slow_share: 0.5, slow_factor: 2.0, prequal_cold: cold, blocks: 10, requests: 80_000, ..bare(Policy::Prequal, 100, 0.35) }
    }

    #[test]
    fn over_concurrent_dynos_of_two_speeds_the_rule_beats_either_signal_alone() {
        let at = |cold| Setup { max_conns: 16, slowdown: 0.01, ..half_slow(cold) };
        let (requests, both, latency) = (p99(&at(0.0)), p99(&at(0.84)), p99(&at(1.0)));
        assert!(both < 0.95 * requests && both < 0.98 * latency, "{requests} {both} {latency}");
    }

    #[test]
    fn over_serial_dynos_requests_in_flight_alone_are_better() {
        let (requests, both) = (time(&half_slow(0.0)), time(&half_slow(0.84)));
        assert!(requests < 0.9 * both, "{requests} {both}");
    }
}
