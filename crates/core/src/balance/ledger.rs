//! Counts of requests in flight per dyno, one ledger per app and block.
//!
//! A slot is taken when a dyno is picked and freed when the response *body* ends, not when the head arrives: a dyno still streaming is
//! still busy. A slot that ended in error stays counted until its hold lapses, so a fast-failing dyno does not look idle and swallow
//! the block's traffic; one whose outcome is unknown stays counted until something proves its end (P13).
//!
//! The ledger refuses to decide what is replicated: the state machine's `apply(Grant)` has the last word on every slot picked here, and
//! whoever is told of a slot released here frees it in the log.

use std::collections::BTreeMap;

use rand::Rng;

use super::dyno::{Dyno, DynoShape};
use super::health::Standing;
use super::hold::{Hold, Holds};
use super::least_conn::{Seats, Ties};
use super::slot::{Ended, Occupied, Outcome, SlotState};
use crate::app::Phase;
use crate::id::{DynoId, Epoch, SlotId};
use crate::time::{Span, Time};

mod probe;
#[cfg(test)]
mod tests;
mod view;

/// How a ledger treats its dynos.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LedgerSettings {
    /// Time an errored slot stays counted. Longer than it takes to be refused by a dead dyno, or that dyno is picked again meanwhile.
    pub hold: Span,
    /// What decides between equally busy dynos.
    pub ties: Ties,
    /// Between two probes of a dyno that is up and holds nothing.
    pub probe_idle: Span,
    /// Between two probes of a dyno that is not up or has a held slot; shorter than `hold`, or no probe ever ends a hold.
    pub probe_urgent: Span,
}

