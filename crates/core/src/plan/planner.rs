//! Which moves are wanted, in which order.
//!
//! The planner carries every move it wants out on a model, as far as that goes; what of it may be done *now* is decided afterwards
//! ([`super::outcome`]). Each app is led through four stages and goes no further than the first that wants anything: place dynos that have
//! to leave, relieve blocks that are over their room, settle which blocks the app is in, even out what it has in them. Apps
//! that want nothing of this may then relieve crowded blocks.
//!
//! Why that ends, and never goes in a circle, as long as the input stays the same. Take, for an app, this row of whole numbers:
//! dynos that have to leave; dynos over the room of their blocks; zones and blocks it lacks; slots in blocks that are one too many; the
//! distance, summed over its blocks, between the slots it has there and those it should have ([`Mesh::wish`], which does not depend
//! on where the dynos are among these blocks). Every move lowers the first number that it changes: a dyno that has to leave goes to a
//! serving block; a block is opened or closed only outside the bounds, and moves that even out wait until all is settled. They
//! go from above the wish to below it and overshoot at neither end, so that each takes twice the dyno's slots off the distance. What
//! has given never takes, what has taken never gives: no dyno is moved twice for balance. Hysteresis only leaves moves out. A
//! relief leaves a block that is crowded without the app's own dynos for one that is not above its fair part afterwards: it
//! lowers what crowded blocks have too much.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::mesh::{Mesh, Nth};
use super::observation::Standing;
use super::policy::Policy;
use super::sites::{Because, Sites};

/// What a move is wanted for, the most pressing first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// The dyno serves nobody.
    Rescue,
    /// Its block is to be empty.
    Drain,
    /// Its block is over its room.
    Room,
    /// Too much of an app in one zone.
    Zones,
    /// Groups too small or too large.
    Groups,
    /// Parts that do not fit the load.
    Load,
    /// Blocks that are too full as a whole.
    Crowd,
}

/// A move that would be good.
#[derive(Debug, Clone, Copy)]
pub(super) struct Want {
    pub(super) stage: Stage,
    pub(super) dyno: Nth,
    pub(super) from: Option<Nth>,
    pub(super) to: Nth,
    /// Of a block opened or closed: why.
    pub(super) because: Option<Because>,
}

/// Tries moves on its model.
pub(super) struct Planner<'a> {
    pub(super) model: Mesh<'a>,
    pub(super) policy: &'a Policy,
    pub(super) wants: Vec<Want>,
    /// Dynos that no block has room for.
    pub(super) roomless: u32,
    /// By draining block: dynos that are still on their way there.
    pub(super) arriving: BTreeMap<Nth, u32>,
}

/// Which moves between the blocks of an app are looked for.
struct Evening<'f> {
    stage: Stage,
    because: Option<Because>,
    gives: &'f dyn Fn(Nth) -> bool,
    takes: &'f dyn Fn(Nth) -> bool,
    /// Whether a gap within the hysteresis is left alone, and dynos that are down with it.
    calm: bool,
}

impl<'a> Planner<'a> {
    pub(super) fn new(model: Mesh<'a>, policy: &'a Policy) -> Self {
        Planner { model, policy, wants: Vec::new(), roomless: 0, arriving: BTreeMap::new() }
    }

    /// Looks for all moves.
    pub(super) fn run(&mut self) {
        let apps = 0..self.model.apps.len();
        let settled: Vec<Nth> = apps.filter(|app| self.settle(*app)).collect();
        for app in settled {
            self.relieve(app);
        }
        self.wants.sort_by_key(|want| want.stage);
    }

    /// Whether there is nothing left to do for the app on its own account.
    fn settle(&mut self, app: Nth) -> bool {
        let before = self.wants.len();
        self.place_strays(app);
        if self.wants.len() == before {
            self.shed(app);
        }
        if self.wants.len() == before {
            let sites = self.model.sites(app, self.policy);
            self.resettle(app, &sites);
            if self.wants.len() == before && sites.closed.is_empty() {
                self.even_out(app, &sites.keep);
            }
        }
        self.wants.len() == before
    }

    fn want(&mut self, stage: Stage, dyno: Nth, to: Nth, because: Option<Because>) {
        let from = self.model.dynos[dyno].block;
        self.model.carry(dyno, to);
        self.wants.push(Want { stage, dyno, from, to, because });
    }
}

// === impl stages ===

