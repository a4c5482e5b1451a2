//! The records of a block's replicated state.

use serde::{Deserialize, Serialize};

use super::command::nanos;
use crate::app::{AppSpec, DynoSpec, Phase};
use crate::id::{DynoId, Epoch, Version};
use crate::time::Span;

/// An app as the block knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppRecord {
    /// What the operator said.
    pub spec: AppSpec,
    /// The version the directory gave it.
    pub version: Version,
}

/// A dyno the block owns. One it has released is no longer here but in [`BlockState::released`](super::BlockState::released).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DynoRecord {
    /// The dyno as it was added.
    pub spec: DynoSpec,
    /// The epoch it is owned under.
    pub epoch: Epoch,
    /// `Active` or `Draining`.
    pub phase: Phase,
    /// Slots of it that exist. More than `max_conns` only after that was lowered under a new epoch (P29).
    pub used: u32,
    /// Whether it was found to take one request at a time; `None` before anything was learned.
    pub serial: Option<bool>,
    /// Whether the assignment under this epoch says that it takes no new requests.
    pub drain: bool,
    /// How long its running requests may go on once it takes no new ones; each leader counts from when it saw that (P10).
    #[serde(with = "nanos")]
    pub cut: Span,
}

/// A granted slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotRecord {
    /// The dyno.
    pub dyno: DynoId,
    /// The epoch it was granted under.
    pub epoch: Epoch,
    /// How long the holder may keep it, from its grant or last renewal as each replica saw it.
    #[serde(with = "nanos")]
    pub span: Span,
}
