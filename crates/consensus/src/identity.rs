//! Who a disk is: the replica id minted for it, the group it belongs to, and the lease its replica may have promised.
//!
//! An id is minted once per disk and never reused (P5). A directory of another group or one that another process uses is
//! refused. The promised lease is kept because a restarted voter has forgotten to whom it promised (P4): it stays silent for
//! as long as it may have promised, also when the setting was lowered meanwhile. Once it has outlived that, the lower one is kept.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use dynomesh_core::id::{GroupId, Incarnation, ReplicaId};
use dynomesh_core::time::Span;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::error::StartError;
use crate::options::Options;

const VERSION: u32 = 1;
const FILE: &str = "identity.json";
const LOCK: &str = "lock";

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Card {
    version: u32,
    replica: ReplicaId,
    kind: String,
    name: String,
    group: Option<GroupId>,
    /// This replica is about to begin that group: nobody else has heard of it.
    #[serde(default)]
    founding: bool,
    lease_nanos: u64,
    /// Its group removed this replica.
    #[serde(default)]
    removed: bool,
}

/// Why a message of a group is not for this disk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stranger {
    /// It is pristine and nobody invited it.
    #[error("this replica is new and was not invited to group {0}")]
    Uninvited(GroupId),
    /// It belongs to another group.
    #[error("this replica belongs to group {has}, not to {asked}")]
    Other { has: GroupId, asked: GroupId },
}

/// The identity of a disk in use. Dropping it gives the directory free.
#[derive(Debug)]
pub(crate) struct Identity {
    dir: PathBuf,
    replica: ReplicaId,
    incarnation: Incarnation,
    /// The longest lease this replica may have promised before this start; `None` on a disk that never voted.
    promised: Option<Span>,
    /// As the disk has it. Held for a look or a change in memory, never while the disk is written: every thread looks.
    card: Mutex<Card>,
    /// Held by who changes the card, the disk's part included.
    changing: Mutex<()>,
    removed: watch::Sender<bool>,
    _lock: File,
}

impl Identity {
    /// Opens the directory, minting an id if it is new.
    pub(crate) fn open(options: &Options, rng: &mut impl rand::Rng) -> Result<Self, StartError> {
        let dir = &options.dir;
        fs::create_dir_all(dir).map_err(StartError::disk(dir))?;
        let lock = lock(dir)?;
        let lease = options.timers.election_max;
        let (card, promised) = match read(&dir.join(FILE))? {
            Some(mut card) => {
                if card.kind != options.kind || card.name != options.name {
                    let has = format!("{} {:?}", card.kind, card.name);
                    let wanted = format!("{} {:?}", options.kind, options.name);
                    return Err(StartError::Foreign { dir: dir.clone(), has, wanted });
                }
                let promised = card.group.map(|_| Span::from_nanos(card.lease_nanos).max(lease));
                // A raised lease is on disk before it is promised. A lowered one is written later: the old promise may still run.
                card.lease_nanos = card.lease_nanos.max(lease.as_nanos());
                (card, promised)
            }
            None => {
                let replica = ReplicaId(rng.next_u64().max(1));
                let (kind, name) = (options.kind.to_owned(), options.name.clone());
                let lease_nanos = lease.as_nanos();
                (Card { version: VERSION, replica, kind, name, group: None, founding: false, lease_nanos, removed: false }, None)
            }
        };
        write(dir, &card).map_err(StartError::disk(dir.join(FILE)))?;
        let incarnation = Incarnation(rng.next_u64());
        let (replica, removed) = (card.replica, watch::channel(card.removed).0);
        let (card, changing) = (Mutex::new(card), Mutex::new(()));
        Ok(Identity { dir: dir.clone(), replica, incarnation, promised, card, changing, removed, _lock: lock })
    }

    pub(crate) fn replica(&self) -> ReplicaId {
        self.replica
    }

    pub(crate) fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    pub(crate) fn group(&self) -> Option<GroupId> {
        self.card().group
    }

    pub(crate) fn promised(&self) -> Option<Span> {
        self.promised
    }

    /// This run has lasted for as long as earlier ones may have promised, and has itself promised no more than `lease`: so nobody relies
    /// on more, and a later start need not be silent for longer.
    pub(crate) fn outlive(&self, lease: Span) -> io::Result<()> {
        let _turn = self.change();
        let card = self.card().clone();
        match card.lease_nanos == lease.as_nanos() {
            true => Ok(()),
            false => self.put(Card { lease_nanos: lease.as_nanos(), ..card }),
        }
    }

    /// What the group is for, and its name.
    pub(crate) fn purpose(&self) -> (String, String) {
        let card = self.card();
        (card.kind.clone(), card.name.clone())
    }

    /// Whether its group removed this replica, now and from now on.
    pub(crate) fn removed(&self) -> watch::Receiver<bool> {
        self.removed.subscribe()
    }

    /// Whether a message of `group` is for this disk.
    pub(crate) fn admit(&self, group: GroupId) -> Result<(), Stranger> {
        match self.group() {
            Some(has) if has == group => Ok(()),
            Some(has) => Err(Stranger::Other { has, asked: group }),
            None => Err(Stranger::Uninvited(group)),
        }
    }

    /// Remembers, durably, that its group removed this replica.
    pub(crate) fn dismiss(&self) -> io::Result<()> {
        let _turn = self.change();
        let card = self.card().clone();
        if !card.removed {
            self.put(Card { removed: true, ..card })?;
        }
        self.removed.send_replace(true);
        Ok(())
    }

    /// Joins `group`, durably, before anything is promised in its name. Refused once the disk belongs to another.
    pub(crate) fn join(&self, group: GroupId) -> io::Result<()> {
        self.enter(group, false)
    }

