//! By what it is known that a run goes on: a file named after its process, locked as long as that lives.

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use dynomesh_core::time::Span;

use crate::waiting::until;

/// Where the files are.
const LOCKS: &str = "/run/dynomesh-chaos";
/// Longest wait for the lock of one's own: whoever cleans tries every lock for a moment.
const HOLD_MAX: Span = Span::from_secs(2);

/// Shows as long as it is held that the run of this process goes on.
pub(super) fn hold() -> Result<File> {
    let (dir, pid) = (Path::new(LOCKS), std::process::id());
    let held = until("the lock of this run", HOLD_MAX, || take(dir, pid).transpose()).and_then(|taken| taken);
    held.with_context(|| format!("{LOCKS}/{pid} is held by another run of this number"))
}

/// Takes the lock of a run that has died; `None` if it goes on. The kernel lets go of a lock when its process ends, however that was.
pub(super) fn take_dead(pid: u32) -> Result<Option<File>> {
    take(Path::new(LOCKS), pid)
}

/// Removes the file of a run that is over, whose lock is held.
pub(super) fn release(pid: u32) {
    // Not there where the machine was started anew since.
    let _ = fs::remove_file(path(Path::new(LOCKS), pid));
}

/// The runs that have a file.
pub(super) fn all() -> Vec<u32> {
    let entries = fs::read_dir(LOCKS).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn take(dir: &Path, pid: u32) -> Result<Option<File>> {
    fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    let path = path(dir, pid);
    let file = File::create(&path).with_context(|| path.display().to_string())?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error).with_context(|| path.display().to_string()),
    }
    // Whoever had the lock before may have removed the file in the meantime: then this is the lock of nothing.
    let is_there = fs::metadata(&path).is_ok_and(|there| file.metadata().is_ok_and(|mine| there.ino() == mine.ino()));
    Ok(is_there.then_some(file))
}

fn path(dir: &Path, pid: u32) -> PathBuf {
    dir.join(pid.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_by_one_and_free_once_that_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let held = take(dir.path(), 12).unwrap().unwrap();
        assert!(take(dir.path(), 12).unwrap().is_none());
        drop(held);
        assert!(take(dir.path(), 12).unwrap().is_some());
        let error = take(&dir.path().join("12"), 12).unwrap_err();
        assert!(format!("{error:#}").contains("12"), "{error:#}");
    }
}
