//! `routes-alone`: edges and blocks route with the control plane down.
//!
//! Judged second by second of every incident of the kind [`CONTROL_DOWN`] by the idempotent requests that fell due in it. If nothing else
//! was broken, or had been within [`Limits::recovery`], each of them must be answered by the app, unless something breaks that it may have met
//! before it was late; if something was, some of them must be.
//! An answer counts if it came before control did, or took hardly longer than its dyno worked ([`Limits::late`]): one that waited for
//! control to come back shows the opposite. Unknown: seconds without such requests, and the requests that control's return found
//! unanswered and that had not waited for long.

use dynomesh_core::time::{Span, Time};

use super::{Limits, Report};
use crate::history::{Exchange, History, Incident};

/// The kind of an incident in which no replica of the control plane can be reached by the rest of the mesh.
pub const CONTROL_DOWN: &str = "control-down";
/// What is judged as a whole.
const SECOND: Span = Span::from_secs(1);

/// Judges every second in which control was down.
pub fn check(history: &History, limits: &Limits) -> Report {
    let mut report = Report::new("routes-alone");
    let mut asked: Vec<&Exchange> = history.exchanges.iter().filter(|exchange| exchange.is_idempotent()).collect();
    asked.sort_by_key(|exchange| exchange.due);
    let last = asked.iter().map(|exchange| exchange.ended).max().unwrap_or_default();
    for incident in history.incidents.iter().filter(|incident| incident.kind == CONTROL_DOWN) {
        let ended = incident.ended.or(history.ended).unwrap_or(last);
        let mut from = incident.began;
        while from < ended {
            let until = (from + SECOND).min(ended);
            let due = &asked[asked.partition_point(|exchange| exchange.due < from)..asked.partition_point(|exchange| exchange.due < until)];
            let alone = !history.incidents.iter().any(|other| other.kind != CONTROL_DOWN && disturbs(other, from, until, limits));
            let others: Vec<&Incident> = history.incidents.iter().filter(|other| other.kind != CONTROL_DOWN).collect();
            judge(due, ended, alone.then_some(&others), from.since(incident.began), limits, &mut report);
            from = until;
        }
    }
    report
}

fn disturbs(other: &Incident, from: Time, until: Time, limits: &Limits) -> bool {
    other.struck() < until && other.ended.is_none_or(|ended| from < ended + limits.recovery)
}

/// Judges a second; if nothing else was broken in it, with what was later.
fn judge(due: &[&Exchange], ended: Time, alone: Option<&Vec<&Incident>>, second: Span, limits: &Limits, report: &mut Report) {
    let was_answered = |exchange: &Exchange| {
        let at_once = exchange.added().unwrap_or_else(|| exchange.latency()) <= limits.late;
        exchange.ok().is_some() && (exchange.ended <= ended || at_once)
    };
    let (answered, rest): (Vec<&Exchange>, Vec<&Exchange>) = due.iter().partition(|exchange| was_answered(exchange));
    let (open, failed): (Vec<&Exchange>, Vec<&Exchange>) =
        rest.into_iter().partition(|exchange| exchange.ended > ended && exchange.due + limits.late > ended);
    // Beside another fault some must be answered, and those that are open may have been about to be.
    let is_open = answered.is_empty() && !open.is_empty() && alone.is_none();
    if answered.is_empty() && failed.is_empty() || is_open {
        report.unknown += 1;
        return;
    }
    report.judged += 1;
    report.unknown += open.len();
    let met = |exchange: &Exchange, other: &Incident| other.struck() < exchange.ended && other.struck() < exchange.due + limits.late;
    let of = failed.len() + answered.len();
    let lost: Vec<&Exchange> = match alone {
        Some(others) => failed.into_iter().filter(|exchange| !others.iter().any(|other| met(exchange, other))).collect(),
        None if answered.is_empty() => failed,
        None => Vec::new(),
    };
    if let Some(first) = lost.first() {
        report.violations.push(format!("{} of {of} were not answered, {second} after control went down, first {first}", lost.len()));
    }
}

#[cfg(test)]
mod tests {
    use hyper::Method;

