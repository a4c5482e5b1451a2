//! A mesh to plan for, said in few words.

use crate::id::{AppName, BlockName, DynoId, Zone};
use crate::plan::{BlockSeen, DEFAULTS, DynoSeen, LoadSeen, Observation, Plan, Policy, Standing, check_invariants, plan};
use crate::time::{Span, Time};

pub(super) fn app(name: &str) -> AppName {
    AppName::new(name).unwrap()
}

pub(super) fn block(name: &str) -> BlockName {
    BlockName::new(name).unwrap()
}

pub(super) fn dyno(name: &str) -> DynoId {
    DynoId::new(name).unwrap()
}

pub(super) fn zone(name: &str) -> Option<Zone> {
    (!name.is_empty()).then(|| Zone::new(name).unwrap())
}

/// An hour after the start, with a map that converges in 400 ms.
pub(super) fn town() -> Observation {
    Observation { now: Time::ZERO + Span::from_secs(3600), convergence: Some(Span::from_millis(400)), ..Observation::default() }
}

impl Observation {
    /// Blocks of one zone; no name, no zone.
    pub(super) fn blocks(mut self, of: &str, names: &[&str]) -> Self {
        self.blocks.extend(names.iter().map(|name| (block(name), BlockSeen::serving(zone(of)))));
        self
    }

    pub(super) fn standing(mut self, name: &str, standing: Standing) -> Self {
        self.blocks.get_mut(&block(name)).unwrap().standing = standing;
        self
    }

    pub(super) fn room(mut self, name: &str, room: u32) -> Self {
        self.blocks.get_mut(&block(name)).unwrap().room = room;
        self
    }

    /// So long ago.
    pub(super) fn first_seen(mut self, name: &str, age: Span) -> Self {
        self.blocks.get_mut(&block(name)).unwrap().since = self.now - age;
        self
    }

    /// More idle dynos of an app in a block, or in none.
    pub(super) fn dynos(mut self, of: &str, at: &str, count: usize) -> Self {
        let had = self.dynos.values().filter(|dyno| dyno.app == app(of)).count();
        let at = (!at.is_empty()).then(|| block(at));
        self.dynos.extend((had + 1..=had + count).map(|nth| (dyno(&format!("{of}.{nth:03}")), DynoSeen::resident(app(of), at.clone()))));
        self
    }

    pub(super) fn with(mut self, id: &str, change: impl FnOnce(&mut DynoSeen)) -> Self {
        change(self.dynos.get_mut(&dyno(id)).unwrap());
        self
    }

    pub(super) fn load(mut self, of: &str, at: &str, slots: u32, used: u32, queued: u32) -> Self {
        self.loads.insert((app(of), block(at)), LoadSeen { slots, used, queued });
        self
    }

    /// The plan by default, and that it breaks nothing.
    pub(super) fn planned(&self) -> Plan {
        self.planned_by(&DEFAULTS)
    }

    pub(super) fn planned_by(&self, policy: &Policy) -> Plan {
        let plan = plan(self, policy);
        check_invariants(self, policy, &plan);
        plan
    }
}
