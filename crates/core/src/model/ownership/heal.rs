//! What must hold in the end: once faults stop, every dyno is owned by exactly the block it is assigned to.
//!
//! Every state that is reached is healed on a copy: requests end, everybody hears everything that is said, and everything proposed is
//! applied at once. Twice: leaders hear only what is true now, as if each had just started, or everything that was ever said. What was
//! put aside is lost then; that it lands instead is a state of its own. A state met on the way to health needs no second look.

use std::collections::BTreeSet;

use super::super::part::{Part, Print};
use super::{Mesh, World};
use crate::app::Phase;
use crate::block::{BlockState, Command};
use crate::directory::Place;
use crate::map::{Fact, MapView, directory_steps};

/// Rounds of hearing and doing that heal any state, with room to spare.
const ROUNDS_MAX: usize = 40;

impl Mesh {
    /// Heals the state and says what is wrong with the outcome.
    pub(super) fn check_end(&self, world: &World) -> Result<(), String> {
        [false, true].into_iter().try_for_each(|all_heard| self.heal(world.clone(), all_heard))
    }

    fn heal(&self, mut world: World, all_heard: bool) -> Result<(), String> {
        // Who was stopped and not evicted comes back.
        let evicted = |name| world.directory.block(name).is_some_and(|block| block.evicted);
        let gone: BTreeSet<usize> = world.rest.stopped.iter().copied().filter(|nth| evicted(&self.names[*nth])).collect();
        world.rest.stopped = gone;
        let mut met: Vec<Print> = Vec::new();
        for _ in 0..ROUNDS_MAX {
            let print = self.replicated(&world);
            if self.healed.borrow().contains(&(all_heard, print)) {
                break;
            }
            if met.last() == Some(&print) {
                self.check_healed(&world)?;
                break;
            }
            met.push(print);
            if met.len() == ROUNDS_MAX {
                return Err("conserved: the mesh does not come to rest".into());
            }
            self.heal_once(&mut world, all_heard);
            self.check_now(&world)?;
        }
        self.healed.borrow_mut().extend(met.into_iter().map(|print| (all_heard, print)));
        Ok(())
    }

    /// Everybody hears what is true now, or all that ever was, and does what follows.
    fn heal_once(&self, world: &mut World, all_heard: bool) {
        world.rest.running.clear();
        let mut facts: Vec<Fact> = world.directory.facts();
        let there: Vec<usize> = (0..self.names.len()).filter(|nth| !world.rest.stopped.contains(nth)).collect();
        facts.extend(there.iter().flat_map(|nth| self.facts_of(&world.blocks[*nth], *nth)));
        if all_heard {
            facts.extend(world.wire.facts().cloned());
        }
        let mut view = MapView::new();
        for fact in facts {
            view.absorb(fact);
        }
        for command in directory_steps(&view, &world.directory) {
            self.decide(world, command);
        }
        for nth in there {
            let slots: Vec<_> = world.blocks[nth].slots().map(|(slot, _)| slot).collect();
            if !slots.is_empty() {
                self.apply(world, nth, Command::Free { slots });
            }
            for command in self.block_steps(&view, world, nth) {
                self.apply(world, nth, command);
            }
        }
    }

    fn check_healed(&self, world: &World) -> Result<(), String> {
        for dyno in world.directory.dynos() {
            let id = &dyno.spec.id;
            if !dyno.after.is_empty() {
                return Err(format!("conserved: {id} waits for {:?} for ever", dyno.after));
            }
            let Place::At(belongs) = &dyno.place else { return Err(format!("conserved: {id} is {:?} for ever", dyno.place)) };
            for (nth, block) in there(world) {
                let name = &self.names[nth];
                match block.dyno(id) {
                    Some(_) if name != belongs => return Err(format!("conserved: {id} belongs to {belongs} and stays with {name}")),
                    None if name == belongs => return Err(format!("conserved: {id} belongs to {belongs}, which never owns it")),
                    Some(own) if own.epoch != dyno.epoch => return Err(format!("conserved: {id} is owned under {}", own.epoch)),
                    Some(own) if (own.phase == Phase::Draining) != dyno.drain => {
                        return Err(format!("conserved: {id} is {:?} for ever", own.phase));
                    }
                    _ => {}
                }
            }
        }
        let stray = there(world).flat_map(|(_, block)| block.dynos()).find(|own| world.directory.dyno(&own.spec.id).is_none());
        stray.map_or(Ok(()), |own| Err(format!("conserved: {} is gone and still owned", own.spec.id)))
    }
}

/// Blocks that are not stopped.
fn there(world: &World) -> impl Iterator<Item = (usize, &Part<BlockState>)> {
    world.blocks.iter().enumerate().filter(|(nth, _)| !world.rest.stopped.contains(nth))
}
