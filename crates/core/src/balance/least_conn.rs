//! The choice of the dyno with the fewest slots taken.
//!
//! It sees a line of seats, one per dyno that takes requests, and knows neither slots nor times: those are the ledger's. The line is
//! compact and its sums are kept, because it is read for each request: a full block is recognised without looking at a single dyno.

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use super::health::Standing;

/// What decides between dynos with equally few slots taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ties {
    /// Chance.
    #[default]
    Random,
    /// The place in the line. For comparison only: many routers that share dynos then all prefer the same ones.
    Lowest,
}

/// How full an app's dynos are, as told to the edges.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// Slots of the dynos that requests are given to.
    pub slots: u32,
    /// How many of them are taken, held, orphaned or in quarantine; never more than `slots`.
    pub used: u32,
}

/// One dyno that takes requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seat {
    pub(super) standing: Standing,
    /// Slots taken, at most `max`.
    pub(super) used: u32,
    pub(super) max: u32,
}

/// Sums over the seats of one standing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Total {
    seats: u32,
    load: Load,
}

/// All dynos by their key; `None` where no dyno takes requests.
#[derive(Debug, Default)]
pub(super) struct Seats {
    line: Vec<Option<Seat>>,
    totals: [Total; 3],
}

impl Seats {
    /// Puts a dyno in its place, or takes it out.
    pub(super) fn set(&mut self, key: u32, seat: Option<Seat>) {
        let at = key as usize;
        if at >= self.line.len() {
            self.line.resize(at + 1, None);
        }
        if let Some(old) = std::mem::replace(&mut self.line[at], seat) {
            let total = &mut self.totals[old.standing as usize];
            total.seats -= 1;
            total.load.slots -= old.max;
            total.load.used -= old.used;
        }
        if let Some(new) = seat {
            let total = &mut self.totals[new.standing as usize];
            total.seats += 1;
            total.load.slots += new.max;
            total.load.used += new.used;
        }
    }

    pub(super) fn get(&self, key: u32) -> Option<Seat> {
        self.line.get(key as usize).copied().flatten()
    }

    /// Whether any dyno is not known to be down.
    pub(super) fn any_hope(&self) -> bool {
        self.totals[Standing::Up as usize].seats + self.totals[Standing::Unproven as usize].seats > 0
    }

    /// The key of a dyno with room: of those that are up, else of the unproven; of those that are down only if there is no other.
    pub(super) fn choose(&self, ties: Ties, rng: &mut impl Rng, excluded: &[u32]) -> Option<u32> {
        if !self.any_hope() {
            return self.least(Standing::Down, ties, rng, excluded);
        }
        self.least(Standing::Up, ties, rng, excluded).or_else(|| self.least(Standing::Unproven, ties, rng, excluded))
    }

    /// By chance two passes and one draw: a draw per tie would cost more than the second pass does.
    fn least(&self, standing: Standing, ties: Ties, rng: &mut impl Rng, excluded: &[u32]) -> Option<u32> {
        let Load { slots, used } = self.totals[standing as usize].load;
        if used == slots {
            return None;
        }
        let open = || {
            (0u32..).zip(&self.line).filter_map(move |(key, seat)| {
                let seat = seat.as_ref()?;
                (seat.standing == standing && seat.used < seat.max && !excluded.contains(&key)).then_some((key, seat.used))
            })
        };
        if ties == Ties::Lowest {
            return first_least(open());
        }
        let (mut least, mut tied) = (u32::MAX, 0u32);
        for (_, used) in open() {
            if used < least {
                (least, tied) = (used, 1);
            } else if used == least {
                tied += 1;
            }
        }
        let nth = if tied > 1 { rng.random_range(0..tied) } else { 0 };
        open().filter(|(_, used)| *used == least).nth(nth as usize).map(|(key, _)| key)
    }

    /// Slots of all dynos that take requests, whatever their health.
    pub(super) fn slots(&self) -> u32 {
        self.totals.iter().map(|total| total.load.slots).sum()
    }

    /// Whether a dyno with room is to be had now.
    pub(super) fn has_room(&self) -> bool {
        let room = |standing: Standing| {
            let Load { slots, used } = self.totals[standing as usize].load;
            used < slots
        };
        if self.any_hope() { room(Standing::Up) || room(Standing::Unproven) } else { room(Standing::Down) }
    }

    /// How full the dynos are that requests are given to. A block whose dynos are all down still gives them requests, but tells the
    /// edges that it is full, so that they prefer any other.
    pub(super) fn load(&self) -> Load {
        let of = |standing: Standing| self.totals[standing as usize].load;
        if self.any_hope() {
            let (up, unproven) = (of(Standing::Up), of(Standing::Unproven));
            Load { slots: up.slots + unproven.slots, used: up.used + unproven.used }
        } else {
            let slots = of(Standing::Down).slots;
            Load { slots, used: slots }
        }
    }

    pub(super) fn check_invariants(&self) {
        let mut totals = [Total::default(); 3];
        for seat in self.line.iter().flatten() {
            assert!(seat.used <= seat.max, "a seat counts more than it has: {seat:?}");
            let total = &mut totals[seat.standing as usize];
            total.seats += 1;
            total.load.slots += seat.max;
            total.load.used += seat.used;
        }
        assert_eq!(totals, self.totals, "the kept sums are not those of the seats");
    }
}

/// The first key of those with the fewest slots taken; an idle dyno ends the search, for none has fewer.
fn first_least(open: impl Iterator<Item = (u32, u32)>) -> Option<u32> {
    let mut best: Option<(u32, u32)> = None;
    for (key, used) in open {
        if best.is_none_or(|(_, least)| used < least) {
            best = Some((key, used));
        }
        if used == 0 {
            break;
        }
    }
    best.map(|(key, _)| key)
}
