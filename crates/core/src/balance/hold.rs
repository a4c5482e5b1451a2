//! Slots that stay counted for a while after an error, in the order in which their time ends.
//!
//! Without holds a dyno that fails fast looks idle, and least-conn feeds it the whole traffic of the block. Only errors whose end was
//! *seen* are held for a time: a slot of unknown outcome waits for a proof instead (P13) and never comes here.

use std::collections::BTreeMap;

use crate::id::SlotId;
use crate::time::Time;

/// Why and how long a slot is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// When the error was seen. A probe that began earlier says nothing about it.
    pub since: Time,
    /// When it lapses.
    pub until: Time,
    /// Whether it lasts to its end even if a probe passes: the last passed probe was followed by another error.
    pub firm: bool,
}

/// All holds that may lapse, by their end. A hold whose place a probe uses is not among them until the probe ends.
#[derive(Debug, Default)]
pub(super) struct Holds {
    /// The value is the key of the dyno.
    by_end: BTreeMap<(Time, SlotId), u32>,
}

impl Holds {
    pub(super) fn insert(&mut self, until: Time, slot: SlotId, dyno: u32) {
        self.by_end.insert((until, slot), dyno);
    }

    pub(super) fn remove(&mut self, until: Time, slot: SlotId) {
        self.by_end.remove(&(until, slot));
    }

    /// The next hold that has ended.
    pub(super) fn first_ended(&self, now: Time) -> Option<SlotId> {
        self.by_end.first_key_value().filter(|((until, _), _)| *until <= now).map(|((_, slot), _)| *slot)
    }

    pub(super) fn next_end(&self) -> Option<Time> {
        self.by_end.first_key_value().map(|((until, _), _)| *until)
    }

    /// The held slots of `dyno`, the one that ends last first.
    pub(super) fn of(&self, dyno: u32) -> impl Iterator<Item = SlotId> {
        self.by_end.iter().rev().filter(move |(_, key)| **key == dyno).map(|((_, slot), _)| *slot)
    }

    /// Every hold, for the ledger's invariants.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Time, SlotId, u32)> {
        self.by_end.iter().map(|((until, slot), dyno)| (*until, *slot, *dyno))
    }
}
