//! The control plane's replicated truth: which apps exist, and which block should own which dyno.
//!
//! The directory's Raft group replicates [`Command`]s and every replica applies them to its [`DirectoryState`]. It says who *should* own a
//! dyno, under an epoch that rises with every word about it; who does own it, only the blocks can say. It therefore keeps, with each
//! assignment, the earlier blocks that have not yet promised to keep off (P15), and it never counts an absent fact as a promise.

pub mod ask;
mod blocks;
pub mod command;
pub mod evict;
mod invariant;
mod place;
pub mod record;
mod recover;
pub mod settings;
pub mod state;

#[cfg(test)]
mod sweep;
#[cfg(test)]
mod tests;

pub use ask::{Ask, Event};
pub use command::{Command, Kind, Proof, Refusal, Reply};
pub use evict::{Sighting, may_evict};
pub use record::{AppRecord, BlockRecord, DynoRecord, Place};
pub use recover::{in_doubt, left_out, may_say, misses, recovery};
pub use settings::{MeshSettings, Rebalance};
pub use state::DirectoryState;

/// Most apps in a mesh.
pub const APPS_MAX: usize = 10_000;
/// Most dynos in a mesh.
pub const DYNOS_MAX: usize = 100_000;
/// Most blocks in a mesh.
pub const BLOCKS_MAX: usize = 1_000;
/// Deleted apps and, apart, removed dynos whose end is still published. A dyno counts only when all its blocks have let go of it. Bounded,
/// because a word that some process misses costs little: a block keeps a promise it could have dropped, an edge keeps a route
/// to an app that no block serves.
pub const TOMBSTONES_MAX: usize = 1_024;
