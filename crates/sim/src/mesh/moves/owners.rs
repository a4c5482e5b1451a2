//! Who owns which dyno, as nobody in a mesh can see it: for how long a dyno had two owners, or none.

use std::cell::{Cell, RefCell};

use dynomesh_core::time::{Span, Time};

use crate::workload::Outcome;

/// See the module's doc.
#[derive(Debug)]
pub(in crate::mesh) struct Owners {
    dynos: RefCell<Vec<Owned>>,
    sums: Cell<Sums>,
    moves: Cell<u64>,
}

/// One dyno.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owned {
    /// Blocks that own it.
    pub(super) owners: u32,
    /// Those of them that give it no new requests.
    pub(super) draining: u32,
    since: Time,
}

/// Times of all dynos together.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    double: Span,
    unowned: Span,
    draining: Span,
}

impl Owners {
    /// Each of `dynos` has one owner.
    pub(super) fn new(dynos: usize) -> Self {
        let one = Owned { owners: 1, draining: 0, since: Time::ZERO };
        Owners { dynos: RefCell::new(vec![one; dynos]), sums: Cell::default(), moves: Cell::new(0) }
    }

    /// A move was decided.
    pub(super) fn moved(&self) {
        self.moves.set(self.moves.get() + 1);
    }

    /// Something changes about the owners of the dyno at `place`.
    pub(super) fn change(&self, now: Time, place: usize, change: impl FnOnce(&mut Owned)) {
        let dyno = &mut self.dynos.borrow_mut()[place];
        self.sums.set(dyno.added_to(self.sums.get(), now));
        dyno.since = now;
        change(dyno);
    }

    /// Puts what was seen into the outcome of a run.
    pub(in crate::mesh) fn note(&self, outcome: &mut Outcome) {
        let (dynos, end) = (self.dynos.borrow(), Time::ZERO + outcome.length);
        let sums = dynos.iter().fold(self.sums.get(), |sums, dyno| dyno.added_to(sums, end));
        let all = outcome.length.as_secs_f64() * dynos.len() as f64;
        let still = |wanted: fn(&Owned) -> bool| dynos.iter().filter(|dyno| wanted(dyno)).count() as f64;
        outcome.note("moves", self.moves.get() as f64);
        outcome.note("double_owned", sums.double.as_secs_f64() / all);
        outcome.note("unowned", sums.unowned.as_secs_f64() / all);
        outcome.note("draining", sums.draining.as_secs_f64() / all);
        outcome.note("still_double", still(|dyno| dyno.owners > 1));
        outcome.note("still_unowned", still(|dyno| dyno.owners == 0));
    }
}

impl Owned {
    /// `sums` with the time from the last change to `now`.
    fn added_to(self, mut sums: Sums, now: Time) -> Sums {
        let span = now.since(self.since);
        let sum = match self.owners {
            0 => &mut sums.unowned,
            1 if self.draining == 1 => &mut sums.draining,
            1 => return sums,
            _ => &mut sums.double,
        };
        *sum = *sum + span;
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_counted_by_what_a_dyno_had_for_owners() {
        let (owners, at) = (Owners::new(2), |secs| Time::ZERO + Span::from_secs(secs));
        owners.change(at(1), 0, |dyno| dyno.owners += 1);
        owners.change(at(2), 0, |dyno| dyno.owners -= 1);
        owners.change(at(2), 1, |dyno| dyno.draining += 1);
        owners.change(at(4), 1, |dyno| (dyno.owners, dyno.draining) = (0, 0));
        let mut outcome = Outcome { length: Span::from_secs(10), ..Outcome::default() };
        owners.note(&mut outcome);
        let values: Vec<f64> = outcome.notes.iter().map(|(_, value)| *value).collect();
        assert_eq!(values, [0.0, 0.05, 0.3, 0.1, 0.0, 1.0]);
    }
}
