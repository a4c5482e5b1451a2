//! A shared counter store: all routers count in one place, and pay a cable to it for every look.
//!
//! Routers read all counts, choose the least, and count their request there: `store_trips` round trips before the request leaves, the
//! read in the first and the increment in the last, so that others may choose the same dyno between the two; in one trip if the store
//! can do both at once. The end of a request is told without being waited for, and again until the store takes it: counts stay
//! exact. While the store is down a router falls back to what it counts itself, after the trip that told it so; failing the request
//! instead would cost as much as the store is down.
//!
//! No paper proposes it; it is what the 2013 discussion of Heroku's routing asked for. With one dyno, Poisson arrivals stay Poisson
//! behind a constant delay, so the mean time is exactly the trips plus that of M/M/1: `2 trips cable + 1 / (1 - load)` (Kleinrock, *Queueing
//! Systems, Volume 1: Theory*, Wiley 1975, chapter 3).

use std::rc::Rc;

use dynomesh_core::time::Span;

use super::Fleet;
use super::counts::{Counts, least};
use crate::dyno::Dyno;
use crate::engine::World;
use crate::part::{Answer, Fault, Part};
use crate::scenario::Setup;
use crate::workload::Request;

/// Between two attempts to tell a store that is down about the end of a request.
const TELL_AGAIN: Span = Span::from_millis(100);

struct Store {
    cable: Span,
    fault: Option<Fault>,
    counts: Counts,
}

struct Router {
    dynos: Rc<[Dyno]>,
    store: Rc<Store>,
    trips: u32,
    own: Counts,
}

/// Routers that count in a store.
pub fn store(setup: &Setup, dynos: Rc<[Dyno]>) -> impl Part + use<> {
    let counts = || Counts::new(setup.dynos, setup.hold);
    let fault = setup.store_failures.failures().map(Fault::new);
    let store = Rc::new(Store { cable: setup.store_cable, fault, counts: counts() });
    Fleet::new(setup, |_| Router { dynos: dynos.clone(), store: store.clone(), trips: setup.store_trips, own: counts() })
}

impl Store {
    /// There and back, with something done there; `None` if the store was down.
    async fn trip<T>(&self, world: &World, act: impl FnOnce(&Counts) -> T) -> Option<T> {
        world.sleep(self.cable).await;
        let down = self.fault.as_ref().is_some_and(|fault| fault.is_down(world));
        let done = (!down).then(|| {
            self.counts.lapse(world.now());
            act(&self.counts)
        });
        world.sleep(self.cable).await;
        done
    }

    /// The dyno with the least count, now counted there.
    async fn choose(&self, world: &World, trips: u32, dynos: usize) -> Option<usize> {
        let least = |counts: &Counts| world.chance(|rng| least(dynos, |place| counts.of(place), rng));
        if trips <= 1 {
            let both = |counts: &Counts| {
                let place = least(counts);
                counts.take(place);
                place
            };
            return self.trip(world, both).await;
        }
        let place = self.trip(world, least).await?;
        for _ in 2..trips {
            self.trip(world, |_| ()).await?;
        }
        self.trip(world, |counts| counts.take(place)).await?;
        Some(place)
    }

    async fn tell_end(self: Rc<Self>, world: World, place: usize, answer: Answer) {
        while self.trip(&world, |counts| counts.end(place, answer, world.now())).await.is_none() {
            world.sleep(TELL_AGAIN).await;
        }
    }
}

impl Part for Router {
    async fn ask(&self, world: &World, request: Request) -> Answer {
        let dynos = self.dynos.len();
        let stored = self.store.choose(world, self.trips, dynos).await;
        self.own.lapse(world.now());
        let place = stored.unwrap_or_else(|| world.chance(|rng| least(dynos, |place| self.own.of(place), rng)));
        self.own.take(place);
        let answer = self.dynos[place].ask(world, request).await;
        self.own.end(place, answer, world.now());
        if stored.is_some() {
            world.spawn(self.store.clone().tell_end(world.clone(), place, answer));
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use dynomesh_core::time::Span;

    use crate::policy::bare::{assert_near, bare, never, time};
    use crate::scenario::{Failing, Policy, Setup};
    use crate::workload::Draw;

    #[test]
    fn one_dyno_behind_a_store_is_an_mm1_queue_behind_a_delay() {
        for trips in [2, 3] {
            let cable = Span::from_millis(25);
            let setup = Setup { store_trips: trips, store_cable: cable, requests: 200_000, ..bare(Policy::Store, 1, 0.5) };
            assert_near(time(&setup), f64::from(trips) * 0.5 + 2.0, 0.02);
        }
    }

    #[test]
    fn exact_counts_serve_many_routers_as_one_until_the_store_fails() {
        let exact = Setup { blocks: 20, requests: 80_000, store_trips: 1, ..bare(Policy::Store, 100, 0.9) };
        let failing = Failing { up: Draw::fixed(Span::from_secs(10)), down: Draw::fixed(Span::from_secs(10)) };
        assert_eq!(exact.store_failures, never());
        let (always, half) = (time(&exact), time(&Setup { store_failures: failing, ..exact.clone() }));
        assert!(always < 1.4 && half > 1.5 * always, "{always} {half}");
    }
}
