//! Processes and their threads: who waits, who may run.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::AtomicU32;

use super::{Event, World};

/// Longest time from a wake-up to the turn, in nanoseconds.
const WAKE_MAX: u64 = 20_000;

/// One thread of the simulation.
pub(crate) struct Thread {
    pub(crate) process: usize,
    /// Set when it gets the turn.
    pub(crate) word: &'static AtomicU32,
    state: State,
    /// Counts its waits.
    wait: u64,
    /// Whether its last wait ended by a wake-up, not by its time.
    woken: bool,
    ended: bool,
    joining: Vec<usize>,
    /// How often it has asked for random bytes, by how many they were.
    pub(super) asked: BTreeMap<usize, u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    Ready,
    Waiting,
}

/// One process.
#[derive(Debug, Default)]
pub(crate) struct Process {
    pub(crate) name: String,
    /// Its address, as a number.
    pub(crate) host: u32,
    pub(crate) dead: bool,
    /// Since when it has been frozen, while it is.
    pub(super) frozen: Option<u64>,
    /// For how many nanoseconds it was frozen, once it is no longer.
    pub(super) stood: u64,
    /// Threads whose turn came while it was frozen.
    pub(super) late: Vec<usize>,
    /// How far its time since boot is ahead, as after a suspend.
    pub(super) ahead: u64,
    /// How wrong its time of day is.
    pub(super) wall_offset: i64,
}

impl World {
    /// A new process without threads.
    pub(crate) fn add_process(&mut self, name: &str, host: u32) -> usize {
        self.processes.push(Process { name: name.into(), host, ..Process::default() });
        self.processes.len() - 1
    }

    /// A new thread, which gets the turn soon.
    pub(crate) fn add_thread(&mut self, parent: Option<usize>) -> usize {
        let process = self.next_process.take().or(parent.map(|parent| self.threads[parent].process)).unwrap_or(0);
        let word = Box::leak(Box::new(AtomicU32::new(0)));
        let state = if parent.is_some() { State::Ready } else { State::Running };
        self.threads.push(Thread {
            process,
            word,
            state,
            wait: 0,
            woken: false,
            ended: false,
            joining: Vec::new(),
            asked: BTreeMap::new(),
        });
        let thread = self.threads.len() - 1;
        if parent.is_some() {
            self.soon(thread);
        }
        thread
    }

    /// The next thread that is made begins another process.
    pub(crate) fn next_thread_of(&mut self, process: usize) {
        self.next_process = Some(process);
    }

    pub(super) fn soon(&mut self, thread: usize) {
        let time = self.now + self.rng.range(500, WAKE_MAX);
        self.at(time, Event::Run(thread));
    }

    /// `thread` waits, at most until `deadline`.
    pub(super) fn begin_wait(&mut self, thread: usize, deadline: Option<u64>) {
        let it = &mut self.threads[thread];
        it.state = State::Waiting;
        it.wait += 1;
        let wait = it.wait;
        if let Some(deadline) = deadline {
            self.at(deadline, Event::Late { thread, wait });
        }
    }

    /// Lets others go first.
    pub(super) fn begin_yield(&mut self, thread: usize) {
        self.threads[thread].state = State::Ready;
        self.soon(thread);
    }

    pub(super) fn was_woken(&self, thread: usize) -> bool {
        self.threads[thread].woken
    }

    /// Ends the wait of a thread, if it waits.
    pub(crate) fn wake(&mut self, thread: usize) {
        let it = &mut self.threads[thread];
        if it.state == State::Waiting {
            (it.state, it.woken) = (State::Ready, true);
            self.soon(thread);
        }
    }

    /// Whether the thread may have the turn; one of a frozen process gets it later.
    fn may_run(&mut self, thread: usize) -> bool {
        let process = &mut self.processes[self.threads[thread].process];
        let frozen = process.frozen.is_some();
        if frozen && !process.dead {
            process.late.push(thread);
        }
        !process.dead && !frozen
    }

    /// Lets things happen until some thread is to run.
    pub(super) fn next_thread(&mut self) -> usize {
        loop {
            let Some(((time, _), event)) = self.events.pop_first() else {
                eprintln!("all threads of all processes wait for ever");
                super::raw::exit(3);
            };
            self.now = self.now.max(time);
            let thread = match event {
                Event::Call(call) => {
                    call(self);
                    continue;
                }
                Event::Run(thread) => thread,
                Event::Late { thread, wait } => {
                    let it = &mut self.threads[thread];
                    if it.state != State::Waiting || it.wait != wait {
                        continue;
                    }
                    (it.state, it.woken) = (State::Ready, false);
                    thread
                }
            };
            if self.may_run(thread) {
                self.threads[thread].state = State::Running;
                return thread;
            }
        }
    }

    pub(super) fn end_thread(&mut self, thread: usize) {
        self.threads[thread].ended = true;
        for joining in std::mem::take(&mut self.threads[thread].joining) {
            self.wake(joining);
        }
    }

    /// Whether it has ended; if not, `joining` will be woken when it does.
    pub(super) fn join(&mut self, thread: usize, joining: usize) -> bool {
        let it = &mut self.threads[thread];
        if !it.ended {
            it.joining.push(joining);
        }
        it.ended
    }

    // === Futexes ===

    pub(super) fn futex_queue(&mut self, address: usize, thread: usize) {
        self.futexes.entry(address).or_default().push_back(thread);
    }

    pub(super) fn futex_leave(&mut self, address: usize, thread: usize) {
        if let Some(waiting) = self.futexes.get_mut(&address) {
            waiting.retain(|other| *other != thread);
        }
    }

    pub(super) fn futex_wake(&mut self, address: usize, most: usize) -> usize {
        let mut woken: VecDeque<usize> = VecDeque::new();
        if let Some(waiting) = self.futexes.get_mut(&address) {
            let count = most.min(waiting.len());
            woken.extend(waiting.drain(..count));
            if waiting.is_empty() {
                self.futexes.remove(&address);
            }
        }
        for thread in &woken {
            self.wake(*thread);
        }
        woken.len()
    }
}
