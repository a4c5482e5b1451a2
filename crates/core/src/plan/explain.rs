//! From a wanted move to its sentences: figures as they were observed for the reason, as they change move by move for the gain.

use super::emit::{Emitter, filled};
use super::mesh::{App, Group, Mesh, Nth};
use super::observation::{Observation, Standing};
use super::outcome::{Amount, BlockChange, GroupChange};
use super::planner::{Stage, Want};
use super::policy::Percent;
use super::reason::{Gain, Part, Reason};
use super::sites::Because;
use crate::id::{BlockName, Zone};
use std::collections::{BTreeMap, BTreeSet};

impl Emitter<'_> {
    pub(super) fn reason(&self, want: &Want) -> Reason {
        let Some(from) = want.from else { return Reason::Waiting };
        let (mesh, app) = (self.before, &self.before.apps[self.before.dynos[want.dyno].app]);
        let block = mesh.blocks[from].name.clone();
        match (want.stage, want.because) {
            (Stage::Rescue, _) => Reason::Evicted { block },
            (Stage::Drain, _) => Reason::Draining { block },
            (Stage::Room, _) => Reason::Room { block, dynos: mesh.blocks[from].dynos, room: mesh.blocks[from].room },
            (Stage::Zones, _) => self.zone_reason(app, from),
            (_, Some(Because::Crowd)) if mesh.blocks[from].slots > mesh.fair => self.crowd_reason(from, want.to),
            (_, Some(Because::Survival)) => {
                Reason::Survival { app: app.name.clone(), blocks: count(app), least: self.policy.blocks_min.min(app.dynos) }
            }
            (_, Some(Because::Large | Because::Zones)) => {
                Reason::Large { app: app.name.clone(), dynos: app.dynos, blocks: count(app), group: app.group }
            }
            (_, Some(Because::Small | Because::Crowd)) => Reason::Small {
                app: app.name.clone(),
                group: part(mesh, app, from),
                dynos: app.dynos,
                blocks: count(app),
                to: mesh.blocks[want.to].name.clone(),
            },
            (_, None) => {
                Reason::Load { app: app.name.clone(), dynos: app.dynos, from: part(mesh, app, from), to: part(mesh, app, want.to) }
            }
        }
    }

    fn zone_reason(&self, app: &App<'_>, from: Nth) -> Reason {
        let zone = self.before.blocks[from].zone;
        let held = held(self.before, app, zone);
        Reason::Zone { app: app.name.clone(), zone: named(self.before, zone), held, most: self.policy.zone_max }
    }

    fn crowd_reason(&self, from: Nth, to: Nth) -> Reason {
        let (blocks, fair) = (&self.before.blocks, self.before.fair);
        Reason::Crowd {
            from: blocks[from].name.clone(),
            slots: blocks[from].slots,
            to: blocks[to].name.clone(),
            to_slots: blocks[to].slots,
            fair,
            new: filled(blocks[to].age, self.policy) < Percent(100),
        }
    }

    /// Carries the move out and tells what that gained.
    pub(super) fn gain_of(&mut self, want: &Want, carry: impl FnOnce(&mut Self)) -> Gain {
        let app = self.before.dynos[want.dyno].app;
        let zone = want.from.map(|from| self.before.blocks[from].zone);
        let old = zone.map(|zone| held(&self.after, &self.after.apps[app], zone));
        let load = |emitter: &Self| emitter.load_in(&emitter.after, app, want.to);
        let busy = load(self);
        carry(self);
        let (to, blocks) = (&self.after.blocks[want.to], &self.after.blocks);
        let group =
            || Gain::Group { block: to.name.clone(), dynos: self.after.apps[app].groups.get(&want.to).map_or(0, |group| group.dynos) };
        match (want.stage, want.from, busy, load(self)) {
            (Stage::Rescue, ..) | (_, None, ..) => Gain::Serves { slots: self.before.dynos[want.dyno].slots() },
            (Stage::Drain | Stage::Room, Some(from), ..) => Gain::Leaves { block: blocks[from].name.clone(), dynos: blocks[from].dynos },
            (Stage::Zones, Some(from), ..) => {
                let zone = blocks[from].zone;
                let after = held(&self.after, &self.after.apps[app], zone);
                Gain::Zone { zone: named(self.before, zone), before: old.unwrap_or_default(), after }
            }
            (Stage::Crowd, ..) if to.slots <= self.before.fair => {
                Gain::Slots { block: to.name.clone(), slots: to.slots, fair: self.before.fair }
            }
            (Stage::Load, _, Some(before), Some(after)) if after < before => Gain::Load { block: to.name.clone(), before, after },
            (Stage::Groups | Stage::Load | Stage::Crowd, ..) => group(),
        }
    }

    /// Estimated load of an app in a block; `None` if nobody told.
    pub(super) fn load_in(&self, mesh: &Mesh<'_>, app: Nth, block: Nth) -> Option<Percent> {
        let slots = mesh.apps[app].slots_in(block);
        let demand = self.demand.get(&(app, block))?;
        (slots > 0).then(|| Percent::of(*demand, slots * 1_000_000))
    }

    /// What changes: every block of each app that moves, and every block that gives or takes.
    pub(super) fn changes(&self, seen: &Observation) -> (Vec<GroupChange>, Vec<BlockChange>) {
        let concerned: BTreeSet<Nth> =
            self.after.dynos.iter().zip(&self.before.dynos).filter(|(a, b)| a.block != b.block).map(|(dyno, _)| dyno.app).collect();
        let mut groups: BTreeMap<(Nth, Option<Nth>), (Amount, Amount)> = BTreeMap::new();
        for (after, before) in self.after.dynos.iter().zip(&self.before.dynos).filter(|(dyno, _)| concerned.contains(&dyno.app)) {
            groups.entry((before.app, before.block)).or_default().0.add(before.slots());
            groups.entry((after.app, after.block)).or_default().1.add(after.slots());
        }
        for ((app, block), (before, after)) in &mut groups {
            let Some(block) = *block else { continue };
            let told = self.before.apps[*app].demand_in(block).filter(|_| before.slots > 0);
            before.load = told.map(|demand| Percent::of(demand, before.slots));
            let demand = self.demand.get(&(*app, block)).filter(|_| after.slots > 0);
            after.load = demand.map(|demand| Percent::of(*demand, after.slots * 1_000_000));
        }
        let touched: BTreeSet<Nth> = self
            .after
            .dynos
            .iter()
            .zip(&self.before.dynos)
            .filter(|(a, b)| a.block != b.block)
            .flat_map(|(a, b)| [a.block, b.block])
            .flatten()
            .collect();
        let groups = groups.into_iter().map(|((app, block), (before, after))| GroupChange {
            app: self.before.apps[app].name.clone(),
            block: block.map(|block| self.before.blocks[block].name.clone()),
            before,
            after,
        });
        (groups.collect(), touched.into_iter().map(|block| self.block_change(block, seen)).collect())
    }

    fn block_change(&self, nth: Nth, seen: &Observation) -> BlockChange {
        let (before, after) = (&self.before.blocks[nth], &self.after.blocks[nth]);
        let loads = self.before.apps.iter().filter_map(|app| app.loads.get(&nth));
        let demand: Option<u64> = loads.map(|load| load.demand()).reduce(|a, b| a + b);
        let later = (0..self.before.apps.len()).filter_map(|app| self.demand.get(&(app, nth)).copied()).reduce(|a, b| a + b);
        let load = |demand: Option<u64>, slots: u64| demand.filter(|_| slots > 0).map(|demand| Percent::of(demand, slots * 1_000_000));
        BlockChange {
            block: before.name.clone(),
            zone: named(self.before, before.zone),
            standing: standing(before.name, seen).to_string(),
            before: Amount { dynos: before.dynos, slots: before.slots, load: load(demand.map(|demand| demand * 1_000_000), before.slots) },
            after: Amount { dynos: after.dynos, slots: after.slots, load: load(later, after.slots) },
        }
    }
}

