//! Clocks of processes: true ones, and those that faults have stepped.

use super::{MS, WALL, World};

/// Shortest step that counts: what is shorter is lost among the delays that there are anyway.
const STEP_MIN: u64 = 50 * MS;

/// A clock that can be wrong. That by which threads wait cannot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clock {
    /// Time since boot, which goes on during a suspend.
    Boot,
    /// The time of day.
    Wall,
}

/// A clock of a process that was stepped.
#[derive(Debug)]
pub(super) struct Step {
    process: usize,
    clock: Clock,
}

impl World {
    /// What a clock shows to a process. The last step of this clock is felt by it.
    pub(super) fn clock_shows(&mut self, process: usize, clock: Clock) -> u64 {
        let is_of = |step: &Step| step.process == process && step.clock == clock;
        if let Some(last) = self.steps.iter_mut().rev().find(|rule| is_of(&rule.what)) {
            last.felt += 1;
        }
        let it = &self.processes[process];
        match clock {
            Clock::Boot => self.now + it.ahead,
            Clock::Wall => (WALL + self.now).saturating_add_signed(it.wall_offset),
        }
    }

    /// Puts the time since boot of a process further ahead, as a suspend does.
    pub(crate) fn step_ahead(&mut self, fault: usize, process: usize, by: u64) {
        self.processes[process].ahead += by;
        self.note_step(fault, Step { process, clock: Clock::Boot }, by);
    }

    /// Sets how wrong the time of day of a process is.
    pub(crate) fn step_wall(&mut self, fault: usize, process: usize, offset: i64) {
        let before = std::mem::replace(&mut self.processes[process].wall_offset, offset);
        self.note_step(fault, Step { process, clock: Clock::Wall }, offset.abs_diff(before));
    }

    fn note_step(&mut self, fault: usize, step: Step, size: u64) {
        if size >= STEP_MIN {
            self.steps.add(fault, step);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_felt_by_who_reads_that_clock_if_it_is_long_enough() {
        let mut world = World::new(1);
        let (one, other) = (world.add_process("one", 1), world.add_process("other", 2));
        world.step_ahead(1, one, STEP_MIN);
        world.step_ahead(2, other, STEP_MIN - 1);
        world.step_wall(3, one, -1_000_000_000);
        // The same wrong time once more is no step.
        world.step_wall(4, one, -1_000_000_000);
        assert_eq!(world.clock_shows(one, Clock::Boot), world.now + STEP_MIN);
        assert_eq!(world.clock_shows(other, Clock::Boot), world.now + STEP_MIN - 1);
        assert_eq!(world.clock_shows(other, Clock::Wall), WALL + world.now);
        assert_eq!([1, 2, 3, 4].map(|fault| world.steps.take(fault)), [1, 0, 0, 0]);
    }

    #[test]
    fn the_time_of_day_is_felt_where_it_is_read() {
        let mut world = World::new(1);
        let one = world.add_process("one", 1);
        world.step_wall(1, one, -1_000_000_000);
        assert_eq!(world.clock_shows(one, Clock::Wall), WALL + world.now - 1_000_000_000);
        assert_eq!(world.steps.take(1), 1);
        assert_eq!(world.clock_shows(one, Clock::Wall), WALL + world.now - 1_000_000_000, "a step stays");
    }
}
