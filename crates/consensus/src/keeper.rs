//! Applies committed entries to the machine, answers whoever proposed them here, and takes and installs snapshots.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use dynomesh_core::id::{Index, ReplicaId, Term};
use futures::{Stream, StreamExt};
use openraft::storage::EntryResponder;
use openraft::storage::RaftStateMachine;
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder};
use tokio::sync::watch;

use crate::batcher::Waiters;
use crate::engine::{Engine, LogId, SnapshotMeta, StoredMembership, term_of};
use crate::log::Log;
use crate::machine::Machine;
use crate::payload::{Content, Payload, invalid};
use crate::roll::Roll;
use crate::snapshot::{EngineSnapshot, Saved, Shelf, Snapshot};

/// openraft's state machine: a [`Machine`] and where it stands.
pub(crate) struct Keeper<M> {
    /// Only the state machine's task takes the lock; it is here because openraft wants to share what it owns.
    machine: Mutex<M>,
    applied: Option<LogId>,
    membership: StoredMembership,
    shelf: Shelf,
    log: Log,
    watched: Arc<Applied>,
}

/// What others may know of the progress.
#[derive(Debug)]
pub(crate) struct Applied {
    /// The newest leader whose first entry is applied: term and id.
    pub(crate) lead: watch::Sender<(u64, u64)>,
    /// Commands applied.
    pub(crate) commands: AtomicU64,
    /// Who belongs to the group and who did.
    pub(crate) roll: Mutex<Roll>,
}

impl Applied {
    pub(crate) fn roll(&self) -> std::sync::MutexGuard<'_, Roll> {
        self.roll.lock().expect("nothing panics while it holds the roll")
    }
}

/// Writes one snapshot.
pub(crate) struct Builder {
    snapshot: Snapshot,
    shelf: Shelf,
    log: Log,
}

impl<M: Machine> Keeper<M> {
    pub(crate) fn new(machine: M, shelf: Shelf, log: Log) -> Self {
        let watched = Arc::new(Applied { lead: watch::channel((0, 0)).0, commands: AtomicU64::new(0), roll: Mutex::default() });
        Keeper { machine: Mutex::new(machine), applied: None, membership: StoredMembership::default(), shelf, log, watched }
    }

    pub(crate) fn watched(&self) -> Arc<Applied> {
        self.watched.clone()
    }

    fn perform(&self, id: &LogId, payload: &Payload) -> io::Result<()> {
        let mut machine = self.machine.lock().expect("a machine that panicked ends the consensus thread");
        let (term, index) = (term_of(id), Index(id.index));
        let waiters = payload.local().and_then(|local| local.downcast_ref::<Waiters<M>>());
        if let Some(commands) = waiters.and_then(Waiters::take_committed) {
            self.watched.commands.fetch_add(commands.len() as u64, Ordering::Relaxed);
            for (command, waiter) in commands {
                let reply = machine.apply(index, command);
                if let Some(waiter) = waiter {
                    // Whoever proposed it may have left.
                    let _ = waiter.send(Ok(reply));
                }
            }
            return Ok(());
        }
        match payload.decode::<M::Command>()? {
            Content::Lead(leader) => {
                machine.lead(Term(term), ReplicaId(leader));
                self.watched.lead.send_replace((term, leader));
            }
            Content::Retire { replica, successor } => self.watched.roll().retired.insert(replica, successor),
            Content::Batch(commands) => {
                self.watched.commands.fetch_add(commands.len() as u64, Ordering::Relaxed);
                for command in commands {
                    machine.apply(index, command);
                }
            }
        }
        Ok(())
    }

    /// Notes the members as of now.
    fn enrol(&mut self, membership: StoredMembership) {
        self.watched.roll().members = membership.membership().nodes().map(|(id, _)| *id).collect();
        self.membership = membership;
    }

    fn meta(&self) -> SnapshotMeta {
        SnapshotMeta { last_log_id: self.applied, last_membership: self.membership.clone() }
    }
}

