//! Recovering a directory from the map.
//!
//! A directory that lost its disks, or was restored from a backup, knows less than it once said: what it wrote then is still in the map,
//! published by the blocks that acted on it, and under higher stamps than it would now give out. So before it writes again it takes
//! back what the map knows and goes on under a new generation, whose stamps outrank all earlier ones (P17, P19). What it takes back keeps its
//! epoch; nothing is dispatched by it, for only blocks own dynos.
//!
//! What it takes back is the last word that was *heard*: a later one may be known to a single block that is cut off, and obeyed by it.
//! No block would wait for that one, so a dyno gets no word of the new generation before the block that it is said to belong to says that it
//! owns it under just that epoch: then nobody has adopted since ([`may_say`]). From there on the promises tell: one that answers the words of an
//! earlier generation is no answer to the new ones, nor the other way round (`Predecessor::is_cleared_by`). A later word that is heard
//! afterwards is taken back by another recovery.

use super::command::{Command, Refusal, Reply};
use super::record::{AppRecord, BlockRecord, DynoRecord, Place, RemovedBlock};
use super::state::DirectoryState;
use crate::id::{AppName, DynoId, Epoch, Index, STAMP_LOG_BITS, Version};
use crate::map::MapView;
use crate::map::fact::{AppFact, AssignedFact, EvictedFact, OwnedFact, Predecessor};

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
    let dynos = view.assigned().filter(|fact| state.lacks(fact)).filter_map(|fact| {
        let (id, app, address, block) = (&fact.dyno.id, &fact.dyno.app, fact.dyno.address, fact.block.as_ref()?);
        let why = match state.addresses.get(&address) {
            Some(other) if other != id => format!("its address {address} belongs to dyno {other}; remove one of them"),
            _ => format!("its app is not known; create {app}, then add {id} at {address}"),
        };
        Some(format!("dyno {id} of app {app} in block {block} was not taken back: {why}"))
    });
    let unsaid = |id: &DynoId| !state.dynos.contains_key(id) && view.assignment(id).is_none();
    let held = |owned: &&OwnedFact| {
        let released = view.released(&owned.dyno, &owned.block) >= Some(owned.epoch);
        let speaks = view.speaks_for(&owned.block, owned.group);
        speaks && unsaid(&owned.dyno) && !released && !ended(&owned.dyno, owned.epoch)
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

/// Whether the map holds a word of an earlier directory that this one could take back and has not: the assignment of a dyno that it does
/// not know or knows under an older epoch, or the eviction of a block. It was recovered before all was heard. Linear in the map's size.
pub fn misses(view: &MapView, state: &DirectoryState) -> bool {
    let word = |fact: &AssignedFact| {
        let app = || state.apps.contains_key(&fact.dyno.app) || view.app(&fact.dyno.app).is_some_and(|app| app.spec.is_some());
        let free = || state.addresses.get(&fact.dyno.address).is_none_or(|owner| *owner == fact.dyno.id);
        state.lacks(fact) && free() && (fact.block.is_none() || app())
    };
    view.assigned().any(word) || view.evictions().any(|fact| state.lacks_eviction(fact))
}

/// Refuses a word about a dyno that another block than the directory knows of may own: the last word known of it is of an earlier generation,
/// and its block does not say that it owns it under that. Who removes it by force answers for it that nobody else does.
pub fn may_say(view: &MapView, state: &DirectoryState, command: &Command) -> Result<(), Refusal> {
    let id = match command {
        Command::RemoveDyno { id, force: false }
        | Command::DrainDyno { id, .. }
        | Command::UndrainDyno { id }
        | Command::MoveDyno { id, .. } => id,
        _ => return Ok(()),
    };
    let Some(dyno) = state.dynos.get(id).filter(|dyno| is_doubtful(view, state, dyno)) else { return Ok(()) };
    let place = dyno.block().map_or("waits for a block".into(), |block| format!("belongs to block {block} under epoch {}", dyno.epoch));
    Err(Refusal::precondition(format!(
        "dyno {id} {place} by the last word that the recovered directory has, and no block says that it owns it under that: another may own \
         it by a later word that was not heard; see that all blocks are heard, run `dynomesh control recover` again if `dynomesh status` \
         says so, and try again; if you know that no block serves it, remove it by force and add it anew"
    )))
}

/// Dynos of which [`may_say`] lets nothing be said.
pub fn in_doubt<'a>(view: &'a MapView, state: &'a DirectoryState) -> impl Iterator<Item = &'a DynoRecord> {
    state.dynos.values().filter(move |dyno| is_doubtful(view, state, dyno))
}

/// Whether a dyno was taken back from an earlier directory and its block does not bear that out.
fn is_doubtful(view: &MapView, state: &DirectoryState, dyno: &DynoRecord) -> bool {
    if !state.is_inherited(dyno) || dyno.place == Place::Removed {
        return false;
    }
    let id = &dyno.spec.id;
    let Some(block) = dyno.block() else { return view.assignment(id).is_some() || view.owner(id).is_some() };
    let later = view.assignment(id).is_some_and(|fact| fact.epoch > dyno.epoch);
    let owns = view.owner(id).is_some_and(|owner| {
        let present = view.leader(block).is_none_or(|leader| leader.term <= owner.term);
        owner.block == *block && owner.epoch == dyno.epoch && present
    });
    let released = view.released(id, block) >= Some(dyno.epoch);
    // The next word asks each for a promise up to the last one: the owner must not have to wait for what was promised long ago.
    let clear = |earlier: &Predecessor| {
        let promised = view.released(id, &earlier.block);
        promised.is_some_and(|promised| promised == dyno.epoch || promised.generation() == u64::from(state.generation))
    };
    later || !owns || released || state.was_evicted(block) || !dyno.after.iter().all(clear)
}

impl DirectoryState {
    /// Raised by every recovery; the upper part of every stamp.
    pub fn generation(&self) -> u16 {
        self.generation
    }

    /// Whether the last word about a dyno is of an earlier generation: there may be later ones that were never heard.
    pub fn is_inherited(&self, dyno: &DynoRecord) -> bool {
        dyno.epoch.generation() < u64::from(self.generation)
    }

    /// Whether a promise ends the wait of a dyno for this predecessor. The directory knows whether the word under which it waits still
    /// stands, so it may count a promise of its own generation for a word of an earlier one.
    pub fn is_cleared(&self, dyno: &DynoRecord, earlier: &Predecessor, promised: Epoch) -> bool {
        // Nobody adopts a removed dyno.
        let own = promised.generation() == u64::from(self.generation) || dyno.place == Place::Removed;
        earlier.is_cleared_by(promised, dyno.epoch) || (own && promised >= earlier.epoch)
    }

    /// Whether a word of an earlier directory about a dyno is later than all that this one knows of it.
    fn lacks(&self, fact: &AssignedFact) -> bool {
        let id = &fact.dyno.id;
        match self.dynos.get(id) {
            Some(known) => known.epoch < fact.epoch && fact.epoch.generation() < u64::from(self.generation),
            None => fact.block.is_some() && !self.gone.range(fact.epoch..).any(|(_, gone)| gone.id == *id),
        }
    }

    /// Whether a block of this directory was evicted by an earlier one, without its knowing.
    fn lacks_eviction(&self, fact: &EvictedFact) -> bool {
        let same = |known: &BlockRecord| known.group.is_none_or(|group| group == fact.group);
        self.blocks.get(&fact.block).is_some_and(|known| !known.evicted && same(known)) && !self.was_removed(fact.group)
    }

    pub(super) fn recover(&mut self, at: Index, generation: u16, words: Words, last: bool) -> Result<Reply, Refusal> {
        let Words { apps, dynos, evicted } = words;
        let under_way = self.recovering && generation == self.generation;
        if generation <= self.generation && !under_way {
            let sentence = format!("generation {generation} must be higher than {}, which the directory has", self.generation);
            return Err(Refusal::invalid("generation", sentence));
        }
        let stamps = apps.iter().map(|app| app.version.0).chain(dynos.iter().map(|dyno| dyno.epoch.0));
        let newest = stamps.chain(evicted.iter().map(|fact| fact.version.0)).max().unwrap_or(0);
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
        if last {
            self.excuse_evicted();
        }
        let stamp = self.stamp(at);
        Ok(Reply::Done { changed: true, stamp })
    }

    /// A group that was evicted stays out, and its name is spent. A block that the directory still has is evicted as it is; what it had was
    /// given to others in the same moment, by words that are taken back too, or heard later.
    fn take_back_eviction(&mut self, fact: EvictedFact) {
        let lacking = self.lacks_eviction(&fact);
        let EvictedFact { block, group, version } = fact;
        let elsewhere = self.blocks.values().any(|known| known.group == Some(group) && known.name != block);
        if self.was_removed(group) || elsewhere {
            return;
        }
        if lacking {
            let known = self.blocks.get_mut(&block).expect("it was just seen");
            (known.group, known.evicted, known.version) = (Some(group), true, known.version.max(version));
        } else if self.blocks.get(&block).is_none_or(|known| known.group != Some(group)) {
            self.removed.insert(version, RemovedBlock { name: block, group: Some(group), evicted: true });
        }
    }

    /// Lets nobody wait for an evicted block: its eviction stands in for its promises (P16).
    fn excuse_evicted(&mut self) {
        let gone = |earlier: &Predecessor| self.was_evicted(&earlier.block);
        let waiting = self.dynos.values().filter(|dyno| dyno.after.iter().any(gone));
        let cleared: Vec<(DynoId, Vec<Predecessor>)> =
            waiting.map(|dyno| (dyno.spec.id.clone(), dyno.after.iter().filter(|earlier| !gone(earlier)).cloned().collect())).collect();
        for (id, after) in cleared {
            self.dynos.get_mut(&id).expect("nothing was removed meanwhile").after = after;
            self.end_if_clear(&id);
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
