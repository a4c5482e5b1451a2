//! How the operator wants dynos to be spread, and how fast that may happen.
//!
//! All defaults stand in [`DEFAULTS`]. The figures are about trouble and worth: a move takes a dyno out of service for as long as its
//! requests last, so that it has to gain more than that.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::directory::MeshSettings;
use crate::id::Invalid;
use crate::time::Span;

/// A share in hundredths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Percent(pub u32);

/// What a plan heeds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Dynos of an app per block: enough for least-conn to find an idle one, few enough that many blocks share a large app. An app has
    /// about its dynos divided by this many blocks, [`Policy::hysteresis`] to either side.
    pub group: u32,
    /// Blocks an app has at least, if it has as many dynos: with two it survives the loss of one. It outweighs `group` for small apps.
    pub blocks_min: u32,
    /// Two blocks' parts of an app differ by less than this share of what they should be: left alone. The same share decides
    /// whether an app has too many or too few blocks, and whether a block is crowded.
    pub hysteresis: Percent,
    /// How much of an app's capacity follows its load, when half of its slots or more are in use; the rest is shared equally by its blocks,
    /// so that no group starves. With less in use load has less to say.
    pub load_say: Percent,
    /// Most of an app's slots in one zone, where there are zones to choose from: the loss of one leaves the rest.
    pub zone_max: Percent,
    /// Moves that may be unfinished at once. Dynos on the move serve nobody.
    pub moves_max: u32,
    /// The same for dynos that serve nobody anyway, because they wait for their first block or theirs was evicted. At least `moves_max`.
    pub rescues_max: u32,
    /// Most of an app's dynos on the move at once, but always one.
    pub app_max: Percent,
    /// How long a moved dyno stays where it is, unless its block has to be left.
    pub dyno_rest: Span,
    /// Time from one round of moves to the next. It is longer where the map needs longer, see `convergences`.
    pub pace: Span,
    /// A round waits for this many times the measured convergence of the map, so that all know of one before the next.
    pub convergences: u32,
    /// Time over which a new block is filled to its fair part.
    pub fill: Span,
}

/// Below this moves follow chance, above it nothing is ever evened out; in hundredths.
const HYSTERESIS_MIN: u32 = 5;
const HYSTERESIS_MAX: u32 = 90;

/// What holds unless the operator says otherwise.
pub const DEFAULTS: Policy = Policy {
    group: 25,
    blocks_min: 2,
    hysteresis: Percent(20),
    load_say: Percent(50),
    zone_max: Percent(60),
    moves_max: 8,
    rescues_max: 64,
    app_max: Percent(25),
    dyno_rest: Span::from_secs(600),
    pace: Span::from_secs(1),
    convergences: 5,
    fill: Span::from_secs(600),
};

impl Default for Policy {
    fn default() -> Self {
        DEFAULTS
    }
}

impl From<&MeshSettings> for Policy {
    /// What the operator's settings come to; what they leave open is as in [`DEFAULTS`]. Settings that pass their check make a policy that
    /// passes its own.
    fn from(settings: &MeshSettings) -> Self {
        Policy {
            group: settings.group,
            blocks_min: settings.blocks_min,
            hysteresis: Percent(settings.gain_min.clamp(HYSTERESIS_MIN, HYSTERESIS_MAX)),
            moves_max: settings.moves_max,
            rescues_max: settings.moves_max.max(DEFAULTS.rescues_max),
            dyno_rest: settings.rest,
            pace: settings.pace,
            ..DEFAULTS
        }
    }
}

