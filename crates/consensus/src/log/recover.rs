//! Reads the log back after a start.
//!
//! The end of the log is where records stop being right. That is a torn tail, and is cut, unless something proves that the bad
//! record had been flushed once: a later segment (its head is written only after all earlier records were flushed) or a later
//! record that says so. Then what this replica promised to others is lost, and starting would break the promise: refused.

use std::fs;
use std::path::Path;

use super::record::{self, Record};
use super::segment::{self, Head};
use crate::error::StartError;

/// A segment that holds nothing but what was purged can be given back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept {
    pub(crate) generation: u64,
    /// One past the highest entry index in it; 0 if it has none (the first entry has index 0).
    pub(crate) end_index: u64,
}

/// What was read.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    pub(crate) records: Vec<Record>,
    pub(crate) segments: Vec<Kept>,
    /// The place in `records` of the first that stands in the newest segment.
    pub(crate) newest: usize,
    /// Sequence for the next record.
    pub(crate) next_seq: u64,
    /// Generation for the next segment.
    pub(crate) next_generation: u64,
    /// Where the records of the newest segment end.
    pub(crate) end: u64,
    /// Whether nothing but zeros follows there.
    pub(crate) blank: bool,
    /// Whether records that were never flushed were cut off.
    pub(crate) torn: bool,
}

/// Reads all segments of `dir`, one at a time: only their heads are read before, since each says where the one before it ends.
pub(crate) fn recover(dir: &Path) -> Result<Recovered, StartError> {
    let generations = segment::list(dir).map_err(StartError::disk(dir))?;
    let mut read = Recovered { next_seq: 1, next_generation: 1, ..Recovered::default() };
    let mut segments = Vec::new();
    for generation in generations {
        let path = segment::path(dir, generation);
        let bytes = segment::read_head(&path).map_err(StartError::disk(&path))?;
        let corrupt = |problem: String| StartError::Corrupt { path: path.clone(), problem };
        let head = Head::decode(&bytes).map_err(&corrupt)?;
        if head.generation != generation {
            return Err(corrupt(format!("holds the segment {:x}", head.generation)));
        }
        segments.push((path, head));
    }
    for (at, (path, head)) in segments.iter().enumerate() {
        let end = segments.get(at + 1).map(|(_, next)| next.first_seq);
        let corrupt = |problem: String| StartError::Corrupt { path: path.clone(), problem };
        if at > 0 && head.first_seq != read.next_seq {
            return Err(corrupt(format!("begins with record {}, but the log before it ends at {}", head.first_seq, read.next_seq)));
        }
        let bytes = fs::read(path).map_err(StartError::disk(path))?;
        read.newest = read.records.len();
        read.next_seq = head.first_seq;
        read.next_generation = head.generation + 1;
        let end_index = read_segment(*head, &bytes, end, &mut read).map_err(corrupt)?;
        read.segments.push(Kept { generation: head.generation, end_index });
    }
    Ok(read)
}

fn read_segment(head: Head, bytes: &[u8], end: Option<u64>, read: &mut Recovered) -> Result<u64, String> {
    let mut at = segment::HEAD_LEN;
    let mut end_index = 0;
    while end.is_none_or(|end| read.next_seq < end) {
        let whole = bytes.get(at..).and_then(|rest| record::unframe(head.generation, rest)).filter(|r| r.seq == read.next_seq);
        let Some(framed) = whole else {
            read.torn = torn(head, bytes, at, end, read.next_seq)?;
            read.blank = bytes.get(at..).unwrap_or_default().iter().all(|byte| *byte == 0);
            break;
        };
        let record = Record::decode(framed.body).map_err(|e| e.to_string())?;
        if let Record::Entry(entry) = &record {
            end_index = end_index.max(entry.log_id.index + 1);
        }
        at += record::framed_len(framed.body.len());
        read.records.push(record);
        read.next_seq += 1;
    }
    read.end = at as u64;
    Ok(end_index)
}

/// The record `seq` at `at` is not right. Whether anything lies there at all, or why it must not be cut.
fn torn(head: Head, bytes: &[u8], at: usize, end: Option<u64>, seq: u64) -> Result<bool, String> {
    if let Some(end) = end {
        return Err(format!("record {seq} at byte {at} is damaged, but records up to {} were flushed", end - 1));
    }
    // The length of a damaged record cannot be trusted, so every place where a record could begin is tried.
    let mut place = at + 8;
    while place + record::HEAD_LEN <= bytes.len() {
        let later = record::unframe(head.generation, &bytes[place..]).filter(|r| r.seq > seq && r.flushed >= seq);
        if let Some(later) = later {
            return Err(format!("record {seq} at byte {at} is damaged, but records up to {} were flushed", later.flushed));
        }
        place += 8;
    }
    let first = bytes.get(at..(at + 8).min(bytes.len())).unwrap_or_default();
    Ok(first.iter().any(|byte| *byte != 0))
}
