//! What a group replicates: a state machine that knows nothing of logs, votes or networks.

use std::fmt::Debug;

use dynomesh_core::id::{Index, ReplicaId, Term};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A deterministic state machine. Every replica applies the same commands in the same order and must come to the same state:
/// nothing may depend on time, chance or the order of a hash map.
///
/// All methods are called from the consensus thread and must not block.
pub trait Machine: Send + 'static {
    /// What is proposed.
    type Command: Serialize + DeserializeOwned + Clone + Debug + Send + Sync + 'static;
    /// What a proposer is told.
    type Reply: Serialize + DeserializeOwned + Clone + Debug + Send + Sync + 'static;

    /// Applies one command. Commands of one batch share their index.
    fn apply(&mut self, at: Index, command: Self::Command) -> Self::Reply;

    /// A new leader's first entry is applied: everything committed in earlier terms has been applied before. Called in log
    /// order on every replica, again after a restart that replays the log, and not for what a snapshot covers.
    fn lead(&mut self, term: Term, leader: ReplicaId);

    /// The whole state, in a form that carries its own version.
    fn save(&self) -> Vec<u8>;

    /// Replaces the whole state by a saved one, or says why it cannot be read. The old state must be kept then.
    fn load(&mut self, bytes: &[u8]) -> Result<(), String>;
}
