//! What of the wanted moves may be made now.
//!
//! A wanted move is held back by the first thing that stands in its way: a dyno that rests, a block without room or still being filled,
//! enough of its app or enough of all on the move. Room is judged by what is assigned now and what this plan adds: a place that another
//! move of the same plan leaves free does not count, since that move may fail.

use std::collections::BTreeMap;

use super::mesh::{Mesh, Nth};
use super::observation::Standing;
use super::outcome::{HeldBack, Move};
use super::planner::{Planner, Stage, Want};
use super::policy::{Percent, Policy};
use super::reason::Wait;
use crate::time::{Span, Time};

/// Takes moves as long as there is nothing against them.
pub(super) struct Emitter<'a> {
    pub(super) before: &'a Mesh<'a>,
    /// `before` with the moves taken so far.
    pub(super) after: Mesh<'a>,
    pub(super) policy: &'a Policy,
    pub(super) moves: Vec<Move>,
    /// Estimated requests after the moves, in millionths, by app and block; only where the block told or a dyno brought some along.
    pub(super) demand: BTreeMap<(Nth, Nth), u64>,
    unfinished: u32,
    /// Moves of this plan by app.
    by_app: BTreeMap<Nth, u32>,
    /// Moves of this plan into each block.
    into: BTreeMap<Nth, u32>,
    held: BTreeMap<Wait, u32>,
}

impl<'a> Emitter<'a> {
    pub(super) fn new(before: &'a Mesh<'a>, unfinished: u32, policy: &'a Policy) -> Self {
        let apps = before.apps.iter().enumerate();
        let told = apps.flat_map(|(nth, app)| app.loads.iter().map(move |(block, load)| ((nth, *block), load.demand() * 1_000_000)));
        Emitter {
            before,
            after: before.clone(),
            policy,
            moves: Vec::new(),
            demand: told.collect(),
            unfinished,
            by_app: BTreeMap::new(),
            into: BTreeMap::new(),
            held: BTreeMap::new(),
        }
    }

    /// Takes the move or notes what it waits for.
    pub(super) fn offer(&mut self, want: &Want) {
        match self.obstacle(want) {
            Some(wait) => *self.held.entry(wait).or_default() += 1,
            None => self.take(want),
        }
    }

    fn obstacle(&self, want: &Want) -> Option<Wait> {
        let (dyno, to) = (&self.before.dynos[want.dyno], &self.before.blocks[want.to]);
        let app = &self.before.apps[dyno.app];
        if want.stage > Stage::Room && dyno.resting {
            return Some(Wait::Resting { app: app.name.clone(), rest: self.policy.dyno_rest });
        }
        if to.dynos + self.into.get(&want.to).copied().unwrap_or_default() >= to.room {
            return Some(Wait::Full { block: to.name.clone() });
        }
        let filled = filled(to.age, self.policy);
        if want.stage > Stage::Room && filled < Percent(100) {
            let most = self.before.fair * u64::from(filled.0) / 100;
            if self.after.blocks[want.to].slots + dyno.slots() > most {
                return Some(Wait::Filling { block: to.name.clone(), filled });
            }
        }
        let rescue = want.stage == Stage::Rescue;
        let most = if rescue { self.policy.rescues_max } else { self.policy.moves_max };
        if self.unfinished >= most {
            return Some(Wait::Limit { most });
        }
        let most = app_most(app.all, self.policy);
        let moving = app.unfinished + self.by_app.get(&dyno.app).copied().unwrap_or_default();
        if !rescue && moving >= most {
            return Some(Wait::App { app: app.name.clone(), most });
        }
        (want.stage > Stage::Room && self.overfills_zone(want)).then(|| Wait::Zone { app: app.name.clone(), block: to.name.clone() })
    }

