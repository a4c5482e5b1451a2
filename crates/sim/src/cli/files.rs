//! Results in files. What is there stays there unless `--force` says otherwise, and a file is whole or not there at all.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::SimError;

/// Refuses files that are there already, and one file for two results. To be asked before anything is simulated.
pub(super) fn check(paths: &[&Path], force: bool) -> Result<(), SimError> {
    let mut seen = BTreeSet::new();
    for path in paths {
        if !seen.insert(path) {
            return Err(SimError::Twice { path: path.to_path_buf() });
        }
        if !force && path.symlink_metadata().is_ok() {
            return Err(SimError::Exists { path: path.to_path_buf() });
        }
        let refused = |problem: String| Err(SimError::Write { path: path.to_path_buf(), cause: io::Error::other(problem) });
        if path.metadata().is_ok_and(|there| !there.is_file()) {
            return refused("is there and is no ordinary file".to_owned());
        }
        let folder = folder(path);
        if !folder.is_dir() {
            return refused(format!("there is no folder {}", folder.display()));
        }
        // What cannot be written is known now, not when the figures are there.
        tempfile::tempfile_in(&folder).map_err(|error| SimError::Write {
            path: path.to_path_buf(),
            cause: io::Error::new(error.kind(), format!("no file can be made in {}: {}", folder.display(), error.kind())),
        })?;
    }
    Ok(())
}

/// Writes `content` beside `path` first and then moves it there.
pub(super) fn write(path: &Path, content: &str, force: bool) -> Result<(), SimError> {
    let failed = |cause| SimError::Write { path: path.to_path_buf(), cause };
    let mut file = tempfile::Builder::new().permissions(readable()).tempfile_in(folder(path)).map_err(failed)?;
    file.write_all(content.as_bytes()).map_err(failed)?;
    if force {
        file.persist(path).map_err(|error| failed(error.error))?;
        return Ok(());
    }
    match file.persist_noclobber(path) {
        Ok(_) => Ok(()),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Err(SimError::Exists { path: path.to_path_buf() }),
        Err(error) => Err(failed(error.error)),
    }
}

/// As any file that a program writes; a temporary one would be its owner's alone.
fn readable() -> std::fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o644)
}

fn folder(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_written_over_without_force() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.svg");
        write(&path, "first", false).unwrap();
        assert!(matches!(check(&[&path], false), Err(SimError::Exists { .. })));
        // It may have come while the simulation ran.
        assert!(matches!(write(&path, "second", false), Err(SimError::Exists { .. })));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "first");
        check(&[&path], true).unwrap();
        write(&path, "third", true).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "third");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "a temporary file is left");
    }

    #[test]
    fn files_that_cannot_be_written_are_refused_before_the_run() {
        let dir = tempfile::tempdir().unwrap();
        let (path, nowhere) = (dir.path().join("a"), dir.path().join("missing").join("a"));
        assert!(matches!(check(&[&path, &path], false), Err(SimError::Twice { .. })));
        assert!(matches!(check(&[&nowhere], true), Err(SimError::Write { .. })));
        assert!(matches!(check(&[dir.path()], true), Err(SimError::Write { .. })));
        // No file can be made in /proc, whoever asks.
        let told = check(&[Path::new("/proc/x.csv")], false).unwrap_err().to_string();
        assert!(told.starts_with("write /proc/x.csv: no file can be made in /proc"), "{told}");
    }
}
