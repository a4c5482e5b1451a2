//! What reports come to.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Report;

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
}
