//! The log as openraft sees it: entries in memory, and a queue to the thread that writes them.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};

use dynomesh_runtime::faults;
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{OptionalSend, RaftLogReader};
use tokio::sync::oneshot;

use super::record::Record;
use super::recover::{Recovered, recover};
use super::segment::{self, Head};
use super::writer::{Begin, Done, Flush, Job, Standing, Writer};
use crate::engine::{Ballot, Engine, Entry, LogId};
use crate::error::StartError;
use crate::options::OnFatal;
use crate::payload::{self, invalid};

/// Bytes of entries in one message to a follower, unless a single entry is longer.
const MESSAGE_LEN: usize = 4 * 1024 * 1024;

/// The log. Clones share it.
#[derive(Clone)]
pub(crate) struct Log {
    shelf: Arc<Mutex<Shelf>>,
    pen: Arc<Pen>,
}

/// What is in memory.
#[derive(Default)]
struct Shelf {
    /// Consecutive; the first follows `purged`.
    entries: VecDeque<Entry>,
    purged: Option<LogId>,
    vote: Option<Ballot>,
    committed: Option<LogId>,
}

/// The way to the writing thread. When the last clone goes, the thread flushes and ends.
struct Pen {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

// === impl Log ===

impl Log {
    /// Opens the log in `dir`, reading back what was written.
    pub(crate) fn open(dir: &Path, segment_len: u64, on_fatal: OnFatal) -> Result<Self, StartError> {
        Log::open_with(dir, segment_len, on_fatal, Box::new(faults::sync_data))
    }

    pub(super) fn open_with(dir: &Path, segment_len: u64, on_fatal: OnFatal, flush: Flush) -> Result<Self, StartError> {
        std::fs::create_dir_all(dir).map_err(StartError::disk(dir))?;
        let recovered = recover(dir)?;
        if recovered.torn {
            tracing::warn!(dir = %dir.display(), record = recovered.next_seq, "the log ends in a record that was never flushed; it is cut");
        }
        settle_newest(dir, &recovered, &flush).map_err(StartError::disk(dir))?;
        let mut standing = Standing::default();
        recovered.records.iter().for_each(|record| standing.note(record));
        let begin = begin(&recovered, &standing);
        let corrupt = |e: io::Error| StartError::Corrupt { path: dir.to_owned(), problem: e.to_string() };
        let shelf = Shelf::replay(recovered.records).map_err(corrupt)?;
        let writer = Writer::open(dir.to_owned(), segment_len, recovered.segments, begin, standing, flush, on_fatal);
        let writer = writer.map_err(StartError::disk(dir))?;
        let (jobs, queue) = mpsc::channel();
        let thread = thread::Builder::new().name("log".into()).spawn(move || writer.run(&queue)).map_err(StartError::disk(dir))?;
        let pen = Pen { jobs: Some(jobs), thread: Some(thread) };
        Ok(Log { shelf: Arc::new(Mutex::new(shelf)), pen: Arc::new(pen) })
    }

    /// Waits until everything appended so far is on disk.
    pub(crate) async fn flushed(&self) -> io::Result<()> {
        self.write_through(Vec::new()).await
    }

    /// Whether no entry and no vote was ever written.
    pub(crate) fn is_blank(&self) -> bool {
        let shelf = self.shelf();
        shelf.last().is_none() && shelf.vote.is_none()
    }

    /// The last entry that was purged.
    pub(crate) fn purged(&self) -> Option<LogId> {
        self.shelf().purged
    }

    async fn write_through(&self, records: Vec<Record>) -> io::Result<()> {
        let (tx, rx) = oneshot::channel();
        // The receiver waits below; it can only be gone if the whole call was dropped.
        self.pen.write(records, Some(Box::new(move |result| drop(tx.send(result)))));
        rx.await.unwrap_or_else(|_| Err(io::Error::other("the log is closed")))
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().expect("nothing panics while it holds the log")
    }
}

/// Where the next record goes. A segment that was begun just before a crash may lack what stands; the older ones could not be given back.
fn begin(recovered: &Recovered, standing: &Standing) -> Begin {
    match recovered.blank && standing.is_in(&recovered.records[recovered.newest..]) {
        true => Begin::Behind { at: recovered.end, seq: recovered.next_seq },
        false => Begin::Fresh(Head { generation: recovered.next_generation, first_seq: recovered.next_seq }),
    }
}

/// Writes what was read back once more, and flushes it. A process that was killed may not have flushed its last records: only the kernel has
/// them then, and the next record, or the head of the next segment, will say that they are on disk (P3). After a flush that failed the kernel
/// may call pages clean that never reached the disk: to flush them again does nothing unless they are written again. Earlier segments were
/// flushed when they were left.
fn settle_newest(dir: &Path, recovered: &Recovered, flush: &Flush) -> io::Result<()> {
    let Some(newest) = recovered.segments.last() else { return Ok(()) };
    let file = segment::reopen(dir, newest.generation)?;
    let mut bytes = vec![0; usize::try_from(recovered.end).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, 0)?;
    file.write_all_at(&bytes, 0)?;
    flush(&file)
}

// === impl Shelf ===

impl Shelf {
    /// Rebuilds memory from what was read back. What was purged in the end is left out from the beginning: segments that held
    /// nothing else are gone, so its entries need not be consecutive.
    fn replay(records: Vec<Record>) -> io::Result<Self> {
        let purged = records.iter().filter_map(|record| if let Record::Purge(id) = record { Some(*id) } else { None }).max();
        let mut shelf = Shelf { purged, ..Shelf::default() };
        for record in records {
            match record {
                Record::Vote(vote) => shelf.vote = Some(vote),
                Record::Committed(id) => shelf.committed = id,
                Record::Truncate(after) => shelf.truncate(after),
                Record::Purge(_) => {}
                Record::Entry(entry) if purged.is_some_and(|purged| entry.log_id.index <= purged.index) => {}
                Record::Entry(entry) => shelf.push(entry)?,
            }
        }
        Ok(shelf)
    }

