//! The replicated state of the directory and how commands change it.
//!
//! Every word about an app or dyno gets a stamp that no other word ever has: the directory's generation and a number that follows
//! the log. A command that is refused changes nothing; one that asks for what already is so uses no stamp.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ask::Log;
use super::command::{Command, Refusal, Reply};
use super::record::{AppRecord, BlockRecord, DynoRecord, RemovedBlock, Wish};
use super::recover::Words;
use super::settings::MeshSettings;
use super::{APPS_MAX, TOMBSTONES_MAX};
use crate::app::{AppSpec, DynoSpec};
use crate::id::{Address, AppName, BlockName, DynoId, Epoch, Host, Index, NodeName, STAMP_LOG_BITS, Version};
use crate::map::MapView;
use crate::map::fact::{AppFact, AssignedFact, CUT_DEFAULT, EvictedFact, Fact};

/// What the replicas of the directory agree on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryState {
    /// Raised when a directory is recovered from a backup or from the map, so that its stamps outrank all earlier ones (P17).
    pub(super) generation: u16,
    /// The lower part of the last stamp.
    pub(super) last: u64,
    pub(super) apps: BTreeMap<AppName, AppRecord>,
    pub(super) dynos: BTreeMap<DynoId, DynoRecord>,
    pub(super) blocks: BTreeMap<BlockName, BlockRecord>,
    /// The app of each host.
    pub(super) hosts: BTreeMap<Host, AppName>,
    /// The dyno of each address, removed ones that are not yet released included.
    pub(super) addresses: BTreeMap<Address, DynoId>,
    /// Deleted apps that are still published, oldest first.
    pub(super) deleted: BTreeMap<Version, AppName>,
    /// Removed and released dynos that are still published, oldest first.
    pub(super) gone: BTreeMap<Epoch, DynoSpec>,
    /// Removed blocks, oldest first.
    pub(super) removed: BTreeMap<Version, RemovedBlock>,
    /// What operators want of processes.
    pub(super) wishes: BTreeMap<NodeName, Wish>,
    pub(super) settings: MeshSettings,
    /// When the settings were last changed; 0 if never.
    pub(super) settings_version: Version,
    /// Whether a recovery has begun and not ended.
    pub(super) recovering: bool,
    /// What was asked of it, by whom.
    pub(super) log: Log,
}

impl DirectoryState {
    /// The state before the first command of a directory of this generation; 0 for the first.
    pub fn new(generation: u16) -> Self {
        DirectoryState { generation, ..Self::default() }
    }

    /// Applies a command of the log entry `at`. Many commands may share an entry.
    pub fn apply(&mut self, at: Index, command: Command) -> Reply {
        let own = match &command {
            // What was asked for is told by the ask.
            Command::Asked(_) => None,
            command => Some(command.clone()),
        };
        let reply = self.decide(at, command).unwrap_or_else(Reply::Refused);
        if let Some(command) = own {
            self.note(&command, &reply);
        }
        reply
    }

    pub(super) fn decide(&mut self, at: Index, command: Command) -> Result<Reply, Refusal> {
        match command {
            Command::CreateApp { spec } => self.create_app(at, *spec),
            Command::DeleteApp { name } => self.delete_app(at, &name),
            Command::AddDyno { id, app, address, max_conns, block } => self.add_dyno(at, id, app, address, max_conns, block),
            Command::DrainDyno { id, cut } => self.drain_dyno(at, &id, cut),
            Command::UndrainDyno { id } => self.undrain_dyno(at, &id),
            Command::RemoveDyno { id, force } => self.remove_dyno(at, &id, force),
            Command::MoveDyno { id, to, why: _ } => self.move_dyno(at, &id, to),
            Command::UpdateApp { spec } => self.update_app(at, *spec),
            Command::BindBlock { name, group } => self.bind_block(at, name, group),
            Command::Released { dyno, block, epoch } => self.released(at, &dyno, &block, epoch),
            Command::DrainBlock { name } => self.drain_block(at, &name, true),
            Command::UndrainBlock { name } => self.drain_block(at, &name, false),
            Command::RemoveBlock { name } => self.remove_block(at, &name),
            Command::EvictBlock { name, proof: _ } => self.evict_block(at, &name),
            Command::DrainNode { node, drain } => self.drain_node(at, node, drain),
            Command::SetSettings { settings } => self.set_settings(at, settings),
            Command::Recover { generation, apps, dynos, evicted, last } => {
                self.recover(at, generation, Words { apps, dynos, evicted }, last)
            }
            Command::Asked(ask) => self.asked(at, *ask),
        }
    }

