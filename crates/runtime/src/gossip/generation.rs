//! The number of a node's run: larger than that of every run before, whatever the wall clock did in between (P18).

use std::fs;
use std::io;
use std::path::Path;

use super::GossipError;
use crate::clock::Clock;
use crate::file;

/// The larger of the wall clock's milliseconds and one more than `file` says, which then says it too, on disk.
pub(super) fn next(file: Option<&Path>, clock: &Clock) -> Result<u64, GossipError> {
    let now = clock.wall_millis();
    let Some(path) = file else { return Ok(now) };
    let advance = || {
        let last = read(path)?;
        let next = last.map_or(now, |last| now.max(last.saturating_add(1)));
        write(path, next)?;
        Ok(next)
    };
    advance().map_err(|cause| GossipError::Generation { path: path.into(), cause })
}

fn read(path: &Path) -> io::Result<Option<u64>> {
    match fs::read_to_string(path) {
        Ok(text) => text.trim().parse().map(Some).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "does not hold one whole number")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Flushed: a number that is forgotten could be used again.
fn write(path: &Path, number: u64) -> io::Result<()> {
    file::replace(path, format!("{number}\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use dynomesh_core::time::{Span, Time};

    use super::*;

    #[test]
    fn generations_grow_though_the_clock_steps_back() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("generation");
        let (late, _) = Clock::manual(Time::ZERO + Span::from_millis(5000));
        let (early, _) = Clock::manual(Time::ZERO + Span::from_millis(10));
        assert_eq!(next(Some(&file), &late).unwrap(), 5000);
        assert_eq!(next(Some(&file), &early).unwrap(), 5001);
        assert_eq!(next(Some(&file), &early).unwrap(), 5002);
        assert_eq!(next(None, &early).unwrap(), 10);
    }

    #[test]
    fn a_broken_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("generation");
        fs::write(&file, "seven").unwrap();
        let error = next(Some(&file), &Clock::system()).unwrap_err().to_string();
        assert!(error.ends_with("generation: does not hold one whole number"), "{error}");
    }
}
