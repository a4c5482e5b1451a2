//! When the next round of moves may begin.
//!
//! A move is safe at any speed: epochs see to that. But whoever plans faster than the map converges plans on what was, sees blocks loaded
//! by dynos that have left, and corrects what was right. So a round waits for several times the convergence that was *measured*; as long as
//! none was, nothing is moved automatically. An operator who asks for a plan by hand is not held back by any of this.

use std::fmt;

use super::policy::Policy;
use crate::time::{Span, Time};

/// Whether it is time for a round of moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Plan now.
    Now,
    /// Not before then.
    At(Time),
    /// So many moves are unfinished, which is as many as there may be.
    Unfinished(u32),
    /// Nobody has measured yet how long the map takes to converge.
    Unmeasured,
}

/// Time from one round to the next, with a map that converges in `convergence`.
pub fn round(policy: &Policy, convergence: Span) -> Span {
    policy.pace.max(convergence.times(u64::from(policy.convergences)))
}

/// Whether the automatic mode may plan at `now`. `last` is when the last round was decided that had any moves.
pub fn due(now: Time, last: Option<Time>, unfinished: u32, convergence: Option<Span>, policy: &Policy) -> Due {
    let Some(convergence) = convergence else { return Due::Unmeasured };
    let next = last.map_or(now, |last| last + round(policy, convergence));
    if next > now {
        return Due::At(next);
    }
    if unfinished >= policy.rescues_max { Due::Unfinished(unfinished) } else { Due::Now }
}

impl fmt::Display for Due {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Due::Now => write!(f, "the next round is due"),
            Due::At(_) => write!(f, "the last round has not yet spread through the map"),
            Due::Unfinished(moves) => write!(f, "{moves} moves are unfinished"),
            Due::Unmeasured => write!(f, "the map's convergence has not been measured yet"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::policy::DEFAULTS;
    use super::*;

    fn at(secs: u64) -> Time {
        Time::ZERO + Span::from_secs(secs)
    }

    #[test]
    fn a_round_waits_for_the_map_and_for_the_pace() {
        let quick = Some(Span::from_millis(400));
        assert_eq!(due(at(100), None, 0, quick, &DEFAULTS), Due::Now);
        let slow_pace = Policy { pace: Span::from_secs(10), ..DEFAULTS };
        assert_eq!(due(at(109), Some(at(100)), 0, quick, &slow_pace), Due::At(at(110)), "the pace is the longer");
        let slow = Some(Span::from_secs(7));
        assert_eq!(due(at(120), Some(at(100)), 0, slow, &DEFAULTS), Due::At(at(135)), "five convergences are the longer");
        assert_eq!(due(at(135), Some(at(100)), 0, slow, &DEFAULTS), Due::Now);
    }

    #[test]
    fn nothing_moves_on_its_own_before_the_map_was_measured() {
        assert_eq!(due(at(100), None, 0, None, &DEFAULTS), Due::Unmeasured);
    }

    #[test]
    fn a_round_waits_for_unfinished_moves() {
        let quick = Some(Span::from_millis(400));
        assert_eq!(due(at(100), None, DEFAULTS.rescues_max, quick, &DEFAULTS), Due::Unfinished(64));
        assert_eq!(due(at(100), None, DEFAULTS.moves_max, quick, &DEFAULTS), Due::Now, "dynos that serve nobody may still be rescued");
    }
}
