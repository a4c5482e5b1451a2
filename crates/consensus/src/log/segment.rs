//! A log segment: a file of fixed length, written with zeros before its first use so that a flush moves no metadata.
//!
//! A segment gets its final name only once its head is on disk, and the head names its first record: a segment that stands
//! under its name proves that every earlier record was flushed. Recycled files keep their old bytes; the generation in each
//! record's CRC makes them worthless.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Version of the segment layout.
const VERSION: u32 = 1;
const MAGIC: [u8; 8] = *b"dynolog\0";
pub(crate) const HEAD_LEN: usize = 40;
const SUFFIX: &str = ".log";
const SPARE: &str = "spare";
/// Zeros are written in pieces of this size.
const PIECE: usize = 256 * 1024;

/// The head of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    /// Counts the segments of this directory; never repeated.
    pub(crate) generation: u64,
    /// The sequence of the first record; all earlier records are on disk.
    pub(crate) first_seq: u64,
}

impl Head {
    fn encode(self) -> [u8; HEAD_LEN] {
        let mut bytes = [0; HEAD_LEN];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.generation.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.first_seq.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..32]);
        bytes[32..36].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The head at the start of a file, or what is wrong with it.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Head, String> {
        let bytes = bytes.get(..HEAD_LEN).ok_or("is shorter than a segment's head")?;
        let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes of 40"));
        let small = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes of 40"));
        if bytes[..8] != MAGIC {
            return Err("does not begin as a log segment does".into());
        }
        if small(8) != VERSION {
            return Err(format!("has layout version {}; this program knows version {VERSION}", small(8)));
        }
        if crc32fast::hash(&bytes[..32]) != small(32) {
            return Err("has a damaged head".into());
        }
        Ok(Head { generation: number(16), first_seq: number(24) })
    }
}

/// Where the segment `generation` stands.
pub(crate) fn path(dir: &Path, generation: u64) -> PathBuf {
    dir.join(format!("{generation:016x}{SUFFIX}"))
}

/// The bytes of a segment's head; fewer if the file is shorter.
pub(crate) fn read_head(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(HEAD_LEN);
    File::open(path)?.take(HEAD_LEN as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The generations found under their final names, in order.
pub(crate) fn list(dir: &Path) -> io::Result<Vec<u64>> {
    let mut generations = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let stem = name.to_str().and_then(|name| name.strip_suffix(SUFFIX));
        if let Some(generation) = stem.and_then(|stem| u64::from_str_radix(stem, 16).ok()) {
            generations.push(generation);
        }
    }
    generations.sort_unstable();
    Ok(generations)
}

/// The spare file, made beforehand by [`prepare`] or left by [`recycle`].
fn spare(dir: &Path) -> PathBuf {
    dir.join(SPARE)
}

/// Makes the spare file if there is none: `len` bytes, written and flushed.
pub(crate) fn prepare(dir: &Path, len: u64) -> io::Result<()> {
    if spare(dir).exists() {
        return Ok(());
    }
    let temporary = dir.join("spare.tmp");
    let file = File::create(&temporary)?;
    let zeros = vec![0; PIECE];
    let mut at = 0;
    while at < len {
        let piece = usize::try_from(len - at).unwrap_or(PIECE).min(PIECE);
        file.write_all_at(&zeros[..piece], at)?;
        at += piece as u64;
    }
    file.sync_all()?;
    fs::rename(&temporary, spare(dir))
}

/// Opens the segment `generation`, to write on in it.
pub(crate) fn reopen(dir: &Path, generation: u64) -> io::Result<File> {
    File::options().read(true).write(true).open(path(dir, generation))
}

/// Turns the spare file into a segment: its head is flushed, then its name, then the directory.
pub(crate) fn open_next(dir: &Path, len: u64, head: Head, sync: &dyn Fn(&File) -> io::Result<()>) -> io::Result<File> {
    prepare(dir, len)?;
    let file = File::options().read(true).write(true).open(spare(dir))?;
    file.write_all_at(&head.encode(), 0)?;
    sync(&file)?;
    fs::rename(spare(dir), path(dir, head.generation))?;
    sync(&File::open(dir)?)?;
    Ok(file)
}

/// Gives a segment's file back: it becomes the spare file if there is none. That is on disk before another head is written into it: it would
/// be found under the old name.
pub(crate) fn recycle(dir: &Path, generation: u64, sync: &dyn Fn(&File) -> io::Result<()>) -> io::Result<()> {
    if spare(dir).exists() {
        return fs::remove_file(path(dir, generation));
    }
    fs::rename(path(dir, generation), spare(dir))?;
    sync(&File::open(dir)?)
}
