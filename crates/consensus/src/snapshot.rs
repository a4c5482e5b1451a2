//! Snapshots on disk: one file, replaced as a whole.
//!
//! The order is what keeps a crash harmless (P3): the log is flushed before a snapshot of it is published, the snapshot (file,
//! name, directory) before the log behind it is purged. A snapshot that cannot be read was published once, and the log before
//! it may be gone: refused to start, never skipped.
//!
//! One that is built may be overtaken by one that is installed, behind which the log is purged at once: an older snapshot never
//! takes the place of a newer one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::engine::{Engine, LogId, SnapshotMeta, StoredMembership, log_id, term_of};
use crate::error::StartError;
use crate::identity::replace;
use crate::payload::{MembershipRecord, invalid};
use crate::roll::Retired;

/// Version of the file and of [`encode_meta`] where no replica was ever removed.
const VERSION: u8 = 1;
/// Version of [`encode_meta`] with the ids of those that were.
const VERSION_RETIRED: u8 = 2;
const MAGIC: [u8; 7] = *b"dynosnp";
const FILE: &str = "snapshot";
/// Magic and version, length of the meta data, CRC of the whole rest.
const HEAD_LEN: usize = 8 + 4 + 4;

/// A snapshot in memory.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub(crate) meta: SnapshotMeta,
    pub(crate) saved: Saved,
}

/// What a snapshot carries besides its description.
#[derive(Debug, Clone)]
pub(crate) struct Saved {
    /// The machine's own state.
    pub(crate) data: Bytes,
    pub(crate) retired: Retired,
}

/// A snapshot as openraft passes it on.
pub(crate) type EngineSnapshot = openraft::type_config::alias::SnapshotOf<Engine, Saved>;

/// Where the present snapshot is kept. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Shelf {
    dir: PathBuf,
    /// As the disk has it. Held for a look or a change in memory, never while the disk is written: the consensus thread looks.
    present: Arc<Mutex<Option<Snapshot>>>,
    /// Held by who publishes, the disk's part included.
    publishing: Arc<Mutex<()>>,
}

#[derive(Serialize, Deserialize)]
struct MetaRecord {
    last: Option<(u64, u64)>,
    membership_at: Option<(u64, u64)>,
    membership: MembershipRecord,
}

impl Shelf {
    /// Reads the present snapshot of `dir`.
    pub(crate) fn open(dir: &Path) -> Result<Self, StartError> {
        let present = Arc::new(Mutex::new(read(dir.join(FILE))?));
        Ok(Shelf { dir: dir.to_owned(), present, publishing: Arc::default() })
    }

    /// The present snapshot.
    pub(crate) fn present(&self) -> Option<Snapshot> {
        self.look().clone()
    }

    /// Publishes `snapshot` in place of the present one, unless that is as new or newer; blocks.
    pub(crate) fn publish(&self, snapshot: Snapshot) -> io::Result<()> {
        let _turn = self.publishing.lock().expect("nothing panics while it publishes a snapshot");
        if self.look().as_ref().is_some_and(|present| present.meta.last_log_id >= snapshot.meta.last_log_id) {
            return Ok(());
        }
        self.write(&snapshot)?;
        *self.look() = Some(snapshot);
        Ok(())
    }

    fn look(&self) -> MutexGuard<'_, Option<Snapshot>> {
        self.present.lock().expect("nothing panics while it holds the snapshot")
    }

    fn write(&self, snapshot: &Snapshot) -> io::Result<()> {
        let data = &snapshot.saved.data;
        let meta = encode_meta(&snapshot.meta, &snapshot.saved.retired);
        let mut crc = crc32fast::Hasher::new();
        crc.update(&meta);
        crc.update(data);
        let mut head = [0; HEAD_LEN];
        head[..7].copy_from_slice(&MAGIC);
        head[7] = VERSION;
        head[8..12].copy_from_slice(&u32::try_from(meta.len()).map_err(io::Error::other)?.to_le_bytes());
        head[12..].copy_from_slice(&crc.finalize().to_le_bytes());
        replace(&self.dir, FILE, &[&head, &meta, data])
    }
}

