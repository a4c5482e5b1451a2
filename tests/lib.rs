//! What the tests with real processes share: an ordinary load, and the judgement on everything that was seen.
//!
//! One file per family: `routing`, `bodies`, `faults` (each kind of process killed and frozen under load), `takeover` (what a new
//! leader may do, and an old one no longer), `ownership`, `forgery`, `battery` (bytes that no honest client or dyno would send),
//! `refusals`, `tls`, `dev`, `simulated` (the simulator against a real mesh), and `figures`, which are printed and not judged.

use std::ops::RangeInclusive;

use dynomesh_core::time::Time;
use dynomesh_testkit::check::{Limits, Report, Verdict, at_most_once, bounded, cap, one_owner, quorum_or_silence, whole_or_error};
use dynomesh_testkit::client::{Arrivals, Ask, Load};
use dynomesh_testkit::clock;
use dynomesh_testkit::cluster::Cluster;
use dynomesh_testkit::history::{Exchange, History};

/// Requests of many users: three GETs to each POST, service times drawn by the dynos (120 ms on average).
pub fn ordinary(rate: f64, seed: u64) -> Load {
    let make = |n| if n % 4 == 3 { Ask::post("/order") } else { Ask::get("/page") };
    Load { rate, arrivals: Arrivals::Poisson(seed), make: Box::new(make) }
}

/// Judges what was seen of a mesh whose faults are healed, by every invariant; returns it for what else there is to ask.
#[track_caller]
pub fn judge(cluster: &Cluster, exchanges: Vec<Exchange>) -> History {
    let history = judge_past(cluster, exchanges);
    cluster.check_no_leak().assert_holds();
    history
}

/// The same of a mesh some of whose dynos take no requests any more, so that their slots are not asked for.
#[track_caller]
pub fn judge_past(cluster: &Cluster, exchanges: Vec<Exchange>) -> History {
    cluster.await_idle();
    let history = cluster.history(exchanges);
    let limits = Limits::default();
    let reports = [
        cap::check(&history),
        one_owner::check(&history),
        at_most_once::check(&history),
        whole_or_error::check(&history),
        bounded::check(&history, &limits),
        quorum_or_silence::check(&history, &limits),
    ];
    // One fault may break several: all are told, whichever is looked at first.
    let broken: Vec<String> = reports.iter().filter(|report| report.verdict() != Verdict::Clean).map(Report::to_string).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    history
}

/// Whether running a request twice is the same as running it once.
pub fn is_idempotent(exchange: &Exchange) -> bool {
    ["GET", "HEAD", "PUT", "DELETE"].contains(&exchange.method.as_str())
}

/// Panics if one of the exchanges that are `wanted` was not answered by the app.
#[track_caller]
pub fn all_answered(exchanges: &[Exchange], wanted: impl Fn(&Exchange) -> bool) {
    let missing: Vec<String> =
        exchanges.iter().filter(|exchange| wanted(exchange) && exchange.ok().is_none()).map(Exchange::to_string).collect();
    assert!(missing.is_empty(), "{} of {} requests were not answered:\n{}", missing.len(), exchanges.len(), missing.join("\n"));
}

/// Does something and tells in which span of time: what a request met within it, nobody can say.
pub fn spanned(deed: impl FnOnce()) -> RangeInclusive<Time> {
    let from = clock::now();
    deed();
    from..=clock::now()
}

/// Whether a request was on its way at any moment of a span.
pub fn was_open(exchange: &Exchange, span: &RangeInclusive<Time>) -> bool {
    exchange.begun <= *span.end() && *span.start() <= exchange.ended
}