impl Planner<'_> {
    /// Dynos that wait come first, then those that leave a draining block, idle ones before busy ones.
    fn place_strays(&mut self, app: Nth) {
        let mut strays = std::mem::take(&mut self.model.apps[app].strays);
        if strays.is_empty() {
            return;
        }
        let drains =
            |mesh: &Mesh<'_>, nth: Nth| mesh.dynos[nth].block.filter(|block| mesh.blocks[*block].standing == Some(Standing::Draining));
        strays.sort_by_key(|nth| (drains(&self.model, *nth).is_some(), self.model.dynos[*nth].order()));
        let sites = self.model.sites(app, self.policy);
        let mut needs = Needs::new(&self.model, app, &self.model.wish(app, &sites.keep, self.policy));
        for nth in strays {
            let draining = drains(&self.model, nth);
            if let Some(block) = draining.filter(|_| self.model.dynos[nth].seen.moving) {
                *self.arriving.entry(block).or_default() += 1;
                continue;
            }
            let stage = if draining.is_some() { Stage::Drain } else { Stage::Rescue };
            match needs.greatest(&self.model).or_else(|| self.emptiest()) {
                Some(to) => {
                    needs.got(to, self.model.dynos[nth].slots());
                    self.want(stage, nth, to, None);
                }
                None => self.roomless += 1,
            }
        }
    }

    fn shed(&mut self, app: Nth) {
        let over = |mesh: &Mesh<'_>, block: Nth| mesh.blocks[block].dynos > mesh.blocks[block].room;
        let full: Vec<Nth> = self.model.apps[app].groups.keys().copied().filter(|block| over(&self.model, *block)).collect();
        if full.is_empty() {
            return;
        }
        let sites = self.model.sites(app, self.policy);
        let mut needs = Needs::new(&self.model, app, &self.model.wish(app, &sites.keep, self.policy));
        for from in full {
            while over(&self.model, from) {
                let Some(to) = needs.greatest(&self.model).or_else(|| self.emptiest()) else { break };
                let Some(nth) = self.model.take(app, from, self.model.blocks[to].zone, u64::MAX, false) else { break };
                needs.got(to, self.model.dynos[nth].slots());
                self.want(Stage::Room, nth, to, None);
            }
        }
    }

    /// Empties what the app leaves, and begins what it opens.
    fn resettle(&mut self, app: Nth, sites: &Sites) {
        if sites.opened.is_empty() && sites.closed.is_empty() {
            return;
        }
        let wish = self.model.wish(app, &sites.keep, self.policy);
        let mut needs = Needs::new(&self.model, app, &wish);
        for (from, leaves) in &sites.closed {
            while let Some(to) = needs.greatest(&self.model) {
                let Some(nth) = self.model.take(app, *from, self.model.blocks[to].zone, u64::MAX, false) else { break };
                needs.got(to, self.model.dynos[nth].slots());
                let because = sites.opened.iter().find(|(opened, _)| *opened == to).map_or(*leaves, |(_, because)| *because);
                self.want(stage_of(because), nth, to, Some(because));
            }
        }
        for (to, because) in &sites.opened {
            let takes = |block: Nth| block == *to;
            self.even(
                app,
                &wish,
                &Evening { stage: stage_of(*because), because: Some(*because), gives: &|_| true, takes: &takes, calm: false },
            );
        }
    }

    fn even_out(&mut self, app: Nth, keep: &BTreeSet<Nth>) {
        let wish = self.model.wish(app, keep, self.policy);
        let (zones, of) = (self.model.by_zone(wish.iter().map(|(block, slots)| (*block, *slots))), &self.model.apps[app]);
        let most = self.policy.zone_max.share_of(of.slots);
        let has = self.model.by_zone(of.groups.iter().map(|(block, group)| (*block, group.slots)));
        let over: BTreeSet<Nth> = has.iter().filter(|(zone, slots)| **slots > most.max(zones[*zone])).map(|(zone, _)| *zone).collect();
        if !over.is_empty() {
            let zone_of: Vec<Nth> = self.model.blocks.iter().map(|block| block.zone).collect();
            let (gives, takes) = (|block: Nth| over.contains(&zone_of[block]), |block: Nth| !over.contains(&zone_of[block]));
            self.even(app, &wish, &Evening { stage: Stage::Zones, because: None, gives: &gives, takes: &takes, calm: false });
        }
        self.even(app, &wish, &Evening { stage: Stage::Load, because: None, gives: &|_| true, takes: &|_| true, calm: true });
    }

    /// All that leaves goes to the new block: had it not come to that, the app would have the same blocks as before, and the next round would
    /// even out what this one did.
    fn relieve(&mut self, app: Nth) {
        let Some(sites) = self.model.relief(app, self.policy) else { return };
        for ((from, because), (to, _)) in sites.closed.iter().zip(&sites.opened) {
            while self.model.has_room(*to) {
                let Some(nth) = self.model.take(app, *from, self.model.blocks[*to].zone, u64::MAX, false) else { break };
                self.want(Stage::Crowd, nth, *to, Some(*because));
            }
        }
        if sites.closed.is_empty() {
            self.resettle(app, &sites);
        }
    }
}

