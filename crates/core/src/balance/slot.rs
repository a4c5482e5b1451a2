//! What a slot stands for, from being taken to being free.
//!
//! A slot is free only when its end is known: an error holds it for a while, an unknown outcome keeps it until a proof.

use super::hold::Hold;
use crate::id::SlotId;
use crate::time::Time;

/// How a slot found in the replicated state is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occupied {
    /// Its holder lives and will free it.
    Live,
    /// Its holder is silent or dead; it waits for a proof (P8).
    Orphan,
}

/// How a request in a slot ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The dyno answered in full.
    Done,
    /// It failed and the end was seen: a refused connection, a reset, a complete error. The slot is held.
    Error,
    /// It was cut, or lost from sight, and may still run. The slot stays until it is released for a reason.
    Unknown,
}

/// What became of a slot whose request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It is free; the caller frees it in the log.
    Freed,
    /// It is held until then; [`super::Ledger::lapse`] or a passed probe frees it.
    HeldUntil(Time),
    /// It stays counted until [`super::Ledger::release`].
    Kept,
    /// The ledger does not know it: it was released before.
    NotHere,
}

/// What a slot that is counted stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotState {
    /// A request, or a probe, runs in it.
    Live,
    /// Its holder is silent or dead.
    Orphan,
    /// Its request ended in error a short time ago.
    Held(Hold),
    /// Its request ended with unknown outcome.
    Kept,
}

/// Where a probe may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In this held slot: its request is over and its grant still stands, so a probe adds nothing to the dyno.
    Held(SlotId),
    /// In a free place, which the slot named by the caller now takes.
    Free,
}
