//! A kernel of the simulation's own, on which the daemons run as they are.
//!
//! The daemons are linked with `calls`, whose functions have the names of the C library's: threads, clocks, random numbers, sockets,
//! epoll, futexes and files. A thread that belongs to the simulation meets the [`World`] there; any other meets the machine. So no
//! line of a daemon knows that it is simulated, and nothing that it is built of, runtime and libraries, is replaced.
//!
//! Threads are real, but one runs at a time: who would wait gives the turn to whoever is next by virtual time. Time stands while a
//! thread runs and jumps to the next event when none can. What comes next is decided by one queue of events and one seed alone.
//!
//! A killed process is one whose threads never get the turn again and whose descriptors the world has closed; a frozen one does not
//! get it until it is thawed, while its sockets go on as a kernel's do.

pub(crate) mod calls;
mod clock;
mod datagram;
mod disk;
mod link;
mod poll;
pub(crate) mod raw;
mod rng;
mod rules;
mod stop;
mod stream;
mod table;
mod threads;
mod trap;
mod turn;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub(crate) use disk::Disks;
pub(crate) use link::{Cut, Kind, Slow};
pub(crate) use rng::Rng;
pub(crate) use table::{Addr, Object};
pub(crate) use threads::{Process, Thread};
pub(crate) use turn::{begin, block, current, run_in, with};

/// Nanoseconds of a millisecond.
pub(crate) const MS: u64 = 1_000_000;
/// When the machine was booted, in its own time.
pub(crate) const BEGIN: u64 = 1_000_000 * MS;
/// The time of day at the machine's boot, in nanoseconds since 1970.
pub(crate) const WALL: u64 = 1_800_000_000_000 * MS;

/// What happens at a time.
pub(crate) enum Event {
    /// A thread gets the turn.
    Run(usize),
    /// A thread has waited long enough, if it is still the same wait.
    Late { thread: usize, wait: u64 },
    /// Anything else.
    Call(Box<dyn FnOnce(&mut World)>),
}

/// The whole machine room.
pub(crate) struct World {
    /// Nanoseconds since boot.
    pub(crate) now: u64,
    events: BTreeMap<(u64, u64), Event>,
    made: u64,
    /// Decides delays and losses.
    pub(crate) rng: Rng,
    /// Begins what is given to threads that ask for random bytes.
    entropy: u64,
    pub(crate) threads: Vec<Thread>,
    pub(crate) processes: Vec<Process>,
    futexes: BTreeMap<usize, VecDeque<usize>>,
    table: table::Table,
    streams: stream::Streams,
    datagrams: datagram::Datagrams,
    /// Which ways are cut, slow or lossy.
    pub(crate) links: link::Links,
    pub(crate) disks: disk::Disks,
    traps: Vec<trap::Trap>,
    /// Faults whose trap has frozen a process at its moment.
    sprung: BTreeSet<usize>,
    /// Clocks that were stepped. Felt by each reading.
    steps: rules::Rules<clock::Step>,
    /// Process of the next thread, where it is not that of its parent.
    next_process: Option<usize>,
    /// Processes that ended by themselves, in words.
    pub(crate) ends: Vec<String>,
    /// What must never be, in words.
    pub(crate) alarms: Vec<String>,
}

// === impl World ===

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        World {
            now: BEGIN,
            events: BTreeMap::new(),
            made: 0,
            entropy: rng.next(),
            rng,
            threads: Vec::new(),
            processes: Vec::new(),
            futexes: BTreeMap::new(),
            table: table::Table::default(),
            streams: stream::Streams::default(),
            datagrams: datagram::Datagrams::default(),
            links: link::Links::default(),
            disks: disk::Disks::default(),
            traps: Vec::new(),
            sprung: BTreeSet::new(),
            steps: rules::Rules::default(),
            next_process: None,
            ends: Vec::new(),
            alarms: Vec::new(),
        }
    }

    /// Random bytes for a thread: those of its next request of this length, so that a thread which asks for more of another length, as one
    /// that logs does, gets the same.
    pub(crate) fn random(&mut self, thread: usize, bytes: &mut [u8]) {
        let asked = self.threads[thread].asked.entry(bytes.len()).or_default();
        *asked += 1;
        let request = self.entropy ^ (thread as u64) << 40 ^ (bytes.len() as u64) << 20 ^ *asked;
        let mut rng = Rng::new(request);
        rng.next();
        rng.fill(bytes);
    }

    /// Takes away what a fault did to ways, disks and the counts of clocks, which go on as they were stepped; whether it was felt.
    pub(crate) fn heal(&mut self, fault: usize) -> bool {
        let felt = [self.links.heal(fault), self.disks.heal(fault), self.steps.take(fault) > 0];
        felt.contains(&true)
    }

    /// Has something happen at a time, after all that was to happen then already.
    pub(crate) fn at(&mut self, time: u64, event: Event) {
        self.made += 1;
        self.events.insert((time.max(self.now), self.made), event);
    }

    /// The same for anything that has no name.
    pub(crate) fn call_at(&mut self, time: u64, call: impl FnOnce(&mut World) + 'static) {
        self.at(time, Event::Call(Box::new(call)));
    }
}
