//! What can be asked of the directory, and what it answers.
//!
//! Commands are written to the log in a form that names variants and fields by position: variants and fields are added at the end,
//! never moved. Asking for what already is so is answered with `changed: false`, so that a caller may repeat itself.

use serde::{Deserialize, Serialize};

use super::ask::Ask;
use super::record::{AppRecord, BlockRecord, DynoRecord};
use super::settings::MeshSettings;
use crate::app::AppSpec;
use crate::id::{Address, AppName, BlockName, DynoId, Epoch, GroupId, Invalid, NodeName};
use crate::map::fact::{AppFact, AssignedFact, EvictedFact};
use crate::time::Span;

/// One change of the directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Make an app. Answered by [`Reply::App`].
    CreateApp {
        /// The app.
        spec: Box<AppSpec>,
    },
    /// Delete an app that has no dynos. Answered by [`Reply::Done`].
    DeleteApp {
        /// The app.
        name: AppName,
    },
    /// Add a dyno to an app and assign it to a block. Answered by [`Reply::Dyno`].
    AddDyno {
        /// Its id; minted from the app's name when there is none.
        id: Option<DynoId>,
        /// The app.
        app: AppName,
        /// Where it listens.
        address: Address,
        /// Requests it may have in flight; `None` means the app's default.
        max_conns: Option<u32>,
        /// The block that shall own it; `None` leaves the choice to the directory.
        block: Option<BlockName>,
    },
    /// Send a dyno no new requests. Answered by [`Reply::Dyno`].
    DrainDyno {
        /// The dyno.
        id: DynoId,
        /// How long its running requests may go on; `None` leaves that to the mesh's settings.
        cut: Option<Span>,
    },
    /// Take a dyno away. Its address stays taken until its block has let go of it. Answered by [`Reply::Done`].
    RemoveDyno {
        /// The dyno.
        id: DynoId,
        /// Whether it may be the last one of its app.
        force: bool,
    },
    /// Bind a block's name to its identity, for ever, and give it the dynos that wait for a block. Answered by [`Reply::Done`].
    BindBlock {
        /// The name.
        name: BlockName,
        /// The identity.
        group: GroupId,
    },
    /// A block's promise was seen in the map: it will never own the dyno under `epoch` or an older one. Answered by [`Reply::Done`].
    Released {
        /// The dyno.
        dyno: DynoId,
        /// The block.
        block: BlockName,
        /// Up to which epoch.
        epoch: Epoch,
    },
    /// Assign a dyno to another block, which waits until its predecessors have let go. Answered by [`Reply::Dyno`].
    MoveDyno {
        /// The dyno.
        id: DynoId,
        /// The block that shall own it.
        to: BlockName,
        /// Why, in a sentence; empty where an operator asks. Kept in the event.
        why: String,
    },
    /// Send a drained dyno requests again. Answered by [`Reply::Dyno`].
    UndrainDyno {
        /// The dyno.
        id: DynoId,
    },
    /// Describe a known app anew. Answered by [`Reply::App`].
    UpdateApp {
        /// The app.
        spec: Box<AppSpec>,
    },
    /// Give a block no more dynos, and its dynos to others: that they are moved away is the planner's work. Answered by [`Reply::Block`].
    DrainBlock {
        /// The block.
        name: BlockName,
    },
    /// Give a drained block dynos again. Answered by [`Reply::Block`].
    UndrainBlock {
        /// The block.
        name: BlockName,
    },
    /// Forget a block that has no dynos, or was evicted. Its group is never bound again. Answered by [`Reply::Done`].
    RemoveBlock {
        /// The block.
        name: BlockName,
    },
    /// Take all dynos from a block that can dispatch no more (P16). This stands in for its releases: whoever proposes it answers for the
    /// proof. Answered by [`Reply::Block`].
    EvictBlock {
        /// The block.
        name: BlockName,
        /// What stands for it that the block cannot dispatch.
        proof: Proof,
    },
    /// Say whether a process shall take nothing new. Answered by [`Reply::Done`].
    DrainNode {
        /// The process.
        node: NodeName,
        /// Whether it shall be drained.
        drain: bool,
    },
    /// Change the settings of the mesh. Answered by [`Reply::Done`].
    SetSettings {
        /// All of them.
        settings: MeshSettings,
    },
    /// Take back what the map knows and this directory lost (P17, P19). Answered by [`Reply::Done`].
    Recover {
        /// Higher than that of every word in the map.
        generation: u16,
        /// Apps as they were last published.
        apps: Vec<AppFact>,
        /// Assignments as they were last published.
        dynos: Vec<AssignedFact>,
        /// Evictions as they were published.
        evicted: Vec<EvictedFact>,
        /// Whether this was the last part; until then nothing else is written.
        last: bool,
    },
    /// Any of the others, asked for by somebody. Answered as that one is.
    Asked(Box<Ask>),
}

/// What stands for it that an evicted block cannot dispatch (P16).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Proof {
    /// An operator's word that all replicas of the block are stopped.
    Operator,
    /// The platform has deleted all pods of the block.
    Platform,
    /// The agents of all its dynos have acknowledged a later epoch.
    Agents,
}

/// What a command came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// Applied, or already so.
    Done {
        /// Whether anything changed.
        changed: bool,
        /// The stamp of the last change of what was spoken of; 0 if there is none.
        stamp: u64,
    },
    /// The app as it is now.
    App {
        /// Whether anything changed.
        changed: bool,
        /// The app.
        app: Box<AppRecord>,
    },
    /// The dyno as it is now.
    Dyno {
        /// Whether anything changed.
        changed: bool,
        /// The dyno.
        dyno: Box<DynoRecord>,
    },
    /// The block as it is now.
    Block {
        /// Whether anything changed.
        changed: bool,
        /// The block.
        block: Box<BlockRecord>,
    },
    /// Not applied.
    Refused(Refusal),
}

/// Why a command was not applied: a kind for programs and a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{sentence}")]
pub struct Refusal {
    /// What sort of refusal this is.
    pub kind: Kind,
    /// What is wrong, with the names concerned, and what would be right.
    pub sentence: String,
}

/// Sorts of refusals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// What the command speaks of does not exist.
    NotFound,
    /// It exists and differs, or its host or address belongs to another.
    Exists,
    /// A value that nothing may have.
    Invalid {
        /// The field that holds it.
        field: String,
    },
    /// Not as things stand now.
    Precondition,
    /// It was changed since the caller looked: read it again, and decide anew.
    Stale,
}

impl Refusal {
    /// A refusal because something does not exist.
    pub fn not_found(sentence: impl Into<String>) -> Self {
        Refusal { kind: Kind::NotFound, sentence: sentence.into() }
    }

    /// A refusal because something is taken.
    pub fn exists(sentence: impl Into<String>) -> Self {
        Refusal { kind: Kind::Exists, sentence: sentence.into() }
    }

    /// A refusal of the value of `field`.
    pub fn invalid(field: &str, sentence: impl Into<String>) -> Self {
        Refusal { kind: Kind::Invalid { field: field.into() }, sentence: sentence.into() }
    }

    /// A refusal of a name, number or address, which says itself what is wrong.
    pub fn because(invalid: &Invalid) -> Self {
        Self::invalid(invalid.what, invalid.to_string())
    }

    /// A refusal because the caller decided by an older version.
    pub fn stale(sentence: impl Into<String>) -> Self {
        Refusal { kind: Kind::Stale, sentence: sentence.into() }
    }

    /// A refusal that may pass.
    pub fn precondition(sentence: impl Into<String>) -> Self {
        Refusal { kind: Kind::Precondition, sentence: sentence.into() }
    }
}
