//! Power cuts at every flush, and within what is not flushed yet behind every record (P3).
//!
//! The log is given a disk that keeps book: what was flushed of each file, and which names were flushed with the directory. That is all
//! that a power cut leaves for certain. Of the file that is about to be flushed any part may have reached the disk before.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirEntryExt, FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use super::record;
use super::segment::{HEAD_LEN, Head};
use super::store::Log;
use super::tests::{SEGMENT_LEN, append, entry, indexes, open};
use crate::options::OnFatal;

/// Sizes of the batches: some go on in the next segment, and one in the next but one.
const BATCHES: [u64; 10] = [1, 4, 5, 2, 7, 28, 3, 1, 6, 5];
/// The same of the run after the first power cut.
const LATER_BATCHES: [u64; 3] = [1, 4, 8];
/// So many of the first power cuts are followed by a second.
const FOLLOWED: usize = 10;

/// A disk that remembers what was flushed.
struct Disk {
    dir: PathBuf,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    /// What was flushed of each file, by the number of its inode.
    contents: BTreeMap<u64, Vec<u8>>,
    /// The names in the directory as it was flushed last.
    names: BTreeMap<OsString, u64>,
    /// Entries whose flush was acknowledged.
    acknowledged: u64,
    images: Vec<Image>,
}

/// What a power cut leaves.
struct Image {
    told: String,
    acknowledged: u64,
    files: BTreeMap<OsString, Vec<u8>>,
}

// === impl Disk ===

impl Disk {
    /// All that is in `dir` was flushed.
    fn new(dir: &Path) -> Self {
        let mut book = Book::default();
        for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
            book.contents.insert(entry.ino(), fs::read(entry.path()).unwrap());
            book.names.insert(entry.file_name(), entry.ino());
        }
        Disk { dir: dir.to_owned(), book: Mutex::new(book) }
    }

    fn flush(&self, file: &File) -> io::Result<()> {
        let (mut book, of) = (self.book.lock().unwrap(), file.metadata()?);
        if of.is_dir() {
            book.cut(&self.dir, "before the directory was flushed", None);
            let names = fs::read_dir(&self.dir)?.map(|entry| entry.map(|entry| (entry.file_name(), entry.ino())));
            book.names = names.collect::<io::Result<_>>()?;
            return Ok(());
        }
        let mut written = vec![0; usize::try_from(of.len()).unwrap()];
        file.read_exact_at(&mut written, 0)?;
        for reached in places(&written) {
            book.cut(&self.dir, "in a flush", Some((of.ino(), &written, reached)));
        }
        book.contents.insert(of.ino(), written);
        Ok(())
    }

    fn acknowledge(&self, entries: u64) {
        let mut book = self.book.lock().unwrap();
        book.acknowledged = entries;
        book.cut(&self.dir, "after an acknowledgement", None);
    }
}

impl Book {
    /// The power goes; of one file, so much more than was flushed has reached the disk.
    fn cut(&mut self, dir: &Path, told: &str, reached: Option<(u64, &[u8], usize)>) {
        let mut files = BTreeMap::new();
        for (name, inode) in &self.names {
            // A file that was never handed to us was flushed with nothing but zeros in it.
            let zeros = || vec![0; usize::try_from(SEGMENT_LEN).unwrap()];
            let mut content = self.contents.get(inode).cloned().unwrap_or_else(zeros);
            if let Some((_, written, end)) = reached.filter(|(of, ..)| of == inode) {
                content.resize(content.len().max(end), 0);
                content[..end].copy_from_slice(&written[..end]);
            }
            files.insert(name.clone(), content);
        }
        let at = reached.map(|(.., end)| format!(" at byte {end}")).unwrap_or_default();
        let told = format!("{told}{at} in {}", dir.display());
        self.images.push(Image { told, acknowledged: self.acknowledged, files });
    }
}

/// Where a segment may be cut: before, behind and within every record.
fn places(written: &[u8]) -> Vec<usize> {
    let Ok(head) = Head::decode(written) else { return Vec::new() };
    let mut places = vec![0, HEAD_LEN / 2, HEAD_LEN];
    let mut at = HEAD_LEN;
    while let Some(framed) = record::unframe(head.generation, &written[at..]).map(|record| record::framed_len(record.body.len())) {
        places.extend([at + record::HEAD_LEN, at + framed / 2, at + framed]);
        at += framed;
    }
    places
}

impl Image {
    /// The files as they are found after the power cut.
    fn found(&self) -> TempDir {
        let copy = TempDir::new().unwrap();
        self.files.iter().for_each(|(name, content)| fs::write(copy.path().join(name), content).unwrap());
        copy
    }

    /// What a log that starts again has: the first `kept` entries of the first term, the rest of the second.
    async fn check(&self, kept: u64) {
        let Image { told, acknowledged, .. } = self;
        let copy = self.found();
        let mut log = open(&copy).unwrap_or_else(|error| panic!("power cut {told}: the log is refused: {error}"));
        let found = indexes(&mut log).await;
        let left = found.len() as u64;
        assert!(left >= *acknowledged, "power cut {told}: {left} of {acknowledged} acknowledged entries are left");
        let expected: Vec<_> = (0..left).map(|index| (if index < kept { 1 } else { 2 }, index)).collect();
        assert_eq!(found, expected, "power cut {told}");
    }
}

/// Opens the log in `dir`, of which so much was acknowledged, and appends batches. How many entries it had before, and what power cuts leave.
async fn run(dir: &Path, acknowledged: u64, term: u64, batches: &[u64]) -> (u64, Vec<Image>) {
    let disk = Arc::new(Disk::new(dir));
    disk.acknowledge(acknowledged);
    let keeper = disk.clone();
    let on_fatal = OnFatal::call(|error| panic!("{error}"));
    let mut log = Log::open_with(dir, SEGMENT_LEN, on_fatal, Box::new(move |file| keeper.flush(file))).unwrap();
    let kept = indexes(&mut log).await.len() as u64;
    disk.acknowledge(kept);
    let mut last = kept;
    for size in batches {
        append(&mut log, (last..last + size).map(|index| entry(term, index, 300)).collect()).await.unwrap();
        last += size;
        disk.acknowledge(last);
    }
    drop(log);
    let images = std::mem::take(&mut disk.book.lock().unwrap().images);
    (kept, images)
}

/// Fails when a segment takes records before the one before it is flushed (the log then refuses to start, or lacks entries), when an entry
/// is acknowledged before its flush, and when half a record is taken for one.
#[tokio::test]
async fn a_power_cut_at_any_flush_and_record_loses_nothing_that_was_acknowledged() {
    let dir = TempDir::new().unwrap();
    let (_, images) = run(dir.path(), 0, 1, &BATCHES).await;
    assert!(images.len() > 200, "only {} power cuts", images.len());
    assert!(images.iter().any(|image| image.files.len() > 5), "the log has not changed segments");
    for image in images {
        image.check(u64::MAX).await;
    }
}

/// The log goes on in the segment that the first cut has left, or in a new one. Fails when what the first cut has left behind its end comes
/// back behind what is written there, and when what was read back is acknowledged and not kept.
#[tokio::test]
async fn a_second_power_cut_loses_nothing_either_and_brings_nothing_back() {
    let dir = TempDir::new().unwrap();
    let (_, images) = run(dir.path(), 0, 1, &BATCHES).await;
    for first in images.iter().step_by(images.len() / FOLLOWED) {
        let copy = first.found();
        let (kept, images) = run(copy.path(), first.acknowledged, 2, &LATER_BATCHES).await;
        for second in images {
            second.check(kept).await;
        }
    }
}