    /// Joins `group`, which this replica is about to begin.
    pub(crate) fn found(&self, group: GroupId) -> io::Result<()> {
        self.enter(group, true)
    }

    fn enter(&self, group: GroupId, founding: bool) -> io::Result<()> {
        let _turn = self.change();
        let card = self.card().clone();
        match card.group {
            Some(has) if has == group => Ok(()),
            Some(has) => Err(io::Error::other(format!("this replica belongs to group {has}, not to {group}"))),
            None => self.put(Card { group: Some(group), founding, ..card }),
        }
    }

    /// The group has begun: its first entry is on disk. Others may hear of it now.
    pub(crate) fn founded(&self) -> io::Result<()> {
        let _turn = self.change();
        let card = self.card().clone();
        if card.founding { self.put(Card { founding: false, ..card }) } else { Ok(()) }
    }

    /// Whether its group may not have begun yet. Nobody is invited to it meanwhile.
    pub(crate) fn is_founding(&self) -> bool {
        self.card().founding
    }

    /// At a start: what became of a group that this replica was about to begin. If the log has not `begun`, the process ended just before:
    /// nobody has heard of that group and nothing was promised in its name, and the disk is as if it were new.
    pub(crate) fn settle(&mut self, begun: bool) -> io::Result<()> {
        if begun {
            return self.founded();
        }
        let card = self.card().clone();
        if !card.founding {
            return Ok(());
        }
        tracing::warn!(group = ?card.group, "a group was to be made here and nothing of it was written: this replica belongs to none");
        self.put(Card { group: None, founding: false, ..card })?;
        self.promised = None;
        Ok(())
    }

    /// The new card, on disk before anybody sees it.
    fn put(&self, card: Card) -> io::Result<()> {
        write(&self.dir, &card)?;
        *self.card() = card;
        Ok(())
    }

    fn change(&self) -> std::sync::MutexGuard<'_, ()> {
        self.changing.lock().expect("nothing panics while it changes the identity")
    }

    fn card(&self) -> std::sync::MutexGuard<'_, Card> {
        self.card.lock().expect("nothing panics while it holds the identity")
    }
}

fn lock(dir: &Path) -> Result<File, StartError> {
    let path = dir.join(LOCK);
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(StartError::disk(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StartError::InUse { dir: dir.to_owned() }),
        Err(TryLockError::Error(cause)) => Err(StartError::Disk { path, cause }),
    }
}

fn read(path: &Path) -> Result<Option<Card>, StartError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(StartError::Disk { path: path.to_owned(), cause }),
    };
    let corrupt = |problem: String| StartError::Corrupt { path: path.to_owned(), problem };
    let card: Card = serde_json::from_slice(&text).map_err(|e| corrupt(e.to_string()))?;
    if card.version != VERSION {
        return Err(corrupt(format!("has version {}; this program knows version {VERSION}", card.version)));
    }
    Ok(Some(card))
}

fn write(dir: &Path, card: &Card) -> io::Result<()> {
    let text = serde_json::to_vec_pretty(card).expect("plain fields serialize");
    replace(dir, FILE, &[&text])
}

/// Replaces a file as a whole: after a crash at any point the old or the new content is there.
pub(crate) fn replace(dir: &Path, name: &str, parts: &[&[u8]]) -> io::Result<()> {
    let temporary = dir.join(format!("{name}.tmp"));
    let mut file = File::create(&temporary)?;
    for part in parts {
        file.write_all(part)?;
    }
    file.sync_all()?;
    fs::rename(&temporary, dir.join(name))?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use dynomesh_core::id::Address;
    use dynomesh_runtime::clock::Clock;
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use tempfile::TempDir;

    use super::*;

    fn open(dir: &TempDir, election_max: Span) -> Identity {
        let address = Address::new("127.0.0.1:1".parse().unwrap()).unwrap();
        let mut options = Options::new(dir.path(), "block", "b1", address, address, Clock::system(), 1);
        options.timers.election_max = election_max;
        Identity::open(&options, &mut StdRng::seed_from_u64(1)).unwrap()
    }

    /// Fails when a lowered lease is kept before the old promise has passed, and when the old one is kept for ever.
    #[test]
    fn a_lowered_lease_is_kept_only_once_a_run_has_outlived_the_old_one() {
        let dir = TempDir::new().unwrap();
        let (long, short) = (Span::from_millis(4_000), Span::from_millis(100));
        let first = open(&dir, long);
        assert_eq!(first.promised(), None, "it never voted");
        first.join(GroupId(7)).unwrap();
        drop(first);
        for _ in 0..2 {
            assert_eq!(open(&dir, short).promised(), Some(long), "a run that ended early outlived nothing");
        }
        let outlived = open(&dir, short);
        outlived.outlive(short).unwrap();
        drop(outlived);
        assert_eq!(open(&dir, short).promised(), Some(short));
        assert_eq!(open(&dir, long).promised(), Some(long));
        assert_eq!(open(&dir, short).promised(), Some(long), "it was promised anew");
    }

    #[test]
    fn a_group_that_never_began_is_forgotten_and_another_is_not() {
        let dir = TempDir::new().unwrap();
        let lease = Span::from_millis(100);
        open(&dir, lease).found(GroupId(7)).unwrap();
        let mut again = open(&dir, lease);
        assert!(again.is_founding());
        again.settle(false).unwrap();
        assert_eq!((again.group(), again.promised()), (None, None));
        again.found(GroupId(8)).unwrap();
        assert!(again.found(GroupId(9)).is_err(), "one at a time");
        again.founded().unwrap();
        drop(again);
        let mut begun = open(&dir, lease);
        begun.settle(false).unwrap();
        assert_eq!((begun.group(), begun.promised()), (Some(GroupId(8)), Some(lease)), "its log is lost, and what it promised is not");
    }
}
