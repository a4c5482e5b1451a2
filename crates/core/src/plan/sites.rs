//! Which blocks an app belongs in.
//!
//! Least-conn needs groups of some size to find an idle dyno, and an app in few blocks needs few queues; so an app of n dynos belongs in
//! about n / group blocks, in at least two where it has two dynos, and in more than one zone where there are zones. Between the bounds
//! of [`Bounds`] nothing is opened or closed for the sake of the number alone.
//!
//! What keeps this from swinging: a block is opened below the lower bound and closed above the upper one only. Which one is closed is
//! asked anew in every round while it is being emptied, and the answer must not change: it goes by what *other* apps have in the block, which
//! the app's own moves do not alter, and then by the size of the group, which shrinks in the block that is closed and grows elsewhere.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::mesh::{App, Mesh, Nth};
use super::policy::Policy;

/// Fewest and most blocks of an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) least: usize,
    pub(super) most: usize,
    /// Zones it has to be in.
    pub(super) zones: usize,
}

/// Why a block is taken or left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Because {
    /// One block more survives the loss of one.
    Survival,
    /// Groups are too large.
    Large,
    /// Groups are too small.
    Small,
    /// Too few zones.
    Zones,
    /// A block has more of all apps than its part, another less.
    Crowd,
}

/// The blocks of an app as they should be.
#[derive(Debug, Clone, Default)]
pub(super) struct Sites {
    /// Those it has and keeps, and those that it gets.
    pub(super) keep: BTreeSet<Nth>,
    /// Those of `keep` that are new to it.
    pub(super) opened: Vec<(Nth, Because)>,
    /// Those it has and leaves.
    pub(super) closed: Vec<(Nth, Because)>,
}

impl Bounds {
    pub(super) fn new(mesh: &Mesh<'_>, app: &App<'_>, policy: &Policy) -> Self {
        let dynos = app.dynos as usize;
        let usable = mesh.serving().count() + app.lost.len();
        let group = app.group as usize;
        let floor = (policy.blocks_min as usize).min(dynos).min(usable).max(1);
        let blocks = |percent: usize| (dynos * 200 + group * percent) / (group * percent * 2);
        let hysteresis = policy.hysteresis.0 as usize;
        let least = blocks(100 + hysteresis).min(usable).max(floor);
        let most = blocks(100 - hysteresis).min(dynos).max(least);
        let zones: BTreeSet<Nth> = mesh.serving().map(|block| mesh.blocks[block].zone).collect();
        let needed = 100usize.div_ceil(policy.zone_max.0.max(1) as usize);
        Bounds { least, most, zones: needed.min(zones.len()).min(most) }
    }
}

