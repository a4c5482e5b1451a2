//! Disks: the machine's own files, of which this keeps what a power cut would take back.

use std::collections::BTreeMap;

use libc::c_int;

use super::{MS, World, raw};

/// Part of the path of every file that a power cut may harm.
pub(crate) const MARK: &str = "/disk/";

#[derive(Default)]
pub(crate) struct Disks {
    open: BTreeMap<c_int, Open>,
    /// What was written to a file since it was last flushed, by its path.
    dirty: BTreeMap<String, Vec<Written>>,
    /// Processes whose flushes take longer, by at most so many nanoseconds.
    pub(crate) slow: BTreeMap<usize, u64>,
    /// Processes whose flushes fail.
    pub(crate) failing: Vec<usize>,
    /// Processes whose disk is full.
    pub(crate) full: Vec<usize>,
    /// Names of processes that may end by themselves, for their disk fails them.
    pub(crate) owed: Vec<String>,
    /// Flushes that were slow or failed, and writes that found no room.
    pub(crate) felt: u64,
    /// Bytes that power cuts took back.
    pub(crate) lost: u64,
}

struct Open {
    process: usize,
    path: String,
}

/// A write that is not flushed.
struct Written {
    at: u64,
    /// What stood there before.
    old: Vec<u8>,
    new: Vec<u8>,
    old_len: u64,
}

impl Disks {
    pub(crate) fn opened(&mut self, fd: c_int, process: usize, path: &str) {
        self.open.insert(fd, Open { process, path: path.into() });
    }

    pub(crate) fn cloned(&mut self, fd: c_int, clone: c_int) {
        if let Some(&Open { process, ref path }) = self.open.get(&fd) {
            let path = path.clone();
            self.open.insert(clone, Open { process, path });
        }
    }

    pub(crate) fn closed(&mut self, fd: c_int) {
        self.open.remove(&fd);
    }

    pub(crate) fn renamed(&mut self, from: &str, to: &str) {
        for open in self.open.values_mut().filter(|open| open.path == from) {
            open.path = to.into();
        }
        match self.dirty.remove(from) {
            Some(dirty) => drop(self.dirty.insert(to.into(), dirty)),
            None => drop(self.dirty.remove(to)),
        }
    }

    /// The process whose disk a file is on.
    pub(crate) fn owner(&self, fd: c_int) -> Option<usize> {
        self.open.get(&fd).filter(|open| open.path.contains(MARK)).map(|open| open.process)
    }

    /// Remembers what stands where bytes are to be written.
    pub(crate) fn before_write(&mut self, fd: c_int, at: u64, new: &[u8]) {
        let Some(open) = self.open.get(&fd) else { return };
        let mut old = vec![0; new.len()];
        let read = raw::read_at(fd, &mut old, at);
        old.truncate(read);
        let written = Written { at, old, new: new.to_vec(), old_len: raw::length(fd) };
        self.dirty.entry(open.path.clone()).or_default().push(written);
    }

    /// Whether what was said of an ended process is owed to a disk that failed it.
    pub(crate) fn harmed(&mut self, said: &str) -> bool {
        let before = self.owed.len();
        self.owed.retain(|name| !said.starts_with(name));
        before > self.owed.len()
    }

    pub(crate) fn flushed(&mut self, fd: c_int) {
        if let Some(open) = self.open.get(&fd) {
            self.dirty.remove(&open.path);
        }
    }

    /// A killed process's files are closed; what it wrote stays, for the kernel has it.
    pub(super) fn killed(&mut self, process: usize) {
        let fds: Vec<c_int> = self.open.iter().filter(|(_, open)| open.process == process).map(|(fd, _)| *fd).collect();
        for fd in fds {
            self.open.remove(&fd);
            raw::close(fd);
        }
    }
}

impl World {
    /// When a flush that begins now ends, or that it fails.
    pub(crate) fn flush_end(&mut self, process: usize) -> Result<u64, c_int> {
        if self.disks.failing.contains(&process) {
            self.disks.felt += 1;
            return Err(libc::EIO);
        }
        let mut takes = self.rng.range(60_000, 200_000);
        if let Some(more) = self.disks.slow.get(&process).copied() {
            self.disks.felt += 1;
            takes += self.rng.range(MS, more.max(2 * MS));
        }
        Ok(self.now + takes)
    }

    /// Takes back, at all files under `dir`, what was not flushed: each write may be lost, kept or torn.
    pub(crate) fn cut_power(&mut self, dir: &str) {
        let paths: Vec<String> = self.disks.dirty.keys().filter(|path| path.starts_with(dir)).cloned().collect();
        for path in paths {
            let writes = self.disks.dirty.remove(&path).unwrap_or_default();
            let Ok(file) = std::fs::File::options().write(true).open(&path) else { continue };
            let fd = std::os::fd::AsRawFd::as_raw_fd(&file);
            let Some(first) = writes.first() else { continue };
            // All back to the last flush, then some of it again: a disk writes in no order.
            for write in writes.iter().rev() {
                put(fd, write.at, &write.old);
            }
            let mut len = first.old_len;
            for write in &writes {
                let kept = match self.rng.below(3) {
                    0 => 0,
                    1 => write.new.len(),
                    _ => usize::try_from(self.rng.below(write.new.len() as u64)).unwrap_or(0),
                };
                put(fd, write.at, &write.new[..kept]);
                if kept > 0 {
                    len = len.max(write.at + kept as u64);
                }
                self.disks.lost += (write.new.len() - kept) as u64;
            }
            raw::set_length(fd, len);
        }
    }
}

fn put(fd: c_int, at: u64, bytes: &[u8]) {
    raw::write_at(fd, bytes, at);
}
