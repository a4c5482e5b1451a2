//! `whole-or-error`: a client gets one complete correct response or an explicit error; never a truncated one that looks complete, never a
//! mix. The same is asked of what a dyno gets.
//!
//! Judged by digests. Every byte of an answer of the app must be what a dyno says it sent for the request of that name, with that
//! status, to its last byte; the dyno must have received what the client sent; and the answer says the name of its asker again, so that
//! one meant for another is found out though it is the same text. An answer that no dyno says it gave was made up. A dyno that took a body
//! for complete must have all of it and no more, whatever its client heard, and the request must have arrived under its own method and path. An error of the mesh is
//! explicit, so it is judged to hold, unless something in it is of an answer of the app, is not in the mesh's words, or says that all is well.
//! What a dyno runs, somebody has asked: in a history of all clients, a run under a name that none gave, or under none, is a violation, but for the
//! questions whether an app is [up](PROBE_PATH). Whose the [WebSockets](SOCKET_PATH) are is unknown.
//! Unknown: requests without a complete answer, those to pages that the sample dyno does not write down, and journals without digests.

use std::collections::{HashMap, HashSet};

use dynomesh_agent::demo::STATS_PATH;
use dynomesh_agent::demo::digest::Digest;
use dynomesh_agent::demo::journal::{Arrival, Ending, Outcome as End};
use hyper::Method;

use super::Report;
use super::runs::{self, Run};
use crate::client::{PROBE_PATH, SOCKET_PATH};
use crate::history::{Answer, Exchange, History, Outcome};

/// Judges every request of the history, which holds the journals of all dynos.
pub fn check(history: &History) -> Report {
    let mut report = Report::new("whole-or-error");
    let mut by_key: HashMap<&str, Vec<Run<'_>>> = HashMap::new();
    let mut nameless = Vec::new();
    for run in runs::all(history) {
        match run.key() {
            Some(key) => by_key.entry(key).or_default().push(run),
            None => nameless.push(run),
        }
    }
    for exchange in &history.exchanges {
        let runs = by_key.get(exchange.key.as_str()).map_or(&[][..], Vec::as_slice);
        let told = match &exchange.outcome {
            _ if let Some(run) =
                runs.iter().find(|run| run.start.method != exchange.method.as_str() || run.start.path != exchange.path) =>
            {
                Judged::Broken(format!("it arrived at {} as {} {}", run.dyno, run.start.method, run.start.path))
            }
            _ if exchange.path.split('?').next() == Some(STATS_PATH) => Judged::Unknown,
            Outcome::Ok(answer) => match unanswered(exchange, runs) {
                Judged::Holds => answered(exchange, answer, runs),
                other => other,
            },
            Outcome::Failed(answer) => match mixed(answer) {
                Some(how) => Judged::Broken(how),
                None => unanswered(exchange, runs),
            },
            Outcome::Refused | Outcome::Unknown(_) => match unanswered(exchange, runs) {
                Judged::Holds => Judged::Unknown,
                other => other,
            },
        };
        match told {
            Judged::Holds => report.judged += 1,
            Judged::Unknown => report.unknown += 1,
            Judged::Broken(how) => {
                report.judged += 1;
                report.violations.push(format!("{} {} ({}): {how}", exchange.method, exchange.path, exchange.key));
            }
        }
    }
    let asked: HashSet<&str> = history.exchanges.iter().map(|exchange| exchange.key.as_str()).collect();
    let mut foreign: Vec<&Run<'_>> = by_key
        .iter()
        .filter(|(key, _)| history.whole && !asked.contains(*key))
        .flat_map(|(_, runs)| runs)
        .chain(nameless.iter().filter(|_| history.whole))
        .filter(|run| !gets(run, PROBE_PATH))
        .collect();
    let all = foreign.len();
    foreign.retain(|run| run.key().is_some() || !gets(run, SOCKET_PATH));
    report.unknown += all - foreign.len();
    foreign.sort_by_key(|run| run.began);
    for run in foreign {
        let (key, Arrival { method, path, .. }) = (run.key().unwrap_or("without a name"), run.start);
        report.judged += 1;
        report.violations.push(format!("{method} {path} ({key}) ran at {}, and nobody had asked it", run.dyno));
    }
    report
}

