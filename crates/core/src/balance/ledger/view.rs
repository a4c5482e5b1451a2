//! What a ledger tells: sums for the edges, each dyno for reports, the slots of a dyno for a proof; and what must always hold.

use std::collections::BTreeMap;

use super::super::dyno::{Counts, Dyno, DynoView};
use super::super::least_conn::Load;
use super::super::slot::SlotState;
use super::Ledger;
use crate::id::{DynoId, SlotId};

impl Ledger {
    /// Slots of all dynos that take requests, whatever their health.
    pub fn slots(&self) -> u32 {
        self.seats.slots()
    }

    /// How full the dynos are that requests are given to; holds, orphans and quarantine count as used (P25). A block whose dynos are all
    /// down still gives them requests, but tells the edges that it is full, so that they prefer any other.
    pub fn load(&self) -> Load {
        self.seats.load()
    }

    /// Whether [`Ledger::pick`] would find a dyno now, with nothing excluded.
    pub fn has_room(&self) -> bool {
        self.seats.has_room()
    }

    /// The used part of [`Ledger::load`].
    pub fn used(&self) -> u32 {
        self.load().used
    }

    /// The free part of [`Ledger::load`].
    pub fn free(&self) -> u32 {
        let load = self.load();
        load.slots - load.used
    }

    /// All slots known, those of removed dynos included, by what they stand for.
    pub fn counts(&self) -> Counts {
        self.dynos.iter().flatten().fold(Counts::default(), |sum, dyno| sum + dyno.counts)
    }

    /// Slots that come free for the next request when a request ends whose end this leader sees: live ones of dynos that take requests, and
    /// are not down unless all are.
    pub fn live(&self) -> u32 {
        let [up, unproven, down] = self.live;
        if self.seats.any_hope() { up + unproven } else { down }
    }

    /// One dyno, unless it was removed.
    pub fn dyno(&self, id: &DynoId) -> Option<DynoView<'_>> {
        self.key(id).map(|key| self.at(key)).filter(|dyno| !dyno.gone).map(|dyno| dyno.view())
    }

    /// All dynos by their ids, removed ones left out.
    pub fn dynos(&self) -> impl Iterator<Item = DynoView<'_>> {
        self.keys.values().map(|key| self.at(*key)).filter(|dyno| !dyno.gone).map(|dyno| dyno.view())
    }

    /// The slots of a dyno, a removed one's as well, with what they stand for. Looks at every slot of the app: for proofs, not for requests.
    pub fn slots_of(&self, id: &DynoId) -> impl Iterator<Item = (SlotId, SlotState)> {
        let key = self.key(id);
        self.slots.iter().filter(move |(_, slot)| Some(slot.dyno) == key).map(|(id, slot)| (*id, slot.state))
    }

    /// What a slot stands for; `None` if it is free.
    pub fn slot(&self, slot: SlotId) -> Option<SlotState> {
        self.slots.get(&slot).map(|slot| slot.state)
    }

    /// Stops the process if the ledger contradicts itself. For tests and simulations, after each change.
    pub fn check_invariants(&self) {
        self.seats.check_invariants();
        self.check_dynos();
        self.check_holds();
        let mut live = [0; 3];
        for (standing, places) in self.dynos.iter().flatten().map(Dyno::live_places) {
            live[standing as usize] += places;
        }
        assert_eq!(self.live, live, "the live slots are not those of the dynos");
    }

    fn check_dynos(&self) {
        let mut counts: BTreeMap<u32, Counts> = BTreeMap::new();
        for slot in self.slots.values() {
            *counts.entry(slot.dyno).or_default().of_mut(slot.state) += 1;
        }
        assert_eq!(self.dynos.iter().flatten().count(), self.keys.len(), "a dyno without a key, or a key without a dyno");
        for (id, key) in &self.keys {
            let dyno = self.at(*key);
            assert_eq!(&dyno.id, id, "a key leads to another dyno");
            assert_eq!(dyno.counts, counts.remove(key).unwrap_or_default(), "the counts of {id} are not those of its slots");
            assert_eq!(self.seats.get(*key), dyno.seat(), "the seat of {id} is out of date");
            assert!(!dyno.gone || dyno.counts != Counts::default(), "{id} is gone and has no slots, and is still known");
            if let Some(probe) = dyno.health.probe {
                assert_eq!(self.slots.get(&probe).map(|slot| slot.dyno), Some(*key), "the probe of {id} has no slot there");
            }
        }
        assert!(counts.is_empty(), "slots of unknown dynos: {counts:?}");
    }

    fn check_holds(&self) {
        let listed: BTreeMap<SlotId, _> = self.holds.iter().map(|(until, slot, dyno)| (slot, (until, dyno))).collect();
        assert_eq!(listed.len(), self.holds.iter().count(), "a slot is held twice");
        for (id, slot) in &self.slots {
            let expected = match slot.state {
                SlotState::Held(hold) if self.at(slot.dyno).health.probe != Some(*id) => Some((hold.until, slot.dyno)),
                _ => None,
            };
            assert_eq!(listed.get(id).copied(), expected, "slot {id} in {:?} is not held as it should be", slot.state);
        }
        assert!(listed.keys().all(|slot| self.slots.contains_key(slot)), "a slot is held that is not taken");
    }
}
