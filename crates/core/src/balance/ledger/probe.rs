//! Probes: which dynos to ask, where the question may run, what the answer changes.

use super::super::dyno::{Dyno, PlaceKind};
use super::super::health::{Probed, Standing};
use super::super::slot::{Place, SlotState};
use super::{Ledger, LedgerSettings};
use crate::id::{DynoId, SlotId};
use crate::time::Time;

impl Ledger {
    /// The dynos to probe now: those that take requests, have a place for a probe and have not been asked for a while.
    pub fn probe_due(&self, now: Time) -> Vec<DynoId> {
        self.probes().filter(|(at, _)| *at <= now).map(|(_, dyno)| dyno.id.clone()).collect()
    }

    /// When the next probe is due, as far as can be told now.
    pub fn next_probe(&self) -> Option<Time> {
        self.probes().map(|(at, _)| at).min()
    }

    fn probes(&self) -> impl Iterator<Item = (Time, &Dyno)> {
        let LedgerSettings { probe_idle, probe_urgent, .. } = self.settings;
        let may = |dyno: &&Dyno| dyno.place_for_probe().is_some();
        self.dynos.iter().flatten().filter(may).map(move |dyno| (dyno.health.due(dyno.counts.held > 0, probe_idle, probe_urgent), dyno))
    }

    /// Begins a probe if the dyno has a place for it: a held slot, whose request is over, or else a free place, which `slot` takes like
    /// a request's. So a probe never adds to a full dyno, and never waits behind the request of a serial one (P9).
    ///
    /// A probe that sends a request commits a grant for `slot` before; one that only connects need not.
    pub fn begin_probe(&mut self, id: &DynoId, slot: SlotId, now: Time) -> Option<Place> {
        let key = self.key(id)?;
        let place = match self.at(key).place_for_probe()? {
            PlaceKind::Held => {
                let held = self.holds.of(key).next().expect("a dyno that counts a held slot has one");
                self.unlist(held, self.slots[&held].state);
                Place::Held(held)
            }
            PlaceKind::Free => {
                self.insert(slot, key, SlotState::Live);
                Place::Free
            }
        };
        let health = &mut self.at_mut(key).health;
        health.asked = Some(now);
        health.probe = Some(match place {
            Place::Held(held) => held,
            Place::Free => slot,
        });
        Some(place)
    }

    /// The slot in whose place a dyno is being probed.
    pub fn probing(&self, id: &DynoId) -> Option<SlotId> {
        self.key(id).and_then(|key| self.at(key).health.probe)
    }

    /// Ends a probe with its result. Returns the holds that a passed probe ended, released here; the caller frees them in the log, and
    /// the slot of the probe as well if it had a grant. A slot whose probe was cut with unknown outcome is ended so *before*, and stays.
    pub fn probed(&mut self, id: &DynoId, result: Probed, now: Time) -> Vec<SlotId> {
        self.end_probe(id);
        // The end of the probe may have been the last that was known of a removed dyno.
        let Some(key) = self.key(id) else { return Vec::new() };
        let health = &mut self.at_mut(key).health;
        let began = health.asked.unwrap_or(now);
        health.standing = match result {
            Probed::Passed => Standing::Up,
            Probed::Failed => Standing::Down,
        };
        self.refresh(key);
        if result == Probed::Passed { self.clear_holds(key, began, now) } else { Vec::new() }
    }

    /// Releases the holds that a probe begun at `began` speaks about.
    fn clear_holds(&mut self, key: u32, began: Time, now: Time) -> Vec<SlotId> {
        let ends = |slot: &SlotId| matches!(self.slots[slot].state, SlotState::Held(hold) if !hold.firm && hold.since <= began);
        let cleared: Vec<SlotId> = self.holds.of(key).filter(ends).collect();
        if !cleared.is_empty() {
            self.at_mut(key).health.doubted_until = now + self.settings.hold;
        }
        for slot in &cleared {
            self.release(*slot);
        }
        cleared
    }

    /// Ends a probe that came to nothing: it says nothing about the dyno.
    pub fn end_probe(&mut self, id: &DynoId) {
        let Some(key) = self.key(id) else { return };
        let Some(slot) = self.at_mut(key).health.probe.take() else { return };
        match self.slots[&slot].state {
            SlotState::Live => drop(self.release(slot)),
            SlotState::Held(hold) => self.list(slot, key, hold),
            SlotState::Orphan | SlotState::Kept => {}
        }
    }
}
