//! The replicated state of a block and how commands change it.
//!
//! `apply` is the last word on every slot: it checks count, phase and epoch again, whatever the leader believed when it proposed.
//! It never fails; a command that must not be applied is answered with a refusal and changes nothing.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde::{Deserialize, Serialize};

use super::command::{AdoptDyno, BlockSettings, Command, Refusal, Reply};
use super::record::{AppRecord, DynoRecord, SlotRecord};
use super::{APPS_MAX, DYNOS_MAX, RECORDS_MAX};
use crate::app::{AppSpec, Phase};
use crate::id::{AppName, DynoId, Epoch, Holder, Index, SlotId, Version};
use crate::planted;
use crate::time::Span;

/// What the replicas of a block agree on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockState {
    pub(super) applied: Index,
    pub(super) settings: BlockSettings,
    pub(super) apps: BTreeMap<AppName, AppRecord>,
    pub(super) dynos: BTreeMap<DynoId, DynoRecord>,
    pub(super) slots: BTreeMap<SlotId, SlotRecord>,
    /// Promises: never to own the dyno at or under the epoch. A dyno is here or in `dynos`, not in both.
    pub(super) released: BTreeMap<DynoId, Epoch>,
    /// The highest forgotten promise.
    pub(super) floor: Epoch,
}

impl BlockState {
    /// The state before the first command.
    pub fn new() -> Self {
        Self::default()
    }

    /// Applies a command of the log entry `at`. Many commands may share an entry.
    pub fn apply(&mut self, at: Index, command: Command) -> Reply {
        debug_assert!(at >= self.applied, "entry {at} applied after {}", self.applied);
        self.applied = at;
        match command {
            Command::Grant { slot, dyno, epoch, span } => self.grant(slot, dyno, epoch, span),
            Command::Free { slots } => self.free(&slots),
            Command::Renew { slots, span } => self.renew(slots, span),
            Command::Adopt(adopt) => self.adopt(adopt),
            Command::Drain { dyno, epoch, cut } => self.drain(&dyno, epoch, cut),
            Command::Release { dyno, epoch } => self.release(dyno, epoch),
            Command::Forget { dyno, epoch } => self.forget(&dyno, epoch),
            Command::SetApp { spec, version } => self.set_app(*spec, version),
            Command::RemoveApp { name, version } => self.remove_app(&name, version),
            Command::Learn { dyno, epoch, serial } => self.learn(&dyno, epoch, serial),
            Command::Configure(settings) => self.configure(settings),
        }
    }

    /// The entry applied last.
    pub fn applied(&self) -> Index {
        self.applied
    }

    /// The settings of the block.
    pub fn settings(&self) -> BlockSettings {
        self.settings
    }

    /// Apps the block knows, by name. It may own no dyno of some.
    pub fn apps(&self) -> impl ExactSizeIterator<Item = &AppRecord> {
        self.apps.values()
    }

    /// One app.
    pub fn app(&self, name: &AppName) -> Option<&AppRecord> {
        self.apps.get(name)
    }

    /// Dynos the block owns, by id: `Active` and `Draining` ones.
    pub fn dynos(&self) -> impl ExactSizeIterator<Item = &DynoRecord> {
        self.dynos.values()
    }

    /// One owned dyno.
    pub fn dyno(&self, id: &DynoId) -> Option<&DynoRecord> {
        self.dynos.get(id)
    }

    /// Promises that are not forgotten, by dyno: the block will never own it at or under that epoch. To be published.
    pub fn released(&self) -> impl ExactSizeIterator<Item = (&DynoId, Epoch)> {
        self.released.iter().map(|(dyno, epoch)| (dyno, *epoch))
    }

    /// The promise about one dyno, if it is not forgotten.
    pub fn promise(&self, dyno: &DynoId) -> Option<Epoch> {
        self.released.get(dyno).copied()
    }

    /// The epoch up to which the block will never own a dyno that it does not own now: its promise, or else the floor that forgotten
    /// promises left behind.
    pub fn promised(&self, dyno: &DynoId) -> Epoch {
        self.promise(dyno).unwrap_or(self.floor)
    }

    /// The highest forgotten promise: a dyno without a record is adopted only above it.
    pub fn floor(&self) -> Epoch {
        self.floor
    }

