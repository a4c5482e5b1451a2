//! Processes that are stopped: frozen for a time, killed, or ended by themselves.

use super::{MS, World};

/// How long a process must have stood still for others to notice: longer than what a slow disk or host keeps them waiting for.
const STOOD_MIN: u64 = 300 * MS;

impl World {
    /// Takes the turn from a process until it is thawed.
    pub(crate) fn freeze(&mut self, process: usize) {
        let it = &mut self.processes[process];
        if !it.dead {
            it.frozen.get_or_insert(self.now);
        }
    }

    /// Whether it is frozen, or will be at its moment.
    pub(crate) fn is_frozen(&self, process: usize) -> bool {
        self.processes[process].frozen.is_some() || self.is_trapped(process)
    }

    /// Gives it the turn again; whether it stood still long enough for others to notice.
    pub(crate) fn thaw(&mut self, process: usize) -> bool {
        self.disarm(process);
        self.end_freeze(process);
        for thread in std::mem::take(&mut self.processes[process].late) {
            self.soon(thread);
        }
        std::mem::take(&mut self.processes[process].stood) >= STOOD_MIN
    }

    fn end_freeze(&mut self, process: usize) {
        let it = &mut self.processes[process];
        if let Some(since) = it.frozen.take() {
            it.stood = self.now - since;
        }
    }

    /// Whether a process is dead, and another one runs in its stead.
    pub(crate) fn was_replaced(&self, process: usize, by: usize) -> bool {
        self.processes[process].dead && process != by && !self.processes[by].dead
    }

    /// Ends a process at once: its threads never run again and its descriptors are closed as a kernel closes them.
    pub(crate) fn kill(&mut self, process: usize) {
        self.end_freeze(process);
        self.processes[process].dead = true;
        self.processes[process].late.clear();
        let threads = &self.threads;
        for waiting in self.futexes.values_mut() {
            waiting.retain(|thread| threads[*thread].process != process);
        }
        for fd in self.table.of_process(process) {
            self.close(fd);
        }
        self.disks.killed(process);
    }

    /// A process has ended, which nobody asked it to do.
    pub(crate) fn ended_by_itself(&mut self, process: usize, how: &str) {
        let said = format!("{} {how} at {} ms", self.processes[process].name, (self.now - super::BEGIN) / super::MS);
        self.ends.push(said);
        self.kill(process);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freeze_is_noticed_if_it_lasts_and_ends_with_the_process() {
        let mut world = World::new(1);
        let [long, short, killed] = ["long", "short", "killed"].map(|name| world.add_process(name, 1));
        world.freeze(long);
        world.freeze(killed);
        world.now += 1;
        world.freeze(short);
        world.kill(killed);
        world.now += STOOD_MIN - 1;
        assert_eq!([long, short, killed].map(|process| world.thaw(process)), [true, false, false]);
        world.freeze(killed);
        world.now += STOOD_MIN;
        assert!(!world.thaw(killed), "what is dead does not stand still");
        assert!(!world.thaw(long), "it was thawed already");
    }

    #[test]
    fn a_process_is_replaced_if_it_died_and_another_lives() {
        let mut world = World::new(1);
        let [old, new] = ["old", "new"].map(|name| world.add_process(name, 1));
        assert!(!world.was_replaced(old, new));
        world.kill(old);
        assert!(world.was_replaced(old, new) && !world.was_replaced(old, old));
        world.kill(new);
        assert!(!world.was_replaced(old, new));
    }
}
