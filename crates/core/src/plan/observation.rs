//! What the planner is told: one snapshot of the mesh, and nothing that it would have to ask for.
//!
//! Where a dyno is means where it is *assigned*: a move that is under way counts at its destination from the moment it was decided, so that
//! no plan decides it again. What blocks say of load is taken as it is, stale or missing; the planner never waits for it.

use std::collections::BTreeMap;

use crate::block::DYNOS_MAX;
use crate::id::{AppName, BlockName, DynoId, Zone};
use crate::time::{Span, Time};

/// One snapshot of the mesh.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observation {
    /// When it was taken.
    pub now: Time,
    /// All blocks, lost and evicted ones included as long as dynos are assigned to them.
    pub blocks: BTreeMap<BlockName, BlockSeen>,
    /// What apps want that differs from the policy; an app that wants nothing special need not be listed.
    pub apps: BTreeMap<AppName, AppSeen>,
    /// All dynos that are not removed.
    pub dynos: BTreeMap<DynoId, DynoSeen>,
    /// What block leaders told last, by app and block.
    pub loads: BTreeMap<(AppName, BlockName), LoadSeen>,
    /// How long a fact took to reach all processes, as measured; `None` before it was.
    pub convergence: Option<Span>,
}

/// Whether a block may have dynos.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Takes dynos.
    Serving,
    /// An operator empties it: it serves what it has and takes nothing new.
    Draining,
    /// Without a leader since then. Only the block itself can release its dynos, so that nothing can leave it until it comes back or is evicted.
    Lost(Time),
    /// Given up for ever by a committed eviction, which stands in for its releases.
    Evicted,
}

/// One block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockSeen {
    /// Where it runs. Blocks that name no zone form one zone together.
    pub zone: Option<Zone>,
    /// Whether it may have dynos.
    pub standing: Standing,
    /// When it was first seen: a new block is filled gradually.
    pub since: Time,
    /// Most dynos it may have.
    pub room: u32,
}

/// What an app wants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AppSeen {
    /// Dynos per block that suit it, if not the policy's.
    pub group: Option<u32>,
}

/// One dyno.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DynoSeen {
    /// The app it serves.
    pub app: AppName,
    /// The block it is assigned to; `None` while it waits for its first.
    pub block: Option<BlockName>,
    /// Where it runs itself: of two dynos the one is moved that comes nearer to its block.
    pub zone: Option<Zone>,
    /// Requests it may have in flight.
    pub max_conns: u32,
    /// An operator drains it: it counts for nothing and stays where it is unless its block has to be left.
    pub drain: bool,
    /// Its assignment is not yet adopted.
    pub moving: bool,
    /// When its assignment last changed.
    pub last_moved: Option<Time>,
    /// Whether it answers; `None` if nobody knows. One that is down counts as capacity all the same: should that last, its block's load
    /// says so.
    pub up: Option<bool>,
    /// Slots taken when its block last spoke of it. Idle dynos move first.
    pub in_flight: u32,
}

/// How loaded an app is in a block, in its leader's words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LoadSeen {
    /// Slots of dynos that take requests.
    pub slots: u32,
    /// Slots taken.
    pub used: u32,
    /// Requests waiting.
    pub queued: u32,
}

impl BlockSeen {
    /// A block that has always been there and takes as many dynos as any block can.
    pub fn serving(zone: Option<Zone>) -> Self {
        BlockSeen { zone, standing: Standing::Serving, since: Time::ZERO, room: u32::try_from(DYNOS_MAX).unwrap_or(u32::MAX) }
    }
}

impl DynoSeen {
    /// An idle dyno for one request at a time that has long been where it is.
    pub fn resident(app: AppName, block: Option<BlockName>) -> Self {
        DynoSeen { app, block, zone: None, max_conns: 1, drain: false, moving: false, last_moved: None, up: Some(true), in_flight: 0 }
    }
}

impl LoadSeen {
    /// Requests in service or waiting.
    pub fn demand(self) -> u64 {
        u64::from(self.used) + u64::from(self.queued)
    }
}

impl Observation {
    /// Moves that were decided and are not yet finished.
    pub fn unfinished(&self) -> u32 {
        u32::try_from(self.dynos.values().filter(|dyno| dyno.moving).count()).unwrap_or(u32::MAX)
    }
}
