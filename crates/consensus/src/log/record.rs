//! One record of the log file sequence: a vote, an entry, a truncation, a purge, or how far was committed.
//!
//! Layout, little-endian, padded to 8 bytes: length of the body (4), CRC (4), sequence (8), flushed sequence (8), body. The CRC
//! covers the segment's generation, the sequence, the flushed sequence, the length and the body, so that neither a valid record
//! of a recycled segment nor one at a wrong place passes. `flushed` is the newest record known to be on disk when this one was
//! written: it is what tells a torn tail from corruption.

use std::io;

use bytes::Bytes;

use crate::engine::{Ballot, Entry, LogId, ballot, log_id, term_of};
use crate::payload::{self, invalid};

/// Version of the record bodies; their first byte.
const VERSION: u8 = 1;
pub(crate) const HEAD_LEN: usize = 24;
/// Largest body that is written or believed.
pub(crate) const BODY_LEN_MAX: usize = 64 * 1024 * 1024;

/// What a record says.
#[derive(Debug, Clone)]
pub(crate) enum Record {
    Vote(Ballot),
    Entry(Entry),
    /// Entries after this index are gone; `None`: all are.
    Truncate(Option<u64>),
    /// Entries up to this one are covered by a snapshot.
    Purge(LogId),
    Committed(Option<LogId>),
}

impl Record {
    /// Appends the record's body to `out`.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        match self {
            Record::Vote(vote) => {
                out.push(1);
                put(out, vote.leader_id.term);
                put(out, vote.leader_id.voted_for);
                out.push(u8::from(vote.committed));
            }
            Record::Entry(entry) => {
                out.push(2);
                put_id(out, &entry.log_id);
                out.extend_from_slice(&payload::encode(entry));
            }
            Record::Truncate(after) => {
                out.push(3);
                out.push(u8::from(after.is_some()));
                put(out, after.unwrap_or_default());
            }
            Record::Purge(id) => {
                out.push(4);
                put_id(out, id);
            }
            Record::Committed(id) => {
                out.push(5);
                out.push(u8::from(id.is_some()));
                put_id(out, &id.unwrap_or_else(|| log_id(0, 0)));
            }
        }
    }

    /// Reads a body whose CRC was right; refuses a version or kind it does not know.
    pub(crate) fn decode(body: &[u8]) -> io::Result<Record> {
        let mut rest = body;
        let version = take_byte(&mut rest)?;
        if version != VERSION {
            return Err(invalid(format!("a log record has version {version}; this program knows version {VERSION}")));
        }
        match take_byte(&mut rest)? {
            1 => {
                let (term, replica) = (take(&mut rest)?, take(&mut rest)?);
                Ok(Record::Vote(ballot(term, replica, take_byte(&mut rest)? == 1)))
            }
            2 => {
                let id = take_id(&mut rest)?;
                Ok(Record::Entry(payload::decode(id, Bytes::copy_from_slice(rest))?))
            }
            3 => {
                let some = take_byte(&mut rest)? == 1;
                let after = take(&mut rest)?;
                Ok(Record::Truncate(some.then_some(after)))
            }
            4 => Ok(Record::Purge(take_id(&mut rest)?)),
            5 => {
                let some = take_byte(&mut rest)? == 1;
                let id = take_id(&mut rest)?;
                Ok(Record::Committed(some.then_some(id)))
            }
            kind => Err(invalid(format!("a log record has the unknown kind {kind}"))),
        }
    }
}

/// Appends `record` to `out` as the record `seq` of the segment `generation`.
pub(crate) fn frame(out: &mut Vec<u8>, generation: u64, seq: u64, flushed: u64, record: &Record) {
    let start = out.len();
    out.resize(start + HEAD_LEN, 0);
    record.encode(out);
    let len = u32::try_from(out.len() - start - HEAD_LEN).expect("batches are bounded far below 4 GiB");
    let crc = crc(generation, seq, flushed, &out[start + HEAD_LEN..]);
    out[start..start + 4].copy_from_slice(&len.to_le_bytes());
    out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
    out[start + 8..start + 16].copy_from_slice(&seq.to_le_bytes());
    out[start + 16..start + 24].copy_from_slice(&flushed.to_le_bytes());
    out.resize(start + framed_len(len as usize), 0);
}

/// Bytes that a record with a body of `len` takes.
pub(crate) fn framed_len(len: usize) -> usize {
    (HEAD_LEN + len).next_multiple_of(8)
}

/// A record whose CRC is right.
pub(crate) struct Framed<'a> {
    pub(crate) seq: u64,
    pub(crate) flushed: u64,
    pub(crate) body: &'a [u8],
}

/// The record at the start of `bytes`, if there is a whole one of this generation.
pub(crate) fn unframe(generation: u64, bytes: &[u8]) -> Option<Framed<'_>> {
    let word = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    let len = u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
    let expected = u32::from_le_bytes(bytes.get(4..8)?.try_into().ok()?);
    let (seq, flushed) = (word(8)?, word(16)?);
    // A record is never empty: a run of zeros is no record.
    if len == 0 || len > BODY_LEN_MAX {
        return None;
    }
    let body = bytes.get(HEAD_LEN..HEAD_LEN + len)?;
    (crc(generation, seq, flushed, body) == expected).then_some(Framed { seq, flushed, body })
}

fn crc(generation: u64, seq: u64, flushed: u64, body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for number in [generation, seq, flushed, body.len() as u64] {
        hasher.update(&number.to_le_bytes());
    }
    hasher.update(body);
    hasher.finalize()
}

fn put(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_le_bytes());
}

fn put_id(out: &mut Vec<u8>, id: &LogId) {
    put(out, term_of(id));
    put(out, id.index);
}

fn take(rest: &mut &[u8]) -> io::Result<u64> {
    let (number, left) = rest.split_first_chunk().ok_or_else(cut_short)?;
    *rest = left;
    Ok(u64::from_le_bytes(*number))
}

fn take_byte(rest: &mut &[u8]) -> io::Result<u8> {
    let (byte, left) = rest.split_first().ok_or_else(cut_short)?;
    *rest = left;
    Ok(*byte)
}

fn take_id(rest: &mut &[u8]) -> io::Result<LogId> {
    Ok(log_id(take(rest)?, take(rest)?))
}

fn cut_short() -> io::Error {
    invalid("a log record is cut short".into())
}
