//! Why a dyno should move, what that gains, and what a move waits for: in sentences for people, with the figures that decided.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::policy::Percent;
use crate::id::{AppName, BlockName, Zone};
use crate::time::Span;

/// What an app has in a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The block.
    pub block: BlockName,
    /// Dynos of the app there.
    pub dynos: u32,
    /// Requests in service or waiting per slot; `None` if the block has not told.
    pub load: Option<Percent>,
}

/// Why a dyno should move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Reason {
    /// It has no block yet.
    Waiting,
    /// An operator empties its block.
    Draining {
        /// The block it is in.
        block: BlockName,
    },
    /// Its block was given up.
    Evicted {
        /// The block it was in.
        block: BlockName,
    },
    /// Its block has more dynos than it may.
    Room {
        /// The block it is in.
        block: BlockName,
        /// Dynos there.
        dynos: u32,
        /// Dynos there may be.
        room: u32,
    },
    /// Its app would not survive the loss of a zone.
    Zone {
        /// The app.
        app: AppName,
        /// The zone; `None` for the blocks that name none.
        zone: Option<Zone>,
        /// The part of the app's slots there.
        held: Percent,
        /// The part there may be.
        most: Percent,
    },
    /// Its app has so few blocks that it would not survive the loss of one.
    Survival {
        /// The app.
        app: AppName,
        /// Blocks it has.
        blocks: u32,
        /// Blocks it has at least.
        least: u32,
    },
    /// Its app has groups that are larger than least-conn needs.
    Large {
        /// The app.
        app: AppName,
        /// Its dynos.
        dynos: u32,
        /// Blocks it has.
        blocks: u32,
        /// Dynos per block that suit it.
        group: u32,
    },
    /// Its group is too small for least-conn to find an idle dyno.
    Small {
        /// The app.
        app: AppName,
        /// Its group.
        group: Part,
        /// The app's dynos.
        dynos: u32,
        /// Blocks it has.
        blocks: u32,
        /// Where it is gathered.
        to: BlockName,
    },
    /// Its block has more than its part of all slots, another has less.
    Crowd {
        /// The block it is in.
        from: BlockName,
        /// Slots there.
        slots: u64,
        /// The block it goes to.
        to: BlockName,
        /// Slots there.
        to_slots: u64,
        /// Slots a block would have if all had the same.
        fair: u64,
        /// Whether the other block is a new one.
        new: bool,
    },
    /// The parts of its app do not fit their load.
    Load {
        /// The app.
        app: AppName,
        /// The app's dynos.
        dynos: u32,
        /// Where there are too many.
        from: Part,
        /// Where there are too few.
        to: Part,
    },
}

/// What a move gains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Gain {
    /// Slots that served nobody serve again.
    Serves {
        /// How many.
        slots: u64,
    },
    /// A block is nearer to having what it should: nothing, or its room.
    Leaves {
        /// The block.
        block: BlockName,
        /// Dynos it has afterwards.
        dynos: u32,
    },
    /// A group grows.
    Group {
        /// Its block.
        block: BlockName,
        /// Dynos of the app there afterwards.
        dynos: u32,
    },
    /// A zone's part of an app falls.
    Zone {
        /// The zone; `None` for the blocks that name none.
        zone: Option<Zone>,
        /// Its part before.
        before: Percent,
        /// Its part after.
        after: Percent,
    },
    /// A busy block gets busy less.
    Load {
        /// The block.
        block: BlockName,
        /// Load of the app there before.
        before: Percent,
        /// Load after, if the requests stay.
        after: Percent,
    },
    /// A block's slots come nearer to its part.
    Slots {
        /// The block.
        block: BlockName,
        /// Slots there afterwards.
        slots: u64,
        /// Its part.
        fair: u64,
    },
}

/// Why dynos stay where they are although they should move.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Wait {
    /// Their block is lost.
    Lost {
        /// The block.
        block: BlockName,
        /// Without a leader for so long; `None` for a block that nobody has seen.
        silent: Option<Span>,
    },
    /// They are on their way to a block that is being drained.
    Arriving {
        /// The block.
        block: BlockName,
    },
    /// No block has room.
    NoRoom,
    /// The block they should go to has no room until others have left.
    Full {
        /// The block.
        block: BlockName,
    },
    /// They were moved a short while ago.
    Resting {
        /// The app.
        app: AppName,
        /// How long a moved dyno stays.
        rest: Span,
    },
    /// The block they should go to is new.
    Filling {
        /// The block.
        block: BlockName,
        /// The part of its fair part that it may have by now.
        filled: Percent,
    },
    /// The zone they should go to has too much of their app until others have left.
    Zone {
        /// The app.
        app: AppName,
        /// The block they should go to.
        block: BlockName,
    },
    /// So many of the app's dynos are on the move.
    App {
        /// The app.
        app: AppName,
        /// Dynos of it that may be on the move at once.
        most: u32,
    },
    /// So many moves are unfinished.
    Limit {
        /// Moves that may be.
        most: u32,
    },
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.dynos, self.block)?;
        self.load.map_or(Ok(()), |load| write!(f, " at {load} load"))
    }
}

