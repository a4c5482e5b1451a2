//! `no-leak`: when load ends, every slot is free.
//!
//! A slot that was never freed is one that is never granted again. So the test sends more requests at once than there are slots, after
//! the load has ended, and this checker asks whether every dyno was used to its limit. It does not ask the mesh for its own count,
//! which may be wrong in the same way. Unknown: requests that were not answered, since they may have been meant for the missing slot.

use dynomesh_agent::demo::journal::Event;

use super::Report;
use crate::history::{Diary, History, Outcome};

/// Judges every dyno by a history that holds nothing but the burst ([`History::since`]).
pub fn check(burst: &History) -> Report {
    let mut report = Report::new("no-leak");
    report.judged = burst.exchanges.len();
    report.unknown = burst.exchanges.iter().filter(|exchange| !matches!(exchange.outcome, Outcome::Ok(_))).count();
    for (dyno, diary) in &burst.dynos {
        let used = used_at_once(diary);
        if used < diary.max_conns {
            report.violations.push(format!("{dyno} was given {used} of {} requests at once", diary.max_conns));
        }
    }
    report
}

fn used_at_once(diary: &Diary) -> u32 {
    let mut running = std::collections::BTreeSet::new();
    let mut most = 0;
    for line in &diary.lines {
        match &line.event {
            Event::Listen { .. } => running.clear(),
            Event::End(end) => {
                running.remove(&end.n);
            }
            Event::Start(start) => {
                running.insert(start.n);
                most = most.max(running.len());
            }
        }
    }
    u32::try_from(most).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use hyper::Method;

    use super::*;
    use crate::history::invented::answer;

    fn burst() -> History {
        let ok = || Outcome::Ok(answer(None));
        History::default().dyno("d", 1).dyno("e", 2).asked(Method::GET, "a", ok()).asked(Method::GET, "b", ok()).asked(
            Method::GET,
            "c",
            ok(),
        )
    }

    #[test]
    fn every_slot_used_is_fine() {
        let history = burst().start("d", 1, "a", None).start("e", 1, "b", None).start("e", 2, "c", None).end("d", 1).end("e", 1);
        check(&history).assert_holds();
    }

    #[test]
    fn a_dyno_that_is_never_used_has_leaked_its_slot() {
        let history = burst().start("e", 1, "b", None).start("e", 2, "c", None);
        assert_eq!(check(&history).violations, ["d was given 0 of 1 requests at once"]);
    }

    #[test]
    fn one_of_two_slots_is_a_leak_though_the_dyno_is_used() {
        let history = burst().start("d", 1, "a", None).start("e", 1, "b", None).end("e", 1).start("e", 2, "c", None);
        assert_eq!(check(&history).violations, ["e was given 1 of 2 requests at once"]);
    }

    #[test]
    fn requests_without_an_answer_are_told() {
        let history = burst().asked(Method::GET, "x", Outcome::Refused);
        assert_eq!(check(&history).unknown, 1);
    }
}