    /// Whether the move adds to a zone that has too much of the app already: the moves that relieve it come first.
    fn overfills_zone(&self, want: &Want) -> bool {
        let zone = self.before.blocks[want.to].zone;
        if want.from.is_some_and(|from| self.before.blocks[from].zone == zone) {
            return false;
        }
        let app = &self.after.apps[self.before.dynos[want.dyno].app];
        let zones = self.after.by_zone(app.groups.iter().map(|(block, group)| (*block, group.slots)));
        let even = Percent::of(1, zones.len() as u64);
        let most = self.policy.zone_max.max(even).share_of(zones.values().sum());
        zones.get(&zone).is_some_and(|slots| *slots > most)
    }

    fn take(&mut self, want: &Want) {
        let app = self.before.dynos[want.dyno].app;
        self.carry_demand(want);
        let reason = self.reason(want);
        let gain = self.gain_of(want, |emitter| emitter.after.carry(want.dyno, want.to));
        let name = |nth: Nth| self.before.blocks[nth].name.clone();
        self.moves.push(Move {
            dyno: self.before.dynos[want.dyno].id.clone(),
            app: self.before.apps[app].name.clone(),
            from: want.from.map(name),
            to: name(want.to),
            reason,
            gain,
        });
        self.unfinished += 1;
        *self.by_app.entry(app).or_default() += 1;
        *self.into.entry(want.to).or_default() += 1;
    }

    /// A dyno that leaves a group that ends, or begins one, takes its part of the requests along.
    fn carry_demand(&mut self, want: &Want) {
        let dyno = &self.before.dynos[want.dyno];
        let Some(from) = want.from else { return };
        let told = self.before.apps[dyno.app].demand_in(want.to).is_some();
        let stays = matches!(want.stage, Stage::Load | Stage::Zones | Stage::Room) && told;
        let Some(load) = self.before.apps[dyno.app].loads.get(&from).filter(|load| !stays && load.slots > 0) else { return };
        let part = load.demand() * 1_000_000 * dyno.slots() / u64::from(load.slots);
        let had = self.demand.entry((dyno.app, from)).or_default();
        let part = part.min(*had);
        *had -= part;
        *self.demand.entry((dyno.app, want.to)).or_default() += part;
    }

    /// The moves taken, and all that waits: what the wanted ones met, then what could not even be wanted.
    pub(super) fn finish(mut self, planner: &Planner<'_>) -> (Vec<Move>, Vec<HeldBack>) {
        if planner.roomless > 0 {
            self.held.insert(Wait::NoRoom, planner.roomless);
        }
        for (block, dynos) in &planner.arriving {
            self.held.insert(Wait::Arriving { block: self.before.blocks[*block].name.clone() }, *dynos);
        }
        let held_back = self.held.into_iter().map(|(wait, dynos)| HeldBack { dynos, wait }).collect();
        (self.moves, held_back)
    }

    /// Notes the dynos of lost blocks.
    pub(super) fn note_lost(&mut self, now: Time) {
        for block in self.before.blocks.iter().filter(|block| block.dynos > 0) {
            let silent = match block.standing {
                Some(Standing::Lost(since)) => Some(whole_seconds(now.since(since))),
                None => None,
                Some(_) => continue,
            };
            self.held.insert(Wait::Lost { block: block.name.clone(), silent }, block.dynos);
        }
    }
}

/// The part of its fair part that a block of this age may have.
pub(super) fn filled(age: Span, policy: &Policy) -> Percent {
    if age >= policy.fill { Percent(100) } else { Percent(Percent::of(age.as_millis(), policy.fill.as_millis()).0.min(99)) }
}

/// Dynos of an app that may be on the move at once.
pub(super) fn app_most(dynos: u32, policy: &Policy) -> u32 {
    u32::try_from(u64::from(dynos) * u64::from(policy.app_max.0) / 100).unwrap_or(u32::MAX).max(1)
}

fn whole_seconds(span: Span) -> Span {
    Span::from_secs(span.as_millis() / 1000)
}
