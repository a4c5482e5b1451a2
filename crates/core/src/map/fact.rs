//! The facts that travel in the map, and how they are written.
//!
//! A fact is one JSON object under a key that names its kind and subject. The object starts with the version of the format, `"v":1`;
//! unknown fields are ignored and an unknown kind or version is skipped, so that old and new processes live side by side.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::app::{AppSpec, DynoSpec, Phase};
use crate::id::{Address, AppName, BlockName, DynoId, Epoch, GroupId, ReplicaId, Term, Version, Zone};
use crate::time::Span;

mod node;

pub use node::{BoundFact, EvictedFact, NodeFact, NodeRole, NodeState, WishFact};

/// Largest written fact, in bytes; a larger one is not published and not read (P18).
pub const FACT_LEN_MAX: usize = 4096;
/// Version of the written form.
pub const FACT_VERSION: u32 = 1;
/// Most earlier blocks an assignment waits for; the directory refuses to move a dyno on when there would be more (P15).
pub const PREDECESSORS_MAX: usize = 4;
/// How long requests may go on at a dyno that is drained or moved, where nothing else is said.
pub const CUT_DEFAULT: Span = Span::from_secs(30);

/// One entry of the map.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Fact {
    /// What an app is. Published by the directory's leader, and by block leaders for the apps of their dynos, so that edges can
    /// route with the control plane down.
    App(AppFact),
    /// Which block should own a dyno. Published by the directory's leader, and by the leader of the block that has adopted it, so that a
    /// lost directory can be recovered from the map.
    Assigned(AssignedFact),
    /// Which block owns a dyno. Published by that block's leader.
    Owned(OwnedFact),
    /// A block's promise never to dispatch to a dyno under this epoch or an older one. Published by that block's leader.
    Released(ReleasedFact),
    /// Who leads a block. Published by that leader.
    Leader(LeaderFact),
    /// How loaded an app is in a block. Published by that block's leader.
    Load(LoadFact),
    /// What a process is and how it stands. Published by itself.
    Node(NodeFact),
    /// Whether an operator wants a process drained. Published by the directory's leader.
    Wish(WishFact),
    /// A block that lost all it had for good (P16). Published by the directory's leader.
    Evicted(EvictedFact),
    /// Which group a block's name is bound to (P5). Published by the directory's leader, and by the leader of that group, so that a lost
    /// directory binds no other.
    Bound(BoundFact),
}

/// See [`Fact::App`]. Joined by version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppFact {
    /// The app.
    pub name: AppName,
    /// Version of this word about it.
    pub version: Version,
    /// `None` once the app is deleted.
    pub spec: Option<AppSpec>,
}

/// A block that may still own a dyno whose assignment moved on (P15).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Predecessor {
    /// The earlier block.
    pub block: BlockName,
    /// The epoch it was assigned under: it is clear once it has released the dyno at this epoch or a later one, but see
    /// [`Predecessor::is_cleared_by`].
    pub epoch: Epoch,
}

impl Predecessor {
    /// Whether a promise up to `promised` is what the assignment under `word` waits for. Within one generation of the directory any
    /// promise that is high enough is: every word that the block can have obeyed was followed by this one or follows it. A word of another
    /// generation may have been lost with its directory, and with it a block that adopted after this promise or will: only the
    /// directory can tell.
    pub fn is_cleared_by(&self, promised: Epoch, word: Epoch) -> bool {
        promised == self.epoch || (promised > self.epoch && promised.generation() == word.generation())
    }
}

/// See [`Fact::Assigned`]. Joined by epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssignedFact {
    /// The dyno as it was added.
    pub dyno: DynoSpec,
    /// Version of this assignment.
    pub epoch: Epoch,
    /// The block that should own it; `None` once the dyno is removed.
    pub block: Option<BlockName>,
    /// Whether the dyno shall take no new requests. Part of the assignment: a change of it is a new epoch.
    pub drain: bool,
    /// Earlier blocks not yet proven clear, at most four (P15).
    pub after: Vec<Predecessor>,
    /// How long running requests may go on once the dyno takes no new ones; then they are cut (P12).
    #[serde(default = "cut_default")]
    pub cut: Span,
}

fn cut_default() -> Span {
    CUT_DEFAULT
}

/// See [`Fact::Owned`]. Joined by (epoch, term, seq): of two words under one epoch the newer leader's, then the later, stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnedFact {
    /// The dyno.
    pub dyno: DynoId,
    /// The owner.
    pub block: BlockName,
    /// The group that speaks. `None` from a process of before this was said, whose word is taken for the block's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupId>,
    /// The epoch it owns the dyno under.
    pub epoch: Epoch,
    /// Term of the leader that says so.
    pub term: Term,
    /// Counts that leader's words.
    pub seq: u64,
    /// Whether it takes requests.
    pub phase: Phase,
    /// Whether it answers; `None` before the first probe.
    pub up: Option<bool>,
    /// Slots taken when this was written.
    pub in_flight: u32,
}