impl Mesh<'_> {
    /// The blocks that the app should be in, as near as can be to those it is in.
    pub(super) fn sites(&self, app: Nth, policy: &Policy) -> Sites {
        let of = &self.apps[app];
        let mut sites = Sites { keep: of.groups.keys().copied().collect(), ..Sites::default() };
        if of.dynos == 0 {
            return sites;
        }
        let bounds = Bounds::new(self, of, policy);
        self.open(of, &mut sites, bounds, policy);
        self.close(of, &mut sites, bounds, policy);
        sites
    }

    fn open(&self, app: &App<'_>, sites: &mut Sites, bounds: Bounds, policy: &Policy) {
        let mut zones = self.zones_of(sites.keep.iter());
        loop {
            let count = sites.keep.len() + app.lost.len();
            let because = match () {
                () if zones.len() < bounds.zones && !sites.keep.is_empty() => Because::Zones,
                () if count >= bounds.least => return,
                () if count < policy.blocks_min as usize => Because::Survival,
                () => Because::Large,
            };
            let fits = |block: &Nth| !sites.keep.contains(block) && self.has_room(*block);
            let new_zone = |block: &Nth| because != Because::Zones || !zones.contains_key(&self.blocks[*block].zone);
            let rank = |block: &Nth| {
                let (slots, zone) = (self.blocks[*block].slots, self.blocks[*block].zone);
                (self.is_crowded(slots, policy), zones.get(&zone).copied().unwrap_or(0), slots, *block)
            };
            let Some(best) = self.serving().filter(|block| fits(block) && new_zone(block)).min_by_key(rank) else { return };
            sites.keep.insert(best);
            *zones.entry(self.blocks[best].zone).or_default() += 1;
            sites.opened.push((best, because));
        }
    }

    fn close(&self, app: &App<'_>, sites: &mut Sites, bounds: Bounds, policy: &Policy) {
        let opened: BTreeSet<Nth> = sites.opened.iter().map(|(block, _)| *block).collect();
        let mut zones = self.zones_of(sites.keep.iter());
        while sites.keep.len() + app.lost.len() > bounds.most {
            let last_of_zone = |block: &Nth| zones.get(&self.blocks[*block].zone) == Some(&1);
            let leaves_zones = |block: &Nth| zones.len() > bounds.zones || !last_of_zone(block);
            let rank = |block: &Nth| {
                let (own, all) = (app.slots_in(*block), self.blocks[*block].slots);
                (!self.is_crowded_by_others(app, *block, policy), own, Reverse(all), *block)
            };
            let candidates = sites.keep.iter().copied().filter(|block| !opened.contains(block) && leaves_zones(block));
            let Some(worst) = candidates.min_by_key(rank) else { return };
            let crowd = self.is_crowded_by_others(app, worst, policy);
            sites.keep.remove(&worst);
            zones.entry(self.blocks[worst].zone).and_modify(|count| *count -= 1);
            zones.retain(|_, count| *count > 0);
            sites.closed.push((worst, if crowd { Because::Crowd } else { Because::Small }));
        }
    }

    /// For an app that has all it needs: a block with less than its part that could take some of it off a crowded one.
    pub(super) fn relief(&self, app: Nth, policy: &Policy) -> Option<Sites> {
        let of = &self.apps[app];
        let bounds = Bounds::new(self, of, policy);
        let count = of.groups.len() + of.lost.len();
        let keep: BTreeSet<Nth> = of.groups.keys().copied().collect();
        if count < bounds.most {
            let crowded = keep.iter().any(|block| self.is_crowded(self.blocks[*block].slots, policy));
            let part = of.slots.div_ceil(count as u64 + 1);
            let to = crowded.then(|| self.least_full(&keep, part)).flatten()?;
            let with = keep.iter().copied().chain([to]).collect();
            return Some(Sites { keep: with, opened: vec![(to, Because::Crowd)], closed: Vec::new() });
        }
        let crowded: Vec<Nth> = keep.iter().copied().filter(|block| self.is_crowded_by_others(of, *block, policy)).collect();
        crowded.into_iter().find_map(|from| {
            let to = self.least_full(&keep, of.slots_in(from))?;
            let with: BTreeSet<Nth> = keep.iter().copied().filter(|block| *block != from).chain([to]).collect();
            let zones = self.zones_of(with.iter()).len();
            (zones >= self.zones_of(keep.iter()).len()).then(|| Sites {
                keep: with,
                opened: vec![(to, Because::Crowd)],
                closed: vec![(from, Because::Crowd)],
            })
        })
    }

    /// The emptiest block apart from `but`, if so many slots more make it no more than its fair part.
    fn least_full(&self, but: &BTreeSet<Nth>, slots: u64) -> Option<Nth> {
        let free = self.serving().filter(|block| !but.contains(block) && self.has_room(*block));
        let best = free.min_by_key(|block| (self.blocks[*block].slots, *block))?;
        (self.blocks[best].slots + slots <= self.fair).then_some(best)
    }

    /// How many of the blocks each zone has.
    fn zones_of<'b>(&self, blocks: impl Iterator<Item = &'b Nth>) -> BTreeMap<Nth, usize> {
        let mut zones = BTreeMap::new();
        blocks.for_each(|block| *zones.entry(self.blocks[*block].zone).or_default() += 1);
        zones
    }

    fn is_crowded(&self, slots: u64, policy: &Policy) -> bool {
        slots * 100 > self.fair * u64::from(100 + policy.hysteresis.0)
    }

    fn is_crowded_by_others(&self, app: &App<'_>, block: Nth, policy: &Policy) -> bool {
        self.is_crowded(self.blocks[block].slots - app.slots_in(block), policy)
    }
}
