//! Facts about processes, and about which group a block is.
//!
//! A process speaks of itself; nobody speaks for it. That it is not heard any more is no fact (P18): whoever needs to know which
//! processes live asks gossip, not the map.

use serde::{Deserialize, Serialize};

use crate::id::{Address, BlockName, GroupId, NodeName, ReplicaId, Version, Zone};

/// See [`Fact::Node`](super::Fact::Node). Joined by (run, seq).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeFact {
    /// The process; unique in the mesh.
    pub node: NodeName,
    /// Numbers the runs of this process; grows with each.
    pub run: u64,
    /// Counts the words of this run.
    pub seq: u64,
    /// Version of its program.
    pub version: String,
    /// Where it runs, if it was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Zone>,
    /// Where its health, readiness and metrics are.
    pub admin: Address,
    /// How it stands.
    pub state: NodeState,
    /// Requests it has in flight.
    pub in_flight: u32,
    /// Ids of the gossip keys it opens with; the first is the one it seals with (P20).
    #[serde(default)]
    pub keys: Vec<String>,
    /// What it is.
    pub role: NodeRole,
}

/// How a process stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    /// It does not serve yet.
    Starting,
    /// It serves.
    Serving,
    /// It takes nothing new and finishes what runs.
    Draining,
    /// It takes nothing new and nothing runs: it can be stopped.
    Drained,
}

/// What a process is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "lowercase")]
pub enum NodeRole {
    /// An edge.
    Edge {
        /// Where clients connect.
        http: Address,
    },
    /// A replica of a block.
    Block {
        /// The block.
        block: BlockName,
        /// The block's identity, once it was bootstrapped.
        group: Option<GroupId>,
        /// Its id in the group.
        replica: ReplicaId,
        /// Where edges send requests.
        http: Address,
        /// Where its peers reach it.
        grpc: Address,
        /// Whether it leads.
        leads: bool,
    },
    /// A replica of the control plane.
    Control {
        /// Its id in the group.
        replica: ReplicaId,
        /// Where its peers and callers reach it.
        grpc: Address,
        /// Whether it leads.
        leads: bool,
    },
}

/// See [`Fact::Wish`](super::Fact::Wish). Joined by version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WishFact {
    /// The process.
    pub node: NodeName,
    /// Version of this word about it.
    pub version: Version,
    /// Whether it shall take nothing new: an edge no connections, a replica no leadership.
    pub drain: bool,
}

/// See [`Fact::Bound`](super::Fact::Bound). Joined by version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundFact {
    /// The block.
    pub block: BlockName,
    /// Its identity: what is assigned to the name is meant for this group, and nobody else speaks for it.
    pub group: GroupId,
    /// When the directory last spoke of the block.
    pub version: Version,
}

/// See [`Fact::Evicted`](super::Fact::Evicted). Joined by version; there is no way back for a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvictedFact {
    /// The block.
    pub block: BlockName,
    /// Its identity: another group under that name is not meant.
    pub group: GroupId,
    /// When it was evicted.
    pub version: Version,
}