impl<M: Machine> RaftStateMachine<Engine> for Keeper<M> {
    type SnapshotData = Saved;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<Engine>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some(next) = entries.next().await {
            let (entry, responder) = next?;
            match &entry.payload {
                EntryPayload::Blank => {}
                EntryPayload::Normal(payload) => self.perform(&entry.log_id, payload)?,
                EntryPayload::Membership(membership) => {
                    self.enrol(StoredMembership::new(Some(entry.log_id), membership.clone()));
                }
            }
            self.applied = Some(entry.log_id);
            if let Some(responder) = responder {
                responder.send(());
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        let saved = self.machine.lock().expect("a machine that panicked ends the consensus thread").save();
        let saved = Saved { data: saved.into(), retired: self.watched.roll().retired.clone() };
        let snapshot = Snapshot { meta: self.meta(), saved };
        Builder { snapshot, shelf: self.shelf.clone(), log: self.log.clone() }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, saved: Saved) -> Result<(), io::Error> {
        let snapshot = Snapshot { meta: meta.clone(), saved };
        self.machine.lock().expect("a machine that panicked ends the consensus thread").load(&snapshot.saved.data).map_err(invalid)?;
        // At the start it is the one that is there already.
        publish(&self.shelf, &snapshot).await?;
        self.applied = snapshot.meta.last_log_id;
        self.watched.roll().retired = snapshot.saved.retired;
        self.enrol(snapshot.meta.last_membership);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<EngineSnapshot>, io::Error> {
        Ok(self.shelf.present().map(|snapshot| EngineSnapshot { meta: snapshot.meta, snapshot: snapshot.saved }))
    }
}

impl RaftSnapshotBuilder<Engine> for Builder {
    type SnapshotData = Saved;

    async fn build_snapshot(&mut self) -> Result<EngineSnapshot, io::Error> {
        // Followers may have made a quorum without this disk: what the snapshot covers must not be newer than its log.
        self.log.flushed().await?;
        publish(&self.shelf, &self.snapshot).await?;
        // If a newer one was installed meanwhile, openraft has heard of that, and takes this one for nothing.
        let Snapshot { meta, saved } = self.snapshot.clone();
        Ok(EngineSnapshot { meta, snapshot: saved })
    }
}

async fn publish(shelf: &Shelf, snapshot: &Snapshot) -> io::Result<()> {
    let (shelf, snapshot) = (shelf.clone(), snapshot.clone());
    tokio::task::spawn_blocking(move || shelf.publish(snapshot)).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::engine::log_id;
    use crate::options::OnFatal;
    use crate::roll::Retired;

    #[derive(Default)]
    struct Text(Vec<u8>);

    impl Machine for Text {
        type Command = ();
        type Reply = ();

        fn apply(&mut self, _at: Index, (): ()) {}
        fn lead(&mut self, _term: Term, _leader: ReplicaId) {}
        fn save(&self) -> Vec<u8> {
            self.0.clone()
        }
        fn load(&mut self, bytes: &[u8]) -> Result<(), String> {
            self.0 = bytes.to_vec();
            Ok(())
        }
    }

    /// Has `text` installed as the state up to `index`.
    async fn install(keeper: &mut Keeper<Text>, index: u64, text: &'static str) {
        let meta = SnapshotMeta { last_log_id: Some(log_id(1, index)), last_membership: StoredMembership::default() };
        keeper.install_snapshot(&meta, Saved { data: text.into(), retired: Retired::default() }).await.unwrap();
    }

    /// The log behind the installed one is purged by then. Fails when whatever is published last stays: the next start is refused.
    #[tokio::test]
    async fn a_snapshot_that_is_finished_late_does_not_replace_one_that_was_installed_meanwhile() {
        let dir = TempDir::new().unwrap();
        let log = Log::open(&dir.path().join("log"), 64 * 1024, OnFatal::call(|error| panic!("{error}"))).unwrap();
        let mut keeper = Keeper::new(Text::default(), Shelf::open(dir.path()).unwrap(), log);
        install(&mut keeper, 1, "old").await;
        let mut slow = keeper.get_snapshot_builder().await;
        install(&mut keeper, 2, "new").await;
        let built = slow.build_snapshot().await.unwrap();
        assert_eq!(built.meta.last_log_id, Some(log_id(1, 1)), "what it says that it built is what it built");
        let current = keeper.get_current_snapshot().await.unwrap().unwrap();
        assert_eq!((current.meta.last_log_id, &current.snapshot.data[..]), (Some(log_id(1, 2)), &b"new"[..]));
        let reopened = Shelf::open(dir.path()).unwrap().present().unwrap();
        assert_eq!((reopened.meta.last_log_id, &reopened.saved.data[..]), (Some(log_id(1, 2)), &b"new"[..]));
    }
}