impl Policy {
    /// Refuses what cannot be obeyed, with the field's name and value.
    pub fn check(&self) -> Result<(), Invalid> {
        let ranges = [
            ("plan.group", self.group, 1, 10_000, "must be from 1 to 10000"),
            ("plan.blocks_min", self.blocks_min, 1, 1_000, "must be from 1 to 1000"),
            ("plan.hysteresis", self.hysteresis.0, HYSTERESIS_MIN, HYSTERESIS_MAX, "must be from 5 to 90 (per cent)"),
            ("plan.load_say", self.load_say.0, 0, 90, "must be from 0 to 90 (per cent)"),
            ("plan.zone_max", self.zone_max.0, 10, 100, "must be from 10 to 100 (per cent)"),
            ("plan.moves_max", self.moves_max, 1, 10_000, "must be from 1 to 10000"),
            ("plan.rescues_max", self.rescues_max, self.moves_max, 10_000, "must be from moves_max to 10000"),
            ("plan.app_max", self.app_max.0, 1, 100, "must be from 1 to 100 (per cent)"),
            ("plan.convergences", self.convergences, 1, 1_000, "must be from 1 to 1000"),
        ];
        for (field, value, least, most, problem) in ranges {
            if value < least || value > most {
                return Err(Invalid::new(field, &value.to_string(), problem));
            }
        }
        if self.pace == Span::ZERO {
            return Err(Invalid::new("plan.pace", &self.pace.to_string(), "must be longer than nothing"));
        }
        Ok(())
    }
}

// === impl Percent ===

impl Percent {
    /// `part` of `whole`, rounded; a part of nothing is 0 %.
    pub fn of(part: u64, whole: u64) -> Self {
        let hundredths = (u128::from(part) * 100 + u128::from(whole) / 2).checked_div(u128::from(whole)).unwrap_or(0);
        Percent(u32::try_from(hundredths).unwrap_or(u32::MAX))
    }

    /// This share of `whole`, rounded up.
    pub fn share_of(self, whole: u64) -> u64 {
        (whole.saturating_mul(u64::from(self.0))).div_ceil(100)
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_sound_and_may_be_left_out() {
        DEFAULTS.check().unwrap();
        assert_eq!(serde_json::from_str::<Policy>("{}").unwrap(), DEFAULTS);
        let some = serde_json::from_str::<Policy>(r#"{"group": 10, "pace": "1m"}"#).unwrap();
        assert_eq!(some, Policy { group: 10, pace: Span::from_secs(60), ..DEFAULTS });
        assert!(serde_json::from_str::<Policy>(r#"{"gruop": 10}"#).is_err());
    }

    #[test]
    fn a_refusal_names_field_and_value() {
        let text = Policy { zone_max: Percent(5), ..DEFAULTS }.check().unwrap_err().to_string();
        assert_eq!(text, "plan.zone_max \"5\" must be from 10 to 100 (per cent)");
        let text = Policy { rescues_max: 7, ..DEFAULTS }.check().unwrap_err().to_string();
        assert_eq!(text, "plan.rescues_max \"7\" must be from moves_max to 10000");
        assert!(Policy { pace: Span::ZERO, ..DEFAULTS }.check().is_err());
    }

    #[test]
    fn settings_that_are_sound_make_a_sound_policy() {
        let policy = Policy::from(&MeshSettings::default());
        policy.check().unwrap();
        assert_eq!((policy.group, policy.blocks_min, policy.moves_max), (DEFAULTS.group, DEFAULTS.blocks_min, DEFAULTS.moves_max));
        for (gain_min, hysteresis, moves_max, rescues_max) in [(5, 5, 1, 64), (30, 30, 64, 64), (90, 90, 1_000, 1_000)] {
            let settings =
                MeshSettings { gain_min, moves_max, rest: Span::from_secs(7), pace: Span::from_secs(3), ..MeshSettings::default() };
            settings.check().unwrap();
            let policy = Policy::from(&settings);
            policy.check().unwrap();
            assert_eq!((policy.hysteresis, policy.moves_max, policy.rescues_max), (Percent(hysteresis), moves_max, rescues_max));
            assert_eq!((policy.dyno_rest, policy.pace), (Span::from_secs(7), Span::from_secs(3)));
        }
    }

    #[test]
    fn shares_round_so_that_nothing_is_never_a_division_by_zero() {
        assert_eq!([Percent::of(1, 3), Percent::of(2, 3), Percent::of(5, 0)], [Percent(33), Percent(67), Percent(0)]);
        assert_eq!(Percent(60).share_of(6), 4);
    }
}
