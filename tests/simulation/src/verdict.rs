//! What a seed comes to. One that shows nothing is not green: it is void.

use std::fmt;

use dynomesh_testkit::check;

use crate::story::Told;

/// Fewest faults of a drawn plan that must be felt. Of a plan from a file all must be.
pub(crate) const FAULTS_MIN: usize = 3;
/// Fewest requests that clients must ask.
const REQUESTS_MIN: usize = 500;
/// No more than one in so many of the requests that a checker judges may be unknown, and of whatever else it judges. That is more than chaos
/// allows, for in ten seconds several things break, and an edge that is killed takes along whatever is on its way.
const UNKNOWN_ONE_IN: [usize; 2] = [4, 2];
/// Invariants of which every seed must show something: there are clients, operators, a census and a burst in each.
const DEMANDED: [&str; 9] =
    ["one-owner", "cap", "at-most-once", "whole-or-error", "bounded", "conserved", "quorum-or-silence", "no-leak", "registers"];

/// What a seed comes to. Only the first is green.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Clean,
    /// Nothing broke, but too little was broken, asked or judged for that to mean anything.
    Void,
    /// An invariant was broken, a search was given up, or something happened that must never be.
    Failed,
}

impl Verdict {
    /// The exit code that says it, as `dynomesh-chaos` says it.
    pub(crate) fn code(self) -> u8 {
        match self {
            Verdict::Clean => 0,
            Verdict::Failed => 1,
            Verdict::Void => 3,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Clean => "clean",
            Verdict::Void => "void",
            Verdict::Failed => "failed",
        })
    }
}

// === impl Told ===

impl Told {
    /// What it lacks to show anything.
    pub(crate) fn voids(&self) -> Vec<String> {
        let Told { felt, demanded, requests, reports, .. } = self;
        let mut voids = Vec::new();
        if felt < demanded {
            voids.push(format!("{felt} faults were felt, which must be {demanded} at least"));
        }
        if *requests < REQUESTS_MIN {
            voids.push(format!("{requests} requests were asked, which must be {REQUESTS_MIN} at least"));
        }
        let shows =
            |name: &&str| reports.iter().any(|report| report.invariant == **name && report.verdict() != check::Verdict::NothingJudged);
        voids.extend(
            DEMANDED.iter().filter(|name| !shows(name)).map(|name| format!("nothing, or less than is unknown, was judged of {name}")),
        );
        // Of the others a seed need not show anything.
        let demanded: Vec<_> = reports.iter().filter(|report| DEMANDED.contains(&report.invariant.as_str())).cloned().collect();
        voids.extend(check::vague(&demanded, UNKNOWN_ONE_IN));
        voids
    }

    pub(crate) fn verdict(&self) -> Verdict {
        match check::Verdict::of(&self.reports, &DEMANDED) {
            _ if !self.alarms.is_empty() => Verdict::Failed,
            check::Verdict::Violated | check::Verdict::Inconclusive => Verdict::Failed,
            check::Verdict::NothingJudged => Verdict::Void,
            check::Verdict::Clean if !self.voids().is_empty() => Verdict::Void,
            check::Verdict::Clean => Verdict::Clean,
        }
    }
}

#[cfg(test)]
mod tests {
    use dynomesh_testkit::check::Limits;
    use dynomesh_testkit::history::History;

    use super::*;

    /// A seed of which everything was judged, but for the invariant of this name.
    fn told(silent: &str) -> Told {
        let mut told = Told::new(7, FAULTS_MIN);
        (told.felt, told.requests) = (FAULTS_MIN, REQUESTS_MIN);
        told.reports = check::all(&History::default(), &Limits::default());
        for report in told.reports.iter_mut().filter(|report| report.invariant != silent && report.invariant != "routes-alone") {
            report.judged = 1;
        }
        told
    }

    #[test]
    fn a_seed_that_shows_nothing_is_void() {
        assert_eq!(told("").verdict(), Verdict::Clean);
        for silent in DEMANDED {
            assert_eq!(told(silent).verdict(), Verdict::Void, "{silent}");
            assert_eq!(told(silent).voids(), [format!("nothing, or less than is unknown, was judged of {silent}")]);
        }
        let few_faults = Told { felt: FAULTS_MIN - 1, ..told("") };
        let few_requests = Told { requests: REQUESTS_MIN - 1, ..told("") };
        let file = Told { felt: 8, demanded: 9, ..told("") };
        for void in [few_faults, few_requests, file, Told { reports: Vec::new(), ..told("") }] {
            assert_eq!(void.verdict(), Verdict::Void, "{:?}", void.voids());
        }
    }

    #[test]
    fn what_failed_is_not_merely_void() {
        let mut violated = told("cap");
        violated.reports[0].violations.push("two owners".into());
        let mut given_up = told("cap");
        given_up.reports[0].inconclusive.push("a register".into());
        let alarmed = Told { alarms: vec!["no census".into()], ..told("cap") };
        for failed in [violated, given_up, alarmed] {
            assert_eq!(failed.verdict(), Verdict::Failed);
        }
        assert_eq!([Verdict::Clean, Verdict::Failed, Verdict::Void].map(Verdict::code), [0, 1, 3]);
    }
}
