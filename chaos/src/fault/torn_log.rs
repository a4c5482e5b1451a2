//! A log that ends in the middle of a record, as after a power cut: a replica is killed, bytes are put behind the end of its log, and it
//! is started again.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::kill::{self, Kill};
use super::{Fault, Felt, Hit};
use crate::system::Mesh;

/// What is put there: the start of a record that was never written to its end.
const TORN: [u8; 40] = [0x5a; 40];
/// What a replica says that has found it.
const FOUND: &str = "it is cut";
/// The head of a segment, and of a record in it.
const SEGMENT_HEAD: usize = 40;
const RECORD_HEAD: usize = 24;

pub(super) struct TornLog {
    kill: Kill,
    /// Size of each replica's own log when it was torn.
    logs: Vec<u64>,
}

// === impl TornLog ===

impl TornLog {
    pub(super) fn new(spec: &kill::Spec) -> Self {
        TornLog { kill: Kill::new(spec), logs: Vec::new() }
    }

    /// How many have found it.
    fn found(&self, mesh: &mut Mesh) -> Result<usize> {
        let mut found = 0;
        for (name, from) in self.kill.names.iter().zip(&self.logs) {
            found += usize::from(mesh.process(name)?.log_since(*from).contains(FOUND));
        }
        Ok(found)
    }
}

impl Fault for TornLog {
    fn aim(&mut self, mesh: &mut Mesh) -> Result<()> {
        self.kill.aim(mesh)
    }

    fn start(&mut self, mesh: &mut Mesh) -> Result<()> {
        self.kill.start(mesh)?;
        for name in &self.kill.names {
            let process = mesh.process(name)?;
            tear(process.data.as_ref().with_context(|| format!("{name} keeps no log"))?)?;
            self.logs.push(process.log_len());
        }
        Ok(())
    }

    fn heal(&mut self, mesh: &mut Mesh) -> Result<()> {
        self.kill.heal(mesh)
    }

    fn is_over(&mut self, mesh: &mut Mesh) -> Result<bool> {
        Ok(self.found(mesh)? == self.kill.names.len())
    }

    fn felt(&mut self, mesh: &mut Mesh) -> Result<Felt> {
        let (found, all) = (self.found(mesh)?, self.kill.names.len());
        let told = format!("{found} of {all} found the torn end of their log and cut it. {}", self.kill.leadership.told());
        Ok(Felt::when(found == all, told))
    }

    fn hits(&self) -> Vec<Hit> {
        self.kill.hits()
    }
}

/// Puts the start of a record behind the last one of the log in this directory.
fn tear(data: &Path) -> Result<()> {
    let log = newest(data)?.with_context(|| format!("{} holds no log", data.display()))?;
    let end = end(&fs::read(&log)?).with_context(|| format!("{} holds no records", log.display()))?;
    let file = OpenOptions::new().write(true).open(&log).with_context(|| log.display().to_string())?;
    file.write_all_at(&TORN, end as u64).with_context(|| log.display().to_string())
}

/// The segment with the newest records.
fn newest(dir: &Path) -> Result<Option<PathBuf>> {
    let mut found: Option<(u64, PathBuf)> = None;
    for path in files(dir)? {
        let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
        if let Some(first) = number(&bytes, 24).filter(|_| bytes.starts_with(b"dynolog"))
            && found.as_ref().is_none_or(|(newest, _)| first > *newest)
        {
            found = Some((first, path));
        }
    }
    Ok(found.map(|(_, path)| path))
}

fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(self::files(&path)?);
        } else if path.extension().is_some_and(|end| end == "log") {
            files.push(path);
        }
    }
    Ok(files)
}

/// Where the records of a segment end: behind it may lie zeros, or what a segment held that was used before.
fn end(segment: &[u8]) -> Option<usize> {
    let (mut at, mut sequence) = (SEGMENT_HEAD, number(segment, 24)?);
    loop {
        let length = u32::from_le_bytes(segment.get(at..at + 4)?.try_into().ok()?) as usize;
        if length == 0 || number(segment, at + 8)? != sequence {
            return Some(at);
        }
        at += (RECORD_HEAD + length).next_multiple_of(8);
        sequence += 1;
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_behind_the_last_record_in_order() {
        let mut segment = vec![0; 400];
        segment[24] = 7;
        for (at, sequence, length) in [(40, 7, 10), (40 + 40, 8, 8), (80 + 32, 3, 9)] {
            segment[at] = length;
            segment[at + 8] = sequence;
        }
        assert_eq!(end(&segment), Some(112));
        assert_eq!(end(&segment[..60]), None);
    }
}
