//! What can go wrong, told so that the caller knows whether the command may have taken effect.

use std::io;
use std::path::PathBuf;

use dynomesh_core::id::{Address, GroupId, ReplicaId};

use crate::options::Member;

/// Why a proposal brought no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Another replica leads, or none; certainly not appended.
    #[error("this replica does not lead")]
    NotLeader {
        /// The leader, if one is known.
        leader: Option<Member>,
    },
    /// Certainly not appended: the leader's lease lapsed, or too much waits. It may be proposed again.
    #[error("not appended: {0}")]
    NotAppended(&'static str),
    /// Appended, but leadership was lost before the outcome was known: it may or may not take effect.
    #[error("the outcome is unknown: {0}")]
    Unknown(&'static str),
    /// The replica is stopping; certainly not appended.
    #[error("the replica is stopping")]
    Stopping,
}

/// Why a replica could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The options contradict each other.
    #[error("settings: {0}")]
    Options(String),
    /// Another process uses the directory.
    #[error("{} is in use by another process", dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// The directory belongs to another group.
    #[error("{} belongs to {has}, not to {wanted}", dir.display())]
    Foreign {
        /// The directory.
        dir: PathBuf,
        /// Kind and name found there.
        has: String,
        /// Kind and name asked for.
        wanted: String,
    },
    /// Something on disk was flushed once and can no longer be read. Starting would forget what was promised to others: remove
    /// the directory, so that the replica joins anew under a new id.
    #[error("{}: {problem}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The disk failed.
    #[error("{}", path.display())]
    Disk {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// openraft refused to start.
    #[error("raft: {0}")]
    Raft(String),
}

impl StartError {
    pub(crate) fn disk(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |cause| StartError::Disk { path, cause }
    }
}

/// Why a group was not made.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// No answer from a replica.
    #[error("{address}: {problem}")]
    Unreachable {
        /// Whom we asked.
        address: Address,
        /// What it or the network said.
        problem: String,
    },
    /// A replica belongs to a group already: nothing was changed.
    #[error("replica {replica} belongs to a group already")]
    NotPristine {
        /// The replica.
        replica: ReplicaId,
        /// Its group.
        group: Option<GroupId>,
    },
    /// The member list makes no sense.
    #[error("members: {0}")]
    Members(String),
    /// The disk failed, or openraft refused.
    #[error("{0}")]
    Failed(String),
}
