//! What becomes of blocks: they appear, stop, come back, are drained, evicted and removed; their states are loaded from snapshots.

use super::*;

/// The identity of a block.
pub(super) fn group(nth: usize) -> GroupId {
    GroupId(nth as u128)
}

impl World {
    /// Whether a block does anything now.
    pub(super) fn acts(&self, nth: usize) -> bool {
        matches!(self.blocks[nth].life, Life::Up | Life::Returned)
    }

    pub(super) fn is_evicted(&self, nth: usize) -> bool {
        let name = &self.blocks[nth].name;
        self.directory.facts().iter().any(|fact| matches!(fact, Fact::Evicted(evicted) if evicted.block == *name))
    }

    /// What a block's leader proposes: nothing else before it has given up what it lost by an eviction.
    pub(super) fn steps(&self, nth: usize) -> Vec<block::Command> {
        let Block { name, view, state, .. } = &self.blocks[nth];
        let first = evicted_steps(view, name, group(nth), state);
        if first.is_empty() { steps(view, name, state) } else { first }
    }

    /// A leader starts and has heard nothing, but for its block's eviction if that has come back from one.
    pub(super) fn new_leader(&mut self, nth: usize) {
        let block = &mut self.blocks[nth];
        block.term += 1;
        block.view = MapView::new();
        if block.life == Life::Returned {
            let own = |fact: &Fact| matches!(fact, Fact::Evicted(evicted) if evicted.block == self.blocks[nth].name);
            let heard: Vec<Fact> = self.directory.facts().into_iter().filter(own).collect();
            heard.into_iter().for_each(|fact| self.tell(nth, fact));
        }
    }

    /// A replica restarts: what it knows is what it wrote down.
    pub(super) fn reload(&mut self, nth: usize) {
        let state = &mut self.blocks[nth].state;
        *state = postcard::from_bytes(&postcard::to_stdvec(state).unwrap()).unwrap();
        self.directory = postcard::from_bytes(&postcard::to_stdvec(&self.directory).unwrap()).unwrap();
    }

    pub(super) fn stop(&mut self, nth: usize) {
        // Most blocks are there most of the time.
        let others = (0..BLOCKS).filter(|other| self.acts(*other)).count();
        if self.blocks[nth].life == Life::Up && others > 2 {
            self.blocks[nth].life = Life::Stopped;
        }
    }

    pub(super) fn come_back(&mut self, nth: usize) {
        if self.blocks[nth].life != Life::Stopped {
            return;
        }
        let evicted = self.is_evicted(nth);
        self.blocks[nth].life = if evicted { Life::Returned } else { Life::Up };
        self.new_leader(nth);
        if evicted {
            for command in self.steps(nth) {
                self.apply(nth, command);
            }
        }
    }

    /// An operator evicts a block that is stopped, and of which nothing runs any more; or, as a planted bug, any block.
    pub(super) fn evict(&mut self, nth: usize) {
        let nothing_runs = self.blocks[nth].state.slots().all(|(slot, _)| !self.running.contains_key(&slot));
        let fenced = self.blocks[nth].life == Life::Stopped && nothing_runs;
        if fenced || planted::EVICT_WITHOUT_FENCE {
            let name = self.blocks[nth].name.clone();
            let reply = self.decide(directory::Command::EvictBlock { name, proof: directory::Proof::Operator });
            self.evictions += u64::from(reply.changed());
        }
    }

    /// A block appears, or an operator speaks of one.
    pub(super) fn tend(&mut self, rng: &mut StdRng, nth: usize) {
        let name = self.blocks[nth].name.clone();
        match rng.random_range(0..6) {
            0 if self.blocks[nth].life == Life::Unborn => self.blocks[nth].life = Life::Up,
            1 => drop(self.decide(directory::Command::DrainBlock { name })),
            2 | 3 => drop(self.decide(directory::Command::UndrainBlock { name })),
            4 if self.blocks[nth].life != Life::Up => drop(self.decide(directory::Command::RemoveBlock { name })),
            _ => {}
        }
    }
}
