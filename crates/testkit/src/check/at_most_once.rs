//! `at-most-once`: a request that is not idempotent reaches at most one dyno's application, and at most once.
//!
//! Judged by the names that clients gave their requests and dynos wrote down. It also refuses an answer of the app to a request that
//! no dyno ran: somebody made it up. Unknown: requests without a complete answer, which may have run once or not at all, and requests
//! without a name that a dyno ran.

use std::collections::BTreeMap;

use dynomesh_agent::demo::journal::Event;
use hyper::Method;

use super::Report;
use crate::history::{History, Outcome};

/// Judges every request of the history whose method is neither safe nor idempotent. The history holds the journals of all dynos.
pub fn check(history: &History) -> Report {
    let mut report = Report::new("at-most-once");
    let mut runs: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (dyno, diary) in &history.dynos {
        for line in &diary.lines {
            let Event::Start(start) = &line.event else { continue };
            match &start.key {
                _ if repeatable(&start.method) => {}
                Some(key) => runs.entry(key).or_default().push(dyno.as_str()),
                None => report.unknown += 1,
            }
        }
    }
    for (key, dynos) in runs.iter().filter(|(_, dynos)| dynos.len() > 1) {
        report.violations.push(format!("{key} ran {} times, at {}", dynos.len(), dynos.join(" and ")));
    }
    for exchange in history.exchanges.iter().filter(|exchange| !repeatable(exchange.method.as_str())) {
        report.judged += 1;
        let ran = runs.contains_key(exchange.key.as_str());
        match &exchange.outcome {
            Outcome::Ok(_) if !ran => report.violations.push(format!("{} was answered and never ran", exchange.key)),
            Outcome::Refused if ran => report.violations.push(format!("{} ran and was never sent", exchange.key)),
            Outcome::Unknown(_) => report.unknown += 1,
            Outcome::Ok(_) | Outcome::Failed(_) | Outcome::Refused => {}
        }
    }
    report
}

/// Safe and idempotent methods of RFC 9110.
fn repeatable(method: &str) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE, Method::PUT, Method::DELETE].iter().any(|known| known == method)
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
        assert_eq!((report.judged, report.unknown), (3, 1));
    }

    #[test]
    fn a_request_that_ran_twice_is_a_violation_at_one_dyno_or_at_two() {
        let once = two_dynos().start("d", 1, "a", None).asked(Method::POST, "a", ok());
        assert_eq!(check(&once.clone().start("e", 1, "a", None)).violations, ["a ran 2 times, at d and e"]);
        assert_eq!(check(&once.start("d", 2, "a", None)).violations.len(), 1);
    }

    #[test]
    fn an_answer_out_of_nothing_is_a_violation() {
        assert_eq!(check(&two_dynos().asked(Method::POST, "a", ok())).violations, ["a was answered and never ran"]);
        check(&two_dynos().asked(Method::POST, "a", Outcome::Unknown("reset".into()))).assert_holds();
        check(&two_dynos().asked(Method::POST, "a", Outcome::Refused)).assert_holds();
    }

    #[test]
    fn idempotent_requests_may_run_again() {
        let history = two_dynos().asked(Method::GET, "a", ok()).asked(Method::POST, "b", ok()).start("d", 1, "b", None);
        check(&history).assert_holds();
        assert!(repeatable("PUT") && !repeatable("POST") && !repeatable("PATCH"));
    }

    #[test]
    fn a_request_without_a_name_is_unknown() {
        let report = check(&two_dynos().start("d", 1, "", None));
        assert_eq!((report.unknown, report.violations.len()), (1, 0));
    }
}
