//! Descriptors, and what they stand for.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use libc::c_int;

use super::World;
use super::poll::Epoll;

/// Descriptors from here on are the simulation's own; those below are the machine's.
pub(crate) const FIRST: c_int = 1_000_000;

/// Where a socket is: address and port.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Addr {
    pub(crate) host: u32,
    pub(crate) port: u16,
}

/// What a descriptor stands for.
pub(crate) enum Object {
    /// A counter that wakes.
    Counter(u64),
    Epoll(Epoll),
    /// A stream socket that is not used yet.
    Fresh {
        bound: Option<Addr>,
    },
    Listener {
        at: Addr,
        waiting: VecDeque<usize>,
    },
    /// One side of a connection.
    Stream(usize),
    Datagrams {
        at: Addr,
    },
    /// A question to the kernel about a connection, and its answer.
    Diagnosis {
        answer: Vec<u8>,
    },
}

/// An open file, in the sense of a kernel: one or more descriptors stand for it.
pub(crate) struct File {
    pub(crate) object: Object,
    descriptors: usize,
    pub(crate) process: usize,
    pub(crate) blocks: bool,
    pub(crate) reuse_port: bool,
    /// Close resets.
    pub(crate) abrupt: bool,
    /// Longest time for an acknowledgement, in nanoseconds; 0 is for ever.
    pub(crate) user_timeout: u64,
    /// Epolls that look at it: their files, and the descriptor they know it by.
    pub(super) watchers: Vec<(usize, c_int)>,
}

#[derive(Default)]
pub(super) struct Table {
    /// File by descriptor.
    open: Vec<Option<usize>>,
    files: Vec<Option<File>>,
    next_port: u16,
}

// === impl Addr ===

impl From<Addr> for SocketAddr {
    fn from(addr: Addr) -> Self {
        SocketAddrV4::new(Ipv4Addr::from(addr.host), addr.port).into()
    }
}

// === impl World ===

impl World {
    /// A new file of `process` with one descriptor.
    pub(crate) fn open(&mut self, object: Object, process: usize, blocks: bool) -> c_int {
        let file =
            File { object, descriptors: 0, process, blocks, reuse_port: false, abrupt: false, user_timeout: 0, watchers: Vec::new() };
        self.table.files.push(Some(file));
        self.another(self.table.files.len() - 1)
    }

    /// Another descriptor of a file.
    pub(crate) fn another(&mut self, file: usize) -> c_int {
        self.table.open.push(Some(file));
        if let Some(file) = &mut self.table.files[file] {
            file.descriptors += 1;
        }
        FIRST + c_int::try_from(self.table.open.len() - 1).unwrap_or(0)
    }

    /// The file of a descriptor.
    pub(crate) fn file_of(&self, fd: c_int) -> Option<usize> {
        let place = usize::try_from(fd.checked_sub(FIRST)?).ok()?;
        self.table.open.get(place).copied().flatten()
    }

    pub(crate) fn file(&mut self, file: usize) -> Option<&mut File> {
        self.table.files.get_mut(file).and_then(Option::as_mut)
    }

    pub(crate) fn object(&mut self, fd: c_int) -> Option<&mut Object> {
        let file = self.file_of(fd)?;
        self.file(file).map(|file| &mut file.object)
    }

    /// Whether calls on it wait.
    pub(crate) fn blocks(&mut self, fd: c_int) -> bool {
        self.file_of(fd).and_then(|file| self.file(file)).is_some_and(|file| file.blocks)
    }

    /// Closes a descriptor; with the last one its file ends.
    pub(crate) fn close(&mut self, fd: c_int) -> bool {
        let Some(file) = self.file_of(fd) else { return false };
        if let Some(place) = usize::try_from(fd - FIRST).ok().and_then(|place| self.table.open.get_mut(place)) {
            *place = None;
        }
        self.unwatch(file, fd);
        let Some(it) = self.file(file) else { return true };
        it.descriptors -= 1;
        if it.descriptors == 0 {
            let abrupt = it.abrupt;
            match self.table.files[file].take().map(|file| file.object) {
                Some(Object::Stream(side)) => self.close_side(side, abrupt),
                Some(Object::Listener { at, waiting }) => self.close_listener(file, at, waiting),
                Some(Object::Datagrams { at }) => self.close_datagrams(at),
                _ => {}
            }
        }
        true
    }

    /// A port that nobody has, for an outgoing connection.
    pub(crate) fn free_port(&mut self) -> u16 {
        self.table.next_port = self.table.next_port.wrapping_add(1) % 28_000;
        32_768 + self.table.next_port
    }
}

impl Table {
    /// The open descriptors of a process.
    pub(super) fn of_process(&self, process: usize) -> Vec<c_int> {
        let owned = |file: usize| self.files[file].as_ref().is_some_and(|file| file.process == process);
        let open = (FIRST..).zip(&self.open).filter_map(|(fd, file)| Some((fd, (*file)?)));
        open.filter(|(_, file)| owned(*file)).map(|(fd, _)| fd).collect()
    }
}
