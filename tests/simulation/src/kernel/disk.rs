//! Disks: the machine's own files, of which this keeps what a power cut would take back.

use std::collections::BTreeMap;

use libc::c_int;

use super::rules::Rules;
use super::{MS, World, raw};

/// Part of the path of every file that a power cut may harm.
pub(crate) const MARK: &str = "/disk/";

#[derive(Default)]
pub(crate) struct Disks {
    open: BTreeMap<c_int, Open>,
    /// What was written to a file since it was last flushed, by its path.
    dirty: BTreeMap<String, Vec<Written>>,
    /// Processes whose flushes take longer, by at most so many nanoseconds; the last word counts. Felt by each flush.
    pub(crate) slow: Rules<(usize, u64)>,
    /// Processes whose flushes fail. Felt by each flush.
    pub(crate) failing: Rules<usize>,
    /// Processes whose disk is full. Felt by each write that finds no room.
    pub(crate) full: Rules<usize>,
    /// Names of processes that may end by themselves, for their disk fails them.
    pub(crate) owed: Vec<String>,
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

    /// Whether there is no room for a write of a process.
    pub(super) fn is_full(&mut self, process: usize) -> bool {
        self.full.feel(|full| *full == process)
    }

    /// Takes away what a fault did to disks; whether it was felt.
    pub(crate) fn heal(&mut self, fault: usize) -> bool {
        self.slow.take(fault) + self.failing.take(fault) + self.full.take(fault) > 0
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
        if self.disks.failing.feel(|failing| *failing == process) {
            return Err(libc::EIO);
        }
        let mut takes = self.rng.range(60_000, 200_000);
        if let Some(slow) = self.disks.slow.iter_mut().rev().find(|slow| slow.what.0 == process) {
            slow.felt += 1;
            takes += self.rng.range(MS, slow.what.1.max(2 * MS));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_fails_who_it_was_told_to_fail_and_no_fault_ends_another() {
        let mut world = World::new(1);
        world.disks.slow.add(1, (1, 4 * MS));
        world.disks.slow.add(2, (2, 4 * MS));
        world.disks.full.add(3, 1);
        world.disks.full.add(4, 2);
        world.disks.failing.add(5, 3);
        assert!(world.flush_end(1).is_ok_and(|end| end > world.now + MS));
        assert!(world.disks.is_full(2) && !world.disks.is_full(3));
        assert_eq!(world.flush_end(3), Err(libc::EIO));
        assert_eq!([1, 2, 3, 4].map(|fault| world.disks.heal(fault)), [true, false, false, true]);
        assert_eq!(world.flush_end(3), Err(libc::EIO), "the end of others is not its end");
        assert!(world.disks.heal(5) && world.flush_end(3).is_ok());
    }
}
