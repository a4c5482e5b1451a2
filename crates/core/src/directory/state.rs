//! The replicated state of the directory and how commands change it.
//!
//! Every word about an app or dyno gets a stamp that no other word ever has: the directory's generation and a number that follows
//! the log. A command that is refused changes nothing; one that asks for what already is so uses no stamp.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::command::{Command, Refusal, Reply};
use super::record::{AppRecord, BlockRecord, DynoRecord};
use super::{APPS_MAX, BLOCKS_MAX, TOMBSTONES_MAX};
use crate::app::{AppSpec, DynoSpec};
use crate::id::{Address, AppName, BlockName, DynoId, Epoch, GroupId, Host, Index, Version};
use crate::map::fact::{AppFact, AssignedFact, Fact};

/// Bits of a stamp that follow the log; the generation stands above them.
const STAMP_LOG_BITS: u32 = 48;

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
}

impl DirectoryState {
    /// The state before the first command of a directory of this generation; 0 for the first.
    pub fn new(generation: u16) -> Self {
        DirectoryState { generation, ..Self::default() }
    }

    /// Applies a command of the log entry `at`. Many commands may share an entry.
    pub fn apply(&mut self, at: Index, command: Command) -> Reply {
        let result = match command {
            Command::CreateApp { spec } => self.create_app(at, *spec),
            Command::DeleteApp { name } => self.delete_app(at, &name),
            Command::AddDyno { id, app, address, max_conns, block } => self.add_dyno(at, id, app, address, max_conns, block),
            Command::DrainDyno { id } => self.drain_dyno(at, &id),
            Command::RemoveDyno { id } => self.remove_dyno(at, &id),
            Command::MoveDyno { id, to } => self.move_dyno(at, &id, to),
            Command::BindBlock { name, group } => self.bind_block(at, name, group),
            Command::Released { dyno, block, epoch } => self.released(at, &dyno, &block, epoch),
        };
        result.unwrap_or_else(Reply::Refused)
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
        });
        apps.chain(deleted).map(Fact::App).chain(dynos.chain(gone).map(Fact::Assigned)).collect()
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
        for (nth, host) in spec.hosts.iter().enumerate() {
            if spec.hosts[..nth].contains(host) {
                return Err(Refusal::invalid("hosts", format!("host {host} is named twice")));
            }
            if let Some(owner) = self.hosts.get(host) {
                return Err(Refusal::exists(format!("host {host} belongs to app {owner}")));
            }
        }
        // The longest version is tried, so that no later one makes the fact too long to be published.
        let longest = AppFact { name: spec.name.clone(), version: Version(u64::MAX), spec: Some(spec.clone()) };
        if let Err(error) = Fact::App(longest).write() {
            return Err(Refusal::invalid("hosts", format!("app {} is too large to be published: {error}", spec.name)));
        }
        if self.apps.len() >= APPS_MAX {
            return Err(Refusal::precondition(format!("the mesh has {APPS_MAX} apps already, which is the limit")));
        }
        self.deleted.retain(|_, name| *name != spec.name);
        self.hosts.extend(spec.hosts.iter().map(|host| (host.clone(), spec.name.clone())));
        let app = AppRecord { version: Version(self.stamp(at)), spec, dynos: 0 };
        self.apps.insert(app.spec.name.clone(), app.clone());
        Ok(Reply::App { changed: true, app: Box::new(app) })
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

// === impl blocks ===

impl DirectoryState {
    fn bind_block(&mut self, at: Index, name: BlockName, group: GroupId) -> Result<Reply, Refusal> {
        if let Some(bound) = self.blocks.get(&name) {
            if bound.group == group {
                return Ok(Reply::Done { changed: false, stamp: bound.version.0 });
            }
            return Err(Refusal::exists(format!("block {name} is bound to group {}, not {group}", bound.group)));
        }
        if let Some(other) = self.blocks.values().find(|block| block.group == group) {
            return Err(Refusal::exists(format!("group {group} is bound to block {}, not {name}", other.name)));
        }
        if self.blocks.len() >= BLOCKS_MAX {
            return Err(Refusal::precondition(format!("the mesh has {BLOCKS_MAX} blocks already, which is the limit")));
        }
        let stamp = self.stamp(at);
        let block = BlockRecord { name: name.clone(), group, version: Version(stamp), dynos: 0, slots: BTreeMap::new() };
        self.blocks.insert(name, block);
        self.place_waiting(at);
        Ok(Reply::Done { changed: true, stamp })
    }
}
