//! What a run comes to: the invariants by their checkers, the expectations of its scenario, and whether its faults were felt at all.

use std::fmt;

use dynomesh_testkit::check::routes_alone::CONTROL_DOWN;
use dynomesh_testkit::check::{self, Limits, Report, Verdict as Checked};
use dynomesh_testkit::history::History;

use crate::disk::STALL;
use crate::figures::{Figures, Judged, ms};
use crate::run::{Run, Told};

/// Invariants of which every run must show something.
const DEMANDED: [&str; 8] = ["one-owner", "cap", "at-most-once", "whole-or-error", "bounded", "conserved", "quorum-or-silence", "no-leak"];

/// What a run comes to, from good to bad. Only the first is green.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// Everything that was to hold did.
    Clean,
    /// A fault was not felt, or processors were short: what was to be shown was not put to the test.
    Void,
    /// Nothing could be judged.
    NothingJudged,
    /// A checker gave up.
    Inconclusive,
    /// Something that was to hold did not.
    Violated,
}

/// No more than one in so many faults that were drawn may be hidden by others.
const HIDDEN_PARTS: usize = 7;

/// No more than one in so many of the requests that a checker judges may be unknown, and of whatever else it judges: of that there is little,
/// and a control plane that is away leaves much of it without an answer.
const UNKNOWN_ONE_IN: [usize; 2] = [20, 4];

/// A run, judged.
pub(crate) struct Judgement {
    pub(crate) reports: Vec<Report>,
    pub(crate) figures: Figures,
    pub(crate) judged: Vec<Judged>,
    /// Why the run shows less than it was to.
    pub(crate) voids: Vec<String>,
    /// Nothing but its machine made it void, which may be better the next time.
    pub(crate) is_machines: bool,
    pub(crate) verdict: Verdict,
}

/// Judges a run.
pub(crate) fn judge(run: &Run) -> Judgement {
    let reports = check::all(&run.history, &Limits::default());
    let figures = Figures::new(run);
    let judged = figures.judge(&run.scenario.expect);
    let mut voids = [unfelt(&run.faults), vague(&reports)].concat();
    let is_shown = voids.is_empty();
    let limit = run.scenario.expect.cpu_limit();
    let is_short = limit.is_some_and(|limit| run.cpu > limit || run.flushes.slowest > STALL);
    if is_short {
        let (cpu, flush) = (run.cpu * 100.0, ms(run.flushes.slowest));
        voids.push(format!(
            "the machine was short: processors busy to {cpu:.0} %, slowest flush {flush}; expectations are not judged, invariants are"
        ));
    }
    let slowest = ms(run.flushes.slowest);
    let hidden = judged.iter().filter(|judged| judged.is_hidden && !is_short);
    voids.extend(hidden.map(|judged| {
        format!("whether {} cannot be said: the disk stood still then, for {slowest} at the longest; all else is judged", judged.name)
    }));
    let missed = judged.iter().any(|judged| !judged.is_met && !judged.is_hidden && (!judged.is_timed || !is_short));
    let verdict = verdict(Checked::of(&reports, &demanded(&run.history)), missed || !run.complaints.is_empty(), !voids.is_empty());
    Judgement { reports, figures, judged, voids, is_machines: is_shown && verdict == Verdict::Void, verdict }
}

/// Of which invariants too much is unknown, a sentence each.
pub(crate) fn vague(reports: &[Report]) -> Vec<String> {
    check::vague(reports, UNKNOWN_ONE_IN)
}

/// Which faults were to be felt and were not. Chance may draw one for what another holds at that moment, a slow flush for a leader that is
/// frozen, or a kill of who is dead: such are told, and held against the run only where they are too many.
fn unfelt(faults: &[Told]) -> Vec<String> {
    let beside = |it: &Told| faults.iter().any(|other| other.is_felt && other.began <= it.ended && it.began <= other.ended);
    let hidden = |it: &Told| !it.is_felt && it.is_drawn && beside(it);
    let drawn = faults.iter().filter(|fault| fault.is_drawn).count();
    let are_few = faults.iter().filter(|fault| hidden(fault)).count() * HIDDEN_PARTS <= drawn;
    let missing = faults.iter().filter(|fault| !fault.is_felt).filter(|fault| !are_few || !hidden(fault));
    missing.map(|fault| format!("{} was not felt: {}", fault.title, fault.evidence)).collect()
}

