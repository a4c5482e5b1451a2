//! What was done to the mesh: faults, and bursts that ask for every slot.

use dynomesh_core::id::ReplicaId;
use dynomesh_core::time::Time;
use serde::{Deserialize, Serialize};

use super::form;

/// A fault. One that concerns several processes is several incidents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// What it is, for example `freeze`, `kill`, `partition`, `control-down`.
    pub kind: String,
    /// What it concerns, as the harness calls it: a process, a block, a dyno by its id, or `control` as a whole.
    pub target: String,
    /// The block it concerns, alone or as that of the replica.
    #[serde(default)]
    pub block: Option<String>,
    /// The replica it concerns, where its id is known; for a dyno the one that alone it was cut off from, if that is all.
    #[serde(default)]
    pub replica: Option<ReplicaId>,
    /// When it had taken hold.
    #[serde(with = "form::time")]
    pub began: Time,
    /// From when on it may have broken something, where that was earlier.
    #[serde(with = "form::time_maybe", default)]
    pub struck: Option<Time>,
    /// When it was begun to be taken away; `None` where it stayed.
    #[serde(with = "form::time_maybe", default)]
    pub ended: Option<Time>,
    /// Whether the target provably could not reach a quorum of its group between these times: frozen, dead, or cut from enough peers, or
    /// they are.
    #[serde(default)]
    pub cut_off: bool,
}

/// A time in which more requests than there are slots were sent at once and nothing else was under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Burst {
    /// Before its first request was sent.
    #[serde(with = "form::time")]
    pub began: Time,
    /// When the last of them had its outcome.
    #[serde(with = "form::time")]
    pub ended: Time,
}

impl Incident {
    /// One that concerns `target` and stays.
    pub fn at(kind: &str, target: &str, began: Time) -> Self {
        Incident { kind: kind.into(), target: target.into(), block: None, replica: None, began, struck: None, ended: None, cut_off: false }
    }

    /// From when on it may have broken something.
    pub fn struck(&self) -> Time {
        self.struck.unwrap_or(self.began)
    }

    /// Whether it lasted at this time.
    pub fn lasts(&self, at: Time) -> bool {
        self.began <= at && self.ended.is_none_or(|ended| at < ended)
    }
}
