//! `at-most-once`: a request that is not idempotent reaches at most one dyno's application, and at most once.
//!
//! Judged by the names that clients gave their requests and dynos wrote down, whatever the clients heard: a request without an answer may
//! have run once, and no more. PUT and DELETE may run again, but only when the run before is over (P23), or the delayed one would undo
//! what came after it; the journals of one machine share a clock, so that is seen over several dynos too, and so is one that begins when its
//! client has its answer already; behind an error, which does not say that nothing runs any more, that is unknown. Safe requests run as often as
//! they like. What a request is, its client says, not the dyno: one that arrives under another method is no other request. A request that no
//! edge took must not have run at all, nor one of which the mesh says so, and an answer of the app to one that no dyno ran was made up.
//! A run that lost its name on the way is found by the number that the edge gave the request.
//! Unknown: requests without a complete answer, runs without a name and without such a number, and whether a run was over whose end its dyno
//! did not live to write. The history holds the journals of all dynos.

use std::collections::HashMap;

use hyper::Method;

use super::Report;
use super::runs::{self, Run};
use crate::history::{Exchange, History, Outcome};

/// How often a request may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Often {
    Once,
    OneAfterTheOther,
    Any,
}

/// Errors of the mesh that say that no dyno saw the request.
const UNSEEN: [&str; 6] = ["no-block", "no-dyno", "no-leader", "not-dispatched", "overloaded", "unknown-host"];

/// Judges every request of the history that is not safe.
pub fn check(history: &History) -> Report {
    let mut report = Report::new("at-most-once");
    let asked: HashMap<&str, &Method> = history.exchanges.iter().map(|exchange| (exchange.key.as_str(), &exchange.method)).collect();
    let all = runs::all(history);
    let names: HashMap<&str, &str> = all.iter().filter_map(|run| Some((run.number()?, run.key()?))).collect();
    let often = |run: &Run<'_>| {
        let asked = name(run, &names).and_then(|key| asked.get(key).copied());
        how_often(asked.map_or(run.start.method.as_str(), Method::as_str))
    };
    let mut by_key: HashMap<&str, Vec<Run<'_>>> = HashMap::new();
    for run in all.iter().copied().filter(|run| often(run) != Often::Any) {
        match name(&run, &names) {
            Some(key) => by_key.entry(key).or_default().push(run),
            None => report.unknown += 1,
        }
    }
    let mut again: Vec<(&str, &mut Vec<Run<'_>>)> =
        by_key.iter_mut().filter(|(_, runs)| runs.len() > 1).map(|(key, runs)| (*key, runs)).collect();
    again.sort_unstable_by_key(|(key, _)| *key);
    for (key, runs) in again {
        let often = often(&runs[0]);
        judge_again(key, runs, often, &mut report);
    }
    for exchange in history.exchanges.iter().filter(|exchange| how_often(exchange.method.as_str()) != Often::Any) {
        let ran = by_key.contains_key(exchange.key.as_str());
        let late = by_key.get(exchange.key.as_str()).into_iter().flatten().find(|run| run.began > exchange.ended);
        let is_told = match exchange.outcome {
            Outcome::Ok(_) | Outcome::Refused => true,
            Outcome::Failed(_) => late.is_none(),
            Outcome::Unknown(_) => false,
        };
        (report.judged, report.unknown) = (report.judged + usize::from(is_told), report.unknown + usize::from(!is_told));
        if let (Outcome::Ok(_), Some(late)) = (&exchange.outcome, late) {
            let (Exchange { method, key, ended, .. }, dyno) = (exchange, late.dyno);
            report.violations.push(format!("{method} {key} began at {dyno} {} after its client had the answer", late.began.since(*ended)));
        }
        match &exchange.outcome {
            Outcome::Ok(_) if !ran => report.violations.push(format!("{} was answered and never ran", exchange.key)),
            Outcome::Refused if ran => report.violations.push(format!("{} ran and was never sent", exchange.key)),
            Outcome::Failed(answer) if ran && answer.header("x-dynomesh-error").is_some_and(|code| UNSEEN.contains(&code)) => {
                let code = answer.header("x-dynomesh-error").unwrap_or_default();
                report.violations.push(format!("{} ran, and its client was told `{code}`", exchange.key));
            }
            Outcome::Ok(_) | Outcome::Failed(_) | Outcome::Refused | Outcome::Unknown(_) => {}
        }
    }
    report
}

