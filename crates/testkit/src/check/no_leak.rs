//! `no-leak`: when load ends, every slot is free.
//!
//! A slot that was never freed is one that is never granted again. So the harness sends more requests at once than there are slots, after
//! the load has ended and every fault is healed, once or several times, and this checker asks whether every dyno was used to its limit in
//! one of these bursts. It does not ask the mesh for its own count, which may be wrong in the same way. Dynos that the census says are not
//! meant to serve are left out, those that it does not list are not. Unknown: requests of the bursts that were not answered, since they may have been meant for the missing
//! slot.

use std::collections::BTreeSet;

use dynomesh_agent::demo::journal::Event;
use dynomesh_core::time::Time;

use super::Report;
use crate::history::{Burst, Diary, History, Outcome};

/// Judges every dyno that is meant to serve. A history without bursts is one burst as a whole ([`History::since`]).
pub fn check(history: &History) -> Report {
    let whole = [Burst { began: Time::ZERO, ended: Time::FAR }];
    let bursts = if history.bursts.is_empty() { &whole } else { history.bursts.as_slice() };
    let mut report = Report::new("no-leak");
    for exchange in history.exchanges.iter().filter(|exchange| bursts.iter().any(|burst| is_within(exchange.begun, burst))) {
        let told = if matches!(exchange.outcome, Outcome::Ok(_)) { &mut report.judged } else { &mut report.unknown };
        *told += 1;
    }
    let serves = |dyno: &&str| {
        let listed = history.census.as_ref().map(|census| census.dynos.iter().find(|listed| listed.dyno.as_str() == *dyno));
        listed.flatten().is_none_or(|listed| listed.serves)
    };
    for (dyno, diary) in history.dynos.iter().filter(|(dyno, _)| serves(&dyno.as_str())) {
        let used = bursts.iter().map(|burst| used_at_once(diary, burst)).max().unwrap_or(0);
        if used < diary.max_conns {
            report.violations.push(format!("{dyno} was given {used} of {} requests at once", diary.max_conns));
        }
    }
    report
}

fn is_within(at: Time, burst: &Burst) -> bool {
    burst.began <= at && at <= burst.ended
}

/// Most requests that ran at once in the burst, of those that began in it.
fn used_at_once(diary: &Diary, burst: &Burst) -> u32 {
    let mut running = BTreeSet::new();
    let mut most = 0;
    for line in diary.lines.iter().filter(|line| is_within(Time::from_nanos(line.boot_ns), burst)) {
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
    use dynomesh_core::id::DynoId;
    use hyper::Method;

    use super::*;
    use crate::history::invented::{answer, at};
    use crate::history::{Census, Listed};

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

    #[test]
    fn only_bursts_count_and_each_dyno_must_be_full_in_one() {
        let mut history = History::default().dyno("d", 2).asked(Method::GET, "a", Outcome::Ok(answer(None)));
        let starts = |history: History, n: u64, ms| history.start_at("d", ms, |start| start.n = n);
        history = starts(starts(history, 1, 0), 2, 10).end_at("d", 1, 20, |_| ()).end_at("d", 2, 30, |_| ());
        history = starts(history, 3, 100).end_at("d", 3, 120, |_| ());
        check(&history).assert_holds();
        history.exchanges[0].begun = at(100);
        history.bursts = vec![Burst { began: at(90), ended: at(130) }];
        assert_eq!(check(&history).violations, ["d was given 1 of 2 requests at once"]);
        history.bursts.push(Burst { began: at(0), ended: at(50) });
        check(&history).assert_holds();
    }

    #[test]
    fn a_dyno_that_is_not_meant_to_serve_is_left_out() {
        let mut history = burst().start("e", 1, "b", None).start("e", 2, "c", None);
        let listed = |dyno: &str, serves| Listed { dyno: DynoId::new(dyno).unwrap(), serves, ..Listed::default() };
        history.census = Some(Census { at: at(0), dynos: vec![listed("d", false), listed("e", true)] });
        check(&history).assert_holds();
        history.census.as_mut().unwrap().dynos.remove(0);
        assert_eq!(check(&history).violations, ["d was given 0 of 1 requests at once"], "a forgotten dyno has leaked its slots");
    }
}
