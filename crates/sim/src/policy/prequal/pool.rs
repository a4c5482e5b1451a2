//! The probes that a router keeps, and the hot-cold lexicographic rule.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::VecDeque;

use dynomesh_core::time::{Span, Time};

/// Probes whose requests in flight tell which are many.
const LATELY: usize = 128;

/// With fewer probes nothing is chosen.
const PROBES_MIN: usize = 2;

/// What a dyno answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Probe {
    pub(super) place: usize,
    pub(super) requests: u32,
    pub(super) latency: Span,
    pub(super) at: Time,
    /// How often it may still be chosen.
    pub(super) uses: u32,
}

/// See the module's doc.
pub(super) struct Pool {
    size: usize,
    age_max: Span,
    cold: f64,
    /// The oldest first.
    probes: RefCell<Vec<Probe>>,
    lately: RefCell<VecDeque<u32>>,
    worst_is_next: Cell<bool>,
}

/// The order in which probes are chosen: cold ones by latency, then hot ones by requests.
type Rank = (bool, u64);

impl Pool {
    /// Room for `size` probes, but at least two; the share `cold` of dyno states with the fewest requests is cold.
    pub(super) fn new(size: usize, age_max: Span, cold: f64) -> Self {
        let (probes, lately) = (RefCell::default(), RefCell::default());
        Pool { size: size.max(PROBES_MIN), age_max, cold, probes, lately, worst_is_next: Cell::new(false) }
    }

    /// Takes in an answer.
    pub(super) fn insert(&self, probe: Probe) {
        self.forget(probe.place);
        let (mut probes, mut lately) = (self.probes.borrow_mut(), self.lately.borrow_mut());
        if probes.len() == self.size {
            probes.remove(0);
        }
        probes.push(probe);
        if lately.len() == LATELY {
            lately.pop_front();
        }
        lately.push_back(probe.requests);
    }

    /// Removes what is known of a dyno.
    pub(super) fn forget(&self, place: usize) {
        self.probes.borrow_mut().retain(|probe| probe.place != place);
    }

    /// Chooses a dyno; `None` if too little is known.
    pub(super) fn choose(&self, now: Time) -> Option<usize> {
        let most = self.most_of_cold();
        let mut probes = self.probes.borrow_mut();
        probes.retain(|probe| now.since(probe.at) <= self.age_max);
        if probes.len() < PROBES_MIN {
            return None;
        }
        let (best, _) = probes.iter().enumerate().min_by_key(|(_, probe)| (probe.rank(most), Reverse(probe.at)))?;
        let chosen = &mut probes[best];
        let place = chosen.place;
        chosen.requests += 1;
        chosen.uses -= 1;
        if chosen.uses == 0 {
            probes.remove(best);
        }
        Some(place)
    }

    /// Removes a probe that has become old, or bad: the oldest and the worst by turns.
    pub(super) fn remove(&self) {
        let most = self.most_of_cold();
        let mut probes = self.probes.borrow_mut();
        if probes.is_empty() {
            return;
        }
        let worst = probes.iter().enumerate().max_by_key(|(_, probe)| probe.rank(most)).map_or(0, |(place, _)| place);
        probes.remove(if self.worst_is_next.get() { worst } else { 0 });
        self.worst_is_next.set(!self.worst_is_next.get());
    }

    /// The most requests that a cold dyno has; `None` if none is cold.
    fn most_of_cold(&self) -> Option<u32> {
        if self.cold >= 1.0 {
            return Some(u32::MAX);
        }
        let mut lately: Vec<u32> = self.lately.borrow().iter().copied().collect();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank within a short list")]
        let rank = (lately.len() as f64 * self.cold).ceil() as usize;
        (rank > 0).then(|| *lately.select_nth_unstable(rank - 1).1)
    }
}

impl Probe {
    fn rank(&self, most_of_cold: Option<u32>) -> Rank {
        let cold = most_of_cold.is_some_and(|most| self.requests <= most);
        (!cold, if cold { self.latency.as_nanos() } else { u64::from(self.requests) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(place: usize, requests: u32, millis: u64) -> Probe {
        Probe { place, requests, latency: Span::from_millis(millis), at: Time::ZERO, uses: 9 }
    }

    fn pool(cold: f64, probes: &[Probe]) -> Pool {
        let pool = Pool::new(4, Span::from_secs(1), cold);
        probes.iter().for_each(|probe| pool.insert(*probe));
        pool
    }

    #[test]
    fn cold_dynos_go_by_latency_and_hot_ones_by_requests() {
        let probes = [probe(0, 1, 30), probe(1, 2, 20), probe(2, 9, 10)];
        assert_eq!(pool(0.5, &probes).choose(Time::ZERO), Some(1), "the hot one would be the quickest");
        assert_eq!(pool(0.0, &probes).choose(Time::ZERO), Some(0), "all are hot");
        assert_eq!(pool(1.0, &probes).choose(Time::ZERO), Some(2), "all are cold");
    }

    #[test]
    fn probes_are_forgotten_when_they_are_old_used_up_or_pushed_out() {
        let kept = pool(0.0, &[probe(0, 0, 1), probe(1, 1, 1), probe(2, 2, 1), probe(3, 3, 1), probe(4, 4, 1)]);
        assert_eq!(kept.choose(Time::ZERO), Some(1), "the pool had room for four");
        assert_eq!(kept.choose(Time::ZERO + Span::from_secs(2)), None);
        let once = pool(0.0, &[Probe { uses: 1, ..probe(0, 0, 1) }, probe(1, 5, 1), probe(2, 6, 1)]);
        assert_eq!((once.choose(Time::ZERO), once.choose(Time::ZERO)), (Some(0), Some(1)));
    }

    #[test]
    fn the_oldest_and_the_worst_are_removed_by_turns() {
        let pool = pool(0.0, &[probe(0, 0, 1), probe(1, 9, 1), probe(2, 2, 1), probe(3, 3, 1)]);
        pool.remove();
        pool.remove();
        let left: Vec<usize> = pool.probes.borrow().iter().map(|probe| probe.place).collect();
        assert_eq!(left, [2, 3]);
    }
}