    /// Whether the block has ever had a dyno, or promised to have none.
    pub fn has_served(&self) -> bool {
        !self.dynos.is_empty() || !self.released.is_empty() || self.floor > Epoch::default()
    }

    /// All slots, in the order of their ids: by holder, then by number.
    pub fn slots(&self) -> impl ExactSizeIterator<Item = (SlotId, &SlotRecord)> {
        self.slots.iter().map(|(id, record)| (*id, record))
    }

    /// One slot.
    pub fn slot(&self, id: SlotId) -> Option<&SlotRecord> {
        self.slots.get(&id)
    }

    /// The slots of one holder.
    pub fn slots_of(&self, holder: Holder) -> impl Iterator<Item = (SlotId, &SlotRecord)> {
        let range = SlotId { holder, seq: 0 }..=SlotId { holder, seq: u64::MAX };
        self.slots.range(range).map(|(id, record)| (*id, record))
    }
}

// === impl slots: hot, so nothing is cloned ===

impl BlockState {
    fn grant(&mut self, slot: SlotId, dyno: DynoId, epoch: Epoch, span: Span) -> Reply {
        let Some(record) = self.dynos.get_mut(&dyno) else {
            return Reply::Refused(Refusal::UnknownDyno);
        };
        if record.epoch != epoch {
            return Reply::Refused(Refusal::Epoch { has: record.epoch });
        }
        if record.phase != Phase::Active {
            return Reply::Refused(Refusal::Draining);
        }
        if record.used >= record.spec.max_conns {
            return Reply::Refused(Refusal::Full);
        }
        match self.slots.entry(slot) {
            Entry::Occupied(_) => Reply::Refused(Refusal::DuplicateSlot),
            Entry::Vacant(entry) => {
                entry.insert(SlotRecord { dyno, epoch, span });
                record.used += 1;
                Reply::Granted
            }
        }
    }

    fn free(&mut self, slots: &[SlotId]) -> Reply {
        for slot in slots {
            if let Some(freed) = self.slots.remove(slot) {
                let record = self.dynos.get_mut(&freed.dyno).expect("a dyno is owned as long as a slot of it exists");
                record.used -= 1;
            }
        }
        Reply::Done
    }

    fn renew(&mut self, mut slots: Vec<SlotId>, span: Span) -> Reply {
        slots.retain(|slot| match self.slots.get_mut(slot) {
            Some(record) => {
                record.span = span;
                false
            }
            None => true,
        });
        if slots.is_empty() { Reply::Done } else { Reply::Missing(slots) }
    }
}

// === impl ownership ===

impl BlockState {
    fn adopt(&mut self, adopt: AdoptDyno) -> Reply {
        let AdoptDyno { spec, epoch, drain, cut } = adopt;
        let phase = if drain { Phase::Draining } else { Phase::Active };
        if !self.apps.contains_key(&spec.app) {
            return Reply::Refused(Refusal::UnknownApp);
        }
        if let Some(own) = self.dynos.get_mut(&spec.id) {
            return match epoch.cmp(&own.epoch) {
                // A repeated word must not undo a drain that was decided here meanwhile.
                Ordering::Equal => Reply::Unchanged,
                Ordering::Less => Reply::Refused(Refusal::Epoch { has: own.epoch }),
                Ordering::Greater if own.spec.app != spec.app || own.spec.address != spec.address => Reply::Refused(Refusal::OtherDyno),
                Ordering::Greater => {
                    (own.spec, own.epoch, own.phase, own.drain, own.cut) = (spec, epoch, phase, drain, cut);
                    Reply::Done
                }
            };
        }
        let promised = self.promised(&spec.id);
        if epoch <= promised {
            return Reply::Refused(Refusal::Epoch { has: promised });
        }
        let records = self.dynos.len() + self.released.len() - usize::from(self.released.contains_key(&spec.id));
        if self.dynos.len() >= DYNOS_MAX || records >= RECORDS_MAX {
            return Reply::Refused(Refusal::Limit);
        }
        self.released.remove(&spec.id);
        self.dynos.insert(spec.id.clone(), DynoRecord { spec, epoch, phase, used: 0, serial: None, drain, cut });
        Reply::Done
    }

    /// The owned dyno, if it is owned under just this epoch.
    fn owned(&mut self, dyno: &DynoId, epoch: Epoch) -> Result<&mut DynoRecord, Refusal> {
        let record = self.dynos.get_mut(dyno).ok_or(Refusal::UnknownDyno)?;
        if record.epoch == epoch { Ok(record) } else { Err(Refusal::Epoch { has: record.epoch }) }
    }

