//! When each fault of a run begins and ends. Pure: the same scenario and seed give the same schedule.

use dynomesh_core::time::Span;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{Drawn, Scenario, Timed};
use crate::fault::Spec;

/// A fault with its times from the end of the warm-up.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    pub(crate) begins: Span,
    pub(crate) ends: Span,
    pub(crate) what: Spec,
    /// It was drawn by the seed, and so may find nothing left to strike.
    pub(crate) is_drawn: bool,
}

/// All faults of a run, by when they begin.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Schedule {
    pub(crate) events: Vec<Event>,
}

// === impl Schedule ===

impl Schedule {
    /// The schedule of a scenario for a seed.
    pub(crate) fn new(scenario: &Scenario, seed: u64) -> Self {
        let mut events: Vec<Event> = scenario.fault.iter().flat_map(Timed::events).collect();
        if let Some(drawn) = &scenario.drawn {
            events.extend(drawn.events(&mut StdRng::seed_from_u64(seed)));
        }
        events.sort_by_key(|event| event.begins);
        Schedule { events }
    }
}

impl Timed {
    fn events(&self) -> Vec<Event> {
        let nth = |n: u32| {
            let begins = self.at + self.every.times(n.into());
            Event { begins, ends: begins + self.lasts, what: self.what.clone(), is_drawn: false }
        };
        (0..self.times).map(nth).collect()
    }
}

impl Drawn {
    fn events(&self, rng: &mut StdRng) -> Vec<Event> {
        let mut events: Vec<Event> = Vec::new();
        let mut free = Span::ZERO;
        for _ in 0..self.count {
            if self.from.is_empty() {
                break;
            }
            let what = self.from[rng.random_range(0..self.from.len())].clone();
            let drawn = between(self.lasts.over(5), self.lasts, rng);
            let lasts = if what.is_felt_late() { self.lasts } else { drawn };
            let gap = between(Span::ZERO, self.gap, rng);
            let overlaps = rng.random::<f64>() < self.overlap;
            let begins = match events.last() {
                Some(last) if overlaps && last.what.may_overlap() && what.may_overlap() => last.begins + last.ends_after().over(2),
                _ => free + gap,
            };
            free = free.max(begins + lasts);
            events.push(Event { begins, ends: begins + lasts, what, is_drawn: true });
        }
        events
    }
}

impl Event {
    fn ends_after(&self) -> Span {
        self.ends - self.begins
    }
}

fn between(least: Span, most: Span, rng: &mut StdRng) -> Span {
    // Whole milliseconds, so that what a report tells is what was done.
    Span::from_millis(rng.random_range(least.as_millis()..=most.as_millis().max(least.as_millis())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        title = "drawn"
        [[workload]]
        kind = "mixed"
        load = 0.5
        [drawn]
        count = 30
        gap = "2s"
        lasts = "4s"
        overlap = 0.3
        from = [{ kind = "kill", target = "leader of any" }, { kind = "freeze", target = "edge" }, { kind = "disk-full", target = "b1-1", size = "96m" }]
    "#;

    #[test]
    fn a_seed_gives_one_schedule_and_another_gives_another() {
        let scenario = Scenario::read("drawn", TEXT).unwrap();
        let schedule = Schedule::new(&scenario, 7);
        assert_eq!(schedule, Schedule::new(&scenario, 7));
        assert_ne!(schedule, Schedule::new(&scenario, 8));
        assert_eq!(schedule.events.len(), 30);
        assert!(schedule.events.iter().all(|event| event.is_drawn));
        assert!(schedule.events.is_sorted_by_key(|event| event.begins));
        let lasts = |event: &Event| event.ends - event.begins;
        assert!(schedule.events.iter().all(|event| (Span::from_millis(800)..=Span::from_secs(4)).contains(&lasts(event))));
        let mut full = schedule.events.iter().filter(|event| event.what.is_felt_late()).peekable();
        assert!(full.peek().is_some() && full.all(|event| lasts(event) == Span::from_secs(4)));
        assert!(schedule.events.windows(2).any(|pair| pair[1].begins < pair[0].ends), "none overlap");
    }

    #[test]
    fn a_fault_comes_as_often_as_it_is_told() {
        let text = "title = \"t\"\n[[workload]]\nkind = \"mixed\"\nload = 0.5\n[[fault]]\nkind = \"kill\"\ntarget = \"edge\"\nat = \"1s\"\nfor = \"2s\"\ntimes = 3\nevery = \"5s\"";
        let schedule = Schedule::new(&Scenario::read("t", text).unwrap(), 1);
        let begins: Vec<u64> = schedule.events.iter().map(|event| event.begins.as_millis()).collect();
        assert_eq!(begins, [1_000, 6_000, 11_000]);
        assert!(schedule.events.iter().all(|event| !event.is_drawn));
    }
}
