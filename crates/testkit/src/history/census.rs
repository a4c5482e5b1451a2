//! Who should own which dyno in the end.

use dynomesh_core::id::DynoId;
use dynomesh_core::time::Time;
use serde::{Deserialize, Serialize};

use super::form;

/// What the control plane lists, asked when every fault was healed and every move done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Census {
    /// When it was asked.
    #[serde(with = "form::time")]
    pub at: Time,
    /// Every dyno it lists.
    pub dynos: Vec<Listed>,
}

/// A dyno as the control plane lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Its id.
    pub dyno: DynoId,
    /// The block it is assigned to.
    pub block: Option<String>,
    /// The version of that assignment.
    pub epoch: u64,
    /// The block that last said it owns it.
    #[serde(default)]
    pub owner: Option<String>,
    /// The epoch under which it does.
    #[serde(default)]
    pub owned_epoch: u64,
    /// Whether it is meant to take requests: neither drained nor removed nor stopped by the harness.
    pub serves: bool,
}

impl Default for Listed {
    fn default() -> Self {
        let dyno = DynoId::new("d").expect("a letter is an id");
        Listed { dyno, block: None, epoch: 0, owner: None, owned_epoch: 0, serves: true }
    }
}
