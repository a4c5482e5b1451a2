//! The ideal: one line for all dynos, one router that sees every request and never fails. A request is bound to a dyno only when one
//! has room, so none waits while a dyno is free, and no dyno ever gets more than its cap. It bounds what any routing can do with the
//! same knowledge: like all others it learns of a dyno's failure from a failed request, which its hold then remembers.
//!
//! With exponential service this is the M/M/c queue, whose mean wait is Erlang's (Erlang, *Solution of Some Problems in the Theory of
//! Probabilities of Significance in Automatic Telephone Exchanges*, Elektrotkeknikeren 13, 1917).
//!
//! The slots are those of the production ledger, with the cap. A request that failed takes its old place in the line again.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use dynomesh_core::app::Phase;
use dynomesh_core::balance::{DynoShape, Ended, Ledger, LedgerSettings, Outcome};
use dynomesh_core::id::{Epoch, SlotId};

use super::Fleet;
use crate::dyno::Dyno;
use crate::engine::{Giver, World};
use crate::part::{Answer, Part, dyno_id, place_of, slot_id};
use crate::scenario::Setup;
use crate::workload::Request;

struct Ideal {
    dynos: Rc<[Dyno]>,
    line: Rc<RefCell<Line>>,
}

struct Line {
    ledger: Ledger,
    slots: u64,
    /// By the number of the request: the oldest goes first.
    waiting: BTreeMap<u64, Giver<(SlotId, usize)>>,
}

/// One line in front of all dynos.
pub fn ideal(setup: &Setup, dynos: Rc<[Dyno]>) -> impl Part + use<> {
    let mut ledger = Ledger::new(LedgerSettings { hold: setup.hold, ties: setup.ties, ..LedgerSettings::default() });
    for place in 0..dynos.len() {
        ledger.upsert(dyno_id(place), DynoShape { max_conns: setup.max_conns, epoch: Epoch(1), phase: Phase::Active });
    }
    let line = Line { ledger, slots: 0, waiting: BTreeMap::new() };
    Fleet::perfect(setup, Ideal { dynos, line: Rc::new(RefCell::new(line)) })
}

impl Line {
    /// Gives the room that there is to those who wait. To be called after every change.
    fn hand_out(&mut self, world: &World) {
        self.ledger.lapse(world.now());
        while self.ledger.has_room() {
            let Some((_, giver)) = self.waiting.pop_first() else { return };
            let slot = slot_id(self.slots);
            self.slots += 1;
            match world.chance(|rng| self.ledger.pick(rng, slot, &[])) {
                Some(dyno) => giver.give((slot, place_of(&dyno))),
                None => return,
            }
        }
    }
}

impl Ideal {
    fn end(&self, world: &World, slot: SlotId, answer: Answer) {
        let outcome = if answer == Answer::Served { Outcome::Done } else { Outcome::Error };
        let ended = self.line.borrow_mut().ledger.end(slot, outcome, world.now());
        if let Ended::HeldUntil(until) = ended {
            let (clock, line) = (world.clone(), self.line.clone());
            world.spawn(async move {
                clock.sleep_until(until).await;
                line.borrow_mut().hand_out(&clock);
            });
        }
        self.line.borrow_mut().hand_out(world);
    }
}

impl Part for Ideal {
    async fn ask(&self, world: &World, request: Request) -> Answer {
        let (giver, turn) = world.promise();
        self.line.borrow_mut().waiting.insert(request.number, giver);
        self.line.borrow_mut().hand_out(world);
        let Some((slot, place)) = turn.await else { return Answer::Failed };
        let answer = self.dynos[place].ask(world, request).await;
        self.end(world, slot, answer);
        answer
    }
}

#[cfg(test)]
mod tests {
    use crate::policy::bare::{assert_near, bare, time};
    use crate::scenario::{Policy, Setup};

    /// Erlang's mean wait for one of `dynos`, in service times.
    fn wait(dynos: u32, load: f64) -> f64 {
        let offered = f64::from(dynos) * load;
        let blocked = (1..=dynos).fold(1.0, |blocked, n| offered * blocked / (f64::from(n) + offered * blocked));
        let waits = blocked / (1.0 - load * (1.0 - blocked));
        waits / (f64::from(dynos) * (1.0 - load))
    }

    #[test]
    fn the_line_is_an_mmc_queue() {
        for (dynos, load) in [(1, 0.5), (4, 0.9), (20, 0.9)] {
            let setup = Setup { requests: 300_000, ..bare(Policy::Ideal, dynos as usize, load) };
            assert_near(time(&setup), 1.0 + wait(dynos, load), 0.05);
        }
    }
}
