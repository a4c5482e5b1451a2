//! What the replicas of a block agree on: apps, the dynos the block owns, and who holds which slot.
//!
//! A block's Raft group replicates [`Command`]s and every replica applies them, in the same order, to its [`BlockState`]. The state
//! holds what must survive a leader: ownership and slots. It knows no time; replicas count the spans of slots from their own
//! apply (P10). Queues, health and load are soft and live elsewhere.
//!
//! Why a promise outlives its record: a block that released a dyno must never take it again under the same or an older epoch, even when a
//! very old assignment reaches a new leader that remembers nothing. Remembering each released dyno for ever is not possible, so a
//! forgotten promise raises one floor for all: no dyno without a record is adopted at or under it. An assignment that is still
//! wanted and lies under the floor is declined by a fresh promise, and the directory then assigns it anew, above the floor.

pub mod command;
pub mod doubt;
mod drains;
mod invariant;
pub mod lessons;
pub mod record;
pub mod state;

#[cfg(test)]
mod sweep;
#[cfg(test)]
mod tests;

pub use command::{AdoptDyno, BlockSettings, Command, Refusal, Reply, SlotsMode};
pub use drains::Drains;
pub use lessons::Lessons;
pub use record::{AppRecord, DynoRecord, SlotRecord};
pub use state::BlockState;

/// Most apps a block knows.
pub const APPS_MAX: usize = 10_000;
/// Most dynos a block owns. Its slots are at most the sum of their `max_conns`.
pub const DYNOS_MAX: usize = 10_000;
/// Most dynos a block owns or still keeps a promise about. Past it nothing is adopted, and no promise made about a dyno it does not own,
/// until the directory has taken note of older promises and they are forgotten.
pub const RECORDS_MAX: usize = 4 * DYNOS_MAX;