impl Default for LedgerSettings {
    fn default() -> Self {
        LedgerSettings {
            hold: Span::from_secs(1),
            ties: Ties::Random,
            probe_idle: Span::from_secs(1),
            probe_urgent: Span::from_millis(100),
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    dyno: u32,
    state: SlotState,
}

/// Counts an app's slots in this block and picks dynos for them.
#[derive(Debug, Default)]
pub struct Ledger {
    settings: LedgerSettings,
    /// Dynos by key. A key is used again once its dyno is gone and has no slots.
    dynos: Vec<Option<Dyno>>,
    keys: BTreeMap<DynoId, u32>,
    slots: BTreeMap<SlotId, Slot>,
    holds: Holds,
    seats: Seats,
    /// See [`Ledger::live`], by the standing of the dyno.
    live: [u32; 3],
}

// === impl Ledger: dynos ===

impl Ledger {
    /// An empty ledger.
    pub fn new(settings: LedgerSettings) -> Self {
        Ledger { settings, ..Ledger::default() }
    }

    /// Adds a dyno, unproven, or changes its shape. One that was removed while slots of it were known comes back with them.
    pub fn upsert(&mut self, id: DynoId, shape: DynoShape) {
        let key = self.key_or_new(&id);
        let dyno = self.at_mut(key);
        dyno.shape = shape;
        if std::mem::take(&mut dyno.gone) {
            dyno.health.standing = Standing::Unproven;
            dyno.quarantined = false;
        }
        self.refresh(key);
    }

    /// Takes a dyno out. Its slots stay known, and counted as the dyno's, until each is released.
    pub fn remove(&mut self, id: &DynoId) {
        if let Some(key) = self.key(id) {
            self.at_mut(key).gone = true;
            self.refresh(key);
        }
    }

    /// Takes every unproven dyno for up: after a takeover most of them are, and waiting for probes would cost an outage.
    pub fn assume_up(&mut self) {
        for key in self.keys.values().copied().collect::<Vec<_>>() {
            let health = &mut self.at_mut(key).health;
            if health.standing == Standing::Unproven {
                health.standing = Standing::Up;
            }
            self.refresh(key);
        }
    }

    /// Makes a dyno count as full whatever its slots, or ends that (P14).
    pub fn quarantine(&mut self, id: &DynoId, quarantined: bool) {
        if let Some(key) = self.key(id) {
            self.at_mut(key).quarantined = quarantined;
            self.refresh(key);
        }
    }
}

// === impl Ledger: slots ===

impl Ledger {
    /// Takes `slot` at the dyno with the fewest slots taken among those that take requests and have room; those in `exclude` are passed
    /// over. Dynos that are up come first, then unproven ones; dynos that are down are picked only while there are no others.
    pub fn pick(&mut self, rng: &mut impl Rng, slot: SlotId, exclude: &[DynoId]) -> Option<DynoId> {
        let key = if exclude.is_empty() {
            self.seats.choose(self.settings.ties, rng, &[])
        } else {
            let excluded: Vec<u32> = exclude.iter().filter_map(|id| self.key(id)).collect();
            self.seats.choose(self.settings.ties, rng, &excluded)
        }?;
        self.insert(slot, key, SlotState::Live);
        Some(self.at(key).id.clone())
    }

    /// Takes `slot` at this very dyno, whatever its health; false if it takes no requests or has no room.
    pub fn take(&mut self, slot: SlotId, id: &DynoId) -> bool {
        let open = self.key(id).filter(|key| self.seats.get(*key).is_some_and(|seat| seat.used < seat.max));
        if let Some(key) = open {
            self.insert(slot, key, SlotState::Live);
        }
        open.is_some()
    }

    /// Counts a slot found in the replicated state, even beyond the dyno's limit: what was granted is granted. Of a known slot it
    /// changes only whether its holder is believed to live.
    pub fn occupy(&mut self, slot: SlotId, id: &DynoId, as_: Occupied) {
        let state = match as_ {
            Occupied::Live => SlotState::Live,
            Occupied::Orphan => SlotState::Orphan,
        };
        match self.slots.get(&slot) {
            None => {
                let key = self.key_or_new(id);
                self.insert(slot, key, state);
            }
            Some(known) => {
                assert_eq!(&self.at(known.dyno).id, id, "slot {slot} was granted at two dynos");
                if matches!(known.state, SlotState::Live | SlotState::Orphan) {
                    self.set_state(slot, state);
                }
            }
        }
    }

    /// Ends the request in a slot. A held slot stays as it is unless the outcome is unknown; a kept one whose end is seen after all is
    /// treated by that end.
    pub fn end(&mut self, slot: SlotId, outcome: Outcome, now: Time) -> Ended {
        let Some(known) = self.slots.get(&slot).copied() else { return Ended::NotHere };
        match (outcome, known.state) {
            (Outcome::Unknown, _) => {
                self.set_state(slot, SlotState::Kept);
                Ended::Kept
            }
            (_, SlotState::Held(hold)) => Ended::HeldUntil(hold.until),
            (Outcome::Error, _) if self.settings.hold > Span::ZERO => {
                let hold = self.hold_from(known.dyno, now);
                self.set_state(slot, SlotState::Held(hold));
                Ended::HeldUntil(hold.until)
            }
            (Outcome::Done | Outcome::Error, _) => {
                self.release(slot);
                Ended::Freed
            }
        }
    }

    /// A hold that begins now. Where a passed probe ended the one before and an error followed all the same, probes are not believed
    /// for this one: the dyno takes connections but not requests.
    fn hold_from(&mut self, key: u32, now: Time) -> Hold {
        let span = self.settings.hold;
        let health = &mut self.at_mut(key).health;
        let firm = now < health.doubted_until;
        if firm {
            health.doubted_until = now + span.times(2);
        }
        Hold { since: now, until: now + span, firm }
    }

    /// Frees a slot whatever it stands for, and says at which dyno it was; `None` if it was free already.
    pub fn release(&mut self, slot: SlotId) -> Option<DynoId> {
        let Slot { dyno: key, state } = self.slots.remove(&slot)?;
        self.unlist(slot, state);
        let dyno = self.at_mut(key);
        dyno.health.probe = dyno.health.probe.filter(|probe| *probe != slot);
        let id = dyno.id.clone();
        self.count(key, Some(state), None);
        Some(id)
    }

    /// Releases the holds whose time has passed; the caller frees them in the log.
    pub fn lapse(&mut self, now: Time) -> Vec<SlotId> {
        let mut lapsed = Vec::new();
        while let Some(slot) = self.holds.first_ended(now) {
            self.release(slot);
            lapsed.push(slot);
        }
        lapsed
    }

    /// When the next hold lapses.
    pub fn next_lapse(&self) -> Option<Time> {
        self.holds.next_end()
    }
}

// === impl Ledger: keeping counts, holds and seats in step ===

impl Ledger {
    fn key(&self, id: &DynoId) -> Option<u32> {
        self.keys.get(id).copied()
    }

    fn key_or_new(&mut self, id: &DynoId) -> u32 {
        if let Some(key) = self.key(id) {
            return key;
        }
        let place = self.dynos.iter().position(Option::is_none).unwrap_or(self.dynos.len());
        if place == self.dynos.len() {
            self.dynos.push(None);
        }
        let shape = DynoShape { max_conns: 0, epoch: Epoch(0), phase: Phase::Released };
        self.dynos[place] = Some(Dyno { gone: true, ..Dyno::new(id.clone(), shape) });
        let key = u32::try_from(place).expect("a block has far fewer than 2^32 dynos");
        self.keys.insert(id.clone(), key);
        key
    }

    fn at(&self, key: u32) -> &Dyno {
        self.dynos[key as usize].as_ref().expect("a key in use leads to a dyno")
    }

    fn at_mut(&mut self, key: u32) -> &mut Dyno {
        self.dynos[key as usize].as_mut().expect("a key in use leads to a dyno")
    }

    fn insert(&mut self, id: SlotId, dyno: u32, state: SlotState) {
        let known = self.slots.insert(id, Slot { dyno, state });
        assert!(known.is_none(), "slot {id} is taken twice: it names one grant for ever");
        self.count(dyno, None, Some(state));
    }

    fn set_state(&mut self, id: SlotId, state: SlotState) {
        let slot = self.slots.get_mut(&id).expect("only a known slot changes its state");
        let (dyno, old) = (slot.dyno, std::mem::replace(&mut slot.state, state));
        self.unlist(id, old);
        if let SlotState::Held(hold) = state {
            self.list(id, dyno, hold);
        }
        self.count(dyno, Some(old), Some(state));
    }

    /// Counts a slot of the dyno as what it stands for now, no longer as what it stood for; where there is none, it is not taken.
    fn count(&mut self, dyno: u32, old: Option<SlotState>, new: Option<SlotState>) {
        let counts = &mut self.at_mut(dyno).counts;
        if let Some(old) = old {
            *counts.of_mut(old) -= 1;
        }
        if let Some(new) = new {
            *counts.of_mut(new) += 1;
        }
        self.refresh(dyno);
    }

    /// Puts a held slot on the list of holds, unless a probe uses its place: it may not lapse under the probe.
    fn list(&mut self, id: SlotId, dyno: u32, hold: Hold) {
        if self.at(dyno).health.probe != Some(id) {
            self.holds.insert(hold.until, id, dyno);
        }
    }

    fn unlist(&mut self, id: SlotId, state: SlotState) {
        if let SlotState::Held(hold) = state {
            self.holds.remove(hold.until, id);
        }
    }

    /// Brings seat and sum up to date, and forgets a dyno that is gone and has no slots left.
    fn refresh(&mut self, key: u32) {
        let seat = self.at(key).seat();
        self.seats.set(key, seat);
        let (standing, places) = self.at(key).live_places();
        let (stood, counted) = std::mem::replace(&mut self.at_mut(key).counted, (standing, places));
        self.live[stood as usize] -= counted;
        self.live[standing as usize] += places;
        let dyno = &mut self.dynos[key as usize];
        if let Some(forgotten) = dyno.take_if(|dyno| dyno.gone && dyno.counts.all() == 0) {
            self.keys.remove(&forgotten.id);
        }
    }
}
