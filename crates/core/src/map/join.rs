//! How two words about one subject become one.
//!
//! Each kind of fact is ordered by a version that its author raises with every word, and the larger version stands. Two different words
//! under one version cannot come from a healthy author; then the one whose written form is larger stands, so that all processes
//! agree even so. The predecessors of an assignment are the one part that changes without a new version: they only ever become
//! fewer, so the join keeps those that both words still name.
//!
//! Not a join: two groups that use one block's name. Their terms cannot be compared: the group that the directory bound is believed, and
//! until that is known the one that was heard first (P5).

use std::cmp::Ordering;

use serde::Serialize;

use super::fact::{AppFact, AssignedFact, BoundFact, EvictedFact, Fact, LeaderFact, LoadFact, NodeFact, OwnedFact, ReleasedFact, WishFact};

/// A word that joins with another about the same subject.
pub trait Join: Sized {
    /// The join of both, unless `self` already says it all.
    fn joined(&self, other: &Self) -> Option<Self>;
}

/// The join of two facts, or `None` if they are about different subjects.
pub fn join(one: &Fact, other: &Fact) -> Option<Fact> {
    fn either<T: Join + Clone>(one: &T, other: &T) -> T {
        one.joined(other).unwrap_or_else(|| one.clone())
    }
    if one.key() != other.key() {
        return None;
    }
    match (one, other) {
        (Fact::App(a), Fact::App(b)) => Some(Fact::App(either(a, b))),
        (Fact::Assigned(a), Fact::Assigned(b)) => Some(Fact::Assigned(either(a, b))),
        (Fact::Owned(a), Fact::Owned(b)) => Some(Fact::Owned(either(a, b))),
        (Fact::Released(a), Fact::Released(b)) => Some(Fact::Released(either(a, b))),
        (Fact::Leader(a), Fact::Leader(b)) => Some(Fact::Leader(either(a, b))),
        (Fact::Load(a), Fact::Load(b)) => Some(Fact::Load(either(a, b))),
        (Fact::Node(a), Fact::Node(b)) => Some(Fact::Node(either(a, b))),
        (Fact::Wish(a), Fact::Wish(b)) => Some(Fact::Wish(either(a, b))),
        (Fact::Evicted(a), Fact::Evicted(b)) => Some(Fact::Evicted(either(a, b))),
        (Fact::Bound(a), Fact::Bound(b)) => Some(Fact::Bound(either(a, b))),
        _ => None,
    }
}

/// `other` if it is the larger: by version, and under one version by written form.
fn larger<T: Clone + PartialEq + Serialize>(one: &T, other: &T, version: impl Fn(&T) -> (u64, u64, u64)) -> Option<T> {
    let order = version(other).cmp(&version(one)).then_with(|| by_form(other, one));
    (order == Ordering::Greater).then(|| other.clone())
}

/// An order of different words under one version: arbitrary, but the same everywhere.
fn by_form<T: PartialEq + Serialize>(one: &T, other: &T) -> Ordering {
    let form = |word: &T| serde_json::to_string(word).unwrap_or_default();
    if one == other { Ordering::Equal } else { form(one).cmp(&form(other)) }
}

impl Join for AppFact {
    fn joined(&self, other: &Self) -> Option<Self> {
        larger(self, other, |fact| (fact.version.0, 0, 0))
    }
}

impl Join for AssignedFact {
    fn joined(&self, other: &Self) -> Option<Self> {
        let bare = |fact: &Self| AssignedFact { after: Vec::new(), ..fact.clone() };
        let order = other.epoch.cmp(&self.epoch).then_with(|| by_form(&bare(other), &bare(self)));
        match order {
            Ordering::Less => None,
            Ordering::Greater => Some(other.clone()),
            Ordering::Equal if self.after.iter().all(|earlier| other.after.contains(earlier)) => None,
            Ordering::Equal => {
                let after = self.after.iter().filter(|earlier| other.after.contains(earlier)).cloned().collect();
                Some(AssignedFact { after, ..self.clone() })
            }
        }
    }
}

impl Join for OwnedFact {
    fn joined(&self, other: &Self) -> Option<Self> {
        larger(self, other, |fact| (fact.epoch.0, fact.term.0, fact.seq))
    }
}

impl Join for ReleasedFact {
    fn joined(&self, other: &Self) -> Option<Self> {
        larger(self, other, |fact| (fact.epoch.0, 0, 0))
    }
}

impl Join for LeaderFact {
    fn joined(&self, other: &Self) -> Option<Self> {
        if self.group == other.group { larger(self, other, |fact| (fact.term.0, fact.seq, 0)) } else { None }
    }
}

impl Join for LoadFact {
    fn joined(&self, other: &Self) -> Option<Self> {
        larger(self, other, |fact| (fact.term.0, fact.seq, 0))
    }
}

impl Join for NodeFact {
    fn joined(&self, other: &Self) -> Option<Self> {
        larger(self, other, |fact| (fact.run, fact.seq, 0))
    }
}

impl Join for WishFact {
    fn joined(&self, other: &Self) -> Option<Self> {
        larger(self, other, |fact| (fact.version.0, 0, 0))
    }
}

impl Join for BoundFact {
    fn joined(&self, other: &Self) -> Option<Self> {
        larger(self, other, |fact| (fact.version.0, 0, 0))
    }
}

impl Join for EvictedFact {
    fn joined(&self, other: &Self) -> Option<Self> {
        larger(self, other, |fact| (fact.version.0, 0, 0))
    }
}
