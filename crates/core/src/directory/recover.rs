//! Recovering a directory from the map.
//!
//! A directory that lost its disks, or was restored from a backup, knows less than it once said: what it wrote then is still in the map,
//! published by the blocks that acted on it, and under higher stamps than it would now give out. So before it writes again it takes
//! back what the map knows and goes on under a new generation, whose stamps outrank all earlier ones (P17, P19). What it takes back keeps its
//! epoch; nothing is dispatched by it, for only blocks own dynos.

use super::command::{Command, Refusal, Reply};
use super::record::{AppRecord, BlockRecord, DynoRecord, Place, RemovedBlock};
use super::state::{DirectoryState, STAMP_LOG_BITS};
use crate::id::{AppName, DynoId, Epoch, Index, Version};
use crate::map::MapView;
use crate::map::fact::{AppFact, AssignedFact, EvictedFact, OwnedFact};

/// Most words in one command of a recovery: one log entry must not grow without bound.
const PART_MAX: usize = 500;

/// Words of the map that a directory takes back.
pub(super) struct Words {
    pub(super) apps: Vec<AppFact>,
    pub(super) dynos: Vec<AssignedFact>,
    pub(super) evicted: Vec<EvictedFact>,
}

/// The commands by which a directory takes back what the map knows, in this order; none if there is nothing to take back.
pub fn recovery(view: &MapView, state: &DirectoryState) -> Vec<Command> {
    if !state.must_recover(view) && !misses(view, state) {
        return Vec::new();
    }
    let newest = view.newest_stamp().max(state.last_stamp()) >> STAMP_LOG_BITS;
    let Ok(generation) = u16::try_from(newest + 1) else { return Vec::new() };
    let (apps, deleted): (Vec<AppFact>, Vec<AppFact>) = view.apps().cloned().partition(|app| app.spec.is_some());
    let dynos: Vec<AssignedFact> = view.assigned().cloned().collect();
    let evicted: Vec<EvictedFact> = view.evictions().cloned().collect();
    let part = |apps: &[AppFact], dynos: &[AssignedFact], evicted: &[EvictedFact], last| Command::Recover {
        generation,
        apps: apps.to_vec(),
        dynos: dynos.to_vec(),
        evicted: evicted.to_vec(),
        last,
    };
    let mut parts: Vec<Command> = evicted.chunks(PART_MAX).map(|evicted| part(&[], &[], evicted, false)).collect();
    parts.extend(apps.chunks(PART_MAX / 10).map(|apps| part(apps, &[], &[], false)));
    parts.extend(dynos.chunks(PART_MAX).map(|dynos| part(&[], dynos, &[], false)));
    // An app can only go after its dynos have.
    parts.extend(deleted.chunks(PART_MAX).map(|apps| part(apps, &[], &[], false)));
    parts.push(part(&[], &[], &[], true));
    parts
}

/// What the map knows and a recovered directory does not, and what to do about it, one sentence each.
pub fn left_out(view: &MapView, state: &DirectoryState) -> Vec<String> {
    let ended = |id: &DynoId, epoch: Epoch| state.gone.iter().any(|(end, gone)| gone.id == *id && *end >= epoch);
    let apps = view.apps().filter(|app| app.spec.is_some() && !state.apps.contains_key(&app.name));
    let deleted = |app: &&AppFact| !state.deleted.range(app.version..).any(|(_, name)| *name == app.name);
    let apps = apps
        .filter(deleted)
        .map(|app| format!("app {} was not taken back: another has its host; create it with hosts of its own", app.name));
    let dynos = view.assigned().filter(|dyno| !state.dynos.contains_key(&dyno.dyno.id) && !ended(&dyno.dyno.id, dyno.epoch));
    let dynos = dynos.filter_map(|fact| {
        let (id, app, address, block) = (&fact.dyno.id, &fact.dyno.app, fact.dyno.address, fact.block.as_ref()?);
        let why = match state.addresses.get(&address) {
            Some(other) => format!("its address {address} belongs to dyno {other}; remove one of them"),
            None => format!("its app is not known; create {app}, then add {id} at {address}"),
        };
        Some(format!("dyno {id} of app {app} in block {block} was not taken back: {why}"))
    });
    let unsaid = |id: &DynoId| !state.dynos.contains_key(id) && view.assignment(id).is_none();
    let held = |owned: &&OwnedFact| {
        let released = view.released(&owned.dyno, &owned.block) >= Some(owned.epoch);
        unsaid(&owned.dyno) && !released && !ended(&owned.dyno, owned.epoch)
    };
    let owned = view.owned().filter(held).map(|owned| {
        format!(
            "dyno {0} is owned by block {1}, and nobody knows its address; add it anew under this id, at the address where it listens and in \
             that block and no other: dynomesh dyno add APP ADDR --id {0} --block {1}",
            owned.dyno, owned.block
        )
    });
    apps.chain(dynos).chain(owned).collect()
}

