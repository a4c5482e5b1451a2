//! A log that ends in the middle of a record, as after a power cut: a replica is killed, bytes are put behind the end of its log, and it
//! is started again.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

use super::leadership::Leadership;
use super::{Fault, Felt, Hit};
use crate::system::Mesh;
use crate::system::select::{Choice, Selector};

/// Whose log.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    target: Selector,
}

/// What is put there: the start of a record that was never written to its end.
const TORN: [u8; 40] = [0x5a; 40];
/// What a replica says that has found it.
const FOUND: &str = "it is cut";
/// The head of a segment, and of a record in it.
const SEGMENT_HEAD: usize = 40;
const RECORD_HEAD: usize = 24;

pub(super) struct TornLog {
    spec: Spec,
    names: Vec<String>,
    /// Size of each replica's own log when it was torn.
    logs: Vec<u64>,
    leadership: Leadership,
}

// === impl TornLog ===

impl TornLog {
    pub(super) fn new(spec: &Spec) -> Self {
        TornLog { spec: spec.clone(), names: Vec::new(), logs: Vec::new(), leadership: Leadership::default() }
    }

    /// How many have found it.
    fn found(&self, mesh: &mut Mesh) -> Result<usize> {
        let mut found = 0;
        for (name, from) in self.names.iter().zip(&self.logs) {
            found += usize::from(mesh.process(name)?.log_since(*from).contains(FOUND));
        }
        Ok(found)
    }
}

impl Fault for TornLog {
    fn start(&mut self, mesh: &mut Mesh) -> Result<()> {
        self.names = mesh.select_running(&self.spec.target, &mut Choice::default())?;
        self.leadership = Leadership::note(mesh, &self.names);
        self.leadership.begin();
        for name in &self.names {
            let process = mesh.process(name)?;
            process.kill()?;
            let data = process.data.clone().with_context(|| format!("{name} keeps no log"))?;
            let log = newest(&data)?.with_context(|| format!("{} holds no log", data.display()))?;
            let end = end(&fs::read(&log)?).with_context(|| format!("{} holds no records", log.display()))?;
            let file = OpenOptions::new().write(true).open(&log).with_context(|| log.display().to_string())?;
            file.write_all_at(&TORN, end as u64).with_context(|| log.display().to_string())?;
            self.logs.push(process.log_len());
        }
        Ok(())
    }

    fn tick(&mut self, mesh: &mut Mesh) -> Result<()> {
        self.leadership.look(mesh);
        Ok(())
    }

    fn heal(&mut self, mesh: &mut Mesh) -> Result<()> {
        self.names.iter().try_for_each(|name| mesh.start_process(name))
    }

    fn is_over(&mut self, mesh: &mut Mesh) -> Result<bool> {
        Ok(self.found(mesh)? == self.names.len())
    }

    fn felt(&mut self, mesh: &mut Mesh) -> Result<Felt> {
        let found = self.found(mesh)?;
        Ok(Felt::when(
            found == self.names.len(),
            format!("{found} of {} found the torn end of their log and cut it. {}", self.names.len(), self.leadership.told()),
        ))
    }

    fn hits(&self) -> Vec<Hit> {
        Hit::cut_off(&self.names)
    }
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
