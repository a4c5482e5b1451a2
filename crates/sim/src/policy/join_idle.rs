//! Join-idle-queue: a dyno that falls idle registers with one router chosen by chance, and a router without idle dynos chooses any.
//!
//! Lu, Xie, Kliot, Geller, Larus and Greenberg, *Join-Idle-Queue: A Novel Load Balancing Algorithm for Dynamically Scalable Web
//! Services*, Performance Evaluation 68, 2011 (JIQ-Random). With r dynos to a router and load a, a share `p` of the routers knows an idle
//! dyno, `p / (1 - p) = r (1 - a)`; requests that are placed blindly load dynos only by `s = a (1 - p)`, and with exponential service
//! the mean time is that of an M/M/1 queue at that load, `1 / (1 - s)`.
//!
//! An idle dyno that gets a blind request withdraws its registration, so that each idle dyno is registered once. Registrations travel
//! through the dyno's cable. The paper's dynos do not fail. Here one that refuses would at once be idle again, so the hold is put on its
//! registration: it registers no sooner than `hold` after a refusal. Registrations wait out a failure of their router.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use dynomesh_core::time::{Span, Time};
use rand::RngExt;

use super::Fleet;
use crate::dyno::Dyno;
use crate::engine::World;
use crate::part::{Answer, Part};
use crate::scenario::Setup;
use crate::workload::Request;

/// What dynos and routers tell each other.
struct Idle {
    dynos: Rc<[Dyno]>,
    hold: Span,
    seats: Vec<Seat>,
    /// Per router, those that registered with it, in that order.
    queues: Vec<RefCell<VecDeque<usize>>>,
}

/// What a dyno knows about itself.
#[derive(Default)]
struct Seat {
    /// The router it is registered with, or on the way to.
    router: Cell<Option<usize>>,
    /// Counts its registrations: one that was withdrawn on the way does not arrive.
    registrations: Cell<u64>,
    held_until: Cell<Time>,
}

struct Router {
    place: usize,
    idle: Rc<Idle>,
}

/// Routers that idle dynos join.
pub fn join_idle(setup: &Setup, world: &World, dynos: Rc<[Dyno]>) -> impl Part + use<> {
    let queues = (0..setup.blocks).map(|_| RefCell::default()).collect();
    let seats = dynos.iter().map(|_| Seat::default()).collect();
    let idle = Rc::new(Idle { dynos, hold: setup.hold, seats, queues });
    for place in 0..idle.dynos.len() {
        idle.clone().register(world, place);
    }
    Fleet::new(setup, |place| Router { place, idle: idle.clone() })
}

impl Idle {
    /// An idle dyno joins a router, as soon as its hold lets it.
    fn register(self: Rc<Self>, world: &World, place: usize) {
        let seat = &self.seats[place];
        if seat.router.get().is_some() {
            return;
        }
        let router = world.chance(|rng| rng.random_range(0..self.queues.len()));
        seat.router.set(Some(router));
        let (clock, number) = (world.clone(), seat.registrations.get() + 1);
        seat.registrations.set(number);
        world.spawn(async move {
            let seat = &self.seats[place];
            clock.sleep_until(seat.held_until.get()).await;
            clock.sleep(self.dynos[place].cable()).await;
            if seat.router.get() == Some(router) && seat.registrations.get() == number {
                self.queues[router].borrow_mut().push_back(place);
            }
        });
    }

    fn withdraw(&self, place: usize) {
        if let Some(router) = self.seats[place].router.take() {
            self.queues[router].borrow_mut().retain(|other| *other != place);
        }
    }

    /// The request is at the dyno, which then knows whether it is idle.
    async fn serve(self: &Rc<Self>, world: &World, place: usize, request: Request) -> Answer {
        self.withdraw(place);
        let dyno = &self.dynos[place];
        let served = dyno.serve(world, request).await;
        if !served {
            self.seats[place].held_until.set(world.now() + self.hold);
        }
        if dyno.depth() == 0 {
            self.clone().register(world, place);
        }
        if served { Answer::Served } else { Answer::Failed }
    }
}

impl Part for Router {
    async fn ask(&self, world: &World, request: Request) -> Answer {
        let idle = &self.idle;
        let joined = idle.queues[self.place].borrow_mut().pop_front();
        if let Some(place) = joined {
            idle.seats[place].router.set(None);
        }
        let place = joined.unwrap_or_else(|| world.chance(|rng| rng.random_range(0..idle.dynos.len())));
        world.sleep(idle.dynos[place].cable()).await;
        let answer = idle.serve(world, place, request).await;
        world.sleep(idle.dynos[place].cable()).await;
        answer
    }
}

#[cfg(test)]
mod tests {
    use crate::policy::bare::{assert_near, bare, time};
    use crate::scenario::{Policy, Setup};

    #[test]
    fn idle_dynos_take_from_the_load_what_the_paper_says() {
        for (ratio, load) in [(10u32, 0.9), (20, 0.8)] {
            let routers = 20;
            let known = f64::from(ratio) * (1.0 - load);
            let blind = load / (1.0 + known);
            let setup = bare(Policy::JoinIdle, routers * ratio as usize, load);
            assert_near(time(&Setup { blocks: routers, requests: 300_000, ..setup }), 1.0 / (1.0 - blind), 0.03);
        }
    }
}
