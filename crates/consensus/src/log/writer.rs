//! The thread that writes the log: the only place that touches segment files after the start.
//!
//! Everything that waits is written in one go and flushed once; then whoever waits for the flush is told, in order. A write or
//! flush that fails is never tried again, since the kernel may have dropped the dirty pages: the process must end.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::record::{self, Record};
use super::recover::Kept;
use super::segment::{self, Head};
use crate::options::OnFatal;

/// Told once the records handed in with it, and all before them, are on disk.
pub(crate) type Done = Box<dyn FnOnce(io::Result<()>) + Send>;

/// Where a segment's first record begins.
const SEGMENT_HEAD: u64 = segment::HEAD_LEN as u64;
/// Most records that share one flush.
const RECORDS_MAX: usize = 4096;
/// Records that nobody waits for are held back this long, to ride with the next flush.
const HOLD: Duration = Duration::from_millis(5);

/// Records to write, and whom to tell.
pub(crate) struct Job {
    pub(crate) records: Vec<Record>,
    pub(crate) done: Option<Done>,
}

/// How files are flushed; tests make it fail.
pub(crate) type Flush = Box<dyn Fn(&File) -> io::Result<()> + Send>;

/// What a new segment begins with, so that older segments can go.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    vote: Option<Record>,
    purge: Option<Record>,
    committed: Option<Record>,
}

/// Where the first record of a run goes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Begin {
    /// Into the newest segment, at this byte, with this sequence. Nothing but zeros follows there, and the segment holds all that stands.
    Behind { at: u64, seq: u64 },
    /// Into a segment of its own.
    Fresh(Head),
}

/// The segment files and the place of the next record.
pub(crate) struct Writer {
    dir: PathBuf,
    segment_len: u64,
    file: File,
    at: u64,
    next_seq: u64,
    flushed: u64,
    /// All segments, the present one last.
    segments: Vec<Kept>,
    standing: Standing,
    flush: Flush,
    on_fatal: OnFatal,
    /// Framed records that are not in the file yet.
    buffer: Vec<u8>,
    preparing: Option<JoinHandle<()>>,
    failed: Option<(io::ErrorKind, String)>,
}

// === impl Standing ===

impl Standing {
    /// Remembers the newest of each kind.
    pub(crate) fn note(&mut self, record: &Record) {
        let slot = match record {
            Record::Vote(_) => &mut self.vote,
            Record::Purge(_) => &mut self.purge,
            Record::Committed(_) => &mut self.committed,
            Record::Entry(_) | Record::Truncate(_) => return,
        };
        *slot = Some(record.clone());
    }

    /// Whether these records, which are all of the newest segment, bring one of each kind that stands: the newest, for none is later.
    pub(crate) fn is_in(&self, newest: &[Record]) -> bool {
        let mut there = Standing::default();
        newest.iter().for_each(|record| there.note(record));
        there.records().count() == self.records().count()
    }

    fn records(&self) -> impl Iterator<Item = &Record> {
        [&self.vote, &self.purge, &self.committed].into_iter().flatten()
    }

    /// One past the last purged index; 0 if nothing was purged.
    fn purged_end(&self) -> u64 {
        match &self.purge {
            Some(Record::Purge(id)) => id.index + 1,
            _ => 0,
        }
    }
}

// === impl Writer ===

impl Writer {
    /// Goes on behind what was recovered: in the newest segment where that is blank, so that starts by themselves fill no disk. Else in a
    /// fresh one, and the old one is never written again: behind a torn tail it may hold records that must not come back to life.
    /// What was recovered is flushed by now.
    pub(crate) fn open(
        dir: PathBuf,
        segment_len: u64,
        segments: Vec<Kept>,
        begin: Begin,
        standing: Standing,
        flush: Flush,
        on_fatal: OnFatal,
    ) -> io::Result<Self> {
        let newest = segments.last().map_or(0, |newest| newest.generation);
        let (file, at, next_seq) = match begin {
            Begin::Behind { at, seq } => (segment::reopen(&dir, newest)?, at, seq),
            Begin::Fresh(head) => (segment::open_next(&dir, segment_len, head, &flush)?, SEGMENT_HEAD, head.first_seq),
        };
        let mut writer = Writer {
            dir,
            segment_len,
            file,
            at,
            next_seq,
            flushed: next_seq - 1,
            segments,
            standing,
            flush,
            on_fatal,
            buffer: Vec::new(),
            preparing: None,
            failed: None,
        };
        if let Begin::Fresh(head) = begin {
            writer.segments.push(Kept { generation: head.generation, end_index: 0 });
            writer.put_standing();
            writer.write_out()?;
            writer.flush()?;
        }
        writer.release()?;
        writer.prepare_next();
        Ok(writer)
    }

