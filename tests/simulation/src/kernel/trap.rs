//! Freezes that wait for their moment: a process stops when it has just been told something, before it has acted on it.
//!
//! A freeze at a random time meets a process at rest. What matters happens within microseconds: a leader hears that a grant is committed,
//! and writes to a dyno. So a trap names who has to speak to the process, one after the other, and springs soon after the last of them.

use super::{MS, World};

/// Longest time from the last word to the freeze, in nanoseconds: in it a process acts on what it was told.
const ACT_MAX: u64 = 400_000;
/// A process to which nobody speaks is frozen all the same after this long.
const PATIENCE: u64 = 200 * MS;

/// A process that is to be frozen.
#[derive(Debug)]
pub(crate) struct Trap {
    process: usize,
    /// Hosts that have to speak to it, of each step any.
    steps: Vec<Vec<u32>>,
}

impl World {
    /// Freezes a process once hosts of each of these sets have sent it something, in this order.
    pub(crate) fn freeze_when_told(&mut self, process: usize, steps: Vec<Vec<u32>>) {
        self.traps.push(Trap { process, steps });
        self.call_at(self.now + PATIENCE, move |world| world.spring(process));
    }

    pub(super) fn is_trapped(&self, process: usize) -> bool {
        self.traps.iter().any(|trap| trap.process == process)
    }

    /// Takes a trap away, if there still is one.
    pub(super) fn disarm(&mut self, process: usize) -> bool {
        let before = self.traps.len();
        self.traps.retain(|trap| trap.process != process);
        before > self.traps.len()
    }

    /// A process gets bytes from a host.
    pub(super) fn spoken_to(&mut self, file: usize, from: u32) {
        if self.traps.is_empty() {
            return;
        }
        let Some(process) = self.file(file).map(|file| file.process) else { return };
        let Some(trap) = self.traps.iter_mut().find(|trap| trap.process == process) else { return };
        if trap.steps.first().is_some_and(|hosts| hosts.contains(&from)) {
            trap.steps.remove(0);
            if trap.steps.is_empty() {
                let time = self.now + self.rng.below(ACT_MAX);
                self.call_at(time, move |world| world.spring(process));
            }
        }
    }

    fn spring(&mut self, process: usize) {
        if self.disarm(process) {
            self.freeze(process);
        }
    }
}