fn read(path: PathBuf) -> Result<Option<Snapshot>, StartError> {
    match fs::read(&path) {
        Ok(bytes) => {
            let snapshot = decode(&bytes.into()).map_err(|e| StartError::Corrupt { path, problem: e.to_string() })?;
            Ok(Some(snapshot))
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(StartError::Disk { path, cause }),
    }
}

fn decode(bytes: &Bytes) -> io::Result<Snapshot> {
    let head = bytes.get(..HEAD_LEN).ok_or_else(|| invalid("is shorter than a snapshot's head".into()))?;
    if head[..7] != MAGIC {
        return Err(invalid("does not begin as a snapshot does".into()));
    }
    if head[7] != VERSION {
        return Err(invalid(format!("has version {}; this program knows version {VERSION}", head[7])));
    }
    let number = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().expect("4 bytes of 16"));
    let rest = bytes.slice(HEAD_LEN..);
    if crc32fast::hash(&rest) != number(12) {
        return Err(invalid("is damaged".into()));
    }
    let meta_len = number(8) as usize;
    if meta_len > rest.len() {
        return Err(invalid("is cut short".into()));
    }
    let (meta, retired) = decode_meta(&rest[..meta_len])?;
    Ok(Snapshot { meta, saved: Saved { data: rest.slice(meta_len..), retired } })
}

/// The description of a snapshot as it is stored and sent.
pub(crate) fn encode_meta(meta: &SnapshotMeta, retired: &Retired) -> Vec<u8> {
    let parts = |id: &LogId| (term_of(id), id.index);
    let record = MetaRecord {
        last: meta.last_log_id.as_ref().map(parts),
        membership_at: meta.last_membership.log_id().as_ref().map(parts),
        membership: MembershipRecord::from(meta.last_membership.membership()),
    };
    let written = match retired.is_empty() {
        true => postcard::to_extend(&record, vec![VERSION]),
        false => postcard::to_extend(&(record, retired), vec![VERSION_RETIRED]),
    };
    written.expect("a vector takes any length")
}

/// Reads what [`encode_meta`] wrote; refuses other versions.
pub(crate) fn decode_meta(bytes: &[u8]) -> io::Result<(SnapshotMeta, Retired)> {
    let unreadable = |e: postcard::Error| invalid(format!("a snapshot's description cannot be read: {e}"));
    let (record, retired): (MetaRecord, Retired) = match bytes {
        [VERSION, rest @ ..] => (postcard::from_bytes(rest).map_err(unreadable)?, Retired::default()),
        [VERSION_RETIRED, rest @ ..] => postcard::from_bytes(rest).map_err(unreadable)?,
        [version, ..] => {
            let problem =
                format!("a snapshot's description has version {version}; this program knows versions {VERSION} and {VERSION_RETIRED}");
            return Err(invalid(problem));
        }
        [] => return Err(invalid("a snapshot's description is empty".into())),
    };
    let id = |(term, index)| log_id(term, index);
    let membership = record.membership.into_membership()?;
    let meta =
        SnapshotMeta { last_log_id: record.last.map(id), last_membership: StoredMembership::new(record.membership_at.map(id), membership) };
    Ok((meta, retired))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    /// One up to `index`, of a length of its own.
    fn snapshot(index: u64) -> Snapshot {
        let meta = SnapshotMeta { last_log_id: Some(log_id(1, index)), last_membership: StoredMembership::default() };
        let data = vec![u8::try_from(index).unwrap(); 10_000 * usize::try_from(index).unwrap()];
        Snapshot { meta, saved: Saved { data: data.into(), retired: Retired::default() } }
    }

    fn holds(shelf: &Shelf, expected: &Snapshot) -> bool {
        shelf.present().is_some_and(|has| has.meta == expected.meta && has.saved.data == expected.saved.data)
    }

    #[test]
    fn an_older_snapshot_never_takes_the_place_of_a_newer_one() {
        let dir = TempDir::new().unwrap();
        let shelf = Shelf::open(dir.path()).unwrap();
        assert!(shelf.present().is_none());
        shelf.publish(snapshot(1)).unwrap();
        shelf.publish(snapshot(3)).unwrap();
        shelf.publish(snapshot(2)).unwrap();
        assert!(holds(&shelf, &snapshot(3)));
        let reopened = Shelf::open(dir.path()).unwrap();
        assert!(holds(&reopened, &snapshot(3)), "on disk too");
        reopened.publish(snapshot(2)).unwrap();
        assert!(holds(&reopened, &snapshot(3)), "what was found at the start counts as well");
    }

    #[test]
    fn of_snapshots_that_are_published_at_once_the_newest_stays_whole() {
        let dir = TempDir::new().unwrap();
        let shelf = Shelf::open(dir.path()).unwrap();
        std::thread::scope(|scope| {
            for index in 1..=8 {
                let shelf = shelf.clone();
                scope.spawn(move || shelf.publish(snapshot(index)).unwrap());
            }
        });
        assert!(holds(&shelf, &snapshot(8)));
        assert!(holds(&Shelf::open(dir.path()).unwrap(), &snapshot(8)), "on disk too");
    }
}