    /// Appends an entry, which must follow the last one; only the first entry of all may stand anywhere.
    fn push(&mut self, entry: Entry) -> io::Result<()> {
        let expected = self.next_index();
        if entry.log_id.index != expected && !(self.entries.is_empty() && self.purged.is_none()) {
            return Err(invalid(format!("log entry {} stands where entry {expected} should", entry.log_id)));
        }
        self.entries.push_back(entry);
        Ok(())
    }

    fn last(&self) -> Option<LogId> {
        self.entries.back().map(|entry| entry.log_id).or(self.purged)
    }

    fn next_index(&self) -> u64 {
        self.last().map_or(0, |last| last.index + 1)
    }

    fn truncate(&mut self, after: Option<u64>) {
        while self.entries.back().is_some_and(|entry| after.is_none_or(|after| entry.log_id.index > after)) {
            self.entries.pop_back();
        }
    }

    fn purge(&mut self, id: LogId) {
        while self.entries.front().is_some_and(|entry| entry.log_id.index <= id.index) {
            self.entries.pop_front();
        }
        self.purged = self.purged.max(Some(id));
    }

    fn read(&self, range: impl RangeBounds<u64>) -> Vec<Entry> {
        let Some(first) = self.entries.front().map(|entry| entry.log_id.index) else { return Vec::new() };
        let end = first + self.entries.len() as u64;
        let from = match range.start_bound() {
            Bound::Included(from) => *from,
            Bound::Excluded(before) => before + 1,
            Bound::Unbounded => first,
        };
        let to = match range.end_bound() {
            Bound::Included(last) => last.saturating_add(1),
            Bound::Excluded(to) => *to,
            Bound::Unbounded => end,
        };
        let (from, to) = (from.clamp(first, end), to.clamp(first, end));
        let place = |index: u64| usize::try_from(index - first).expect("as many as are in memory");
        if from >= to {
            return Vec::new();
        }
        self.entries.range(place(from)..place(to)).cloned().collect()
    }
}

// === impl Pen ===

impl Pen {
    fn write(&self, records: Vec<Record>, done: Option<Done>) {
        let jobs = self.jobs.as_ref().expect("taken only when dropped");
        // A thread that is gone has dropped the receiver, and with it `done`: whoever waits sees that.
        let _ = jobs.send(Job { records, done });
    }
}

impl Drop for Pen {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed, and nothing can be written any more.
            let _ = thread.join();
        }
    }
}

// === openraft ===

impl RaftLogReader<Engine> for Log {
    async fn try_get_log_entries<R>(&mut self, range: R) -> Result<Vec<Entry>, io::Error>
    where
        R: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        Ok(self.shelf().read(range))
    }

    async fn read_vote(&mut self) -> Result<Option<Ballot>, io::Error> {
        Ok(self.shelf().vote)
    }

    /// As many entries as fit into one message to a follower; at least one.
    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, io::Error> {
        let mut entries = self.shelf().read(start..end);
        let mut len = 0;
        let fit = entries.iter().take_while(|entry| {
            let first = len == 0;
            len += payload::encode(entry).len() + 1;
            first || len <= MESSAGE_LEN
        });
        let fit = fit.count();
        entries.truncate(fit);
        Ok(entries)
    }
}

impl RaftLogStorage<Engine> for Log {
    type LogReader = Log;

    async fn get_log_state(&mut self) -> Result<LogState<Engine>, io::Error> {
        let shelf = self.shelf();
        Ok(LogState { last_purged_log_id: shelf.purged, last_log_id: shelf.last() })
    }

    async fn get_log_reader(&mut self) -> Log {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Ballot) -> Result<(), io::Error> {
        self.shelf().vote = Some(*vote);
        self.write_through(vec![Record::Vote(*vote)]).await
    }

    /// Not flushed by itself: a committed mark that is lost is learned again from the leader.
    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        self.shelf().committed = committed;
        self.pen.write(vec![Record::Committed(committed)], None);
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        let shelf = self.shelf();
        // Entries stand before their mark in the file, so it is ahead of them only if nothing is left of them.
        Ok(shelf.committed.min(shelf.last()))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Engine>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut records = Vec::new();
        let mut shelf = self.shelf();
        for entry in entries {
            records.push(Record::Entry(entry.clone()));
            shelf.push(entry)?;
        }
        drop(shelf);
        self.pen.write(records, Some(Box::new(move |result| callback.io_completed(result))));
        Ok(())
    }

    /// Not flushed by itself: whatever is acknowledged afterwards is flushed together with it.
    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        let after = last.map(|id| id.index);
        self.shelf().truncate(after);
        self.pen.write(vec![Record::Truncate(after)], None);
        Ok(())
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), io::Error> {
        self.shelf().purge(upto);
        self.write_through(vec![Record::Purge(upto)]).await
    }
}
