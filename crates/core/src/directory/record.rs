//! The records of the directory.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::app::{AppSpec, DynoSpec};
use crate::id::{AppName, BlockName, Epoch, GroupId, Version};
use crate::map::fact::{AssignedFact, Predecessor};

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
}

/// A block that was seen in the map.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockRecord {
    /// Its name.
    pub name: BlockName,
    /// Its identity; another group that uses the name is refused (P5).
    pub group: GroupId,
    /// When it was bound.
    pub version: Version,
    /// Dynos assigned to it.
    pub dynos: u32,
    /// Slots of dynos assigned to it that take new requests, by app; an app without such slots is not listed.
    pub slots: BTreeMap<AppName, u32>,
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
        Some(AssignedFact { dyno: self.spec.clone(), epoch: self.epoch, block, drain: self.drain, after: self.after.clone() })
    }
}
