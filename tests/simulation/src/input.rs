//! Files that were named on the command line: looked at before any seed runs, so that what is wrong with them is told once.

use std::fs::{self, File};
use std::path::Path;

use crate::faults::{self, Planned};

/// The exit code that says that something is wrong with what was given, as `clap` says it of arguments.
pub(crate) const BAD_INPUT: u8 = 2;

/// The plan of a file; what it leaves open is decided by the seed.
pub(crate) fn plan(file: Option<&Path>, seed: u64) -> Result<Option<Vec<Planned>>, String> {
    let Some(file) = file else { return Ok(None) };
    let text = fs::read_to_string(file).map_err(|error| format!("the faults cannot be read from {}: {error}", file.display()))?;
    faults::read(&text, seed).map(Some).map_err(|problem| format!("the faults of {} cannot be made: {problem}", file.display()))
}

/// Whether the history can be written to this file, which it makes.
pub(crate) fn check_history(file: Option<&Path>) -> Result<(), String> {
    let Some(file) = file else { return Ok(()) };
    File::options().create(true).append(true).open(file).map(drop).map_err(|error| unwritten(file, &error))
}

/// What is said of a history that was not written.
pub(crate) fn unwritten(file: &Path, error: &std::io::Error) -> String {
    format!("the history cannot be written to {}: {error}", file.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_used_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("faults.toml");
        assert!(plan(Some(&file), 1).unwrap_err().contains("faults.toml"));
        fs::write(&file, "[[fault]]\nkind = 'loss'\n").unwrap();
        assert!(plan(Some(&file), 1).unwrap_err().contains("faults.toml"));
        fs::write(&file, "[[fault]]\nkind = 'loss'\nbegins = '1s'\nends = '2s'\n").unwrap();
        assert_eq!(plan(Some(&file), 1).unwrap().unwrap().len(), 1);
        assert!(plan(None, 1).unwrap().is_none());
        assert!(check_history(Some(dir.path())).unwrap_err().contains("cannot be written"));
        assert!(check_history(Some(&dir.path().join("no/such.json"))).unwrap_err().contains("no/such.json"));
        assert_eq!(check_history(Some(&dir.path().join("history.json"))), Ok(()));
    }
}
