//! What the sample dyno writes down, and how it is read again.
//!
//! One JSON object per line. A line is handed to the kernel in one write before the step it tells of is visible to anyone, so a
//! dyno killed at any moment leaves a journal that holds every request it began and every answer that left it. Nothing is flushed
//! to the disk itself: the journal outlives its process, not its machine.
//!
//! The times are the dyno's own (`CLOCK_BOOTTIME` and the time of day), never the mesh's, whose clock may be under test.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;

use dynomesh_core::id::{DynoId, ReplicaId};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use super::digest::Digest;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Nanoseconds since this machine's boot, suspended time included.
    pub boot_ns: u64,
    /// Nanoseconds since 1970.
    pub wall_ns: u64,
    /// The dyno that writes.
    pub dyno: DynoId,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What a line tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Event {
    /// A run of the dyno began: nothing is in flight, and it has seen no epoch.
    Listen {
        /// Where it listens.
        address: SocketAddr,
        /// Its process.
        pid: u32,
    },
    /// A request arrived.
    Start(Arrival),
    /// A request ended.
    End(Ending),
}

/// A request as it arrived.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    /// Counts the requests of this run from 1.
    pub n: u64,
    /// Its method.
    pub method: String,
    /// Its path and query.
    pub path: String,
    /// Its `x-request-id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// Its `x-demo-key`: the name the client gave it, which no router knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The block that dispatched it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block: Option<String>,
    /// The epoch it was dispatched under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// The term of the leader that dispatched it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub term: Option<u64>,
    /// The slot it was dispatched under, as the block wrote it: replica and incarnation in hexadecimal, a number, with dashes between.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<String>,
    /// Requests in flight, this one included: over 1 it overlaps another.
    pub in_flight: u32,
    /// Requests of this run that overlapped another, this one included.
    pub overlaps: u64,
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// The number it arrived under.
    pub n: u64,
    /// Whether its answer was complete.
    pub outcome: Outcome,
    /// Status of the answer, if one was begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What arrived of its body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<Digest>,
    /// What was handed over of the body of its answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<Digest>,
}

/// Whether a request's answer was complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The last byte of the answer was handed over. Whether it arrived, only the other side knows.
    Done,
    /// The client left before, or its body ended early.
    Cut,
}

impl Arrival {
    /// The replica that dispatched it, by its slot.
    pub fn replica(&self) -> Option<ReplicaId> {
        let (replica, _) = self.slot.as_deref()?.split_once('-')?;
        u64::from_str_radix(replica, 16).ok().map(ReplicaId)
    }
}

/// Appends lines to a file, or nowhere.
pub(super) struct Journal {
    dyno: DynoId,
    file: Option<File>,
}

impl Journal {
    /// Opens `path` to append to it.
    pub(super) fn open(dyno: DynoId, path: Option<&Path>) -> io::Result<Self> {
        let file = path.map(|path| OpenOptions::new().create(true).append(true).open(path)).transpose()?;
        Ok(Journal { dyno, file })
    }

    /// Writes one event with the time it is written at.
    pub(super) fn write(&mut self, event: Event) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let line =
            Line { boot_ns: nanoseconds(ClockId::Boottime), wall_ns: nanoseconds(ClockId::Realtime), dyno: self.dyno.clone(), event };
        let mut text = serde_json::to_vec(&line)?;
        text.push(b'\n');
        file.write_all(&text)
    }
}

/// Reads a journal. A last line without its end is left out: the dyno was killed while it wrote it, or still writes.
pub fn read(path: &Path) -> io::Result<Vec<Line>> {
    let text = std::fs::read_to_string(path)?;
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| serde_json::from_str(line).map_err(io::Error::from)).collect()
}

fn nanoseconds(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    let nanos = i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec);
    u64::try_from(nanos).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival() -> Arrival {
        Arrival {
            n: 1,
            method: "POST".into(),
            path: "/a?b=\"c\"".into(),
            key: Some("k".into()),
            epoch: Some(u64::MAX),
            slot: Some("1f-a0-7".into()),
            in_flight: 1,
            ..Arrival::default()
        }
    }

    #[test]
    fn what_is_written_is_read_again_and_a_torn_line_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        let mut journal = Journal::open(DynoId::new("d1").unwrap(), Some(&path)).unwrap();
        journal.write(Event::Start(arrival())).unwrap();
        let ending = Ending { n: 1, outcome: Outcome::Done, status: Some(200), received: None, sent: Some(Digest::of(b"x")) };
        journal.write(Event::End(ending.clone())).unwrap();
        journal.file.as_ref().unwrap().write_all(b"{\"boot_ns\":").unwrap();

        let lines = read(&path).unwrap();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].event, Event::Start(arrival()));
        assert_eq!(lines[1].event, Event::End(ending));
        assert!(lines[0].boot_ns <= lines[1].boot_ns);
    }

    #[test]
    fn a_replica_is_known_by_its_slot() {
        assert_eq!(arrival().replica(), Some(ReplicaId(31)));
        for slot in [None, Some(""), Some("31"), Some("x-1-1")] {
            assert_eq!(Arrival { slot: slot.map(str::to_owned), ..arrival() }.replica(), None);
        }
    }

    #[test]
    fn lines_of_an_earlier_dyno_are_read() {
        let text = r#"{"boot_ns":1,"wall_ns":2,"dyno":"d","event":"end","n":3,"method":"GET","path":"/","in_flight":1,"overlaps":0,"outcome":"done"}"#;
        let line: Line = serde_json::from_str(text).unwrap();
        assert_eq!(line.event, Event::End(Ending { n: 3, outcome: Outcome::Done, status: None, received: None, sent: None }));
    }
}
