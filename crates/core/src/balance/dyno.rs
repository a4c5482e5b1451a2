//! One dyno of a ledger: its limit, its slots by kind, its health.
//!
//! It answers what follows from these alone, such as whether a probe has a place; which slots they are is the ledger's to know.

use std::ops::Add;

use super::health::{Health, Standing};
use super::least_conn::Seat;
use super::slot::SlotState;
use crate::app::Phase;
use crate::id::{DynoId, Epoch};

/// What the replicated state says of a dyno.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DynoShape {
    /// Requests it may have in flight.
    pub max_conns: u32,
    /// Under which epoch the block owns it.
    pub epoch: Epoch,
    /// Whether it takes requests.
    pub phase: Phase,
}

/// Slots by what they stand for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// See [`SlotState::Live`].
    pub live: u32,
    /// See [`SlotState::Orphan`].
    pub orphans: u32,
    /// See [`SlotState::Held`].
    pub held: u32,
    /// See [`SlotState::Kept`].
    pub kept: u32,
}

/// One dyno as the ledger sees it.
#[derive(Debug, Clone, Copy)]
pub struct DynoView<'a> {
    /// Its id.
    pub id: &'a DynoId,
    /// What the replicated state says of it.
    pub shape: DynoShape,
    /// Its slots.
    pub counts: Counts,
    /// What probes say.
    pub standing: Standing,
    /// Whether it counts as full whatever its slots (P14).
    pub quarantined: bool,
}

/// One dyno and what is counted at it.
#[derive(Debug)]
pub(super) struct Dyno {
    pub(super) id: DynoId,
    pub(super) shape: DynoShape,
    pub(super) counts: Counts,
    pub(super) health: Health,
    pub(super) quarantined: bool,
    /// Removed, or never added: known only because slots of it are.
    pub(super) gone: bool,
    /// What the ledger's sum holds of it, see [`Dyno::live_places`].
    pub(super) counted: (Standing, u32),
}

/// Where a probe finds a place.
pub(super) enum PlaceKind {
    Held,
    Free,
}

impl Dyno {
    pub(super) fn new(id: DynoId, shape: DynoShape) -> Self {
        Dyno {
            id,
            shape,
            counts: Counts::default(),
            health: Health::unproven(),
            quarantined: false,
            gone: false,
            counted: (Standing::Unproven, 0),
        }
    }

    fn takes_requests(&self) -> bool {
        !self.gone && self.shape.phase == Phase::Active
    }

    /// Its place in the line that dynos are picked from.
    pub(super) fn seat(&self) -> Option<Seat> {
        let max = self.shape.max_conns;
        let used = if self.quarantined { max } else { self.counts.all().min(max) };
        self.takes_requests().then_some(Seat { standing: self.health.standing, used, max })
    }

    /// Places that come free when a request ends whose end is seen, and the standing of the dyno that they are at.
    pub(super) fn live_places(&self) -> (Standing, u32) {
        let gives = self.takes_requests() && !self.quarantined;
        (self.health.standing, if gives { self.counts.live.min(self.shape.max_conns) } else { 0 })
    }

    /// Where a probe may run now without adding to a full dyno. Held slots run nothing.
    pub(super) fn place_for_probe(&self) -> Option<PlaceKind> {
        let running = self.counts.all() - self.counts.held;
        if !self.takes_requests() || self.quarantined || self.health.probe.is_some() || running >= self.shape.max_conns {
            return None;
        }
        Some(if self.counts.held > 0 { PlaceKind::Held } else { PlaceKind::Free })
    }

    pub(super) fn view(&self) -> DynoView<'_> {
        let Dyno { id, shape, counts, health, quarantined, .. } = self;
        DynoView { id, shape: *shape, counts: *counts, standing: health.standing, quarantined: *quarantined }
    }
}

impl Counts {
    /// All of them: what is in flight at the dyno, or may be.
    pub fn all(self) -> u32 {
        self.live + self.orphans + self.held + self.kept
    }

    pub(super) fn of_mut(&mut self, state: SlotState) -> &mut u32 {
        match state {
            SlotState::Live => &mut self.live,
            SlotState::Orphan => &mut self.orphans,
            SlotState::Held(_) => &mut self.held,
            SlotState::Kept => &mut self.kept,
        }
    }
}

impl Add for Counts {
    type Output = Counts;
    fn add(self, other: Counts) -> Counts {
        Counts {
            live: self.live + other.live,
            orphans: self.orphans + other.orphans,
            held: self.held + other.held,
            kept: self.kept + other.kept,
        }
    }
}