/// A zone in a sentence.
struct Named<'a>(&'a Option<Zone>);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(zone) => write!(f, "zone {zone}"),
            None => write!(f, "the part without a zone"),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Waiting => write!(f, "it waits for its first block"),
            Reason::Draining { block } => write!(f, "block {block} is draining"),
            Reason::Evicted { block } => write!(f, "block {block} was evicted"),
            Reason::Room { block, dynos, room } => write!(f, "block {block} has {dynos} dynos and room for {room}"),
            Reason::Zone { app, zone, held, most: Percent(most) } if *held == Percent(100) => {
                write!(f, "{} holds all of app {app}; at most {most} % survives its loss", Named(zone))
            }
            Reason::Zone { app, zone, held, most } => write!(f, "{} holds {held} of app {app}, more than {most}", Named(zone)),
            Reason::Survival { app, blocks: 1, least } => write!(f, "app {app} is in one block; {least} survive the loss of one"),
            Reason::Survival { app, blocks, least } => write!(f, "app {app} is in {blocks} blocks; it has at least {least}"),
            Reason::Large { app, dynos, blocks, group } => {
                write!(f, "app {app} has {dynos} dynos in {blocks} blocks, where groups of about {group} do")
            }
            Reason::Small { app, group, dynos, blocks, to } => {
                let (n, s) = (group.dynos, if group.dynos == 1 { "" } else { "s" });
                write!(
                    f,
                    "group of {n} dyno{s} in {} is too small for least-conn: app {app} has {dynos} in {blocks} blocks; ",
                    group.block
                )?;
                write!(f, "gathered in {to}")
            }
            Reason::Crowd { from, slots, to, to_slots, fair, new } => {
                let new = if *new { ", which is new," } else { "" };
                write!(f, "block {from} has {slots} slots and {to}{new} {to_slots}, where {fair} are each one's part")
            }
            Reason::Load { app, dynos, from, to } => {
                write!(f, "app {app} has {dynos} dynos: {from}, {to}")
            }
        }
    }
}

impl fmt::Display for Gain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Gain::Serves { slots: 1 } => write!(f, "1 slot serves again"),
            Gain::Serves { slots } => write!(f, "{slots} slots serve again"),
            Gain::Leaves { block, dynos: 0 } => write!(f, "{block} is empty"),
            Gain::Leaves { block, dynos } => write!(f, "{dynos} left in {block}"),
            Gain::Group { block, dynos } => write!(f, "group of {dynos} in {block}"),
            Gain::Zone { zone, before, after } => write!(f, "{} {before} -> {after}", Named(zone)),
            Gain::Load { block, before, after } => write!(f, "load in {block} {before} -> {after}"),
            Gain::Slots { block, slots, fair } => write!(f, "{block} has {slots} of {fair} slots"),
        }
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wait::Lost { block, silent: Some(silent) } => {
                write!(f, "block {block} has had no leader for {silent}, and only it can release them; if it is stopped for good, evict it")
            }
            Wait::Lost { block, silent: None } => {
                write!(f, "block {block} has not been seen, and only it can release them; if it is stopped for good, evict it")
            }
            Wait::Arriving { block } => write!(f, "they are still on their way to {block}, which is draining"),
            Wait::NoRoom => write!(f, "no block has room; add a block"),
            Wait::Full { block } => write!(f, "block {block} is full until others have left it"),
            Wait::Resting { app, rest } => write!(f, "dynos of app {app} moved less than {rest} ago (dyno_rest)"),
            Wait::Filling { block, filled } => write!(f, "block {block} is new and takes {filled} of its part by now (fill)"),
            Wait::Zone { app, block } => write!(f, "the zone of {block} has too much of app {app} until others have left it (zone_max)"),
            Wait::App { app, most: 1 } => write!(f, "1 dyno of app {app} may be on the move at once (app_max)"),
            Wait::App { app, most } => write!(f, "{most} dynos of app {app} may be on the move at once (app_max)"),
            Wait::Limit { most } => write!(f, "{most} moves may be unfinished at once"),
        }
    }
}
