//! Reports, and all checkers at once.

use dynomesh_agent::demo::digest::Digest;
use dynomesh_core::id::DynoId;
use hyper::Method;

use super::*;
use crate::history::invented::{answer, at, exchange};
use crate::history::{Burst, Census, Exchange, Listed, Outcome};

#[test]
#[should_panic(expected = "the history is empty")]
fn a_checker_that_saw_nothing_has_shown_nothing() {
    Report::new("cap").assert_holds();
}

#[test]
fn every_invariant_has_a_report_and_an_empty_history_shows_none() {
    let reports = all(&History::default(), &Limits::default());
    let names: Vec<&str> = reports.iter().map(|report| report.invariant.as_str()).collect();
    let invariants = ["one-owner", "cap", "at-most-once", "whole-or-error", "bounded", "conserved", "quorum-or-silence", "routes-alone"];
    assert_eq!(names, [&invariants[..], &["no-leak", "registers"]].concat());
    assert!(reports.iter().all(|report| report.verdict() == Verdict::NothingJudged), "{reports:?}");
}

#[test]
fn a_report_is_read_as_it_was_written() {
    let report = Report { judged: 3, violations: vec!["two at once".into()], ..Report::new("cap") };
    let text = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
}

/// Requests that went as they should, in turn over ten dynos of one request each, and a burst in the end.
fn sound(count: u64) -> History {
    let dynos: Vec<String> = (0..10).map(|n| format!("d{n}")).collect();
    let mut history = dynos.iter().fold(History::default(), |history, dyno| history.dyno(dyno, 1).listen(dyno));
    let body = Digest::of(b"an answer");
    for n in 0..count {
        let (dyno, key, ms) = (&dynos[usize::try_from(n % 10).unwrap()], format!("k{n}"), n);
        history = history.start_at(dyno, ms, |start| {
            (start.n, start.key, start.method) = (n, Some(key.clone()), if n % 2 == 0 { "GET".into() } else { "POST".into() });
            (start.block, start.epoch, start.term, start.slot) = (Some("b1".into()), Some(7), Some(3), Some(format!("1-a-{n}")));
        });
        history = history.end_at(dyno, n, ms + 5, |end| end.sent = Some(body));
        let mut told = answer(None);
        (told.digest, told.len) = (body, body.len());
        told.headers.insert("x-demo-key", key.parse().unwrap());
        told.headers.insert("x-demo-dyno", dyno.parse().unwrap());
        let method = if n % 2 == 0 { Method::GET } else { Method::POST };
        let (begun, ended, outcome) = (at(ms), at(ms + 6), Outcome::Ok(told));
        history.exchanges.push(Exchange { method, due: begun, begun, ended, outcome, ..exchange(&key) });
    }
    let listed = |dyno: &String| Listed {
        dyno: DynoId::new(dyno).unwrap(),
        block: Some("b1".into()),
        epoch: 7,
        owner: Some("b1".into()),
        owned_epoch: 7,
        serves: true,
    };
    history.census = Some(Census { at: at(count), dynos: dynos.iter().map(listed).collect() });
    history.healed = Some(at(0));
    history.bursts.push(Burst { began: at(10_000), ended: at(count) });
    history
}

#[test]
fn what_is_sound_is_clean_in_every_way() {
    let reports = all(&sound(20_000), &Limits::default());
    let demanded = ["one-owner", "cap", "at-most-once", "whole-or-error", "bounded", "conserved", "quorum-or-silence", "no-leak"];
    assert_eq!(Verdict::of(&reports, &demanded), Verdict::Clean, "{reports:#?}");
}

/// Takes three gigabytes of memory.
#[test]
#[ignore = "a million dispatches; run it by name to see how long they take"]
fn a_million_dispatches_are_judged_in_seconds() {
    let history = sound(1_000_000);
    let began = std::time::Instant::now();
    let reports = all(&history, &Limits::default());
    println!("judged in {:?}", began.elapsed());
    assert!(reports.iter().all(|report| report.violations.is_empty()), "{reports:#?}");
    // Seconds of a processor; a minute on a machine that is busy otherwise.
    assert!(began.elapsed().as_secs() < 60);
}
