//! Requests that may go to one dyno of the block and no other: they wait in a line of its own for each dyno, and before all who could
//! also go elsewhere.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use dynomesh_core::balance::{Floor, Standing};
use dynomesh_core::id::SlotId;
use dynomesh_core::time::{Span, Time};

use super::{Block, Reply, Visit, Waiter};
use crate::engine::{First, Giver, World, race};
use crate::mesh::add;
use crate::mesh::pins::Pins;
use crate::part::dyno_id;
use crate::scenario::Setup;
use crate::workload::Request;

/// The lines of a block.
pub(super) struct Lines {
    pins: Rc<Pins>,
    /// By the places of this block's dynos.
    lines: RefCell<BTreeMap<usize, VecDeque<Giver<SlotId>>>>,
    queue_wait: Span,
}

impl Lines {
    /// The empty lines of a block with its dynos at `places`; `None` if no request is pinned.
    pub(super) fn new(setup: &Setup, places: &[(usize, u32)], pins: Option<&Rc<Pins>>) -> Option<Self> {
        let lines = || places.iter().map(|(place, _)| (*place, VecDeque::new())).collect();
        pins.map(|pins| Lines { pins: pins.clone(), lines: RefCell::new(lines()), queue_wait: setup.queue_wait })
    }
}

impl Block {
    /// Serves a request that is pinned to a dyno of this block; `None` if it is not, or not any longer.
    pub(super) async fn route_pinned(self: &Rc<Self>, world: &World, request: Request, visit: &Visit) -> Option<Reply> {
        let lines = self.pinned.as_ref()?;
        let place = lines.pins.dyno_of(request).filter(|place| !visit.must_queue && lines.lines.borrow().contains_key(place))?;
        lines.pins.came();
        let strict = lines.pins.strict();
        let until = world.now() + if strict { lines.queue_wait } else { lines.pins.wait() };
        loop {
            let Some(slot) = self.acquire_pinned(world, lines, request.app, place, until).await else { break };
            visit.tries.set(visit.tries.get() + 1);
            visit.dispatched.set(true);
            let served = self.dispatch(world, slot, &dyno_id(place), request).await;
            visit.dispatched.set(false);
            if served == Some(true) {
                return Some(Reply::Served);
            }
            if !strict {
                break;
            }
            add(&self.counts.dyno_retries);
        }
        if strict {
            return Some(Reply::Refused);
        }
        lines.pins.lifted();
        None
    }

    async fn acquire_pinned(&self, world: &World, lines: &Lines, app: u32, place: usize, until: Time) -> Option<SlotId> {
        let turn = {
            let floor = &mut *self.floors.get(&app)?.borrow_mut();
            let mut lines_now = lines.lines.borrow_mut();
            let line = lines_now.get_mut(&place)?;
            if line.is_empty()
                && let Some(slot) = self.take(floor, place)
            {
                return Some(slot);
            }
            if !lines.pins.strict() && is_down(floor, place) {
                return None;
            }
            let (giver, turn) = world.promise();
            line.push_back(giver);
            turn
        };
        add(&self.counts.queued);
        match race(turn, world.sleep_until(until)).await {
            First::One(slot) => slot,
            First::Other(()) => None,
        }
    }

    /// Lets those who are first in their lines have what has come free.
    pub(super) fn pump_pinned(&self, floor: &mut Floor<Waiter>) {
        let Some(lines) = &self.pinned else { return };
        for (place, line) in lines.lines.borrow_mut().iter_mut() {
            while let Some(first) = line.pop_front() {
                // Who waits no longer has given up, or died with a leader.
                if first.is_idle() {
                    continue;
                }
                match self.take(floor, *place) {
                    Some(slot) => first.give(slot),
                    None => {
                        line.push_front(first);
                        break;
                    }
                }
            }
        }
    }

    /// A slot of this very dyno, if it has room and is not known to be down.
    fn take(&self, floor: &mut Floor<Waiter>, place: usize) -> Option<SlotId> {
        let slot = self.slot();
        let taken = !is_down(floor, place) && floor.ledger.take(slot, &dyno_id(place));
        taken.then(|| {
            floor.queue.served();
            slot
        })
    }
}

fn is_down(floor: &Floor<Waiter>, place: usize) -> bool {
    floor.ledger.dyno(&dyno_id(place)).is_some_and(|dyno| dyno.standing == Standing::Down)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack;
    use crate::workload::Outcome;

    fn run(pinned_share: f64, pin_wait: Span) -> Outcome {
        let load = 0.6;
        stack::run(&Setup { load, pinned_share, pin_wait, sessions: 100_000, edges: 4, requests: 40_000, ..Setup::default() }, 3)
    }

    fn note(outcome: &Outcome, column: &str) -> f64 {
        outcome.notes.iter().find(|(name, _)| *name == column).map(|(_, value)| *value).unwrap()
    }

    #[test]
    fn a_pin_costs_and_one_that_may_be_given_up_costs_less() {
        let (mut free, mut soft, mut strict) = (run(0.0, Span::ZERO), run(1.0, Span::from_millis(50)), run(1.0, Span::ZERO));
        let [free_p99, soft_p99, strict_p99] = [&mut free, &mut soft, &mut strict].map(|outcome| outcome.tally.percentile(0.99));
        assert!(free_p99 + 20.0 < soft_p99 && soft_p99 * 2.0 < strict_p99, "{free_p99} {soft_p99} {strict_p99}");
        assert!((0.05..0.6).contains(&note(&soft, "pins_lifted")), "{}", note(&soft, "pins_lifted"));
        assert_eq!(note(&strict, "pins_lifted"), 0.0);
        for outcome in [&free, &soft, &strict] {
            assert_eq!(note(outcome, "over_cap"), 0.0, "who waits for a dyno waits in the block");
        }
    }

    #[test]
    fn a_strict_pin_outlasts_dead_leaders_and_dead_dynos() {
        let outcome = run(1.0, Span::ZERO);
        assert!(note(&outcome, "outages") > 0.0 && note(&outcome, "dyno_retries") > 0.0);
        assert!(outcome.tally.failed() <= 4, "{} of 20000 failed", outcome.tally.failed());
    }
}
