//! Crash images, torn tails and corruption of the log.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use openraft::RaftLogReader;
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::type_config::TypeConfigExt;
use tempfile::TempDir;

use super::record::HEAD_LEN as RECORD_HEAD_LEN;
use super::segment;
use super::store::Log;
use crate::engine::{Engine, Entry, ballot, log_id};
use crate::error::StartError;
use crate::options::OnFatal;
use crate::payload;

pub(super) const SEGMENT_LEN: u64 = 4096;

pub(super) fn open(dir: &TempDir) -> Result<Log, StartError> {
    Log::open(dir.path(), SEGMENT_LEN, OnFatal::call(|error| panic!("{error}")))
}

/// An entry that carries `len` bytes.
pub(super) fn entry(term: u64, index: u64, len: usize) -> Entry {
    let mut encoded = vec![payload::VERSION, 3];
    encoded.resize(2 + len, u8::try_from(index % 251).unwrap());
    payload::decode(log_id(term, index), Bytes::from(encoded)).unwrap()
}

/// Appends and waits for the flush.
pub(super) async fn append(log: &mut Log, entries: Vec<Entry>) -> io::Result<()> {
    let (tx, rx) = Engine::oneshot();
    log.append(entries, IOFlushed::signal(tx)).await?;
    rx.await.unwrap()
}

pub(super) async fn indexes(log: &mut Log) -> Vec<(u64, u64)> {
    let entries = log.try_get_log_entries(..).await.unwrap();
    entries.iter().map(|e| (crate::engine::term_of(&e.log_id), e.log_id.index)).collect()
}

fn newest_segment(dir: &TempDir) -> PathBuf {
    segment::path(dir.path(), *segment::list(dir.path()).unwrap().last().unwrap())
}

/// Where the records of a segment begin, and where the last one ends.
fn record_places(path: &PathBuf) -> Vec<usize> {
    let bytes = fs::read(path).unwrap();
    let head = segment::Head::decode(&bytes).unwrap();
    let mut places = vec![segment::HEAD_LEN];
    while let Some(record) = super::record::unframe(head.generation, &bytes[*places.last().unwrap()..]) {
        places.push(places.last().unwrap() + super::record::framed_len(record.body.len()));
    }
    places
}

#[tokio::test]
async fn what_was_flushed_is_there_after_a_restart() {
    let dir = TempDir::new().unwrap();
    let mut log = open(&dir).unwrap();
    log.save_vote(&ballot(3, 7, true)).await.unwrap();
    append(&mut log, (0..50).map(|i| entry(3, i, 300)).collect()).await.unwrap();
    log.truncate_after(Some(log_id(3, 39))).await.unwrap();
    append(&mut log, vec![entry(4, 40, 300)]).await.unwrap();
    log.save_committed(Some(log_id(4, 40))).await.unwrap();
    log.purge(log_id(3, 9)).await.unwrap();
    drop(log);

    let mut log = open(&dir).unwrap();
    let expected: Vec<_> = (10..40).map(|i| (3, i)).chain([(4, 40)]).collect();
    assert_eq!(indexes(&mut log).await, expected);
    assert_eq!(log.read_vote().await.unwrap(), Some(ballot(3, 7, true)));
    assert_eq!(log.read_committed().await.unwrap(), Some(log_id(4, 40)));
    assert_eq!(log.get_log_state().await.unwrap().last_purged_log_id, Some(log_id(3, 9)));
    let entries = log.try_get_log_entries(12..13).await.unwrap();
    assert_eq!(payload::encode(&entries[0]), payload::encode(&entry(3, 12, 300)), "the bytes are the same");
}

