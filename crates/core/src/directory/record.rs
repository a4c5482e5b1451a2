//! The records of the directory.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::app::{AppSpec, DynoSpec};
use crate::id::{AppName, BlockName, Epoch, GroupId, NodeName, Version};
use crate::map::fact::{AssignedFact, BoundFact, EvictedFact, Predecessor, WishFact};
use crate::time::Span;

/// An app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppRecord {
    /// What the operator said.
    pub spec: AppSpec,
    /// When it was last said.
    pub version: Version,
    /// Its dynos, removed ones not counted.
    pub dynos: u32,
}

/// Where a dyno belongs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// Nowhere yet: no block is known that could take it.
    Waiting,
    /// To a block.
    At(BlockName),
    /// To nobody, ever again. The record stays until every block that had it has let go.
    Removed,
}

/// A dyno.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DynoRecord {
    /// The dyno as it was added.
    pub spec: DynoSpec,
    /// Version of its assignment; rises with every change but the shrinking of `after`.
    pub epoch: Epoch,
    /// Where it belongs.
    pub place: Place,
    /// Whether it shall take no new requests; always so once it is removed.
    pub drain: bool,
    /// Earlier blocks that have not yet promised to keep off, each under the epoch it was last assigned.
    pub after: Vec<Predecessor>,
    /// How long its running requests may go on once it takes no new ones.
    pub cut: Span,
}

/// A block that was seen in the map, or named by an operator or a recovered directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockRecord {
    /// Its name.
    pub name: BlockName,
    /// Its identity; another group that uses the name is refused (P5). `None` until the first group shows itself under a name that was
    /// only spoken of.
    pub group: Option<GroupId>,
    /// When it was last spoken of: bound, drained, evicted.
    pub version: Version,
    /// Whether it shall get no dynos and lose those it has.
    pub drain: bool,
    /// Whether it was taken for lost, and its dynos with it.
    pub evicted: bool,
    /// Dynos assigned to it.
    pub dynos: u32,
    /// Slots of dynos assigned to it that take new requests, by app; an app without such slots is not listed.
    pub slots: BTreeMap<AppName, u32>,
}

/// A block that was removed. Kept so that its group is not bound anew when it shows itself again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedBlock {
    /// Its name, which another group may have by now.
    pub name: BlockName,
    /// Its identity, if it ever showed one.
    pub group: Option<GroupId>,
    /// Whether it was evicted before: then it must still hear of that.
    pub evicted: bool,
}

/// What an operator wants of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// When it was said.
    pub version: Version,
    /// Whether it shall take nothing new.
    pub drain: bool,
}

impl Wish {
    /// What the map shall say about it.
    pub fn fact(self, node: NodeName) -> WishFact {
        WishFact { node, version: self.version, drain: self.drain }
    }
}

impl BlockRecord {
    /// A block of this name that has nothing.
    pub fn new(name: BlockName, group: Option<GroupId>, version: Version) -> Self {
        BlockRecord { name, group, version, drain: false, evicted: false, dynos: 0, slots: BTreeMap::new() }
    }

    /// Whether it may be given dynos, as far as an operator's word goes.
    pub fn takes_dynos(&self) -> bool {
        !self.drain && !self.evicted
    }

    /// What the map shall say of its identity, once it is known.
    pub fn binding(&self) -> Option<BoundFact> {
        Some(BoundFact { block: self.name.clone(), group: self.group?, version: self.version })
    }

    /// What the map shall say of its eviction.
    pub fn eviction(&self) -> Option<EvictedFact> {
        let group = self.group.filter(|_| self.evicted)?;
        Some(EvictedFact { block: self.name.clone(), group, version: self.version })
    }
}

impl DynoRecord {
    /// The block it is assigned to.
    pub fn block(&self) -> Option<&BlockName> {
        match &self.place {
            Place::At(block) => Some(block),
            Place::Waiting | Place::Removed => None,
        }
    }

    /// What the map shall say about it: nothing while it waits for its first block.
    pub fn fact(&self) -> Option<AssignedFact> {
        let block = match &self.place {
            Place::Waiting => return None,
            Place::At(block) => Some(block.clone()),
            Place::Removed => None,
        };
        Some(AssignedFact {
            dyno: self.spec.clone(),
            epoch: self.epoch,
            block,
            drain: self.drain,
            after: self.after.clone(),
            cut: self.cut,
        })
    }
}