    fn drain(&mut self, dyno: &DynoId, epoch: Epoch, cut: Span) -> Reply {
        match self.owned(dyno, epoch) {
            Err(refusal) => Reply::Refused(refusal),
            // A later word may cut sooner, never later.
            Ok(record) if record.phase == Phase::Draining && record.cut <= cut => Reply::Unchanged,
            Ok(record) => {
                (record.phase, record.cut) = (Phase::Draining, cut);
                Reply::Done
            }
        }
    }

    fn learn(&mut self, dyno: &DynoId, epoch: Epoch, serial: bool) -> Reply {
        match self.owned(dyno, epoch) {
            Err(refusal) => Reply::Refused(refusal),
            Ok(record) if record.serial == Some(serial) => Reply::Unchanged,
            Ok(record) => {
                record.serial = Some(serial);
                Reply::Done
            }
        }
    }

    fn release(&mut self, dyno: DynoId, epoch: Epoch) -> Reply {
        if let Some(own) = self.dynos.get(&dyno) {
            if own.epoch > epoch {
                return Reply::Refused(Refusal::Epoch { has: own.epoch });
            }
            // It was drained when this was proposed. What came in between let requests in, of which a leased leader may not have told yet (P14).
            if own.phase == Phase::Active {
                return Reply::Refused(Refusal::Active);
            }
            if planted::RELEASE_WITH_SLOTS {
                self.slots.retain(|_, slot| slot.dyno != dyno);
            } else if own.used > 0 {
                return Reply::Refused(Refusal::SlotsRemain { used: own.used });
            }
            self.dynos.remove(&dyno);
            self.released.insert(dyno, epoch);
            return Reply::Done;
        }
        // What was once promised about this dyno and forgotten is at most the floor: the new record must not say less.
        let epoch = epoch.max(self.floor);
        let room = self.dynos.len() + self.released.len() < RECORDS_MAX;
        match self.released.entry(dyno) {
            Entry::Occupied(promise) if *promise.get() >= epoch => Reply::Unchanged,
            Entry::Occupied(mut promise) => {
                promise.insert(epoch);
                Reply::Done
            }
            Entry::Vacant(_) if !room => Reply::Refused(Refusal::Limit),
            Entry::Vacant(promise) => {
                promise.insert(epoch);
                Reply::Done
            }
        }
    }

    fn forget(&mut self, dyno: &DynoId, epoch: Epoch) -> Reply {
        match self.released.get(dyno) {
            None => Reply::Unchanged,
            Some(&promise) if promise > epoch => Reply::Refused(Refusal::Epoch { has: promise }),
            Some(&promise) => {
                self.floor = self.floor.max(promise);
                self.released.remove(dyno);
                Reply::Done
            }
        }
    }
}

// === impl apps and settings ===

impl BlockState {
    fn set_app(&mut self, spec: AppSpec, version: Version) -> Reply {
        if let Some(known) = self.apps.get_mut(&spec.name) {
            return match version.cmp(&known.version) {
                Ordering::Less => Reply::Refused(Refusal::StaleVersion { has: known.version }),
                Ordering::Equal => Reply::Unchanged,
                Ordering::Greater => {
                    *known = AppRecord { spec, version };
                    Reply::Done
                }
            };
        }
        if self.apps.len() >= APPS_MAX {
            return Reply::Refused(Refusal::Limit);
        }
        self.apps.insert(spec.name.clone(), AppRecord { spec, version });
        Reply::Done
    }

    fn remove_app(&mut self, name: &AppName, version: Version) -> Reply {
        match self.apps.get(name) {
            None => Reply::Unchanged,
            Some(known) if known.version > version => Reply::Refused(Refusal::StaleVersion { has: known.version }),
            Some(_) if self.dynos.values().any(|dyno| dyno.spec.app == *name) => Reply::Refused(Refusal::DynosRemain),
            Some(_) => {
                self.apps.remove(name);
                Reply::Done
            }
        }
    }

    fn configure(&mut self, settings: BlockSettings) -> Reply {
        if self.settings == settings {
            return Reply::Unchanged;
        }
        self.settings = settings;
        Reply::Done
    }
}