    /// Apps, by name.
    pub fn apps(&self) -> impl ExactSizeIterator<Item = &AppRecord> {
        self.apps.values()
    }

    /// One app.
    pub fn app(&self, name: &AppName) -> Option<&AppRecord> {
        self.apps.get(name)
    }

    /// Dynos, by id; removed ones until they are released.
    pub fn dynos(&self) -> impl ExactSizeIterator<Item = &DynoRecord> {
        self.dynos.values()
    }

    /// One dyno.
    pub fn dyno(&self, id: &DynoId) -> Option<&DynoRecord> {
        self.dynos.get(id)
    }

    /// Blocks, by name.
    pub fn blocks(&self) -> impl ExactSizeIterator<Item = &BlockRecord> {
        self.blocks.values()
    }

    /// One block.
    pub fn block(&self, name: &BlockName) -> Option<&BlockRecord> {
        self.blocks.get(name)
    }

    /// What the directory's leader publishes.
    pub fn facts(&self) -> Vec<Fact> {
        let apps =
            self.apps.values().map(|app| AppFact { name: app.spec.name.clone(), version: app.version, spec: Some(app.spec.clone()) });
        let deleted = self.deleted.iter().map(|(version, name)| AppFact { name: name.clone(), version: *version, spec: None });
        let dynos = self.dynos.values().filter_map(DynoRecord::fact);
        let gone = self.gone.iter().map(|(epoch, spec)| AssignedFact {
            dyno: spec.clone(),
            epoch: *epoch,
            block: None,
            drain: true,
            after: Vec::new(),
            cut: CUT_DEFAULT,
        });
        let wishes = self.wishes.iter().map(|(node, wish)| Fact::Wish(wish.fact(node.clone())));
        let evicted = self.blocks.values().filter_map(BlockRecord::eviction);
        let evicted = evicted.chain(self.removed.iter().filter_map(|(version, block)| {
            let group = block.group.filter(|_| block.evicted)?;
            Some(EvictedFact { block: block.name.clone(), group, version: *version })
        }));
        let bound = self.blocks.values().filter_map(BlockRecord::binding);
        let words = apps.chain(deleted).map(Fact::App).chain(dynos.chain(gone).map(Fact::Assigned));
        words.chain(wishes).chain(evicted.map(Fact::Evicted)).chain(bound.map(Fact::Bound)).collect()
    }

    /// A stamp that was never given out: it follows the log, and steps on where commands share an entry.
    pub(super) fn stamp(&mut self, at: Index) -> u64 {
        let stamp = self.next_stamp(at);
        self.last = at.0.max(self.last + 1);
        stamp
    }

    /// The stamp that the next change under `at` gets.
    pub(super) fn next_stamp(&self, at: Index) -> u64 {
        let number = at.0.max(self.last + 1);
        assert!(number >> STAMP_LOG_BITS == 0, "the log has outgrown its stamps");
        u64::from(self.generation) << STAMP_LOG_BITS | number
    }

    /// Whether the map holds words of a directory that this one never was: it is empty or was restored from an older state, and what it
    /// would write could be taken for old (P17, P19). Only a leader that has applied all that is committed can tell.
    pub fn must_recover(&self, view: &MapView) -> bool {
        self.recovering || view.newest_stamp() > self.last_stamp()
    }

