//! Overlap of blocks, own dynos first: while none of its own has room, a block uses those of its neighbours.
//!
//! It counts its own requests there and knows of no others, as a real one would: what the cap is for one block it is not for two.

use std::cell::RefCell;
use std::rc::Rc;

use dynomesh_core::app::Phase;
use dynomesh_core::balance::{DynoShape, Floor, Ledger, LedgerSettings, Outcome, Probed};
use dynomesh_core::id::{DynoId, Epoch, SlotId};
use dynomesh_core::time::Time;

use super::{Block, Waiter, keep};
use crate::engine::World;
use crate::mesh::add;
use crate::part::{dyno_id, place_of};
use crate::scenario::Setup;

/// Blocks overlap only in worlds of one app.
const APP: u32 = 0;

/// The dynos of neighbours, as one block counts them.
pub(super) struct Guests(RefCell<Ledger>);

/// Lets each block use the dynos of as many blocks after it as the setup says.
pub(in crate::mesh) fn overlap(world: &World, setup: &Setup, blocks: &[Rc<Block>], places: &[Vec<(usize, u32)>]) {
    if setup.overlap == 0 {
        return;
    }
    let further = usize::try_from(setup.overlap).unwrap_or(usize::MAX).min(blocks.len() - 1);
    for (at, block) in blocks.iter().enumerate() {
        let mut ledger =
            Ledger::new(LedgerSettings { hold: setup.hold, ties: setup.ties, probe_idle: setup.probe_idle, ..LedgerSettings::default() });
        for next in 1..=further {
            for (place, _) in &places[(at + next) % blocks.len()] {
                ledger.upsert(dyno_id(*place), DynoShape { max_conns: setup.max_conns, epoch: Epoch(1), phase: Phase::Active });
            }
        }
        ledger.assume_up();
        block.guests.get_or_init(|| Guests(RefCell::new(ledger)));
        world.spawn(watch(block.clone(), world.clone(), setup.probes));
    }
}

impl Block {
    /// Requests of this block at its neighbours' dynos.
    pub(super) fn at_guests(&self) -> u32 {
        self.guests.get().map_or(0, |guests| guests.0.borrow().used())
    }

    /// A neighbour's dyno for a request that has just come and found none here.
    pub(super) fn pick_guest(&self, world: &World, floor: &Floor<Waiter>, slot: SlotId, exclude: &[DynoId]) -> Option<DynoId> {
        let guests = self.guests.get().filter(|_| floor.queue.is_empty())?;
        let dyno = world.chance(|rng| guests.0.borrow_mut().pick(rng, slot, exclude))?;
        add(&self.counts.abroad);
        Some(dyno)
    }

    pub(super) fn end_guest(&self, slot: SlotId, outcome: Outcome, now: Time) {
        if let Some(guests) = self.guests.get() {
            guests.0.borrow_mut().end(slot, outcome, now);
        }
    }

    /// Lets those who wait go to neighbours.
    pub(super) fn pump_guests(&self, world: &World, floor: &mut Floor<Waiter>) {
        let Some(guests) = self.guests.get() else { return };
        let ledger = &mut *guests.0.borrow_mut();
        while !floor.queue.is_empty() && ledger.has_room() {
            let Some(waiter) = floor.queue.pop(world.now()).item else { return };
            if waiter.turn.is_idle() {
                continue;
            }
            let slot = self.slot();
            if let Some(dyno) = world.chance(|rng| ledger.pick(rng, slot, &waiter.exclude).or_else(|| ledger.pick(rng, slot, &[]))) {
                floor.queue.served();
                add(&self.counts.abroad);
                waiter.turn.give((slot, dyno));
            }
        }
    }
}

/// Lets holds lapse and probes the neighbours' dynos, as a block does with its own.
async fn watch(block: Rc<Block>, world: World, probes: bool) {
    let Some(guests) = block.guests.get() else { return };
    loop {
        world.sleep(keep::LOOK).await;
        let lapsed = guests.0.borrow_mut().lapse(world.now());
        if !lapsed.is_empty() {
            block.pump(&world, APP);
        }
        if !probes || !block.is_led() {
            continue;
        }
        let due = guests.0.borrow().probe_due(world.now());
        for dyno in due {
            let slot = block.slot();
            if guests.0.borrow_mut().begin_probe(&dyno, slot, world.now()).is_some() {
                world.spawn(probe(block.clone(), world.clone(), dyno));
            }
        }
    }
}

async fn probe(block: Rc<Block>, world: World, dyno: DynoId) {
    let Some(guests) = block.guests.get() else { return };
    let target = &block.dynos[place_of(&dyno)];
    world.sleep(target.cable()).await;
    let passed = !target.is_down(&world);
    world.sleep(target.cable()).await;
    let result = if passed { Probed::Passed } else { Probed::Failed };
    guests.0.borrow_mut().probed(&dyno, result, world.now());
    block.pump(&world, APP);
}

#[cfg(test)]
mod tests {
    use crate::scenario::Setup;
    use crate::stack;
    use crate::workload::Outcome;

    fn note(outcome: &Outcome, column: &str) -> Option<f64> {
        outcome.notes.iter().find(|(name, _)| *name == column).map(|(_, value)| *value)
    }

    #[test]
    fn overlap_breaks_the_cap_and_is_used_only_when_the_own_dynos_are_full() {
        let at = |load, overlap| stack::run(&Setup { load, overlap, requests: 30_000, ..Setup::default() }, 3);
        let (apart, together, calm) = (at(0.8, 0), at(0.8, 2), at(0.2, 2));
        assert_eq!((note(&apart, "over_cap"), note(&apart, "abroad")), (Some(0.0), None));
        let abroad = note(&together, "abroad").unwrap();
        assert!(note(&together, "over_cap").unwrap() > 0.01 && (0.01..0.5).contains(&abroad), "{together:?}");
        assert_eq!(note(&calm, "abroad"), None, "a block with room went to its neighbours");
        assert_eq!(together.tally.failed(), 0);
    }
}
