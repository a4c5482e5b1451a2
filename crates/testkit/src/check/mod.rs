//! Checkers: each judges one invariant by a history, in one file, and says how much of the history it could not judge.
//!
//! A checker is believed because its tests show it a history with the fault and one without.

pub mod at_most_once;
pub mod cap;
pub mod no_leak;
pub mod one_owner;

use std::fmt;

/// Violations shown in full; of more, only their number is told.
const SHOWN_MAX: usize = 10;

/// What a checker found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a report that nobody looks at checks nothing"]
pub struct Report {
    /// The invariant.
    pub invariant: &'static str,
    /// Requests it judged.
    pub judged: usize,
    /// Requests it could not judge, neither good nor bad.
    pub unknown: usize,
    /// What broke the invariant, a sentence each.
    pub violations: Vec<String>,
}

impl Report {
    pub(crate) fn new(invariant: &'static str) -> Self {
        Report { invariant, judged: 0, unknown: 0, violations: Vec::new() }
    }

    /// Panics with the violations, or if there was nothing to judge: a checker that saw nothing has shown nothing.
    #[track_caller]
    pub fn assert_holds(&self) {
        assert!(self.violations.is_empty(), "{self}");
        assert!(self.judged > 0, "{self}: the history is empty");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { invariant, judged, unknown, violations } = self;
        write!(f, "{invariant}: {} violations, {judged} requests judged, {unknown} unknown", violations.len())?;
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
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "the history is empty")]
    fn a_checker_that_saw_nothing_has_shown_nothing() {
        Report::new("cap").assert_holds();
    }
}
