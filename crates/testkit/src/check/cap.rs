//! `cap`: requests in flight at a dyno never exceed its `max_conns`, also across failover and moves.
//!
//! Judged at the dyno by what ran there, from a request's arrival to the end of its work, whoever still waited for it: connections
//! prove nothing. The order is that of the journal, so no clock is compared. A new run of the dyno's process has nothing in flight.
//! Unknown: requests whose end was not written when the journal was read.

use std::collections::BTreeMap;

use dynomesh_agent::demo::journal::{Arrival, Event, Line};

use super::Report;
use crate::history::{Diary, History};

/// Judges every dyno of the history by the limit it has there.
pub fn check(history: &History) -> Report {
    let mut report = Report::new("cap");
    for (dyno, diary) in &history.dynos {
        judge(dyno.as_str(), diary, &mut report);
    }
    report
}

fn judge(dyno: &str, diary: &Diary, report: &mut Report) {
    let mut in_flight: BTreeMap<u64, &Arrival> = BTreeMap::new();
    for line in &diary.lines {
        match &line.event {
            Event::Listen { .. } => in_flight.clear(),
            Event::Start(start) => {
                report.judged += 1;
                in_flight.insert(start.n, start);
                if in_flight.len() > diary.max_conns as usize {
                    report.violations.push(told(dyno, diary.max_conns, line, &in_flight));
                }
            }
            Event::End(end) => {
                in_flight.remove(&end.n);
            }
        }
    }
    report.unknown += in_flight.len();
}

fn told(dyno: &str, max: u32, line: &Line, in_flight: &BTreeMap<u64, &Arrival>) -> String {
    let (count, at) = (in_flight.len(), line.boot_ns / 1_000_000);
    let each = |start: &&Arrival| format!("{} {} of {}", start.method, start.path, start.block.as_deref().unwrap_or("no block"));
    let all: Vec<String> = in_flight.values().map(each).collect();
    format!("{dyno} had {count} requests in flight of {max} at {at} ms: {}", all.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_after_the_other_is_fine() {
        let history = History::default().dyno("d", 1).listen("d").start("d", 1, "a", None).end("d", 1).start("d", 2, "b", None);
        let report = check(&history);
        report.assert_holds();
        assert_eq!((report.judged, report.unknown), (2, 1));
    }

    #[test]
    fn two_at_once_at_a_dyno_for_one_is_a_violation() {
        let history = History::default().dyno("d", 1).start("d", 1, "a", None).start("d", 2, "b", None).end("d", 1).end("d", 2);
        assert_eq!(check(&history).violations.len(), 1);
    }

    #[test]
    fn each_dyno_has_its_own_limit() {
        let two = |max| History::default().dyno("d", max).start("d", 1, "a", None).start("d", 2, "b", None);
        check(&two(2)).assert_holds();
        assert_eq!(check(&two(2).start("d", 3, "c", None)).violations.len(), 1);
        check(&two(2).end("d", 1).start("d", 3, "c", None)).assert_holds();
    }

    #[test]
    fn requests_of_different_dynos_are_not_added_up() {
        check(&History::default().dyno("d", 1).dyno("e", 1).start("d", 1, "a", None).start("e", 1, "b", None)).assert_holds();
    }

    #[test]
    fn a_new_process_has_nothing_in_flight() {
        let history = History::default().dyno("d", 1).start("d", 1, "a", None).listen("d").start("d", 1, "b", None);
        check(&history).assert_holds();
    }
}
