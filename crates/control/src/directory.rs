//! The directory as this replica has applied it.
//!
//! The consensus thread writes it, entry by entry; everyone else reads it. A reader never waits for consensus, only for the moment
//! in which one command is applied, and no lock is held across an await. What a reader sees may already be out of date: only a
//! proposal's reply says what was committed.

use std::sync::{Arc, PoisonError, RwLock};

use dynomesh_consensus::Machine;
use dynomesh_core::directory::{Command, DirectoryState, Reply};
use dynomesh_core::id::{Index, ReplicaId, Term};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// Version of the saved form.
const SAVED_VERSION: u8 = 1;

/// A shared view of the applied directory. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Directory(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: RwLock<DirectoryState>,
    progress: watch::Sender<Progress>,
}

/// How far the directory has been applied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// The last entry that held a command.
    pub(crate) applied: Index,
    /// The last term whose leader is known to have applied everything from earlier terms; so has this replica, up to there.
    pub(crate) led: Term,
}

/// Feeds a [`Directory`] from the log.
#[derive(Debug)]
pub(crate) struct DirectoryMachine(Directory);

#[derive(Serialize, Deserialize)]
struct Saved {
    progress: Progress,
    state: DirectoryState,
}

impl Directory {
    /// An empty directory and the machine that fills it.
    pub(crate) fn new() -> (Directory, DirectoryMachine) {
        let shared = Shared { state: RwLock::new(DirectoryState::new(0)), progress: watch::Sender::new(Progress::default()) };
        let directory = Directory(Arc::new(shared));
        (directory.clone(), DirectoryMachine(directory))
    }

    /// What `look` makes of the directory as it is now. `look` must be short: the log waits for it.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&DirectoryState) -> T) -> T {
        // A writer that panicked has ended the process, or at least the test.
        look(&self.0.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// How far it has been applied.
    pub(crate) fn progress(&self) -> Progress {
        *self.0.progress.borrow()
    }

    /// Told whenever more has been applied.
    pub(crate) fn changes(&self) -> watch::Receiver<Progress> {
        self.0.progress.subscribe()
    }

    fn write<T>(&self, change: impl FnOnce(&mut DirectoryState) -> T) -> T {
        change(&mut self.0.state.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Machine for DirectoryMachine {
    type Command = Command;
    type Reply = Reply;

    fn apply(&mut self, at: Index, command: Command) -> Reply {
        let reply = self.0.write(|state| state.apply(at, command));
        self.0.0.progress.send_modify(|progress| progress.applied = at);
        reply
    }

    fn lead(&mut self, term: Term, _: ReplicaId) {
        self.0.0.progress.send_modify(|progress| progress.led = term);
    }

    fn save(&self) -> Vec<u8> {
        let saved = Saved { progress: self.0.progress(), state: self.0.read(DirectoryState::clone) };
        postcard::to_extend(&saved, vec![SAVED_VERSION]).expect("a vector takes any length")
    }

    fn load(&mut self, bytes: &[u8]) -> Result<(), String> {
        let (version, rest) = bytes.split_first().ok_or("the saved directory is empty")?;
        if *version != SAVED_VERSION {
            return Err(format!("the saved directory has version {version}; this program knows version {SAVED_VERSION}"));
        }
        let saved: Saved = postcard::from_bytes(rest).map_err(|error| format!("the saved directory cannot be read: {error}"))?;
        self.0.write(|state| *state = saved.state);
        self.0.0.progress.send_replace(saved.progress);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use dynomesh_core::app::{AppSpec, Policy, Probe};
    use dynomesh_core::id::{AppName, Host};

    use super::*;

    fn create() -> Command {
        let policy = Policy { probe: Probe::Get("/health".into()), queue_len: Some(3), ..Policy::default() };
        let spec = AppSpec { name: AppName::new("shop").unwrap(), hosts: vec![Host::new("*").unwrap()], policy };
        Command::CreateApp { spec: Box::new(spec) }
    }

    #[test]
    fn a_saved_directory_is_loaded_as_it_was() {
        let (directory, mut machine) = Directory::new();
        machine.lead(Term(2), ReplicaId(1));
        machine.apply(Index(3), create());
        let app = AppName::new("shop").unwrap();
        let add = Command::AddDyno { id: None, app, address: "127.0.0.1:3000".parse().unwrap(), max_conns: None, block: None };
        machine.apply(Index(4), add);

        let (copy, mut other) = Directory::new();
        other.load(&machine.save()).unwrap();
        assert_eq!(copy.progress(), Progress { applied: Index(4), led: Term(2) });
        assert_eq!(copy.read(DirectoryState::clone), directory.read(DirectoryState::clone));
    }

    #[test]
    fn what_cannot_be_read_leaves_the_directory_as_it_was() {
        let (directory, mut machine) = Directory::new();
        machine.apply(Index(1), create());
        let saved = machine.save();
        let before = directory.read(DirectoryState::clone);
        let mut foreign = saved.clone();
        foreign[0] = SAVED_VERSION + 1;
        for bad in [&[][..], &foreign, &saved[..saved.len() / 2]] {
            assert!(machine.load(bad).is_err());
            assert_eq!(directory.read(DirectoryState::clone), before);
        }
    }

    #[test]
    fn a_reader_is_told_of_every_change() {
        let (directory, mut machine) = Directory::new();
        let mut changes = directory.changes();
        changes.mark_unchanged();
        machine.apply(Index(1), create());
        assert!(changes.has_changed().unwrap());
        assert_eq!(changes.borrow_and_update().applied, Index(1));
    }
}