// === impl choices ===

impl Planner<'_> {
    /// The block with room that has the fewest slots.
    fn emptiest(&self) -> Option<Nth> {
        let free = self.model.serving().filter(|block| self.model.has_room(*block));
        free.min_by_key(|block| (self.model.blocks[*block].slots, *block))
    }

    /// Moves dynos of an app from where there are too many to where there are too few, the greatest gap first.
    fn even(&mut self, app: Nth, wish: &BTreeMap<Nth, u64>, evening: &Evening<'_>) {
        let beyond = |a: u64, b: u64, whole: u64| a.saturating_sub(b) * 1_000_000 / whole.max(1);
        let of = &self.model.apps[app];
        let gaps = wish.iter().map(|(block, wish)| (*block, *wish, of.slots_in(*block)));
        let givers = gaps.clone().filter(|(block, wish, has)| has > wish && (evening.gives)(*block));
        let takers = gaps.filter(|(block, wish, has)| wish > has && (evening.takes)(*block));
        let mut givers: Gaps = givers.map(|(block, wish, has)| (beyond(has, wish, wish), Reverse(block))).collect();
        let mut takers: Gaps = takers.map(|(block, wish, has)| (beyond(wish, has, wish), Reverse(block))).collect();
        while let (Some(giver), Some(taker)) = (givers.last().copied(), takers.last().copied()) {
            let (from, to) = (giver.1.0, taker.1.0);
            if !self.model.has_room(to) {
                takers.remove(&taker);
                continue;
            }
            if evening.calm && giver.0 + taker.0 < u64::from(self.policy.hysteresis.0) * 10_000 {
                return;
            }
            let has = |mesh: &Mesh<'_>, block: Nth| mesh.apps[app].slots_in(block);
            let (over, under) = (has(&self.model, from) - wish[&from], wish[&to] - has(&self.model, to));
            let Some(nth) = self.model.take(app, from, self.model.blocks[to].zone, over.min(under), evening.calm) else {
                if over <= under {
                    givers.remove(&giver)
                } else {
                    takers.remove(&taker)
                };
                continue;
            };
            self.want(evening.stage, nth, to, evening.because);
            givers.remove(&giver);
            takers.remove(&taker);
            let (over, under) =
                (beyond(has(&self.model, from), wish[&from], wish[&from]), beyond(wish[&to], has(&self.model, to), wish[&to]));
            givers.extend((over > 0).then_some((over, Reverse(from))));
            takers.extend((under > 0).then_some((under, Reverse(to))));
        }
    }
}

/// How far blocks are from what they should have, in millionths of that.
type Gaps = BTreeSet<(u64, Reverse<Nth>)>;

/// The blocks of an app by what they lack.
struct Needs {
    lacks: BTreeMap<Nth, i128>,
    order: BTreeSet<(i128, Reverse<Nth>)>,
}

impl Needs {
    fn new(mesh: &Mesh<'_>, app: Nth, wish: &BTreeMap<Nth, u64>) -> Self {
        let lacks = |(block, slots): (&Nth, &u64)| (*block, i128::from(*slots) - i128::from(mesh.apps[app].slots_in(*block)));
        let lacks: BTreeMap<Nth, i128> = wish.iter().map(lacks).collect();
        Needs { order: lacks.iter().map(|(block, slots)| (*slots, Reverse(*block))).collect(), lacks }
    }

    /// The block with room that lacks most.
    fn greatest(&mut self, mesh: &Mesh<'_>) -> Option<Nth> {
        while let Some((slots, Reverse(block))) = self.order.last().copied() {
            if mesh.has_room(block) {
                return Some(block);
            }
            self.order.remove(&(slots, Reverse(block)));
        }
        None
    }

    fn got(&mut self, block: Nth, slots: u64) {
        let Some(lacks) = self.lacks.get_mut(&block) else { return };
        self.order.remove(&(*lacks, Reverse(block)));
        *lacks -= i128::from(slots);
        self.order.insert((*lacks, Reverse(block)));
    }
}

/// At which stage a block is opened or closed.
fn stage_of(because: Because) -> Stage {
    match because {
        Because::Zones => Stage::Zones,
        Because::Crowd => Stage::Crowd,
        Because::Survival | Because::Large | Because::Small => Stage::Groups,
    }
}