/// See [`Fact::Released`]. Joined by epoch; one per dyno and block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleasedFact {
    /// The dyno.
    pub dyno: DynoId,
    /// The block that promises.
    pub block: BlockName,
    /// The group that speaks, as in [`OwnedFact::group`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupId>,
    /// Up to which epoch.
    pub epoch: Epoch,
}

/// One replica of a block as its group knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaFact {
    /// Its id.
    pub id: ReplicaId,
    /// Where edges send requests.
    pub http: Address,
    /// Where its peers reach it.
    pub grpc: Address,
}

/// See [`Fact::Leader`]. Joined by (term, seq) within one group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaderFact {
    /// The block.
    pub block: BlockName,
    /// The block's identity.
    pub group: GroupId,
    /// The leader's term.
    pub term: Term,
    /// Counts this leader's words.
    pub seq: u64,
    /// The leader; one of `replicas`.
    pub leader: ReplicaId,
    /// All members of the group.
    pub replicas: Vec<ReplicaFact>,
    /// Where the leader runs, if it was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Zone>,
}

/// See [`Fact::Load`]. Joined by (term, seq).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadFact {
    /// The block.
    pub block: BlockName,
    /// The app.
    pub app: AppName,
    /// Term of the leader that says so.
    pub term: Term,
    /// Counts that leader's words.
    pub seq: u64,
    /// Slots of dynos that take requests; 0 once the block has no such dyno.
    pub slots: u32,
    /// Slots taken, held, orphaned or in quarantine.
    pub used: u32,
    /// Requests waiting.
    pub queued: u32,
    /// Dynos of the app in the block.
    pub dynos: u32,
}

/// Facts by key, as one node publishes them.
pub type FactsByKey = BTreeMap<String, Fact>;

#[derive(Serialize, Deserialize)]
struct Written {
    v: u32,
    #[serde(flatten)]
    fact: Fact,
}

/// Why a written fact was not read.
#[derive(Debug, thiserror::Error)]
pub enum FactError {
    /// Longer than [`FACT_LEN_MAX`].
    #[error("fact of {0} bytes is longer than {FACT_LEN_MAX}")]
    TooLong(usize),
    /// Of a version this process does not know.
    #[error("fact of version {0}, this process knows {FACT_VERSION}")]
    Version(u32),
    /// Not a fact.
    #[error("not a fact")]
    Malformed(#[source] serde_json::Error),
}

impl Fact {
    /// The key under which a node publishes this fact: its kind and subject.
    pub fn key(&self) -> String {
        match self {
            Fact::App(f) => format!("app/{}", f.name),
            Fact::Assigned(f) => format!("assigned/{}", f.dyno.id),
            Fact::Owned(f) => format!("owned/{}", f.dyno),
            Fact::Released(f) => format!("released/{}/{}", f.dyno, f.block),
            Fact::Leader(f) => format!("leader/{}", f.block),
            Fact::Load(f) => format!("load/{}/{}", f.block, f.app),
            Fact::Node(f) => format!("node/{}", f.node),
            Fact::Wish(f) => format!("wish/{}", f.node),
            Fact::Evicted(f) => format!("evicted/{}/{}", f.block, f.group),
            Fact::Bound(f) => format!("bound/{}", f.block),
        }
    }

    /// The written form; refused when it would be longer than [`FACT_LEN_MAX`].
    pub fn write(&self) -> Result<String, FactError> {
        let written = Written { v: FACT_VERSION, fact: self.clone() };
        let text = serde_json::to_string(&written).map_err(FactError::Malformed)?;
        if text.len() > FACT_LEN_MAX { Err(FactError::TooLong(text.len())) } else { Ok(text) }
    }

    /// Reads a written fact, from whomever.
    pub fn read(text: &str) -> Result<Fact, FactError> {
        #[derive(Deserialize)]
        struct Head {
            v: u32,
        }
        if text.len() > FACT_LEN_MAX {
            return Err(FactError::TooLong(text.len()));
        }
        let head: Head = serde_json::from_str(text).map_err(FactError::Malformed)?;
        if head.v != FACT_VERSION {
            return Err(FactError::Version(head.v));
        }
        let written: Written = serde_json::from_str(text).map_err(FactError::Malformed)?;
        Ok(written.fact)
    }
}
