//! What can be asked of a block's replicated state, and what it answers.
//!
//! Commands are written to the log in a form that names variants and fields by position: variants and fields are added at the end,
//! never moved. Nothing in a command depends on the replica that applies it.

use serde::{Deserialize, Serialize};

use crate::app::{AppSpec, DynoSpec};
use crate::id::{AppName, DynoId, Epoch, SlotId, Version};
use crate::time::Span;

/// One change of a block's replicated state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Own a dyno under a new epoch. Over an own older epoch its slots stay.
    Adopt(AdoptDyno),
    /// Grant no more slots of an owned dyno.
    Drain {
        /// The dyno.
        dyno: DynoId,
        /// The epoch it is owned under.
        epoch: Epoch,
        /// How long its running requests may go on; then the leader cuts them.
        #[serde(with = "nanos")]
        cut: Span,
    },
    /// Promise never to own a dyno under `epoch` or an older one. Refused while any slot of it exists (P12). A dyno that was never owned
    /// can be promised too (P15).
    Release {
        /// The dyno.
        dyno: DynoId,
        /// Up to which epoch; at least the one it is owned under.
        epoch: Epoch,
    },
    /// Drop the record of a promise, which stays true by the floor it leaves behind.
    Forget {
        /// The dyno.
        dyno: DynoId,
        /// The promise that may be dropped; one up to a later epoch stays.
        epoch: Epoch,
    },
    /// Take note of an app, or of a newer version of it.
    SetApp {
        /// The app.
        spec: Box<AppSpec>,
        /// The version the directory gave it.
        version: Version,
    },
    /// Drop an app that was deleted. Refused while a dyno of it is owned.
    RemoveApp {
        /// The app.
        name: AppName,
        /// The version of its deletion.
        version: Version,
    },
    /// Give the right to have one request in flight at a dyno.
    Grant {
        /// The new slot; an id is proposed once, whatever becomes of it (P11).
        slot: SlotId,
        /// The dyno.
        dyno: DynoId,
        /// The epoch the holder believes it is owned under.
        epoch: Epoch,
        /// How long the holder may keep it, counted by each replica from its own apply.
        #[serde(with = "nanos")]
        span: Span,
    },
    /// Start the spans of slots anew. Slots that are gone are named in the reply: their holder must cut those requests.
    Renew {
        /// The slots.
        slots: Vec<SlotId>,
        /// Their new span.
        #[serde(with = "nanos")]
        span: Span,
    },
    /// Give slots back. Slots that are already gone are none the worse for it.
    Free {
        /// The slots.
        slots: Vec<SlotId>,
    },
    /// Take note of whether a dyno takes one request at a time (P9).
    Learn {
        /// The dyno.
        dyno: DynoId,
        /// The epoch it is owned under.
        epoch: Epoch,
        /// What was learned.
        serial: bool,
    },
    /// Change the settings of the block.
    Configure(BlockSettings),
}

/// See [`Command::Adopt`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdoptDyno {
    /// The dyno.
    pub spec: DynoSpec,
    /// The epoch of the assignment.
    pub epoch: Epoch,
    /// Whether it takes no new requests from the start.
    pub drain: bool,
    /// How long its running requests may go on once it takes no new ones.
    #[serde(with = "nanos")]
    pub cut: Span,
}

/// How a slot comes to be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SlotsMode {
    /// Dispatch waits until the grant is committed and flushed: `cap` holds across failover.
    #[default]
    Committed,
    /// Dispatch at once under a proven lease; counts follow within milliseconds (P14).
    Leased,
}

/// Settings that all replicas of a block must share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockSettings {
    /// How a slot comes to be.
    pub slots: SlotsMode,
    /// Whether a takeover in leased mode begins with every dyno counted as full (P14).
    pub leased_quarantine: bool,
}

/// What a command came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// Applied.
    Done,
    /// Already so.
    Unchanged,
    /// The slot is granted.
    Granted,
    /// Applied to the slots that exist; these do not.
    Missing(Vec<SlotId>),
    /// Not applied.
    Refused(Refusal),
}

/// Why a command was not applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// The block does not own the dyno.
    #[error("the block does not own this dyno")]
    UnknownDyno,
    /// The block does not know the app.
    #[error("the block does not know this app")]
    UnknownApp,
    /// The dyno is owned, or promised away, under another epoch.
    #[error("the block stands at epoch {has}")]
    Epoch {
        /// That epoch.
        has: Epoch,
    },
    /// The dyno takes no new requests.
    #[error("the dyno is draining")]
    Draining,
    /// The dyno takes new requests; only a draining one is released.
    #[error("the dyno is not draining")]
    Active,
    /// All slots of the dyno are taken.
    #[error("all slots of the dyno are taken")]
    Full,
    /// Slots of the dyno are still taken.
    #[error("{used} slots of the dyno are still taken")]
    SlotsRemain {
        /// How many.
        used: u32,
    },
    /// A slot of this id is already granted.
    #[error("this slot is already granted")]
    DuplicateSlot,
    /// The app is known in a newer version.
    #[error("the app is known in version {has}")]
    StaleVersion {
        /// That version.
        has: Version,
    },
    /// Dynos of the app are still owned.
    #[error("dynos of the app are still owned")]
    DynosRemain,
    /// The id is known with another app or address, which a dyno keeps for life.
    #[error("the dyno is known with another app or address")]
    OtherDyno,
    /// A limit of the block is reached: apps, dynos or records.
    #[error("the block has no room for another")]
    Limit,
}

impl Default for BlockSettings {
    fn default() -> Self {
        BlockSettings { slots: SlotsMode::Committed, leased_quarantine: true }
    }
}

/// Spans in the log and in snapshots are plain numbers: their usual form is text, which is too dear at thousands of grants a second.
pub(super) mod nanos {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::time::Span;

    pub(in crate::block) fn serialize<S: Serializer>(span: &Span, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(span.as_nanos())
    }

    pub(in crate::block) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Span, D::Error> {
        u64::deserialize(from).map(Span::from_nanos)
    }
}
