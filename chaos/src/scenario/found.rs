//! Where scenarios are found: those of this program are compiled in, and any file will do.

use std::fs;

use anyhow::{Context, Result, bail};

use super::Scenario;

macro_rules! built_in {
    ($($name:literal),* $(,)?) => { &[$(($name, include_str!(concat!("../../scenarios/", $name, ".toml")))),*] };
}

/// The scenarios of this program, in the order of `run all`.
const BUILT_IN: &[(&str, &str)] = built_in![
    "kill-leader",
    "one-block",
    "kill-follower",
    "kill-edge",
    "kill-control",
    "kill-control-each",
    "alone",
    "kill-dyno",
    "threads",
    "threads-unknown",
    "serial-unknown",
    "kill-block",
    "freeze-leader",
    "freeze-busy",
    "freeze-follower",
    "freeze-block",
    "freeze-edge",
    "freeze-control",
    "freeze-dyno",
    "cut-leader",
    "cut-block-from-edges",
    "cut-dynos",
    "cut-edges-from-control",
    "cut-control",
    "cut-gossip",
    "cut-one-way",
    "cut-halves",
    "bad-cables",
    "narrow-cables",
    "disk-full",
    "slow-flush",
    "failing-flush",
    "torn-log",
    "clock-ahead",
    "clock-wall",
    "starve",
    "moves",
    "drains",
    "deploy",
    "evict",
    "bodies",
    "sockets",
    "slow-clients",
    "storm",
    "storm-leased",
    "ci",
    "million",
];

/// All scenarios of this program.
pub(crate) fn all() -> Result<Vec<Scenario>> {
    BUILT_IN.iter().map(|(name, text)| Scenario::read(name, text)).collect()
}

/// A scenario by its name, or by the path of its file.
pub(crate) fn named(name: &str) -> Result<Scenario> {
    if let Some((name, text)) = BUILT_IN.iter().find(|(built_in, _)| *built_in == name) {
        return Scenario::read(name, text);
    }
    if !name.ends_with(".toml") {
        let names: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
        bail!("there is no scenario {name}; it must be `all`, the path of a .toml file, or one of: {}", names.join(", "));
    }
    let text = fs::read_to_string(name).with_context(|| name.to_owned())?;
    let stem = std::path::Path::new(name).file_stem().map_or_else(|| name.to_owned(), |stem| stem.to_string_lossy().into_owned());
    Ok(Scenario { called: name.to_owned(), ..Scenario::read(&stem, &text)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_of_this_program_can_be_read_and_breaks_something() {
        for scenario in all().unwrap() {
            assert!(scenario.faults().count() > 0, "{} breaks nothing", scenario.name);
            assert_eq!(named(&scenario.name).unwrap(), scenario);
        }
    }

    #[test]
    fn every_file_beside_them_is_one_of_them() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");
        let mut files: Vec<String> =
            fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap().replace(".toml", "")).collect();
        files.sort();
        let mut built_in: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
        built_in.sort_unstable();
        assert_eq!(files, built_in);
    }

    #[test]
    fn the_scenario_that_the_readme_shows_can_be_run() {
        let readme = include_str!("../../README.md");
        let (_, shown) = readme.split_once("```toml\n").unwrap();
        let shown = Scenario::read("mine", shown.split_once("```").unwrap().0).unwrap();
        assert_eq!(shown.faults().count(), 2);
    }

    #[test]
    fn an_unknown_name_is_refused_with_those_that_there_are() {
        assert!(format!("{:#}", named("nonsense").unwrap_err()).contains("kill-leader"));
    }
}
