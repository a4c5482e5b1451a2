//! Corrections: a follower's word on who leads (P24).
//!
//! A correction costs no attempt, so it must not be a way to walk in circles: only newer words are followed, and few of them.

use serde::{Deserialize, Serialize};

use crate::id::{ReplicaId, Term};

/// Corrections followed within one attempt. After that the attempt counts as not dispatched.
pub const CORRECTIONS_MAX: u32 = 2;

/// A leader, ordered by how new the word on it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LeaderAt {
    /// Its term.
    pub term: Term,
    /// The replica that leads in it.
    pub replica: ReplicaId,
}

/// What to do with a block that said "not leader".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Correction {
    /// Ask the leader it named, within the same attempt.
    Follow,
    /// The attempt has failed, not dispatched: the retry rule says where next.
    Ignore,
}

/// Whether to follow a replica that names `told` as leader, if any, after asking one known as `known` and following `corrections`
/// corrections already within this attempt.
pub fn correct(known: Option<LeaderAt>, told: Option<LeaderAt>, corrections: u32) -> Correction {
    if told > known && corrections < CORRECTIONS_MAX { Correction::Follow } else { Correction::Ignore }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leader(term: u64, replica: u64) -> Option<LeaderAt> {
        Some(LeaderAt { term: Term(term), replica: ReplicaId(replica) })
    }

    #[test]
    fn only_newer_words_are_followed() {
        assert_eq!(correct(None, leader(1, 1), 0), Correction::Follow);
        assert_eq!(correct(leader(4, 1), leader(5, 0), 0), Correction::Follow);
        assert_eq!(correct(leader(5, 1), leader(5, 2), 0), Correction::Follow);
        assert_eq!(correct(leader(5, 2), leader(5, 2), 0), Correction::Ignore, "it was just asked");
        assert_eq!(correct(leader(5, 2), leader(5, 1), 0), Correction::Ignore);
        assert_eq!(correct(leader(5, 2), leader(4, 9), 0), Correction::Ignore);
        assert_eq!(correct(leader(5, 2), None, 0), Correction::Ignore, "nobody leads");
        assert_eq!(correct(None, None, 0), Correction::Ignore);
    }

    #[test]
    fn at_most_two_corrections_are_followed_within_an_attempt() {
        let follows = (0..10).take_while(|n| correct(leader(1, 1), leader(2, 1), *n) == Correction::Follow).count();
        assert_eq!(follows, 2);
    }
}
