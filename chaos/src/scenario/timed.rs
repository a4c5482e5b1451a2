//! Faults with their times, as a scenario writes them.

use dynomesh_core::time::Span;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::fault::Spec;

/// Most faults that are drawn for a run.
const DRAWN_MAX: u32 = 1_000;
/// Most times that a fault comes.
const TIMES_MAX: u32 = 1_000;
/// How long a fault lasts unless said otherwise.
const FOR: Span = Span::from_secs(3);

/// A fault and when it happens, counted from the end of the warm-up.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Table")]
pub(crate) struct Timed {
    /// When it begins the first time.
    pub(crate) at: Span,
    /// How long it lasts.
    pub(crate) lasts: Span,
    /// How often it happens.
    pub(crate) times: u32,
    /// From one beginning to the next.
    pub(crate) every: Span,
    /// What it is.
    pub(crate) what: Spec,
}

/// Faults drawn by the seed of the run.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Drawn {
    /// How many.
    pub(crate) count: u32,
    /// Time from the end of one to the beginning of the next, at most; drawn. Negative is not possible, but see `overlap`.
    pub(crate) gap: Span,
    /// How long each lasts, at most; at least a fifth of it.
    pub(crate) lasts: Span,
    /// Share of faults that begin in the middle of the one before.
    #[serde(default)]
    pub(crate) overlap: f64,
    /// What is drawn from.
    pub(crate) from: Vec<Spec>,
}

impl Drawn {
    /// Refuses what draws nothing.
    pub(super) fn check(&self) -> Result<(), String> {
        match self {
            Drawn { from, .. } if from.is_empty() => Err("drawn.from must name a fault".into()),
            Drawn { count, .. } if !(1..=DRAWN_MAX).contains(count) => Err(format!("drawn.count = {count} must be from 1 to {DRAWN_MAX}")),
            Drawn { overlap, .. } if !(0.0..=1.0).contains(overlap) => Err(format!("drawn.overlap = {overlap} must be from 0 to 1")),
            Drawn { .. } => Ok(()),
        }
    }
}

impl TryFrom<Table> for Timed {
    type Error = String;

    fn try_from(mut table: Table) -> Result<Self, String> {
        let at = take(&mut table, "at")?.unwrap_or(Span::ZERO);
        let lasts = take(&mut table, "for")?.unwrap_or(FOR);
        let times = take(&mut table, "times")?.unwrap_or(1);
        let every = take(&mut table, "every")?.unwrap_or(lasts.times(2));
        if times == 0 {
            return Err("`times` = 0 must be 1 at least: a fault that never happens shows nothing".into());
        }
        if times > TIMES_MAX {
            return Err(format!("`times` = {times} must be {TIMES_MAX} at most"));
        }
        if times > 1 && every < lasts {
            return Err(format!("`every` ({every}) must be at least `for` ({lasts}): a fault ends before it comes again"));
        }
        let what = Value::Table(table).try_into().map_err(|error: toml::de::Error| error.message().to_owned())?;
        Ok(Timed { at, lasts, times, every, what })
    }
}

/// Takes a key out of a table, so that only those of the fault itself are left.
fn take<T: DeserializeOwned>(table: &mut Table, key: &str) -> Result<Option<T>, String> {
    let value = table.remove(key).map(|value| value.try_into::<T>()).transpose();
    value.map_err(|error| format!("`{key}`: {}", error.message()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Timed, String> {
        toml::from_str::<Timed>(text).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn times_are_told_apart_from_what_the_fault_is() {
        let timed = read("at = \"2s\"\nfor = \"1s\"\ntimes = 3\nevery = \"8s\"\nkind = \"kill\"\ntarget = \"leader of b1\"").unwrap();
        assert_eq!((timed.at, timed.lasts, timed.times, timed.every), (Span::from_secs(2), Span::from_secs(1), 3, Span::from_secs(8)));
    }

    #[test]
    fn unknown_keys_and_kinds_are_refused_with_what_would_be_right() {
        let error = read("kind = \"kill\"\ntarget = \"edge\"\nuntil = \"1s\"").unwrap_err();
        assert!(error.contains("`until`") && error.contains("`target`"), "{error}");
        let error = read("kind = \"smash\"").unwrap_err();
        assert!(error.contains("`smash`") && error.contains("`kill`"), "{error}");
        let error = read("kind = \"kill\"\ntarget = \"edge\"\nfor = 3").unwrap_err();
        assert!(error.contains("`for`"), "{error}");
        assert!(read("kind = \"kill\"\ntarget = \"edge\"\nfor = \"3s\"\ntimes = 2\nevery = \"1s\"").is_err());
    }
}
