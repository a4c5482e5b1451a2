//! Who belongs to the group, and who did: what the applied log says.
//!
//! A replica that was removed may come back from a backup, or wake after days: its id is never taken in again (P5). So the ids of
//! the removed are replicated, in entries of their own and in every snapshot. Such an entry comes *before* the change that takes
//! the member out: after a crash between the two the id is spent although its replica is a member still, never the other way round.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// Most ids that are remembered; past it the oldest is forgotten. A disk that old has been told by then, or is gone.
pub(crate) const RETIRED_MAX: usize = 65_536;

/// Ids that were members once, the oldest first, each with the one that took its place, or 0.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Retired(Vec<(u64, u64)>);

/// Members and former members as of the last applied entry.
#[derive(Debug, Clone, Default)]
pub(crate) struct Roll {
    pub(crate) members: BTreeSet<u64>,
    pub(crate) retired: Retired,
}

// === impl Retired ===

impl Retired {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.0.iter().copied()
    }

    pub(crate) fn contains(&self, replica: u64) -> bool {
        self.0.iter().any(|(id, _)| *id == replica)
    }

    /// Who took the place of `replica`, if it is retired and somebody did.
    pub(crate) fn successor(&self, replica: u64) -> Option<u64> {
        self.0.iter().find(|(id, _)| *id == replica).map(|(_, successor)| *successor).filter(|successor| *successor != 0)
    }

    /// Whose place `replica` takes.
    pub(crate) fn predecessor(&self, replica: u64) -> Option<u64> {
        self.0.iter().find(|(_, successor)| *successor == replica).map(|(id, _)| *id)
    }

    pub(crate) fn insert(&mut self, replica: u64, successor: u64) {
        match self.0.iter_mut().find(|(id, _)| *id == replica) {
            Some(known) => known.1 = successor,
            None => self.0.push((replica, successor)),
        }
        if self.0.len() > RETIRED_MAX {
            self.0.remove(0);
        }
    }
}

// === impl Roll ===

impl Roll {
    /// Whether `replica` was a member and is none any more.
    pub(crate) fn is_removed(&self, replica: u64) -> bool {
        !self.members.contains(&replica) && self.retired.contains(replica)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_removed_once_it_is_retired_and_no_member_any_more() {
        let mut roll = Roll { members: [1, 2, 3].into(), ..Roll::default() };
        roll.retired.insert(3, 4);
        assert!(!roll.is_removed(3), "retired, but it votes until the members change");
        roll.members.remove(&3);
        assert!(roll.is_removed(3));
        assert!(!roll.is_removed(4), "never seen");
        assert_eq!((roll.retired.successor(3), roll.retired.predecessor(4)), (Some(4), Some(3)));
    }

    #[test]
    fn the_oldest_ids_are_forgotten_past_the_limit_and_none_is_kept_twice() {
        let mut retired = Retired::default();
        (1..=RETIRED_MAX as u64 + 1).for_each(|id| retired.insert(id, 0));
        assert!(!retired.contains(1) && retired.contains(2));
        retired.insert(2, 7);
        assert_eq!(retired.iter().filter(|(id, _)| *id == 2).collect::<Vec<_>>(), [(2, 7)]);
    }
}
