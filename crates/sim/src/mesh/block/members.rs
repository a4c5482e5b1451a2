//! Dynos that come to a block and leave it while it runs.

use dynomesh_core::balance::DynoShape;
use dynomesh_core::id::SlotId;

use super::Block;
use crate::engine::World;
use crate::part::dyno_id;

/// Dynos move only in worlds of one app.
const APP: u32 = 0;

impl Block {
    /// Takes in the dyno at `place`, or changes how it is owned. A newcomer is unproven until a probe has found it up.
    pub(in crate::mesh) fn admit(&self, world: &World, place: usize, shape: DynoShape) {
        if let Some(floor) = self.floors.get(&APP) {
            floor.borrow_mut().ledger.upsert(dyno_id(place), shape);
        }
        self.pump(world, APP);
    }

    /// Lets go of a dyno. What runs there goes on.
    pub(in crate::mesh) fn dismiss(&self, place: usize) {
        if let Some(floor) = self.floors.get(&APP) {
            floor.borrow_mut().ledger.remove(&dyno_id(place));
        }
    }

    /// The slots of a dyno.
    pub(in crate::mesh) fn slots_at(&self, place: usize) -> Vec<SlotId> {
        let slots = |ledger: &dynomesh_core::balance::Ledger| ledger.slots_of(&dyno_id(place)).map(|(slot, _)| slot).collect();
        self.floors.get(&APP).map(|floor| slots(&floor.borrow().ledger)).unwrap_or_default()
    }

    /// Whether a slot is still taken.
    pub(in crate::mesh) fn has_slot(&self, slot: SlotId) -> bool {
        self.floors.get(&APP).is_some_and(|floor| floor.borrow().ledger.slot(slot).is_some())
    }
}
