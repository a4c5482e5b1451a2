//! Counts per dyno as a rival keeps them, with the error hold.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use dynomesh_core::time::{Span, Time};
use rand::{Rng, RngExt};

use crate::part::Answer;

/// What one router, or a store, counts at each dyno.
pub(super) struct Counts {
    hold: Span,
    counts: Vec<Cell<u32>>,
    /// Failed requests that stay counted, by the end of that.
    held: RefCell<VecDeque<(Time, usize)>>,
}

impl Counts {
    /// Nothing yet, at `dynos` dynos. A failed request stays counted for `hold`.
    pub(super) fn new(dynos: usize, hold: Span) -> Self {
        Counts { hold, counts: vec![Cell::new(0); dynos], held: RefCell::default() }
    }

    /// Ends the holds whose time has passed.
    pub(super) fn lapse(&self, now: Time) {
        let mut held = self.held.borrow_mut();
        while let Some((_, place)) = held.pop_front_if(|(until, _)| *until <= now) {
            self.free(place);
        }
    }

    /// What is counted at a dyno.
    pub(super) fn of(&self, place: usize) -> u32 {
        self.counts[place].get()
    }

    /// Counts a request at a dyno.
    pub(super) fn take(&self, place: usize) {
        self.counts[place].set(self.of(place) + 1);
    }

    fn free(&self, place: usize) {
        self.counts[place].set(self.of(place) - 1);
    }

    /// Ends a counted request.
    pub(super) fn end(&self, place: usize, answer: Answer, now: Time) {
        match answer {
            Answer::Failed if self.hold > Span::ZERO => self.held.borrow_mut().push_back((now + self.hold, place)),
            _ => self.free(place),
        }
    }

    /// For those who are told how busy dynos are and count only what failed.
    pub(super) fn note_failure(&self, place: usize, answer: Answer, now: Time) {
        if answer == Answer::Failed {
            self.take(place);
            self.end(place, answer, now);
        }
    }
}

/// The place with the least `load` of `places`, by chance among equals.
pub(super) fn least(places: usize, load: impl Fn(usize) -> u32, rng: &mut impl Rng) -> usize {
    let (mut least, mut tied) = (u32::MAX, 0);
    for load in (0..places).map(&load) {
        if load < least {
            (least, tied) = (load, 1);
        } else if load == least {
            tied += 1;
        }
    }
    let nth = rng.random_range(0..tied);
    (0..places).filter(|place| load(*place) == least).nth(nth).expect("as many are tied as were counted")
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn a_failed_request_stays_counted_for_the_hold_and_a_served_one_does_not() {
        let (counts, at) = (Counts::new(2, Span::from_secs(1)), |millis| Time::ZERO + Span::from_millis(millis));
        (0..2).for_each(|place| counts.take(place));
        counts.end(0, Answer::Failed, at(100));
        counts.end(1, Answer::Served, at(100));
        counts.note_failure(1, Answer::Served, at(100));
        counts.lapse(at(1_099));
        assert_eq!((counts.of(0), counts.of(1)), (1, 0));
        counts.lapse(at(1_100));
        assert_eq!(counts.of(0), 0);
    }

    #[test]
    fn equals_are_chosen_by_chance_and_others_never() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut chosen = [0; 4];
        (0..3_000).for_each(|_| chosen[least(4, |place| [1, 0, 0, 0][place], &mut rng)] += 1);
        assert!(chosen[0] == 0 && chosen[1..].iter().all(|times| (900..1_100).contains(times)), "{chosen:?}");
    }
}
