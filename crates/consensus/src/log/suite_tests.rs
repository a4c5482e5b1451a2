//! openraft's own suite for log and state machine, run against ours on real files.

use dynomesh_core::id::{Index, ReplicaId, Term};
use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use tempfile::TempDir;

use super::Log;
use crate::engine::Engine;
use crate::keeper::Keeper;
use crate::machine::Machine;
use crate::options::OnFatal;
use crate::snapshot::Shelf;

struct Nothing;

impl Machine for Nothing {
    type Command = ();
    type Reply = ();

    fn apply(&mut self, _at: Index, (): ()) {}
    fn lead(&mut self, _term: Term, _leader: ReplicaId) {}
    fn save(&self) -> Vec<u8> {
        Vec::new()
    }
    fn load(&mut self, _bytes: &[u8]) -> Result<(), String> {
        Ok(())
    }
}

struct Builder;

impl StoreBuilder<Engine, Log, Keeper<Nothing>, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, Log, Keeper<Nothing>), StorageError<Engine>> {
        let dir = TempDir::new().unwrap();
        let on_fatal = OnFatal::call(|error| panic!("{error}"));
        let log = Log::open(&dir.path().join("log"), 64 * 1024, on_fatal).unwrap();
        let keeper = Keeper::new(Nothing, Shelf::open(dir.path()).unwrap(), log.clone());
        Ok((dir, log, keeper))
    }
}

#[tokio::test]
async fn openrafts_storage_suite_passes() {
    Suite::test_all(Builder).await.unwrap();
}