    use super::*;
    use crate::history::Outcome;
    use crate::history::invented::{answer, at, exchange};

    /// Control is down from second 10 to 20.
    fn down() -> History {
        let incidents = vec![Incident { ended: Some(at(20_000)), ..Incident::at(CONTROL_DOWN, "control", at(10_000)) }];
        History { incidents, ..History::default() }
    }

    fn asked(mut history: History, due: u64, took: u64, outcome: Outcome) -> History {
        history.exchanges.push(Exchange { due: at(due), begun: at(due), ended: at(due + took), outcome, ..exchange("a") });
        history
    }

    fn ok() -> Outcome {
        Outcome::Ok(answer(None))
    }

    fn failed() -> Outcome {
        Outcome::Failed(answer(Some("no-block")))
    }

    fn judged(history: &History) -> Report {
        check(history, &Limits::default())
    }

    #[test]
    fn answers_in_every_second_are_fine_and_what_is_before_and_after_does_not_count() {
        let mut history = asked(asked(down(), 9_000, 10, failed()), 20_500, 10, failed());
        for second in 10..20 {
            history = asked(history, second * 1_000 + 400, 100, ok());
        }
        let report = judged(&history);
        report.assert_holds();
        assert_eq!((report.judged, report.unknown), (10, 0));
    }

    #[test]
    fn a_request_that_fails_is_a_violation_and_one_that_may_not_be_repeated_is_not() {
        let mut history = asked(asked(down(), 12_000, 10, ok()), 12_500, 10, failed());
        assert_eq!(judged(&history).violations.len(), 1);
        history.exchanges[1].method = Method::POST;
        assert_eq!(judged(&history).violations.len(), 0);
    }

    #[test]
    fn beside_another_fault_some_must_be_answered() {
        let mut history = asked(asked(down(), 12_000, 10, ok()), 12_500, 10, failed());
        history.incidents.push(Incident { ended: Some(at(11_000)), ..Incident::at("kill", "e1", at(10_500)) });
        assert_eq!(judged(&history).violations.len(), 0);
        let silent = asked(history, 14_000, 10, failed());
        assert_eq!(judged(&silent).violations.len(), 1, "a second in which nothing was answered");
        let mut open = asked(silent, 14_500, 1_200, failed());
        open.incidents[0].ended = Some(at(15_600));
        assert_eq!(judged(&open).violations.len(), 0, "one may have been about to be answered when control came back");
    }

    #[test]
    fn what_a_fault_of_the_next_second_broke_is_its_own_affair() {
        let mut history = asked(asked(down(), 12_000, 10, ok()), 12_500, 600, failed());
        history.incidents.push(Incident { ended: Some(at(15_000)), ..Incident::at("kill", "e1", at(13_050)) });
        assert_eq!(judged(&history).violations.len(), 0);
        history.incidents[1].began = at(13_100);
        assert_eq!(judged(&history).violations.len(), 1, "it had failed before");
        history.incidents[1].struck = Some(at(13_099));
        assert_eq!(judged(&history).violations.len(), 0, "it failed while a process was being killed");
        let waited = asked(asked(down(), 12_000, 10, ok()), 12_500, 3_000, failed());
        let later = Incident { ended: Some(at(18_000)), ..Incident::at("kill", "e1", at(15_000)) };
        let history = History { incidents: waited.incidents.into_iter().chain([later]).collect(), ..waited };
        assert_eq!(judged(&history).violations.len(), 1, "it was late before");
    }

    #[test]
    fn an_answer_that_waited_for_control_is_a_violation() {
        assert_eq!(judged(&asked(down(), 15_000, 5_001, ok())).violations.len(), 1);
        assert_eq!(judged(&asked(down(), 19_500, 1_000, ok())).violations.len(), 0);
    }

    #[test]
    fn what_controls_return_found_under_way_is_unknown_and_so_is_a_silent_second() {
        let report = judged(&asked(asked(down(), 19_000, 10, ok()), 19_500, 1_000, failed()));
        assert_eq!((report.judged, report.unknown, report.violations.len()), (1, 10, 0));
    }
}
