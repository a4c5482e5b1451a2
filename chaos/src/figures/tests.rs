//! Invented runs, and what they come to.

use dynomesh_agent::demo::digest::Digest;
use dynomesh_testkit::history::Answer;
use hyper::StatusCode;
use hyper::header::HeaderMap;

use super::*;

pub(crate) fn at(ms: u64) -> Time {
    Time::ZERO + Span::from_millis(ms)
}

/// A GET that was due at `due` and whose dyno worked 10 ms on it.
pub(crate) fn get(due: u64, took: u64) -> Exchange {
    let mut headers = HeaderMap::new();
    headers.insert("x-demo-service-ms", "10".parse().unwrap());
    headers.insert("x-demo-dyno", "d1".parse().unwrap());
    let answer = Answer { status: StatusCode::OK, headers, len: 0, digest: Digest::default(), text: String::new(), difference: None };
    Exchange {
        key: due.to_string(),
        method: Method::GET,
        path: "/".into(),
        due: at(due),
        begun: at(due),
        ended: at(due + took),
        deadline: Span::from_secs(60),
        sent: Digest::default(),
        edge: None,
        repeats: None,
        outcome: Outcome::Ok(answer),
    }
}

#[test]
fn a_gap_is_seen_between_answers_and_at_both_ends() {
    let exchanges = [get(0, 100), get(200, 100), get(1_500, 100)];
    let all: Vec<&Exchange> = exchanges.iter().collect();
    assert_eq!(longest_gap(&all, at(0), at(1_700)), Span::from_millis(1_300));
    assert_eq!(longest_gap(&all, at(0), at(9_600)), Span::from_secs(8));
    assert_eq!(longest_gap(&[], at(0), at(700)), Span::from_millis(700));
}

#[test]
fn expectations_tell_what_was_seen() {
    let figures = Figures {
        asked: 10_000,
        ok: 9_997,
        failed: 3,
        unknown: 0,
        refused: 0,
        repeated: 0,
        achieved: 100.0,
        safe: Losses { asked: 5_000, lost: 0, in_flight: 0, shed: 0, ..Losses::default() },
        idempotent: Losses { asked: 8_000, lost: 2, in_flight: 2, shed: 0, ..Losses::default() },
        others: Losses { asked: 5_000, lost: 3, in_flight: 2, shed: 1, ..Losses::default() },
        longest_gap: Span::from_millis(900),
        get_added_max: Span::from_millis(800),
        added_p50: Span::ZERO,
        added_p99: Span::ZERO,
        recovery: Recovery::default(),
        carried: None,
        dispatches: 10_000,
    };
    let strict =
        Expect { safe_success: Some(0.9999), idempotent_success: Some(0.9999), unsafe_failures_in_flight_only: true, ..Expect::default() };
    assert_eq!(figures.judge(&strict).iter().map(|judged| judged.is_met).collect::<Vec<_>>(), [true, false, false]);
    // A machine that is busy excuses refusals and late answers, and no connection that broke.
    assert!(figures.judge(&strict).iter().all(|judged| judged.is_timed));
    let broken = Losses { broken: 2, broken_by_none: 1, ..figures.idempotent };
    let figures = Figures { idempotent: broken, others: Losses { broken: 3, broken_by_none: 1, ..figures.others }, ..figures };
    assert_eq!(figures.judge(&strict).iter().map(|judged| judged.is_timed).collect::<Vec<_>>(), [true, false, false]);
    let others = Expect {
        longest_gap: Some(Span::from_secs(1)),
        p99_back_within: Some(Span::from_secs(10)),
        p99_carried_within: Some(Span::from_secs(10)),
        ..Expect::default()
    };
    let judged = figures.judge(&others);
    assert_eq!(
        judged.iter().map(|judged| (judged.is_met, judged.is_timed)).collect::<Vec<_>>(),
        [(true, true), (false, true), (false, true)]
    );
    assert_eq!(judged[1].seen, "not seen");
    assert_eq!(judged[2].seen, "no time in which all faults lasted");
}