/// Those, and what the run of this history was to show besides.
fn demanded(history: &History) -> Vec<&'static str> {
    let mut demanded = DEMANDED.to_vec();
    if history.incidents.iter().any(|incident| incident.kind == CONTROL_DOWN) {
        demanded.push("routes-alone");
    }
    if !history.calls.is_empty() {
        demanded.push("registers");
    }
    demanded
}

fn verdict(checked: Checked, missed: bool, is_void: bool) -> Verdict {
    match checked {
        Checked::Violated => Verdict::Violated,
        _ if missed => Verdict::Violated,
        Checked::Inconclusive => Verdict::Inconclusive,
        Checked::NothingJudged => Verdict::NothingJudged,
        Checked::Clean if is_void => Verdict::Void,
        Checked::Clean => Verdict::Clean,
    }
}

// === impl Verdict ===

impl Verdict {
    /// The exit code that tells it.
    pub(crate) fn code(self) -> u8 {
        match self {
            Verdict::Clean => 0,
            Verdict::Violated => 1,
            Verdict::Void => 3,
            Verdict::NothingJudged => 4,
            Verdict::Inconclusive => 5,
        }
    }

    /// What the checkers alone say of a history, of which they demand what they do of a run.
    pub(crate) fn of(history: &History, reports: &[Report]) -> Self {
        verdict(Checked::of(reports, &demanded(history)), false, !vague(reports).is_empty())
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Clean => "clean",
            Verdict::Void => "void",
            Verdict::NothingJudged => "nothing judged",
            Verdict::Inconclusive => "inconclusive",
            Verdict::Violated => "violated",
        })
    }
}

#[cfg(test)]
mod tests {
    use dynomesh_core::time::Time;
    use dynomesh_testkit::history::Incident;

    use super::*;

    #[test]
    fn only_what_was_put_to_the_test_and_held_is_clean() {
        assert_eq!(verdict(Checked::Clean, false, false), Verdict::Clean);
        assert_eq!(verdict(Checked::Clean, false, true), Verdict::Void);
        assert_eq!(verdict(Checked::Clean, true, true), Verdict::Violated);
        assert_eq!(verdict(Checked::Violated, false, true), Verdict::Violated);
        assert_eq!(verdict(Checked::Inconclusive, false, false), Verdict::Inconclusive);
        assert_eq!(verdict(Checked::NothingJudged, false, true), Verdict::NothingJudged);
        assert_eq!(Verdict::Clean.code(), 0);
    }

    #[test]
    fn what_chance_hides_behind_another_fault_is_not_missed_unless_it_is_too_much() {
        let told = |from: u64, is_drawn, is_felt| {
            let at = |s: u64| Time::ZERO + dynomesh_core::time::Span::from_secs(s);
            let (title, evidence) = (format!("flush {from}"), "nothing".to_owned());
            Told { kind: "flush".into(), title, began: at(from), held: at(from), ended: at(from + 3), is_drawn, is_felt, evidence }
        };
        let felt: Vec<Told> = (0..13).map(|n| told(n * 10, true, true)).collect();
        let with = |others: &[Told]| unfelt(&[&felt[..], others].concat()).len();
        assert_eq!(with(&[told(11, true, false)]), 0, "beside one that was felt");
        assert_eq!(with(&[told(15, true, false)]), 1, "beside nothing");
        assert_eq!(with(&[told(11, false, false)]), 1, "its scenario wanted it");
        assert_eq!(with(&[told(11, true, false), told(21, true, false)]), 0);
        assert_eq!(with(&[told(11, true, false), told(21, true, false), told(31, true, false)]), 3, "too many");
    }

    #[test]
    fn a_history_in_which_nothing_was_judged_is_not_clean() {
        let history = History::default();
        let reports = check::all(&history, &Limits::default());
        assert_eq!(Verdict::of(&history, &reports), Verdict::NothingJudged);
        assert_eq!(demanded(&history), DEMANDED);
        let down = Incident::at(CONTROL_DOWN, "control", Time::ZERO);
        assert!(demanded(&History { incidents: vec![down], ..History::default() }).contains(&"routes-alone"));
    }
}