impl Amount {
    fn add(&mut self, slots: u64) {
        self.dynos += 1;
        self.slots += slots;
    }
}

fn standing(block: &BlockName, seen: &Observation) -> &'static str {
    match seen.blocks.get(block).map(|block| block.standing) {
        Some(Standing::Serving) => "serving",
        Some(Standing::Draining) => "draining",
        Some(Standing::Lost(_)) | None => "lost",
        Some(Standing::Evicted) => "evicted",
    }
}

/// Blocks that an app is in, lost ones included.
fn count(app: &App<'_>) -> u32 {
    u32::try_from(app.groups.len() + app.lost.len()).unwrap_or(u32::MAX)
}

fn part(mesh: &Mesh<'_>, app: &App<'_>, block: Nth) -> Part {
    let slots = app.slots_in(block);
    let load = app.demand_in(block).filter(|_| slots > 0).map(|demand| Percent::of(demand, slots));
    Part { block: mesh.blocks[block].name.clone(), dynos: app.groups.get(&block).map_or(0, |group: &Group| group.dynos), load }
}

fn held(mesh: &Mesh<'_>, app: &App<'_>, zone: Nth) -> Percent {
    let by_zone = mesh.by_zone(app.groups.iter().map(|(block, group)| (*block, group.slots)));
    Percent::of(by_zone.get(&zone).copied().unwrap_or(0), by_zone.values().sum())
}

fn named(mesh: &Mesh<'_>, zone: Nth) -> Option<Zone> {
    mesh.zones[zone].cloned()
}