/// Whether the map holds the assignment of a dyno that the directory could have and does not: it was recovered before all was heard. Linear
/// in the map's size.
pub fn misses(view: &MapView, state: &DirectoryState) -> bool {
    view.assigned().any(|fact| {
        let ended = state.gone.iter().any(|(end, gone)| gone.id == fact.dyno.id && *end >= fact.epoch);
        let app = || state.apps.contains_key(&fact.dyno.app) || view.app(&fact.dyno.app).is_some_and(|app| app.spec.is_some());
        let free = || !state.addresses.contains_key(&fact.dyno.address);
        fact.block.is_some() && !state.dynos.contains_key(&fact.dyno.id) && !ended && free() && app()
    })
}

impl DirectoryState {
    /// Raised by every recovery; the upper part of every stamp.
    pub fn generation(&self) -> u16 {
        self.generation
    }

    pub(super) fn recover(&mut self, at: Index, generation: u16, words: Words, last: bool) -> Result<Reply, Refusal> {
        let Words { apps, dynos, evicted } = words;
        let under_way = self.recovering && generation == self.generation;
        if generation <= self.generation && !under_way {
            let sentence = format!("generation {generation} must be higher than {}, which the directory has", self.generation);
            return Err(Refusal::invalid("generation", sentence));
        }
        let newest = apps.iter().map(|app| app.version.0).chain(dynos.iter().map(|dyno| dyno.epoch.0)).max().unwrap_or(0);
        if newest >> STAMP_LOG_BITS >= u64::from(generation) {
            return Err(Refusal::invalid(
                "generation",
                format!("{generation} must be higher than that of stamp {newest}, which the map holds"),
            ));
        }
        (self.generation, self.recovering) = (generation, !last);
        // Its stamps follow the log as before; the generation alone puts them above all others.
        evicted.into_iter().for_each(|fact| self.take_back_eviction(fact));
        apps.into_iter().for_each(|app| self.take_back_app(app));
        dynos.into_iter().for_each(|dyno| self.take_back_dyno(dyno));
        let stamp = self.stamp(at);
        Ok(Reply::Done { changed: true, stamp })
    }

    /// A group that was evicted stays out, and its name is spent.
    fn take_back_eviction(&mut self, fact: EvictedFact) {
        let EvictedFact { block, group, version } = fact;
        if !self.was_removed(group) && self.blocks.values().all(|known| known.group != Some(group)) {
            self.removed.insert(version, RemovedBlock { name: block, group: Some(group), evicted: true });
        }
    }

    fn take_back_app(&mut self, fact: AppFact) {
        let AppFact { name, version, spec } = fact;
        let Some(spec) = spec else { return self.take_back_end(&name, version) };
        let newer =
            self.apps.get(&name).is_none_or(|known| known.version < version) && !self.deleted.range(version..).any(|(_, n)| *n == name);
        let host_taken = spec.hosts.iter().any(|host| self.hosts.get(host).is_some_and(|owner| *owner != name));
        if !newer || host_taken || spec.check().is_err() {
            return;
        }
        self.hosts.retain(|_, owner| *owner != name);
        self.hosts.extend(spec.hosts.iter().map(|host| (host.clone(), name.clone())));
        let dynos = self.apps.get(&name).map_or(0, |known| known.dynos);
        self.deleted.retain(|_, deleted| *deleted != name);
        self.apps.insert(name, AppRecord { spec, version, dynos });
    }

    fn take_back_end(&mut self, name: &AppName, version: Version) {
        let Some(known) = self.apps.get(name).filter(|known| known.version < version && known.dynos == 0) else { return };
        let name = known.spec.name.clone();
        self.apps.remove(&name);
        self.hosts.retain(|_, owner| *owner != name);
        self.deleted.insert(version, name);
    }

    fn take_back_dyno(&mut self, fact: AssignedFact) {
        let AssignedFact { dyno: spec, epoch, block, drain, mut after, cut } = fact;
        let known = self.dynos.get(&spec.id);
        let newer =
            known.is_none_or(|known| known.epoch < epoch) && !self.gone.iter().any(|(end, gone)| gone.id == spec.id && *end > epoch);
        let elsewhere = self.addresses.get(&spec.address).is_some_and(|owner| *owner != spec.id);
        if !newer || elsewhere || (block.is_some() && !self.apps.contains_key(&spec.app)) {
            return;
        }
        after.sort();
        after.dedup_by(|a, b| a.block == b.block);
        for name in after.iter().map(|earlier| &earlier.block).chain(&block) {
            // To be bound to the group that shows itself under this name.
            self.blocks.entry(name.clone()).or_insert_with(|| BlockRecord::new(name.clone(), None, Version(0)));
        }
        if let Some(known) = self.dynos.get(&spec.id) {
            self.addresses.remove(&known.spec.address.clone());
        }
        self.unfile(&spec.id);
        self.gone.retain(|_, gone| gone.id != spec.id);
        self.addresses.insert(spec.address, spec.id.clone());
        let (id, drain) = (spec.id.clone(), drain || block.is_none());
        let place = block.map_or(Place::Removed, Place::At);
        self.file(DynoRecord { spec, epoch, place, drain, after, cut });
        self.end_if_clear(&id);
    }
}