/// The name of the request of a run: its own, or that of another run of the same number.
fn name<'a>(run: &Run<'a>, names: &HashMap<&'a str, &'a str>) -> Option<&'a str> {
    run.key().or_else(|| names.get(run.number()?).copied())
}

fn judge_again(key: &str, runs: &mut [Run<'_>], often: Often, report: &mut Report) {
    runs.sort_by_key(|run| run.began);
    if often == Often::Once {
        let dynos: Vec<&str> = runs.iter().map(|run| run.dyno).collect();
        report.violations.push(format!("{key} ran {} times, at {}", dynos.len(), dynos.join(" and ")));
        return;
    }
    for pair in runs.windows(2) {
        let [first, next] = pair else { continue };
        match first.end {
            Some((_, ended)) if ended > next.began => {
                let method = &first.start.method;
                report.violations.push(format!("{method} {key} ran at {} before it was over at {}", next.dyno, first.dyno));
            }
            Some(_) => {}
            None => report.unknown += 1,
        }
    }
}

/// By RFC 9110.
fn how_often(method: &str) -> Often {
    let is = |known: &[Method]| known.iter().any(|known| known == method);
    if is(&[Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE]) {
        Often::Any
    } else if is(&[Method::PUT, Method::DELETE]) {
        Often::OneAfterTheOther
    } else {
        Often::Once
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::invented::answer;

    fn ok() -> Outcome {
        Outcome::Ok(answer(None))
    }

    fn two_dynos() -> History {
        History::default().dyno("d", 1).dyno("e", 1)
    }

    #[test]
    fn a_request_that_ran_once_is_fine_whatever_its_client_saw() {
        let history = two_dynos().start("d", 1, "a", None).start("e", 1, "b", None).start("d", 2, "c", None);
        let history = history.asked(Method::POST, "a", ok()).asked(Method::POST, "b", Outcome::Unknown("reset".into()));
        let history = history.asked(Method::PATCH, "c", Outcome::Failed(answer(Some("dyno-failed"))));
        let report = check(&history);
        report.assert_holds();
        assert_eq!((report.judged, report.unknown), (2, 1));
    }

    #[test]
    fn a_request_that_ran_twice_is_a_violation_at_one_dyno_or_at_two() {
        let once = two_dynos().start("d", 1, "a", None).asked(Method::POST, "a", ok());
        assert_eq!(check(&once.clone().start("e", 1, "a", None)).violations, ["a ran 2 times, at d and e"]);
        assert_eq!(check(&once.start("d", 2, "a", None)).violations.len(), 1);
    }

    #[test]
    fn also_one_whose_outcome_nobody_knows_runs_only_once() {
        for outcome in [Outcome::Unknown("reset".into()), Outcome::Failed(answer(Some("dyno-failed")))] {
            let history = two_dynos().start("d", 1, "a", None).start("e", 1, "a", None).asked(Method::POST, "a", outcome);
            assert_eq!(check(&history).violations, ["a ran 2 times, at d and e"]);
        }
        assert_eq!(check(&two_dynos().start("d", 1, "a", None).start("e", 1, "a", None)).violations.len(), 1, "nobody asked");
    }

    #[test]
    fn an_answer_out_of_nothing_is_a_violation_and_so_is_a_run() {
        assert_eq!(check(&two_dynos().asked(Method::POST, "a", ok())).violations, ["a was answered and never ran"]);
        let unknown = check(&two_dynos().asked(Method::POST, "a", Outcome::Unknown("reset".into())));
        assert_eq!((unknown.judged, unknown.unknown, unknown.violations.len()), (0, 1, 0));
        let refused = two_dynos().asked(Method::POST, "a", Outcome::Refused);
        check(&refused).assert_holds();
        assert_eq!(check(&refused.start("d", 1, "a", None)).violations, ["a ran and was never sent"]);
    }

    #[test]
    fn one_that_arrives_as_another_method_is_still_what_its_client_asked() {
        let history = two_dynos().asks("d", 1, "GET", "a", 10..20).asks("e", 1, "GET", "a", 30..40);
        assert_eq!(check(&history.asked(Method::POST, "a", ok())).violations, ["a ran 2 times, at d and e"]);
    }

    #[test]
    fn one_that_ran_must_not_be_called_unseen() {
        for code in UNSEEN {
            let told = || two_dynos().asked(Method::PUT, "a", Outcome::Failed(answer(Some(code))));
            check(&told()).assert_holds();
            let ran = told().asks("d", 1, "PUT", "a", 10..20);
            assert_eq!(check(&ran).violations, [format!("a ran, and its client was told `{code}`")]);
        }
    }

    #[test]
    fn a_put_may_run_again_when_the_first_run_is_over() {
        let over = two_dynos().asks("d", 1, "PUT", "a", 10..20).asks("e", 1, "PUT", "a", 20..30).asked(Method::PUT, "a", ok());
        check(&over).assert_holds();
        let both = two_dynos().asks("d", 1, "PUT", "a", 10..25).asks("e", 1, "PUT", "a", 20..30).asked(Method::PUT, "a", ok());
        assert_eq!(check(&both).violations, ["PUT a ran at e before it was over at d"]);
        let died = two_dynos().start_at("d", 10, |start| (start.method, start.key) = ("DELETE".into(), Some("a".into())));
        let died = died.asks("e", 1, "DELETE", "a", 20..30).asked(Method::DELETE, "a", ok());
        let report = check(&died);
        report.assert_holds();
        assert_eq!(report.unknown, 1, "nobody knows when a dyno died");
    }

    #[test]
    fn a_put_that_begins_behind_its_own_answer_undoes_what_came_since() {
        let asked = |ms| two_dynos().asks("d", 1, "PUT", "a", 10..20).asks("e", 1, "PUT", "a", ms..ms + 10);
        check(&asked(990).asked(Method::PUT, "a", ok())).assert_holds();
        let late = check(&asked(1_500).asked(Method::PUT, "a", ok()));
        assert_eq!(late.violations, ["PUT a began at e 500ms after its client had the answer"]);
        let unheard = asked(1_500).asked(Method::PUT, "a", Outcome::Unknown("reset".into()));
        assert!(check(&unheard).violations.is_empty(), "its client does not count on anything");
        let failed = |ms| check(&asked(ms).asked(Method::PUT, "a", Outcome::Failed(answer(Some("outcome-unknown")))));
        assert_eq!([failed(990).unknown, failed(1_500).unknown, failed(1_500).judged], [0, 1, 0], "an error is no word that all is over");
    }

    #[test]
    fn safe_requests_run_as_often_as_they_like() {
        let twice = two_dynos().asks("d", 1, "GET", "a", 10..30).asks("e", 1, "GET", "a", 20..30).asked(Method::GET, "a", ok());
        let report = check(&twice.start("d", 2, "b", None).asked(Method::POST, "b", ok()));
        report.assert_holds();
        assert_eq!(report.judged, 1);
    }

    #[test]
    fn a_request_without_a_name_is_unknown() {
        let report = check(&two_dynos().start("d", 1, "", None));
        assert_eq!((report.unknown, report.violations.len()), (1, 0));
    }

    #[test]
    fn a_run_that_lost_its_name_is_found_by_its_number() {
        let numbered = |history: History, dyno: &str, key: Option<&str>| {
            history.start_at(dyno, 10, |start| {
                (start.method, start.key, start.request) = ("POST".into(), key.map(str::to_owned), Some("n1".into()));
            })
        };
        let once = numbered(two_dynos().asked(Method::POST, "a", ok()), "d", Some("a"));
        check(&once).assert_holds();
        assert_eq!(check(&numbered(once, "e", None)).violations, ["a ran 2 times, at d and e"]);
        assert_eq!(check(&numbered(two_dynos(), "e", None)).unknown, 1, "nobody named it");
    }
}
