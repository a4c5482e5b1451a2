//! The block's state machine as consensus runs it: the pure state of the core, behind the router's lock.

use std::sync::Arc;

use dynomesh_consensus::Machine;
use dynomesh_core::block::{BlockState, Command, Reply};
use dynomesh_core::id::{Index, ReplicaId, Term};

use crate::grant::Shared;

/// Applies what the group agreed on.
pub(crate) struct BlockMachine {
    shared: Arc<Shared>,
}

impl BlockMachine {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        BlockMachine { shared }
    }

    pub(crate) fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }
}

/// Version of a written snapshot.
const SNAPSHOT_VERSION: u8 = 1;

impl Machine for BlockMachine {
    type Command = Command;
    type Reply = Reply;

    fn apply(&mut self, at: Index, command: Command) -> Reply {
        let now = self.shared.clock.now();
        self.shared.router().apply(now, at, command)
    }

    fn lead(&mut self, term: Term, leader: ReplicaId) {
        let now = self.shared.clock.now();
        self.shared.router().lead(now, term, leader);
    }

    fn save(&self) -> Vec<u8> {
        let router = self.shared.router();
        let bytes = postcard::to_extend(router.state(), vec![SNAPSHOT_VERSION]);
        bytes.expect("a state of plain data has a written form")
    }

    fn load(&mut self, bytes: &[u8]) -> Result<(), String> {
        let state: BlockState = match bytes.split_first() {
            Some((&SNAPSHOT_VERSION, rest)) => postcard::from_bytes(rest).map_err(|e| format!("snapshot is not a block state: {e}"))?,
            Some((version, _)) => return Err(format!("snapshot of version {version}, this process knows {SNAPSHOT_VERSION}")),
            None => return Err("snapshot is empty".into()),
        };
        let now = self.shared.clock.now();
        self.shared.router().load_state(now, state);
        Ok(())
    }
}
