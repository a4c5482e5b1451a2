//! What a history comes to in numbers, and what of it was expected.

mod ideal;
mod in_flight;
mod recovery;

use std::collections::HashSet;
use std::fmt;

use dynomesh_agent::demo::journal::{Event, Line};
use dynomesh_core::time::{Span, Time};
use dynomesh_testkit::history::{Diary, Exchange, Outcome};
use dynomesh_testkit::latency::Latencies;
use hyper::Method;

use crate::run::Run;
use crate::scenario::Expect;
use crate::workload::rounds::ROUND;
use ideal::Work;
use in_flight::InFlight;
#[cfg(test)]
pub(crate) use recovery::Latency;
pub(crate) use recovery::{Recovery, Window};

/// Numbers of a run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Figures {
    pub(crate) asked: usize,
    pub(crate) ok: usize,
    pub(crate) failed: usize,
    pub(crate) unknown: usize,
    /// Nobody took the connection.
    pub(crate) refused: usize,
    /// Those that clients repeated since a fault had broken their connections, each counted once and by what came of the repetition.
    pub(crate) repeated: usize,
    /// Answers per second while load went on.
    pub(crate) achieved: f64,
    /// Requests that change nothing.
    pub(crate) safe: Losses,
    /// Those and the ones that may be repeated.
    pub(crate) idempotent: Losses,
    /// Requests that change something, idempotent or not.
    pub(crate) others: Losses,
    pub(crate) longest_gap: Span,
    pub(crate) get_added_max: Span,
    pub(crate) added_p50: Span,
    pub(crate) added_p99: Span,
    /// Latency before the first fault and after the last.
    pub(crate) recovery: Recovery,
    /// The same from when all faults had taken hold to when the first was healed: how those carry on who are left.
    pub(crate) carried: Option<Recovery>,
    /// Requests that dynos ran.
    pub(crate) dispatches: u64,
}

/// How many requests of a kind the app did not answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Losses {
    pub(crate) asked: usize,
    pub(crate) lost: usize,
    /// Of those, the ones that were on their way when a fault began, through a killed process where one was killed.
    pub(crate) in_flight: usize,
    /// And those that the mesh refused for want of room, undispatched.
    pub(crate) shed: usize,
    /// Those whose connection broke: of no machine is that due to its being busy.
    pub(crate) broken: usize,
    /// Of those, the ones that no fault excuses.
    pub(crate) broken_by_none: usize,
}

/// An expectation and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Judged {
    pub(crate) name: &'static str,
    pub(crate) expected: String,
    pub(crate) seen: String,
    pub(crate) is_met: bool,
    /// It is about time, or about requests that wait only for so long: not judged where the machine itself stood still.
    pub(crate) is_timed: bool,
    /// The disk stood still when it could have been seen: it is not judged.
    pub(crate) is_hidden: bool,
}

// === impl Figures ===

impl Figures {
    pub(crate) fn new(run: &Run) -> Self {
        let in_flight = InFlight::new(&run.history, &run.faults, &run.edges);
        let again: HashSet<&str> = run.history.exchanges.iter().filter_map(|exchange| exchange.repeats.as_deref()).collect();
        // A connection that broke with no fault to break it is the mesh's own, and its request counts as lost whatever its client did then.
        let is_repeated = |exchange: &Exchange| again.contains(exchange.key.as_str()) && in_flight.may_excuse(exchange);
        let repeated = run.history.exchanges.iter().filter(|exchange| is_repeated(exchange)).count();
        let all: Vec<&Exchange> =
            run.history.exchanges.iter().filter(|exchange| exchange.due < run.ended && !is_repeated(exchange)).collect();
        let losses = |wanted: fn(&Exchange) -> bool| Losses::of(all.iter().copied().filter(|exchange| wanted(exchange)), &in_flight);
        let count = |wanted: fn(&Outcome) -> bool| all.iter().filter(|exchange| wanted(&exchange.outcome)).count();
        let added = Latencies::added(all.iter().copied());
        let gets = || all.iter().copied().filter(|exchange| exchange.method == Method::GET);
        // Who waited in vain has waited too.
        let in_vain = gets().filter(|get| get.ok().is_none()).map(|get| get.ended.since(get.due)).max().unwrap_or(Span::ZERO);
        let healed = run.faults.iter().map(|fault| fault.ended).max();
        let recovery = |ended, from| Recovery::new(&all, (run.began, ended), run.warm, from, &run.flushes);
        let broken = run.faults.iter().map(|fault| fault.held).max().zip(run.faults.iter().map(|fault| fault.ended).min());
        let load = run.ended.since(run.began).as_secs_f64();
        let lines = run.history.dynos.values().flat_map(|diary| &diary.lines);
        let is_start = |line: &&Line| matches!(line.event, Event::Start(_));
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let achieved = count(|outcome| matches!(outcome, Outcome::Ok(_))) as f64 / load.max(1e-9);
        Figures {
            asked: all.len(),
            ok: count(|outcome| matches!(outcome, Outcome::Ok(_))),
            failed: count(|outcome| matches!(outcome, Outcome::Failed(_))),
            unknown: count(|outcome| matches!(outcome, Outcome::Unknown(_))),
            refused: count(|outcome| matches!(outcome, Outcome::Refused)),
            repeated,
            achieved,
            safe: losses(Exchange::is_safe),
            idempotent: losses(Exchange::is_idempotent),
            others: losses(|exchange| !exchange.is_safe()),
            longest_gap: longest_gap(&all, run.began, run.ended),
            get_added_max: Latencies::added(gets()).max().max(in_vain),
            added_p50: added.percentile(50.0),
            added_p99: added.percentile(99.0),
            recovery: recovery(run.ended, healed),
            carried: broken.filter(|(from, to)| *from + ROUND <= *to).map(|(from, to)| {
                let more = match run.warm.since(run.began) >= ROUND {
                    true => ideal::more(&Work::of(&all, run.warm - ROUND), room(run, run.began, run.warm), room(run, from, to)),
                    false => Span::ZERO,
                };
                Recovery::with_fewer_slots(&all, (run.began, to), run.warm, Some(from), &run.flushes, more)
            }),
            dispatches: lines.filter(is_start).count() as u64,
        }
    }

