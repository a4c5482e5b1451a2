//! What must hold after every step, and in the end.

use super::*;

impl World {
    pub(super) fn check(&mut self) {
        self.directory.check_invariants();
        let mut owners: BTreeMap<&DynoId, &BlockName> = BTreeMap::new();
        let mut addresses: BTreeMap<Address, &DynoId> = BTreeMap::new();
        for block in &self.blocks {
            block.state.check_invariants();
            // A block that stopped dispatches nothing; one that came back only what it would still grant.
            let counts = |dyno: &&block::DynoRecord| match block.life {
                Life::Unborn | Life::Stopped => false,
                Life::Up => true,
                Life::Returned => dyno.phase == Phase::Active,
            };
            for dyno in block.state.dynos().filter(counts) {
                let id = &dyno.spec.id;
                if let Some(other) = owners.insert(id, &block.name) {
                    panic!("one-owner: {id} is owned by {other} and {} at once", block.name);
                }
                if let Some(other) = addresses.insert(dyno.spec.address, id) {
                    panic!("{id} and {other} are owned at one address, {}", dyno.spec.address);
                }
                let seen = self.seen.entry(id.clone()).or_default();
                assert!(*seen <= dyno.epoch, "one-owner: {id} goes back from epoch {seen} to {}", dyno.epoch);
                *seen = dyno.epoch;
            }
        }
        self.check_cap();
    }

    fn check_cap(&self) {
        let mut running: BTreeMap<&DynoId, u32> = BTreeMap::new();
        for id in self.running.values() {
            let at = running.entry(id).or_default();
            *at += 1;
            assert!(*at <= MAX_CONNS, "cap: {id} runs {at} requests of {MAX_CONNS}");
        }
    }

    /// No more faults: who stopped comes back unless it was evicted, everybody hears everything, and requests end.
    pub(super) fn heal(&mut self) {
        self.wire.clear();
        self.running.clear();
        for nth in 0..BLOCKS {
            self.decide(directory::Command::UndrainBlock { name: self.blocks[nth].name.clone() });
            if !self.is_evicted(nth) && self.blocks[nth].life == Life::Stopped {
                self.come_back(nth);
            }
        }
        for _ in 0..20 {
            self.heal_once();
        }
        self.check_healed();
    }

    fn heal_once(&mut self) {
        let acting: Vec<usize> = (0..BLOCKS).filter(|nth| self.acts(*nth)).collect();
        let mut facts = self.directory.facts();
        facts.extend(acting.iter().flat_map(|nth| self.block_facts(*nth)));
        for to in 0..=BLOCKS {
            facts.iter().for_each(|fact| self.tell(to, fact.clone()));
        }
        for command in directory_steps(&self.directory_view, &self.directory) {
            self.decide(command);
        }
        for nth in acting {
            let slots: Vec<SlotId> = self.blocks[nth].state.slots().map(|(id, _)| id).collect();
            self.apply(nth, block::Command::Free { slots });
            for command in self.steps(nth) {
                let reply = self.apply(nth, command.clone());
                assert!(matches!(reply, block::Reply::Done), "{command:?} got {reply:?} when nothing was in its way");
            }
            self.check();
        }
    }

    /// Blocks that are there in the end.
    fn there(&self) -> impl Iterator<Item = &Block> {
        self.blocks.iter().filter(|block| matches!(block.life, Life::Up | Life::Returned))
    }

    fn check_healed(&self) {
        for dyno in self.directory.dynos() {
            let id = &dyno.spec.id;
            assert!(dyno.after.is_empty(), "{id} still waits for {:?}", dyno.after);
            let Place::At(belongs) = &dyno.place else { panic!("{id} is still {:?}", dyno.place) };
            for block in self.there() {
                let owned = block.state.dyno(id);
                assert_eq!(owned.is_some(), block.name == *belongs, "conserved: {id} belongs to {belongs}, look at {}", block.name);
                if let Some(owned) = owned {
                    assert_eq!(owned.epoch, dyno.epoch, "conserved: {id} is owned under another epoch");
                    assert_eq!(owned.phase == Phase::Draining, dyno.drain, "{id} is {:?}", owned.phase);
                }
            }
        }
        for block in self.there() {
            assert_eq!(self.directory.block(&block.name).map_or(0, |known| known.dynos as usize), block.state.dynos().len());
            let kept: Vec<_> = block.state.released().map(|(dyno, epoch)| (epoch, block.view.assignment(dyno))).collect();
            assert!(kept.is_empty(), "{} keeps promises that nobody waits for: {kept:?}", block.name);
            for app in block.state.apps() {
                assert!(self.directory.app(&app.spec.name).is_some(), "{} keeps a deleted app", block.name);
            }
        }
    }
}