fn gets(run: &Run<'_>, path: &str) -> bool {
    run.start.method == Method::GET.as_str() && run.start.path.split('?').next() == Some(path)
}

enum Judged {
    Holds,
    Unknown,
    Broken(String),
}

fn answered(exchange: &Exchange, answer: &Answer, runs: &[Run<'_>]) -> Judged {
    let broken = |how: String| Judged::Broken(how);
    match answer.header("x-demo-key") {
        Some(key) if key != exchange.key => return broken(format!("it got the answer to {key}")),
        Some(_) => {}
        None => return broken("its answer names no asker, as one of the app does".into()),
    }
    if let Some(place) = answer.difference {
        return broken(format!("its answer has other content than it should, from byte {place} on"));
    }
    if let Some(received) = answer.header("x-demo-received").and_then(|text| text.parse::<Digest>().ok())
        && received != exchange.sent
    {
        return broken(format!("it sent {} and its dyno received {received}", exchange.sent));
    }
    let ends = runs.iter().filter(|run| answer.dyno().is_none_or(|dyno| dyno == run.dyno)).filter_map(|run| run.end);
    let ends: Vec<&Ending> = ends.map(|(end, _)| end).collect();
    if ends.iter().any(|end| end.sent.is_none() || end.received.is_none()) {
        return Judged::Unknown;
    }
    let gave = |end: &&&Ending| end.outcome == End::Done && end.status == Some(answer.status.as_u16()) && end.sent == Some(answer.digest);
    match ends.iter().find(gave) {
        Some(end) if end.received == Some(exchange.sent) => Judged::Holds,
        Some(end) => broken(format!("it sent {} and its dyno received {}", exchange.sent, end.received.unwrap_or_default())),
        None => broken(format!("its answer, {} with {}, is none that a dyno gave: {}", answer.status, answer.digest, told(&ends))),
    }
}

/// What of an answer that is said to be an error of the mesh is none.
fn mixed(answer: &Answer) -> Option<String> {
    if answer.status.as_u16() < 400 {
        return Some(format!("it is told an error of the mesh under {}", answer.status));
    }
    if let Some(key) = answer.header("x-demo-key") {
        return Some(format!("it is told an error of the mesh in the answer of the app to {key}"));
    }
    // What a client keeps of many answers has no text, and a HEAD is answered without one.
    let is_told = !answer.text.is_empty() && answer.header("x-dynomesh-error").is_some();
    let words = is_told.then_some(answer.text.as_str()).filter(|text| !text.starts_with("dynomesh: "));
    words.map(|text| format!("it is told an error of the mesh in the words of another: {text:?}"))
}

/// Whether dynos that took its body for complete have all of it. What was handed over is at least what can have arrived.
fn unanswered(exchange: &Exchange, runs: &[Run<'_>]) -> Judged {
    let ends = runs.iter().filter_map(|run| run.end).filter(|(end, _)| end.outcome == End::Done);
    let mut received = ends.filter_map(|(end, _)| end.received);
    match received.find(|received| *received != exchange.sent) {
        Some(received) => Judged::Broken(format!("it sent {} and a dyno took {received} for all of it", exchange.sent)),
        None => Judged::Holds,
    }
}

fn told(ends: &[&Ending]) -> String {
    let each = ends.iter().map(|end| {
        let (status, sent) = (end.status.unwrap_or_default(), end.sent.unwrap_or_default());
        let how = if end.outcome == End::Done { "" } else { ", cut" };
        format!("{status} with {sent}{how}")
    });
    let all = each.collect::<Vec<_>>().join("; ");
    if all.is_empty() { "it did not run there".into() } else { all }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::invented::{answer, exchange};

    const SENT: &[u8] = b"question";
    const TOLD: &[u8] = b"an answer";

    /// A dyno received the request `a` and answered it.
    fn ran(told: impl FnOnce(&mut Ending)) -> History {
        let history = History::default().dyno("d", 1).start("d", 1, "a", None);
        history.end_at("d", 1, 9, |end| {
            (end.received, end.sent) = (Some(Digest::of(SENT)), Some(Digest::of(TOLD)));
            told(end);
        })
    }

    fn heard(mut history: History, outcome: Outcome) -> Report {
        history.exchanges.push(Exchange { method: Method::POST, sent: Digest::of(SENT), outcome, ..exchange("a") });
        history.whole = true;
        check(&history)
    }

    fn whole() -> Answer {
        let mut whole = answer(None);
        (whole.digest, whole.len) = (Digest::of(TOLD), TOLD.len() as u64);
        for (name, value) in [("x-demo-key", "a".into()), ("x-demo-dyno", "d".into()), ("x-demo-received", Digest::of(SENT).to_string())] {
            whole.headers.insert(name, value.parse().unwrap());
        }
        whole
    }

    /// The one violation that a change of the answer makes.
    fn broken(change: impl FnOnce(&mut Answer)) -> String {
        let mut changed = whole();
        change(&mut changed);
        let mut report = heard(ran(|_| ()), Outcome::Ok(changed));
        assert_eq!(report.violations.len(), 1, "{report}");
        report.violations.remove(0)
    }

    #[test]
    fn the_answer_that_the_dyno_gave_is_fine_and_so_is_an_error() {
        heard(ran(|_| ()), Outcome::Ok(whole())).assert_holds();
        heard(ran(|_| ()), Outcome::Failed(answer(Some("dyno-failed")))).assert_holds();
        heard(History::default(), Outcome::Failed(answer(Some("no-block")))).assert_holds();
    }

    #[test]
    fn one_of_several_runs_has_given_it() {
        let again = ran(|end| end.outcome = End::Cut).start("d", 2, "a", None);
        let again = again.end_at("d", 2, 10, |end| (end.received, end.sent) = (Some(Digest::of(SENT)), Some(Digest::of(TOLD))));
        heard(again, Outcome::Ok(whole())).assert_holds();
    }

    #[test]
    fn the_answer_to_another_is_a_violation_though_it_is_the_same_text() {
        let told = broken(|answer| drop(answer.headers.insert("x-demo-key", "b".parse().unwrap())));
        assert!(told.ends_with("it got the answer to b"), "{told}");
        broken(|answer| drop(answer.headers.remove("x-demo-key")));
    }

    #[test]
    fn a_truncated_a_damaged_and_a_foreign_answer_are_violations() {
        broken(|answer| answer.digest = Digest::of(&TOLD[..4]));
        broken(|answer| answer.digest = Digest::of(b"an0answer"));
        broken(|answer| answer.difference = Some(4));
        broken(|answer| answer.status = hyper::StatusCode::ACCEPTED);
        broken(|answer| drop(answer.headers.insert("x-demo-dyno", "e".parse().unwrap())));
    }

    #[test]
    fn an_answer_that_its_dyno_did_not_finish_is_a_violation() {
        let report = heard(ran(|end| end.outcome = End::Cut), Outcome::Ok(whole()));
        assert!(report.violations[0].ends_with(", cut"), "{report}");
        assert_eq!(heard(History::default().dyno("d", 1), Outcome::Ok(whole())).violations.len(), 1, "it never ran");
    }

    #[test]
    fn a_request_that_did_not_arrive_as_it_was_sent_is_a_violation() {
        let told = broken(|answer| drop(answer.headers.insert("x-demo-received", Digest::of(b"quest").to_string().parse().unwrap())));
        assert!(told.contains("its dyno received 5-"), "{told}");
        assert_eq!(heard(ran(|end| end.received = Some(Digest::of(b"quest"))), Outcome::Ok(whole())).violations.len(), 1);
    }

    #[test]
    fn a_truncated_request_that_looked_complete_is_a_violation_whatever_its_client_heard() {
        let short = || ran(|end| end.received = Some(Digest::of(b"quest")));
        for outcome in [Outcome::Unknown("reset".into()), Outcome::Failed(answer(Some("dyno-failed")))] {
            assert_eq!(heard(short(), outcome).violations.len(), 1);
        }
        let seen_short = ran(|end| (end.received, end.outcome) = (Some(Digest::of(b"quest")), End::Cut));
        heard(seen_short, Outcome::Failed(answer(Some("dyno-failed")))).assert_holds();
    }

    #[test]
    fn a_truncated_run_is_a_violation_though_another_gave_the_whole_answer() {
        let history = ran(|_| ()).dyno("e", 1).start("e", 1, "a", None);
        let history = history.end_at("e", 1, 5, |end| (end.received, end.sent) = (Some(Digest::of(b"quest")), Some(Digest::of(TOLD))));
        let report = heard(history, Outcome::Ok(whole()));
        assert!(report.violations[0].contains("a dyno took 5-"), "{report}");
    }

    #[test]
    fn an_error_that_looks_like_an_answer_is_a_violation() {
        let failed = |change: fn(&mut Answer)| {
            let mut told = answer(Some("dyno-failed"));
            change(&mut told);
            heard(ran(|_| ()), Outcome::Failed(told)).violations.len()
        };
        assert_eq!(failed(|_| ()), 0);
        assert_eq!(failed(|told| told.status = hyper::StatusCode::OK), 1);
        assert_eq!(failed(|told| drop(told.headers.insert("x-demo-key", "b".parse().unwrap()))), 1);
        assert_eq!(failed(|told| told.text = "dynomesh: the dyno ended the connection\n".into()), 0);
        assert_eq!(failed(|told| told.text = "the account of somebody else".into()), 1);
    }

    #[test]
    fn a_request_with_bytes_of_somebody_else_is_a_violation_whatever_its_client_heard() {
        let long = ran(|end| end.received = Some(Digest::of(b"question and more")));
        assert_eq!(heard(long, Outcome::Unknown("reset".into())).violations.len(), 1);
    }

    #[test]
    fn a_request_that_arrives_as_another_is_a_violation() {
        for change in [|start: &mut Arrival| start.method = "PUT".into(), |start: &mut Arrival| start.path = "/other".into()] {
            let arrived = |start: &mut Arrival| {
                (start.n, start.key) = (1, Some("a".into()));
                change(start);
            };
            let history = History::default().dyno("d", 1).start_at("d", 1, arrived).end_at("d", 1, 9, |end| {
                (end.received, end.sent) = (Some(Digest::of(SENT)), Some(Digest::of(TOLD)));
            });
            let report = heard(history, Outcome::Ok(whole()));
            assert!(report.violations.iter().any(|told| told.contains("it arrived at d as ")), "{report}");
        }
    }

    #[test]
    fn a_run_that_nobody_asked_for_is_a_violation() {
        let report = heard(ran(|_| ()).start("d", 2, "x", None), Outcome::Ok(whole()));
        assert!(report.violations[0].contains("(x) ran at d, and nobody had asked it"), "{report}");
        assert_eq!(report.violations.len(), 1, "{report}");
        assert!(check(&ran(|_| ())).violations.is_empty(), "a history of some clients only");
        let up = |start: &mut Arrival| {
            (start.n, start.key, start.method, start.path) = (2, Some("x".into()), "GET".into(), PROBE_PATH.into());
        };
        heard(ran(|_| ()).start_at("d", 3, up), Outcome::Ok(whole())).assert_holds();
        let nameless = heard(ran(|_| ()).start("d", 2, "", None), Outcome::Ok(whole()));
        assert!(nameless.violations[0].contains("(without a name) ran at d"), "{nameless}");
        let socket = |start: &mut Arrival| (start.n, start.method, start.path) = (2, "GET".into(), SOCKET_PATH.into());
        let switched = heard(ran(|_| ()).start_at("d", 3, socket), Outcome::Ok(whole()));
        switched.assert_holds();
        assert_eq!(switched.unknown, 1, "whose it is nobody knows");
        heard(ran(|_| ()).start_at("d", 3, |start| (start.method, start.path) = ("GET".into(), PROBE_PATH.into())), Outcome::Ok(whole()))
            .assert_holds();
    }

    #[test]
    fn what_nobody_saw_the_end_of_is_unknown() {
        let unknown = |report: Report| assert_eq!((report.judged, report.unknown, report.violations.len()), (0, 1, 0));
        unknown(heard(ran(|_| ()), Outcome::Unknown("reset".into())));
        unknown(heard(ran(|_| ()), Outcome::Refused));
        unknown(heard(ran(|end| end.sent = None), Outcome::Ok(whole())));
    }
}