    /// The highest stamp that was given out.
    pub fn last_stamp(&self) -> u64 {
        u64::from(self.generation) << STAMP_LOG_BITS | self.last
    }
}

// === impl apps ===

impl DirectoryState {
    fn create_app(&mut self, at: Index, spec: AppSpec) -> Result<Reply, Refusal> {
        spec.check().map_err(|invalid| Refusal::because(&invalid))?;
        if let Some(known) = self.apps.get(&spec.name) {
            if known.spec == spec {
                return Ok(Reply::App { changed: false, app: Box::new(known.clone()) });
            }
            return Err(Refusal::exists(format!("app {} exists with another specification", spec.name)));
        }
        self.check_app(&spec)?;
        if self.apps.len() >= APPS_MAX {
            return Err(Refusal::precondition(format!("the mesh has {APPS_MAX} apps already, which is the limit")));
        }
        self.deleted.retain(|_, name| *name != spec.name);
        self.hosts.extend(spec.hosts.iter().map(|host| (host.clone(), spec.name.clone())));
        let app = AppRecord { version: Version(self.stamp(at)), spec, dynos: 0 };
        self.apps.insert(app.spec.name.clone(), app.clone());
        Ok(Reply::App { changed: true, app: Box::new(app) })
    }

    fn update_app(&mut self, at: Index, spec: AppSpec) -> Result<Reply, Refusal> {
        spec.check().map_err(|invalid| Refusal::because(&invalid))?;
        let known = self.apps.get(&spec.name).ok_or_else(|| Refusal::not_found(format!("app {} is not known", spec.name)))?;
        if known.spec == spec {
            return Ok(Reply::App { changed: false, app: Box::new(known.clone()) });
        }
        self.check_app(&spec)?;
        let version = Version(self.stamp(at));
        self.hosts.retain(|_, owner| *owner != spec.name);
        self.hosts.extend(spec.hosts.iter().map(|host| (host.clone(), spec.name.clone())));
        let app = self.apps.get_mut(&spec.name).expect("it was just seen");
        (app.spec, app.version) = (spec, version);
        Ok(Reply::App { changed: true, app: Box::new(app.clone()) })
    }

    /// What only the directory can say against an app.
    fn check_app(&self, spec: &AppSpec) -> Result<(), Refusal> {
        for (nth, host) in spec.hosts.iter().enumerate() {
            if spec.hosts[..nth].contains(host) {
                return Err(Refusal::invalid("hosts", format!("host {host} is named twice")));
            }
            if let Some(owner) = self.hosts.get(host).filter(|owner| **owner != spec.name) {
                return Err(Refusal::exists(format!("host {host} belongs to app {owner}")));
            }
        }
        // The longest version is tried, so that no later one makes the fact too long to be published.
        let longest = AppFact { name: spec.name.clone(), version: Version(u64::MAX), spec: Some(spec.clone()) };
        if let Err(error) = Fact::App(longest).write() {
            return Err(Refusal::invalid("hosts", format!("app {} is too large to be published: {error}", spec.name)));
        }
        Ok(())
    }

    fn delete_app(&mut self, at: Index, name: &AppName) -> Result<Reply, Refusal> {
        let Some(app) = self.apps.get(name) else {
            let deleted = self.deleted.iter().find(|(_, deleted)| *deleted == name);
            let stamp = deleted.map(|(version, _)| version.0).ok_or_else(|| Refusal::not_found(format!("app {name} is not known")))?;
            return Ok(Reply::Done { changed: false, stamp });
        };
        if app.dynos > 0 {
            return Err(Refusal::precondition(format!("app {name} still has {} dynos; remove them first", app.dynos)));
        }
        self.apps.remove(name);
        self.hosts.retain(|_, owner| owner != name);
        let stamp = self.stamp(at);
        self.deleted.insert(Version(stamp), name.clone());
        if self.deleted.len() > TOMBSTONES_MAX {
            self.deleted.pop_first();
        }
        Ok(Reply::Done { changed: true, stamp })
    }
}
