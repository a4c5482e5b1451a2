//! A plan: the moves to make now, why, what they gain, and what has to wait.

use serde::{Deserialize, Serialize};

use super::policy::Percent;
use super::reason::{Gain, Reason, Wait};
use crate::id::{AppName, BlockName, DynoId, Zone};
use crate::time::Span;

/// What should be done now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Moves to make now, the most pressing first. They are independent: any of them may fail or be left out.
    pub moves: Vec<Move>,
    /// Moves that would be good and cannot be made now, by what they wait for.
    pub held_back: Vec<HeldBack>,
    /// What the apps that move have, before and after.
    pub groups: Vec<GroupChange>,
    /// What the blocks concerned have, before and after.
    pub blocks: Vec<BlockChange>,
    /// When to plan again.
    pub next: Span,
}

/// One move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// The dyno.
    pub dyno: DynoId,
    /// Its app.
    pub app: AppName,
    /// The block it is assigned to; `None` if it waits for its first.
    pub from: Option<BlockName>,
    /// The block it should be assigned to.
    pub to: BlockName,
    /// Why.
    pub reason: Reason,
    /// What for.
    pub gain: Gain,
}

/// Moves that wait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldBack {
    /// How many.
    pub dynos: u32,
    /// What for.
    pub wait: Wait,
}

/// Dynos, slots and load at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// Dynos.
    pub dynos: u32,
    /// Their slots; those of dynos that an operator drains do not count.
    pub slots: u64,
    /// Requests in service or waiting per slot; `None` if nobody has told. After a plan it is an estimate: a dyno takes its part of the load
    /// with it where its group leaves or where the app is new, else the requests stay where they come in.
    pub load: Option<Percent>,
}

/// What an app has in a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupChange {
    /// The app.
    pub app: AppName,
    /// The block; `None` for dynos that wait for their first.
    pub block: Option<BlockName>,
    /// Before the plan.
    pub before: Amount,
    /// After its moves.
    pub after: Amount,
}

/// What a block has of all apps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockChange {
    /// The block.
    pub block: BlockName,
    /// Where it runs.
    pub zone: Option<Zone>,
    /// `serving`, `draining`, `lost` or `evicted`.
    pub standing: String,
    /// Before the plan.
    pub before: Amount,
    /// After its moves.
    pub after: Amount,
}

impl Plan {
    /// Whether all is as it should be, as far as dynos can be moved at all.
    pub fn is_settled(&self) -> bool {
        self.moves.is_empty() && self.held_back.is_empty()
    }
}
