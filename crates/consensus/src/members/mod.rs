//! Who belongs to a group, and changing that one replica at a time (P5, P29).
//!
//! All decisions are the leader's: it alone knows who is heard and how far each has come. It makes one change at a time and every
//! change in steps that may be repeated, so whoever asked may ask again after a crash, of it or of the leader, and the change goes
//! on where it stood: what was done is seen in the membership and in the list of retired ids, nothing else is kept.
//!
//! To replace is: spend the old id, take it out, take the new replica in as a learner, wait until it has caught up, give it a vote.
//! A replica that still answers keeps its vote until the new one has caught up, unless they share an address.

mod change;
mod look;
mod outside;
mod step;
mod wire;

use std::fmt;

use dynomesh_core::id::{Address, GroupId, ReplicaId, Term};

pub use outside::{add_replica, members, remove_replica, replace_replica, transfer_leadership};
pub(crate) use wire::{order, wire_members, wire_outcome};

use crate::options::Member;

/// A change of a group's members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Take in the replica that listens at this gRPC address.
    Add(Address),
    /// Take a replica out.
    Remove(ReplicaId),
    /// Take a replica out and another in.
    Replace {
        /// Who leaves; `None`: the only member that is not heard.
        old: Option<ReplicaId>,
        /// gRPC address of who comes.
        by: Address,
    },
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Order::Add(address) => write!(f, "add the replica at {address}"),
            Order::Remove(id) => write!(f, "remove replica {id}"),
            Order::Replace { old: Some(old), by } => write!(f, "replace replica {old} by the one at {by}"),
            Order::Replace { old: None, by } => write!(f, "replace the silent replica by the one at {by}"),
        }
    }
}

/// What a change came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Who came, if anybody was to come; it has a vote.
    pub added: Option<Member>,
    /// Who left, if anybody was to leave.
    pub removed: Option<ReplicaId>,
    /// Everybody afterwards.
    pub members: Vec<Member>,
}

/// A group as one of its replicas sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Members {
    /// The group; `None` on a pristine replica.
    pub group: Option<GroupId>,
    /// What it is for.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The term.
    pub term: Term,
    /// Who says all this. Only a leader knows who is heard.
    pub seen_by: ReplicaId,
    /// Who leads, if that is known.
    pub leader: Option<Member>,
    /// Everybody, ordered by id.
    pub members: Vec<MemberState>,
    /// Replicas that were members once and never will be again, the oldest first, each with who took its place.
    pub retired: Vec<(ReplicaId, Option<ReplicaId>)>,
    /// The change under way, in words.
    pub change: Option<String>,
}

/// One member and how it is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberState {
    /// Who it is and where.
    pub member: Member,
    /// Whether it votes; one that does not is still learning.
    pub voter: bool,
    /// Whether the leader hears it; `None` if another than the leader tells.
    pub heard: Option<bool>,
    /// Log entries it lacks, where that is known.
    pub behind: Option<u64>,
    /// It does not want to lead at present.
    pub abstains: bool,
}

/// Why a change was refused; asking again without doing something first changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Too few voters would answer.
    Quorum,
    /// The replica was a member once, or another took the place already.
    Retired,
    /// Another member has the address.
    Address,
    /// The replica belongs to another group, or was set up for one.
    Foreign,
    /// No such member.
    Unknown,
    /// It cannot be told which replica is meant.
    Ambiguous,
    /// The new replica does not answer.
    Unreachable,
}

/// Why the members of a group were not changed, not all the way, or not told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MembersError {
    /// The replica that was asked does not lead: ask the one that does.
    #[error("this replica does not lead")]
    NotLeader {
        /// The leader, if one is known.
        leader: Option<Member>,
    },
    /// One change at a time. Wait until this one is over.
    #[error("another change is under way: {change}")]
    Busy {
        /// The change, in words.
        change: String,
    },
    /// Refused; the sentence says what to do first.
    #[error("{text}")]
    Refused {
        /// Why.
        reason: Refusal,
        /// The same in words, with the next step.
        text: String,
    },
    /// Done in part. Asking again continues.
    #[error("{0}; ask again to continue")]
    Unfinished(String),
    /// No replica leads, or none answers.
    #[error("no leader was found within {} s among {}: {problem}", waited.as_secs(), list(asked))]
    NoLeader {
        /// Who was asked.
        asked: Vec<Address>,
        /// For how long.
        waited: std::time::Duration,
        /// What the last of them said.
        problem: String,
    },
}

impl MembersError {
    pub(crate) fn refused(reason: Refusal, text: impl Into<String>) -> Self {
        MembersError::Refused { reason, text: text.into() }
    }
}

/// Several things in one sentence.
fn list<T: fmt::Display>(all: impl IntoIterator<Item = T>) -> String {
    let all: Vec<String> = all.into_iter().map(|it| it.to_string()).collect();
    if all.is_empty() { "nobody".to_owned() } else { all.join(", ") }
}
