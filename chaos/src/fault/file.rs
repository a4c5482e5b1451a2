//! The file by which a process hears of faults that are put into it. Several faults may concern one process at once, so each changes what is
//! its own and leaves the rest.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result};
use toml::{Table, Value};

/// What a process has been told.
pub(super) fn read(file: &Path) -> Result<Table> {
    let text = match fs::read_to_string(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Table::new()),
        read => read.with_context(|| file.display().to_string())?,
    };
    text.parse().with_context(|| file.display().to_string())
}

/// Tells it these; what is `None` is over.
pub(super) fn change<const N: usize>(file: &Path, keys: [(&str, Option<Value>); N]) -> Result<()> {
    let mut told = read(file)?;
    for (key, value) in keys {
        match value {
            Some(value) => drop(told.insert(key.into(), value)),
            None => drop(told.remove(key)),
        }
    }
    fs::write(file, told.to_string()).with_context(|| file.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_leaves_what_another_has_told_the_same_process() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("b1-1.toml");
        assert_eq!(read(&file).unwrap(), Table::new());
        change(&file, [("clock_ahead", Some("3s".into())), ("wall_offset", Some("-1h".into()))]).unwrap();
        change(&file, [("flush_fails", Some(true.into()))]).unwrap();
        change(&file, [("wall_offset", None)]).unwrap();
        assert_eq!(read(&file).unwrap().to_string(), "clock_ahead = \"3s\"\nflush_fails = true\n");
    }
}
