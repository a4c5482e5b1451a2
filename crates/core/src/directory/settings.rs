//! What an operator sets for the whole mesh, and wants of single processes.

use serde::{Deserialize, Serialize};

use super::command::{Refusal, Reply};
use super::record::Wish;
use super::state::DirectoryState;
use crate::id::{Index, Invalid, NodeName, Version};
use crate::map::fact::CUT_DEFAULT;
use crate::plan::DEFAULTS;
use crate::time::Span;

/// Most processes that operators may have wishes about; the oldest fulfilled one makes room.
pub const WISHES_MAX: usize = 4_096;

/// Settings of the whole mesh. Each takes effect within the map's convergence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeshSettings {
    /// Whether dynos are moved for balance without being asked. Drained and evicted blocks are emptied either way.
    pub rebalance: Rebalance,
    /// How long running requests may go on at a dyno that is drained, moved or removed; then they are cut. From 0 to a day.
    pub drain: Span,
    /// A block that was not seen for this long may be evicted without an operator, where there is proof (P16). Longer than twice the
    /// longest request.
    pub evict_after: Span,
    /// Dynos of an app in a block that make least-conn work well; apps are spread over blocks by it. From 1 to 1000.
    pub group: u32,
    /// Blocks an app shall have at least, where it has as many dynos, so that it outlives one. From 1 to 16.
    pub blocks_min: u32,
    /// Moves under way at once. From 1 to 1000.
    pub moves_max: u32,
    /// Least time between two rounds of moves; never less than some convergences of the map.
    pub pace: Span,
    /// How long a dyno that was moved stays before it is moved again for balance.
    pub rest: Span,
    /// What a move for balance must gain at least, in hundredths of the load it evens out. From 5 to 90.
    pub gain_min: u32,
}

/// Whether dynos are moved for balance without being asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rebalance {
    /// Only when an operator asks.
    #[default]
    Manual,
    /// Whenever the plan says so.
    Auto,
}

impl Default for MeshSettings {
    fn default() -> Self {
        MeshSettings {
            rebalance: Rebalance::Manual,
            drain: CUT_DEFAULT,
            evict_after: Span::from_secs(120),
            group: DEFAULTS.group,
            blocks_min: DEFAULTS.blocks_min,
            moves_max: DEFAULTS.moves_max,
            pace: DEFAULTS.pace,
            rest: DEFAULTS.dyno_rest,
            gain_min: DEFAULTS.hysteresis.0,
        }
    }
}

impl MeshSettings {
    /// Refuses what no mesh could live with; the error names the value and what would be right.
    pub fn check(&self) -> Result<(), Invalid> {
        const DAY: Span = Span::from_secs(24 * 60 * 60);
        let within = |what, value: u32, range: std::ops::RangeInclusive<u32>, right| {
            if range.contains(&value) { Ok(()) } else { Err(Invalid::new(what, &value.to_string(), right)) }
        };
        within("group", self.group, 1..=1_000, "must be from 1 to 1000")?;
        within("blocks_min", self.blocks_min, 1..=16, "must be from 1 to 16")?;
        within("moves_max", self.moves_max, 1..=1_000, "must be from 1 to 1000")?;
        within("gain_min", self.gain_min, 5..=90, "must be from 5 to 90")?;
        for (what, span) in [("drain", self.drain), ("rest", self.rest), ("evict_after", self.evict_after)] {
            if span > DAY {
                return Err(Invalid::new(what, &span.to_string(), "must be at most 24h"));
            }
        }
        if self.evict_after < Span::from_secs(10) {
            return Err(Invalid::new("evict_after", &self.evict_after.to_string(), "must be at least 10s"));
        }
        if self.pace < Span::from_millis(100) || self.pace > DAY {
            return Err(Invalid::new("pace", &self.pace.to_string(), "must be from 100ms to 24h"));
        }
        Ok(())
    }
}

impl DirectoryState {
    /// The settings of the mesh.
    pub fn settings(&self) -> &MeshSettings {
        &self.settings
    }

    /// When they were last changed; 0 if never.
    pub fn settings_version(&self) -> Version {
        self.settings_version
    }

    /// What operators want of processes.
    pub fn wishes(&self) -> impl ExactSizeIterator<Item = (&NodeName, Wish)> {
        self.wishes.iter().map(|(node, wish)| (node, *wish))
    }

    pub(super) fn set_settings(&mut self, at: Index, settings: MeshSettings) -> Result<Reply, Refusal> {
        settings.check().map_err(|invalid| Refusal::because(&invalid))?;
        if self.settings == settings {
            return Ok(Reply::Done { changed: false, stamp: self.settings_version.0 });
        }
        let stamp = self.stamp(at);
        (self.settings, self.settings_version) = (settings, Version(stamp));
        Ok(Reply::Done { changed: true, stamp })
    }

    pub(super) fn drain_node(&mut self, at: Index, node: NodeName, drain: bool) -> Result<Reply, Refusal> {
        let known = self.wishes.get(&node).copied();
        if known.is_some_and(|wish| wish.drain) == drain {
            return Ok(Reply::Done { changed: false, stamp: known.map_or(0, |wish| wish.version.0) });
        }
        if known.is_none() && self.wishes.len() >= WISHES_MAX {
            let fulfilled = self.wishes.iter().filter(|(_, wish)| !wish.drain).min_by_key(|(_, wish)| wish.version);
            let Some(node) = fulfilled.map(|(node, _)| node.clone()) else {
                return Err(Refusal::precondition(format!(
                    "{WISHES_MAX} processes are being drained already; undrain those that are gone"
                )));
            };
            self.wishes.remove(&node);
        }
        let stamp = self.stamp(at);
        self.wishes.insert(node, Wish { version: Version(stamp), drain });
        Ok(Reply::Done { changed: true, stamp })
    }
}
