//! What even the best router would make requests wait, once slots are gone.
//!
//! A dead block takes its dynos with it, and those that are left have more to do: that their queues are longer is of the load, not of the
//! mesh. How much longer at least is found by playing the very same requests in a single queue before all slots, which no router of several
//! queues can better: once with the slots that there were, and once with those that are left.

use dynomesh_core::time::{Span, Time};
use dynomesh_testkit::history::Exchange;

use super::recovery::percentile;
use crate::workload::rounds::ROUND;

/// So many times the requests of a round are played before they are looked at: a queue needs that long to be as long as it gets.
const BEFORE: u64 = 3;

/// When a request is due within its round, and the work of its dyno.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Work {
    pub(super) due: Span,
    pub(super) service: Span,
}

impl Work {
    /// The requests of the round that began at `from`.
    pub(super) fn of(all: &[&Exchange], from: Time) -> Vec<Self> {
        let one = |exchange: &&Exchange| {
            let service = exchange.latency() - exchange.added()?;
            (from..from + ROUND).contains(&exchange.due).then(|| Work { due: exchange.due.since(from), service })
        };
        let mut works: Vec<Work> = all.iter().filter_map(one).collect();
        works.sort_by_key(|work| work.due);
        works
    }
}

/// By how much the 99th percentile of waits grows at least, with `left` of `all` slots.
pub(super) fn more(round: &[Work], all: u32, left: u32) -> Span {
    let (before, now) = (wait(round, all), wait(round, left));
    now - before.min(now)
}

/// The 99th percentile of waits in one queue, first come first served, when a round comes again and again.
fn wait(round: &[Work], slots: u32) -> Span {
    if slots == 0 {
        return Span::ZERO;
    }
    let mut free = vec![Span::ZERO; slots as usize];
    let mut waits = Vec::new();
    for n in 0..=BEFORE {
        for work in round {
            let due = ROUND.times(n) + work.due;
            let slot = free.iter_mut().min().expect("there is one");
            let begun = due.max(*slot);
            *slot = begun + work.service;
            if n == BEFORE {
                waits.push(begun - due);
            }
        }
    }
    waits.sort();
    percentile(&waits, 99)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{at, get};
    use super::*;

    /// So many requests a round, evenly, of a tenth of a second each.
    fn even(requests: u64) -> Vec<Work> {
        (0..requests).map(|n| Work { due: ROUND.times(n).over(requests), service: Span::from_millis(100) }).collect()
    }

    #[test]
    fn nobody_waits_where_there_is_room_and_all_do_where_there_is_none() {
        assert_eq!(wait(&even(60), 1), Span::ZERO, "each is done when the next comes");
        assert_eq!(more(&even(60), 2, 1), Span::ZERO);
        // Twice as many as one slot can do: it is a round behind after each.
        let behind = ROUND.times(BEFORE + 1);
        let waits = wait(&even(120), 1);
        assert!(waits > ROUND.times(BEFORE) && waits < behind, "{waits}");
        assert_eq!(more(&even(120), 2, 1), waits);
        assert_eq!(more(&even(120), 1, 2), Span::ZERO, "more slots are no excuse");
        assert_eq!(wait(&[], 1), Span::ZERO);
    }

    #[test]
    fn the_work_of_a_request_is_what_its_dyno_says() {
        let all = [get(900, 50), get(1_000, 50), get(6_999, 200), get(7_000, 50)];
        let all: Vec<&Exchange> = all.iter().collect();
        let work = |due| Work { due: Span::from_millis(due), service: Span::from_millis(10) };
        assert_eq!(Work::of(&all, at(1_000)), [work(0), work(5_999)]);
    }
}
