//! Checkers: each judges one invariant by a history, in one file, and says how much of the history it could not judge.
//!
//! A checker is believed because its tests show it a history with the fault and one without.

pub mod at_most_once;
pub mod bounded;
pub mod cap;
pub mod conserved;
mod limits;
pub mod no_leak;
pub mod one_owner;
pub mod quorum_or_silence;
pub mod registers;
pub mod routes_alone;
mod runs;
mod verdict;
pub mod whole_or_error;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use limits::Limits;
pub use verdict::{Verdict, vague};

use crate::history::History;

/// Violations shown in full; of more, only their number is told.
const SHOWN_MAX: usize = 10;

/// What a checker found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[must_use = "a report that nobody looks at checks nothing"]
pub struct Report {
    /// The invariant.
    pub invariant: String,
    /// Requests, or whatever else the checker judges, that it judged.
    pub judged: usize,
    /// Those it could not judge, neither good nor bad.
    pub unknown: usize,
    /// What broke the invariant, a sentence each.
    pub violations: Vec<String>,
    /// Searches given up at their limit: nothing is known of what they looked at, and that is never green.
    #[serde(default)]
    pub inconclusive: Vec<String>,
}

/// Judges a history by every invariant.
pub fn all(history: &History, limits: &Limits) -> Vec<Report> {
    vec![
        one_owner::check(history),
        cap::check(history),
        at_most_once::check(history),
        whole_or_error::check(history),
        bounded::check(history, limits),
        conserved::check(history, limits),
        quorum_or_silence::check(history, limits),
        routes_alone::check(history, limits),
        no_leak(history),
        registers::check(history, limits),
    ]
}

/// The checker of that name, where somebody asked for every slot.
fn no_leak(history: &History) -> Report {
    if history.bursts.is_empty() { Report::new("no-leak") } else { no_leak::check(history) }
}

impl Report {
    pub(crate) fn new(invariant: &str) -> Self {
        Report { invariant: invariant.into(), ..Report::default() }
    }

    /// What it comes to.
    pub fn verdict(&self) -> Verdict {
        match self {
            Report { violations, .. } if !violations.is_empty() => Verdict::Violated,
            Report { inconclusive, .. } if !inconclusive.is_empty() => Verdict::Inconclusive,
            // Where less is known than not, what is known says nothing of the whole.
            Report { judged, unknown, .. } if *judged == 0 || unknown > judged => Verdict::NothingJudged,
            Report { .. } => Verdict::Clean,
        }
    }

    /// Panics with the violations, or if there was nothing to judge: a checker that saw nothing has shown nothing.
    #[track_caller]
    pub fn assert_holds(&self) {
        assert_eq!(self.verdict(), Verdict::Clean, "{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { invariant, judged, unknown, violations, inconclusive } = self;
        write!(f, "{invariant}: {} violations, {judged} judged, {unknown} unknown", violations.len())?;
        if self.verdict() == Verdict::NothingJudged {
            f.write_str(if *unknown == 0 { ": the history is empty" } else { ": too much is unknown" })?;
        }
        for given_up in inconclusive.iter().take(SHOWN_MAX) {
            write!(f, "\n  inconclusive: {given_up}")?;
        }
        for violation in violations.iter().take(SHOWN_MAX) {
            write!(f, "\n  {violation}")?;
        }
        if violations.len() > SHOWN_MAX {
            write!(f, "\n  and {} more", violations.len() - SHOWN_MAX)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
