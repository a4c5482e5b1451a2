//! A run of a real mesh, written down: a line of what it was, then a latency per line in tenths of a millisecond, in the order in which
//! the requests came. The requests themselves follow from the seed; the sum of their work tells whether they still do.

use std::fs;
use std::io;
use std::path::Path;

use dynomesh_core::time::Span;
use dynomesh_sim::compare::Cables;
use serde::{Deserialize, Serialize};

/// What a latency is rounded to.
const GRAIN: Span = Span::from_micros(100);

/// See the module's doc.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recording {
    /// Seed of the requests.
    pub(crate) seed: u64,
    /// The work of all requests, those of the warm-up included.
    pub(crate) work: Span,
    /// What was measured before.
    pub(crate) cables: Cables,
    /// Latencies of the requests that count.
    pub(crate) latencies: Vec<Span>,
}

#[derive(Serialize, Deserialize)]
struct Head {
    seed: u64,
    work: Span,
    cables: Cables,
}

impl Recording {
    /// Reads a file.
    pub(crate) fn read(file: &Path) -> io::Result<Self> {
        let text = fs::read_to_string(file)?;
        let mut lines = text.lines();
        let Head { seed, work, cables } = serde_json::from_str(lines.next().unwrap_or_default())?;
        let latency = |line: &str| line.parse().map(|tenths: u64| GRAIN.times(tenths)).map_err(io::Error::other);
        Ok(Recording { seed, work, cables, latencies: lines.map(latency).collect::<io::Result<_>>()? })
    }

    /// Writes a file.
    pub(crate) fn write(&self, file: &Path) -> io::Result<()> {
        let head = serde_json::to_string(&Head { seed: self.seed, work: self.work, cables: self.cables })?;
        let tenths = self.latencies.iter().map(|latency| ((*latency + GRAIN.over(2)).as_nanos() / GRAIN.as_nanos()).to_string());
        let lines: Vec<String> = std::iter::once(head).chain(tenths).collect();
        fs::write(file, lines.join("\n") + "\n")
    }
}

#[test]
fn what_is_written_is_read() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let cables = Cables { trip: Span::from_micros(6_100), turn: Span::from_micros(4_300) };
    let recording = Recording {
        seed: 7,
        work: Span::from_secs(1_260),
        cables,
        latencies: vec![Span::from_micros(25_300), Span::from_micros(1_204_900)],
    };
    recording.write(file.path()).unwrap();
    assert_eq!(Recording::read(file.path()).unwrap(), recording);
}