    /// Serves jobs until the last sender is gone; then flushes what is left.
    pub(crate) fn run(mut self, jobs: &Receiver<Job>) {
        let mut held = Vec::new();
        loop {
            let next = match held.is_empty() {
                true => jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
                false => jobs.recv_timeout(HOLD),
            };
            let closed = matches!(next, Err(RecvTimeoutError::Disconnected));
            let mut waiting = Vec::new();
            if let Ok(job) = next {
                gather(job, jobs, &mut held, &mut waiting);
                if waiting.is_empty() && held.len() < RECORDS_MAX {
                    continue;
                }
            }
            let outcome = self.commit(&held, closed || !waiting.is_empty());
            held.clear();
            for done in waiting {
                done(outcome.as_ref().map(|_| ()).map_err(|(kind, text)| io::Error::new(*kind, text.clone())));
            }
            if closed {
                break;
            }
        }
        if let Some(preparing) = self.preparing.take() {
            // It only made a spare file; a failure shows itself when the file is needed.
            let _ = preparing.join();
        }
    }

    fn commit(&mut self, records: &[Record], flush: bool) -> Result<(), (io::ErrorKind, String)> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        self.try_commit(records, flush).map_err(|error| {
            self.on_fatal.report(&error);
            self.failed.insert((error.kind(), format!("the log failed earlier: {error}"))).clone()
        })
    }

    fn try_commit(&mut self, records: &[Record], flush: bool) -> io::Result<()> {
        for record in records {
            self.standing.note(record);
            self.put(record)?;
        }
        self.write_out()?;
        if flush {
            self.flush()?;
            self.release()?;
        }
        Ok(())
    }

    /// Frames a record into the buffer, in a new segment if it does not fit into this one. A record longer than a whole segment
    /// gets a longer segment.
    fn put(&mut self, record: &Record) -> io::Result<()> {
        let start = self.buffer.len();
        self.frame(record);
        let begun = self.at > SEGMENT_HEAD || start > 0;
        if begun && self.at + self.buffer.len() as u64 > self.segment_len {
            self.buffer.truncate(start);
            self.next_seq -= 1;
            self.roll()?;
            self.frame(record);
        }
        if let (Record::Entry(entry), Some(present)) = (record, self.segments.last_mut()) {
            present.end_index = present.end_index.max(entry.log_id.index + 1);
        }
        Ok(())
    }

    fn frame(&mut self, record: &Record) {
        let generation = self.segments.last().map_or(0, |present| present.generation);
        record::frame(&mut self.buffer, generation, self.next_seq, self.flushed, record);
        self.next_seq += 1;
    }

    fn roll(&mut self) -> io::Result<()> {
        self.write_out()?;
        self.flush()?;
        if let Some(preparing) = self.preparing.take() {
            let _ = preparing.join();
        }
        let generation = self.segments.last().map_or(0, |present| present.generation) + 1;
        let head = Head { generation, first_seq: self.next_seq };
        self.file = segment::open_next(&self.dir, self.segment_len, head, &self.flush)?;
        self.at = SEGMENT_HEAD;
        self.segments.push(Kept { generation, end_index: 0 });
        self.put_standing();
        self.prepare_next();
        Ok(())
    }

    fn put_standing(&mut self) {
        let standing = std::mem::take(&mut self.standing);
        for record in standing.records() {
            self.frame(record);
        }
        self.standing = standing;
    }

    fn write_out(&mut self) -> io::Result<()> {
        self.file.write_all_at(&self.buffer, self.at)?;
        self.at += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        (self.flush)(&self.file)?;
        self.flushed = self.next_seq - 1;
        Ok(())
    }

    /// Gives back the oldest segments that hold nothing but purged entries. What else stood in them stands, flushed, in the present
    /// one.
    fn release(&mut self) -> io::Result<()> {
        let purged_end = self.standing.purged_end();
        let old = self.segments.len() - 1;
        let free = self.segments[..old].iter().take_while(|kept| kept.end_index <= purged_end).count();
        for kept in self.segments.drain(..free) {
            segment::recycle(&self.dir, kept.generation, &self.flush)?;
        }
        Ok(())
    }

    /// Writes the next segment's zeros beforehand, so that changing segments costs no long pause.
    fn prepare_next(&mut self) {
        let (dir, len) = (self.dir.clone(), self.segment_len);
        // If it cannot be made now, opening the next segment says so.
        self.preparing = thread::Builder::new().name("log-spare".into()).spawn(move || drop(segment::prepare(&dir, len))).ok();
    }
}

/// Moves `first` and whatever else waits into `held` and `waiting`.
fn gather(first: Job, jobs: &Receiver<Job>, held: &mut Vec<Record>, waiting: &mut Vec<Done>) {
    let mut next = Some(first);
    while let Some(job) = next {
        held.extend(job.records);
        waiting.extend(job.done);
        next = if held.len() < RECORDS_MAX { jobs.try_recv().ok() } else { None };
    }
}
