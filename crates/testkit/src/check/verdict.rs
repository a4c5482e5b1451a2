//! What reports come to.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Report;

/// Of fewer than that a share says nothing: of five seconds without control two may end with its return. Half of them is still too much.
const SHARED_MIN: usize = 20;
/// Who judges something else than requests.
const OF_FEW: [&str; 4] = ["conserved", "routes-alone", "no-leak", "registers"];

/// What a report comes to, from good to bad. Only the first is green.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Something was judged, and nothing broke the invariant.
    Clean,
    /// There was nothing to judge, or less than was unknown, so nothing is shown.
    NothingJudged,
    /// A search was given up at its limit.
    Inconclusive,
    /// Something broke the invariant.
    Violated,
}

/// Of which invariants too much is unknown for the rest to say that they held, a sentence each: more than one in so many of the requests that
/// are judged, and of whatever else is.
pub fn vague(reports: &[Report], one_in: [usize; 2]) -> Vec<String> {
    let is_vague = |report: &&Report| {
        let parts = one_in[usize::from(OF_FEW.contains(&report.invariant.as_str()))];
        let all = report.judged + report.unknown;
        all >= SHARED_MIN && report.unknown * parts > all
    };
    let told = |report: &Report| {
        let Report { invariant, judged, unknown, .. } = report;
        format!("too much is unknown of {invariant}: {unknown} beside {judged} judged")
    };
    reports.iter().filter(is_vague).map(told).collect()
}

impl Verdict {
    /// What these reports come to together: the worst of them. One that judged nothing counts only if its invariant is `demanded`, and so
    /// does one that is missing.
    pub fn of(reports: &[Report], demanded: &[&str]) -> Self {
        let is_demanded = |report: &&Report| demanded.contains(&report.invariant.as_str());
        let counts = |report: &&Report| report.verdict() != Verdict::NothingJudged || is_demanded(report);
        let worst = reports.iter().filter(counts).map(Report::verdict).max();
        let is_missing = |name: &&str| !reports.iter().any(|report| report.invariant == *name);
        let missing = demanded.iter().any(is_missing).then_some(Verdict::NothingJudged);
        worst.max(missing).unwrap_or(Verdict::NothingJudged)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Clean => "clean",
            Verdict::NothingJudged => "nothing judged",
            Verdict::Inconclusive => "inconclusive",
            Verdict::Violated => "violated",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(invariant: &str, judged: usize) -> Report {
        Report { judged, ..Report::new(invariant) }
    }

    #[test]
    fn the_worst_report_decides_and_silence_is_no_proof() {
        let clean = report("cap", 3);
        let given_up = Report { inconclusive: vec!["a register".into()], ..report("registers", 3) };
        let violated = Report { violations: vec!["two".into()], ..report("bounded", 3) };
        assert_eq!(Verdict::of(std::slice::from_ref(&clean), &["cap"]), Verdict::Clean);
        assert_eq!(Verdict::of(&[clean.clone(), given_up.clone()], &[]), Verdict::Inconclusive);
        assert_eq!(Verdict::of(&[clean, given_up, violated], &[]), Verdict::Violated);
        assert_eq!(Verdict::of(&[], &[]), Verdict::NothingJudged);
    }

    #[test]
    fn a_report_with_more_unknown_than_judged_shows_nothing() {
        let with = |unknown| Report { unknown, ..report("cap", 3) };
        assert_eq!([with(3).verdict(), with(4).verdict()], [Verdict::Clean, Verdict::NothingJudged]);
    }

    #[test]
    fn a_checker_that_was_demanded_must_have_judged_something() {
        let reports = [report("cap", 3), report("registers", 0)];
        assert_eq!(Verdict::of(&reports, &["cap"]), Verdict::Clean);
        assert_eq!(Verdict::of(&reports, &["cap", "registers"]), Verdict::NothingJudged);
        assert_eq!(Verdict::of(&reports, &["conserved"]), Verdict::NothingJudged);
    }

    #[test]
    fn what_is_mostly_known_is_judged_and_what_is_not_is_void() {
        let report = |invariant: &str, judged, unknown| Report { unknown, ..report(invariant, judged) };
        assert!(
            vague(&[report("cap", 19, 1), report("registers", 3, 1), report("no-leak", 0, 0), report("routes-alone", 3, 2)], [20, 4])
                .is_empty()
        );
        assert_eq!(vague(&[report("cap", 94, 5), report("registers", 29, 10), report("whole-or-error", 540, 460)], [20, 4]).len(), 3);
        assert_eq!(vague(&[report("cap", 94, 5), report("registers", 29, 10), report("whole-or-error", 540, 460)], [4, 2]).len(), 1);
    }
}