#[tokio::test]
async fn segments_are_given_back_once_their_entries_are_purged_and_the_rest_is_kept() {
    let dir = TempDir::new().unwrap();
    let mut log = open(&dir).unwrap();
    log.save_vote(&ballot(1, 2, false)).await.unwrap();
    for index in 0..200 {
        append(&mut log, vec![entry(1, index, 200)]).await.unwrap();
    }
    let before = segment::list(dir.path()).unwrap().len();
    assert!(before > 8, "{before} segments");
    log.purge(log_id(1, 180)).await.unwrap();
    let after = segment::list(dir.path()).unwrap().len();
    assert!(after < 4, "{after} segments");
    drop(log);
    // The vote was in the first segment; a recycled file holds old records of another generation.
    for _ in 0..3 {
        let mut log = open(&dir).unwrap();
        assert_eq!(log.read_vote().await.unwrap(), Some(ballot(1, 2, false)));
        assert_eq!(indexes(&mut log).await, (181..200).map(|i| (1, i)).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn power_cut_at_any_byte_behind_the_flushed_end_loses_nothing_that_was_flushed() {
    let dir = TempDir::new().unwrap();
    let mut log = open(&dir).unwrap();
    append(&mut log, vec![entry(1, 0, 40), entry(1, 1, 40)]).await.unwrap();
    let flushed = *record_places(&newest_segment(&dir)).last().unwrap();
    // One batch, one flush: as torn as can be is any prefix of it, or any of its sectors missing.
    append(&mut log, (2..6).map(|i| entry(1, i, 40)).collect()).await.unwrap();
    drop(log);
    let path = newest_segment(&dir);
    let whole = fs::read(&path).unwrap();
    let places = record_places(&path);
    let end = *places.last().unwrap();
    for cut in (flushed..=end).step_by(3) {
        let copy = TempDir::new().unwrap();
        let mut bytes = whole.clone();
        bytes[cut..].fill(0);
        fs::write(copy.path().join(path.file_name().unwrap()), &bytes).unwrap();
        let mut log = open(&copy).unwrap();
        let kept = places.iter().filter(|place| **place > segment::HEAD_LEN && **place <= cut).count();
        let found = indexes(&mut log).await;
        assert!(found.len() == kept || found.len() == kept + usize::from(ends_in_padding(&whole, &places, cut)), "cut at {cut}");
        // What is appended now must not bring back anything that stood behind the cut.
        let next = found.len() as u64;
        append(&mut log, vec![entry(2, next, 40)]).await.unwrap();
        drop(log);
        let mut log = open(&copy).unwrap();
        assert_eq!(*indexes(&mut log).await.last().unwrap(), (2, next), "cut at {cut}");
    }
}

/// Whether the cut only took padding, or zeros that were zeros before.
fn ends_in_padding(whole: &[u8], places: &[usize], cut: usize) -> bool {
    let end = places.iter().copied().find(|place| *place > cut).unwrap_or(cut);
    whole[cut..end].iter().all(|byte| *byte == 0)
}

#[tokio::test]
async fn a_torn_record_before_whole_ones_of_the_same_batch_is_cut_and_they_do_not_come_back() {
    let dir = TempDir::new().unwrap();
    let mut log = open(&dir).unwrap();
    append(&mut log, vec![entry(1, 0, 40)]).await.unwrap();
    let torn = *record_places(&newest_segment(&dir)).last().unwrap();
    append(&mut log, vec![entry(1, 1, 40), entry(1, 2, 40), entry(1, 3, 40)]).await.unwrap();
    drop(log);
    damage(&newest_segment(&dir), torn + RECORD_HEAD_LEN);
    let mut log = open(&dir).unwrap();
    assert_eq!(indexes(&mut log).await, [(1, 0)]);
    append(&mut log, vec![entry(2, 1, 40)]).await.unwrap();
    drop(log);
    assert_eq!(indexes(&mut open(&dir).unwrap()).await, [(1, 0), (2, 1)]);
}

/// Fails when a segment is written on because the first bytes behind its end are zeros: the new record is as long as the one that is
/// missing, and those behind it would follow it.
#[tokio::test]
async fn a_record_that_is_missing_before_whole_ones_of_the_same_batch_does_not_bring_them_back() {
    let dir = TempDir::new().unwrap();
    let mut log = open(&dir).unwrap();
    append(&mut log, vec![entry(1, 0, 40)]).await.unwrap();
    append(&mut log, vec![entry(1, 1, 40), entry(1, 2, 40), entry(1, 3, 40)]).await.unwrap();
    drop(log);
    let path = newest_segment(&dir);
    let (mut bytes, places) = (fs::read(&path).unwrap(), record_places(&path));
    bytes[places[1]..places[2]].fill(0);
    fs::write(&path, &bytes).unwrap();
    let mut log = open(&dir).unwrap();
    assert_eq!(indexes(&mut log).await, [(1, 0)]);
    append(&mut log, vec![entry(2, 1, 40)]).await.unwrap();
    drop(log);
    assert_eq!(indexes(&mut open(&dir).unwrap()).await, [(1, 0), (2, 1)]);
}

/// Fails when each start begins a segment: none of them can be given back while an older one holds what is not purged.
#[tokio::test]
async fn fifty_openings_without_an_entry_leave_no_more_segments_than_there_were() {
    let dir = TempDir::new().unwrap();
    let mut log = open(&dir).unwrap();
    log.save_vote(&ballot(1, 2, false)).await.unwrap();
    append(&mut log, (0..30).map(|i| entry(1, i, 300)).collect()).await.unwrap();
    drop(log);
    let before = segment::list(dir.path()).unwrap();
    for _ in 0..50 {
        drop(open(&dir).unwrap());
    }
    assert_eq!(segment::list(dir.path()).unwrap(), before);
    let mut log = open(&dir).unwrap();
    assert_eq!(log.read_vote().await.unwrap(), Some(ballot(1, 2, false)));
    assert_eq!(indexes(&mut log).await, (0..30).map(|i| (1, i)).collect::<Vec<_>>());
}

#[tokio::test]
async fn fifty_openings_with_a_vote_and_an_entry_each_share_their_segments() {
    let dir = TempDir::new().unwrap();
    for index in 0..50 {
        let mut log = open(&dir).unwrap();
        log.save_vote(&ballot(index + 1, 2, true)).await.unwrap();
        append(&mut log, vec![entry(index + 1, index, 8)]).await.unwrap();
    }
    let segments = segment::list(dir.path()).unwrap().len();
    assert!(segments <= 3, "{segments} segments");
    let mut log = open(&dir).unwrap();
    assert_eq!(log.read_vote().await.unwrap(), Some(ballot(50, 2, true)));
    assert_eq!(indexes(&mut log).await, (0..50).map(|i| (i + 1, i)).collect::<Vec<_>>());
}

/// A recycled file is not blank behind its end, so the first starts take a new one.
#[tokio::test]
async fn openings_behind_recycled_segments_come_to_an_end_with_new_ones() {
    let dir = TempDir::new().unwrap();
    let mut log = open(&dir).unwrap();
    log.save_vote(&ballot(1, 2, false)).await.unwrap();
    for index in 0..100 {
        append(&mut log, vec![entry(1, index, 200)]).await.unwrap();
        if index % 20 == 19 {
            log.purge(log_id(1, index - 2)).await.unwrap();
        }
    }
    drop(log);
    let before = segment::list(dir.path()).unwrap().len();
    for _ in 0..50 {
        drop(open(&dir).unwrap());
    }
    let after = segment::list(dir.path()).unwrap().len();
    assert!(after <= before + 2, "{before} segments before, {after} after");
    let mut log = open(&dir).unwrap();
    assert_eq!(log.read_vote().await.unwrap(), Some(ballot(1, 2, false)));
    assert_eq!(indexes(&mut log).await, [(1, 98), (1, 99)]);
}

/// The power went when a segment had its name and nothing else. Fails when that one is written on as it is: it lacks the vote, which goes
/// with the segments before it.
#[tokio::test]
async fn what_stands_is_kept_although_the_newest_segment_never_got_it() {
    let dir = TempDir::new().unwrap();
    let mut log = open(&dir).unwrap();
    log.save_vote(&ballot(7, 2, true)).await.unwrap();
    append(&mut log, (0..30).map(|i| entry(7, i, 200)).collect()).await.unwrap();
    drop(log);
    let path = newest_segment(&dir);
    let mut bytes = fs::read(&path).unwrap();
    bytes[segment::HEAD_LEN..].fill(0);
    fs::write(&path, &bytes).unwrap();
    let mut log = open(&dir).unwrap();
    let last = indexes(&mut log).await.last().unwrap().1;
    log.purge(log_id(7, last)).await.unwrap();
    drop(log);
    assert_eq!(segment::list(dir.path()).unwrap().len(), 1, "all is purged but what stands");
    assert_eq!(open(&dir).unwrap().read_vote().await.unwrap(), Some(ballot(7, 2, true)));
}

#[tokio::test]
async fn a_damaged_record_that_was_flushed_once_refuses_to_start() {
    let dir = TempDir::new().unwrap();
    let mut log = open(&dir).unwrap();
    for index in 0..3 {
        append(&mut log, vec![entry(1, index, 40)]).await.unwrap();
    }
    drop(log);
    let path = newest_segment(&dir);
    let places = record_places(&path);
    damage(&path, places[1] + RECORD_HEAD_LEN + 20);
    let error = open(&dir).err().unwrap();
    assert!(matches!(&error, StartError::Corrupt { problem, .. } if problem.contains("flushed")), "{error}");
}

#[tokio::test]
async fn damage_in_a_segment_that_has_a_successor_refuses_to_start() {
    let dir = TempDir::new().unwrap();
    let mut log = open(&dir).unwrap();
    // One batch: no record of the first segment says of another that it was flushed.
    append(&mut log, (0..30).map(|i| entry(1, i, 200)).collect()).await.unwrap();
    drop(log);
    let first = segment::path(dir.path(), segment::list(dir.path()).unwrap()[0]);
    assert_ne!(first, newest_segment(&dir));
    damage(&first, segment::HEAD_LEN + RECORD_HEAD_LEN + 4);
    assert!(matches!(open(&dir).err().unwrap(), StartError::Corrupt { .. }));
}

#[tokio::test]
async fn an_unknown_version_is_named_and_refused() {
    let dir = TempDir::new().unwrap();
    let mut log = open(&dir).unwrap();
    append(&mut log, vec![entry(1, 0, 4)]).await.unwrap();
    drop(log);
    let path = newest_segment(&dir);
    let mut head = fs::read(&path).unwrap();
    head[8] = 9;
    fs::write(&path, head).unwrap();
    let error = open(&dir).err().unwrap().to_string();
    assert!(error.contains("version 9") && error.contains("knows version 1"), "{error}");
    let unknown = payload::decode(log_id(1, 1), Bytes::from_static(&[7, 0])).unwrap_err().to_string();
    assert!(unknown.contains("version 7"), "{unknown}");
}

#[tokio::test]
async fn a_failed_flush_is_reported_once_and_nothing_is_acknowledged_after_it() {
    let dir = TempDir::new().unwrap();
    let (failing, reports) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
    let (switch, seen) = (failing.clone(), reports.clone());
    let flush = move |file: &File| if switch.load(Ordering::SeqCst) { Err(io::Error::other("the disk is gone")) } else { file.sync_data() };
    let on_fatal = OnFatal::call(move |error| seen.lock().unwrap().push(error.to_string()));
    let mut log = Log::open_with(dir.path(), SEGMENT_LEN, on_fatal, Box::new(flush)).unwrap();
    append(&mut log, vec![entry(1, 0, 40)]).await.unwrap();
    failing.store(true, Ordering::SeqCst);
    assert!(append(&mut log, vec![entry(1, 1, 40)]).await.is_err());
    // The kernel may report success now although the pages were dropped.
    failing.store(false, Ordering::SeqCst);
    assert!(append(&mut log, vec![entry(1, 2, 40)]).await.is_err());
    assert!(log.save_vote(&ballot(9, 9, false)).await.is_err());
    assert_eq!(*reports.lock().unwrap(), ["the disk is gone"]);
}

#[tokio::test]
async fn what_a_killed_process_left_unflushed_is_flushed_before_anything_says_that_it_is() {
    let dir = TempDir::new().unwrap();
    append(&mut open(&dir).unwrap(), vec![entry(1, 0, 8)]).await.unwrap();
    let old = fs::metadata(newest_segment(&dir)).unwrap().ino();
    let flushed = Arc::new(Mutex::new(Vec::new()));
    let flush = {
        let flushed = flushed.clone();
        move |file: &File| {
            flushed.lock().unwrap().push(file.metadata()?.ino());
            file.sync_data()
        }
    };
    let log = Log::open_with(dir.path(), SEGMENT_LEN, OnFatal::abort(), Box::new(flush)).unwrap();
    assert_eq!(flushed.lock().unwrap().first(), Some(&old));
    drop(log);
}

/// After a flush that failed, pages may count as clean that never reached the disk.
#[tokio::test]
async fn what_is_read_back_is_written_again_before_it_is_flushed() {
    let dir = TempDir::new().unwrap();
    append(&mut open(&dir).unwrap(), vec![entry(1, 0, 8)]).await.unwrap();
    let newest = newest_segment(&dir);
    let (before, long_ago) = (fs::read(&newest).unwrap(), std::time::SystemTime::UNIX_EPOCH);
    File::options().write(true).open(&newest).unwrap().set_modified(long_ago).unwrap();
    let written = Arc::new(Mutex::new(Vec::new()));
    let flush = {
        let written = written.clone();
        move |file: &File| {
            written.lock().unwrap().push(file.metadata()?.modified()? > long_ago);
            file.sync_data()
        }
    };
    let log = Log::open_with(dir.path(), SEGMENT_LEN, OnFatal::abort(), Box::new(flush)).unwrap();
    assert_eq!(written.lock().unwrap().first(), Some(&true), "it was flushed as it was found");
    assert_eq!(fs::read(&newest).unwrap(), before);
    drop(log);
}

#[tokio::test]
async fn appends_that_wait_together_share_one_flush() {
    let dir = TempDir::new().unwrap();
    let (flushes, disk) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(())));
    let (counted, busy) = (flushes.clone(), disk.clone());
    let flush = move |_: &File| {
        counted.fetch_add(1, Ordering::SeqCst);
        drop(busy.lock().unwrap());
        Ok(())
    };
    let mut log = Log::open_with(dir.path(), 1024 * 1024, OnFatal::abort(), Box::new(flush)).unwrap();
    let before = flushes.load(Ordering::SeqCst);
    let (free, slow) = std::sync::mpsc::channel::<()>();
    let holder = hold(disk, slow);
    let mut waiting = Vec::new();
    for index in 0..20 {
        let (tx, rx) = Engine::oneshot();
        log.append(vec![entry(1, index, 8)], IOFlushed::signal(tx)).await.unwrap();
        waiting.push(rx);
    }
    drop(free);
    holder.join().unwrap();
    for done in waiting {
        done.await.unwrap().unwrap();
    }
    // The first may stand in its flush alone, or with a few; all that came meanwhile share the second.
    let took = flushes.load(Ordering::SeqCst) - before;
    assert!(took <= 2, "20 appends took {took} flushes");
}

#[tokio::test]
async fn a_record_longer_than_a_segment_is_kept_whole() {
    let dir = TempDir::new().unwrap();
    let mut log = open(&dir).unwrap();
    append(&mut log, vec![entry(1, 0, 10), entry(1, 1, 20_000), entry(1, 2, 10)]).await.unwrap();
    drop(log);
    assert_eq!(indexes(&mut open(&dir).unwrap()).await, [(1, 0), (1, 1), (1, 2)]);
}

#[tokio::test]
async fn a_message_to_a_follower_is_bounded_but_never_empty() {
    let dir = TempDir::new().unwrap();
    let mut log = open(&dir).unwrap();
    append(&mut log, (0..5).map(|i| entry(1, i, 3_000_000)).collect()).await.unwrap();
    assert_eq!(log.limited_get_log_entries(0, 5).await.unwrap().len(), 1);
    assert_eq!(log.limited_get_log_entries(4, 5).await.unwrap().len(), 1);
}

fn damage(path: &PathBuf, at: usize) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at as u64).unwrap();
    file.write_all_at(&[byte[0] ^ 0x55], at as u64).unwrap();
}

/// Keeps `disk` busy, from when this returns until the sender of `until` is gone.
fn hold(disk: Arc<Mutex<()>>, until: std::sync::mpsc::Receiver<()>) -> std::thread::JoinHandle<()> {
    let (held, holds) = std::sync::mpsc::channel();
    let holder = std::thread::spawn(move || {
        let _busy = disk.lock().unwrap();
        held.send(()).unwrap();
        let _ = until.recv();
    });
    holds.recv().unwrap();
    holder
}