    /// What was expected of them.
    pub(crate) fn judge(&self, expect: &Expect) -> Vec<Judged> {
        let mut judged = Vec::new();
        for (name, least, losses) in [
            ("safe requests answered", expect.safe_success, self.safe),
            ("idempotent requests answered", expect.idempotent_success, self.idempotent),
        ] {
            let Some(least) = least else { continue };
            let answered = share(losses.asked - losses.lost, losses.asked);
            let (expected, told) = (format!("at least {}", percent(least)), format!("{} ({losses})", percent(answered)));
            let is_met = answered >= least && losses.asked > 0;
            let is_timed = share(losses.asked - losses.broken, losses.asked) >= least;
            judged.push(Judged { name, expected, seen: told, is_met, is_timed, is_hidden: false });
        }
        if expect.unsafe_failures_in_flight_only {
            let Losses { asked, lost, in_flight, broken_by_none, .. } = self.others;
            let (expected, is_met) = ("only on their way when a fault began".into(), lost == in_flight && asked > 0);
            let seen = self.others.to_string();
            judged.push(Judged { name: "other requests lost", expected, seen, is_met, is_timed: broken_by_none == 0, is_hidden: false });
        }
        let mut at_most = |name: &'static str, most: Option<Span>, seen: Option<Span>, told: String, recovery: Option<&Recovery>| {
            if let Some(most) = most {
                let is_hidden = recovery.is_some_and(|recovery| recovery.is_hidden(most));
                let (expected, is_met) = (format!("at most {most}"), seen.is_some_and(|seen| seen <= most));
                judged.push(Judged { name, expected, seen: told, is_met, is_timed: true, is_hidden });
            }
        };
        let (gap, get) = (self.longest_gap, self.get_added_max);
        at_most("longest time without an answer", expect.longest_gap, Some(gap), ms(gap), None);
        at_most("slowest GET beyond its service time", expect.get_slower_than_service_max, Some(get), ms(get), None);
        let (back, carried) = (&self.recovery, self.carried.as_ref());
        at_most("latency back to normal", expect.p99_back_within, back.after_heal, back.told(), Some(back));
        let told = carried.map_or("no time in which all faults lasted".into(), Recovery::told);
        let soon = carried.and_then(|carried| carried.after_heal);
        at_most("latency back to normal while it lasts", expect.p99_carried_within, soon, told, carried);
        if let Some(least) = expect.dispatches_min {
            let (expected, seen) = (format!("at least {least}"), self.dispatches.to_string());
            judged.push(Judged {
                name: "requests run by dynos",
                expected,
                seen,
                is_met: self.dispatches >= least,
                is_timed: false,
                is_hidden: false,
            });
        }
        judged
    }
}

// === impl Losses ===

impl Losses {
    fn of<'a>(exchanges: impl Iterator<Item = &'a Exchange>, in_flight: &InFlight<'_>) -> Self {
        let mut losses = Losses::default();
        for exchange in exchanges {
            losses.asked += 1;
            if exchange.ok().is_none() {
                let (excused, broke) = (in_flight.may_excuse(exchange), has_broken(exchange));
                losses.lost += 1;
                losses.in_flight += usize::from(excused);
                losses.broken += usize::from(broke);
                losses.broken_by_none += usize::from(broke && !excused);
                losses.shed += usize::from(was_shed(exchange));
            }
        }
        losses
    }
}

impl fmt::Display for Losses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} lost of {}, {} of them on their way when a fault began, {} refused for want of room",
            self.lost, self.asked, self.in_flight, self.shed
        )
    }
}

/// Whether a request got no complete answer, and not since its client gave up.
fn has_broken(exchange: &Exchange) -> bool {
    matches!(exchange.outcome, Outcome::Unknown(_)) && exchange.ended.since(exchange.begun) < exchange.deadline
}

/// Whether the mesh refused a request since its queues were full.
fn was_shed(exchange: &Exchange) -> bool {
    matches!(&exchange.outcome, Outcome::Failed(answer) if answer.header("x-dynomesh-error") == Some("overloaded"))
}

/// A span as people read it.
pub(crate) fn ms(span: Span) -> String {
    format!("{:.1} ms", span.as_millis_f64())
}

/// A part of a whole, of which there is at least one.
#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
pub(crate) fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// A share in words.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.3} %", share * 100.0)
}

/// How many requests dynos can run at once that were given any in a time.
fn room(run: &Run, from: Time, to: Time) -> u32 {
    let times = from.as_nanos()..to.as_nanos();
    let serves = |diary: &&Diary| diary.lines.iter().any(|line| matches!(line.event, Event::Start(_)) && times.contains(&line.boot_ns));
    run.history.dynos.values().filter(serves).map(|diary| diary.max_conns).sum()
}

/// The longest time in which the app answered nothing.
fn longest_gap(all: &[&Exchange], from: Time, to: Time) -> Span {
    let mut ends: Vec<Time> =
        all.iter().filter(|exchange| exchange.ok().is_some()).map(|exchange| exchange.ended).filter(|end| *end < to).collect();
    ends.extend([from, to]);
    ends.sort();
    ends.windows(2).map(|pair| pair[1].since(pair[0])).max().unwrap_or(Span::ZERO)
}

#[cfg(test)]
pub(crate) mod tests;
