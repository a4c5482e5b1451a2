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
    /// The number of the fault that set it.
    fault: usize,
    process: usize,
    /// Hosts that have to speak to it, of each step any.
    steps: Vec<Vec<u32>>,
}

impl World {
    /// Freezes a process once hosts of each of these sets have sent it something, in this order.
    pub(crate) fn freeze_when_told(&mut self, fault: usize, process: usize, steps: Vec<Vec<u32>>) {
        self.traps.push(Trap { fault, process, steps });
        self.call_at(self.now + PATIENCE, move |world| world.spring(fault));
    }

    /// Whether the trap of a fault froze its process at the moment that it waited for.
    pub(crate) fn has_sprung(&self, fault: usize) -> bool {
        self.sprung.contains(&fault)
    }

    pub(super) fn is_trapped(&self, process: usize) -> bool {
        self.traps.iter().any(|trap| trap.process == process)
    }

    /// Takes a trap away, if there still is one.
    pub(super) fn disarm(&mut self, process: usize) {
        self.traps.retain(|trap| trap.process != process);
    }

    /// A process gets bytes from a host.
    pub(super) fn spoken_to(&mut self, file: usize, from: u32) {
        if self.traps.is_empty() {
            return;
        }
        if let Some(process) = self.file(file).map(|file| file.process) {
            self.step_on(process, from);
        }
    }

    fn step_on(&mut self, process: usize, from: u32) {
        let Some(trap) = self.traps.iter_mut().find(|trap| trap.process == process) else { return };
        if trap.steps.first().is_some_and(|hosts| hosts.contains(&from)) {
            trap.steps.remove(0);
            if trap.steps.is_empty() {
                let fault = trap.fault;
                let time = self.now + self.rng.below(ACT_MAX);
                self.call_at(time, move |world| world.spring(fault));
            }
        }
    }

    fn spring(&mut self, fault: usize) {
        let Some(place) = self.traps.iter().position(|trap| trap.fault == fault) else { return };
        let trap = self.traps.remove(place);
        self.freeze(trap.process);
        if trap.steps.is_empty() && !self.processes[trap.process].dead {
            self.sprung.insert(fault);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Event;
    use super::*;

    fn pass(world: &mut World, span: u64) {
        let end = world.now + span;
        while let Some(((time, _), event)) = world.events.pop_first().filter(|((time, _), _)| *time <= end) {
            world.now = time;
            if let Event::Call(call) = event {
                call(world);
            }
        }
        world.now = end;
    }

    #[test]
    fn a_trap_has_sprung_only_if_all_have_spoken() {
        let mut world = World::new(1);
        let [told, half_told, dead] = ["told", "half-told", "dead"].map(|name| world.add_process(name, 1));
        for (fault, process) in [told, half_told, dead].into_iter().enumerate() {
            world.freeze_when_told(fault, process, vec![vec![7], vec![8, 9]]);
            world.step_on(process, 7);
        }
        world.step_on(told, 9);
        world.step_on(dead, 8);
        world.kill(dead);
        pass(&mut world, 2 * PATIENCE);
        assert_eq!([told, half_told, dead].map(|process| world.is_frozen(process)), [true, true, false]);
        assert_eq!([0, 1, 2].map(|fault| world.has_sprung(fault)), [true, false, false]);
    }
}
