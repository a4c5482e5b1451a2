//! A scenario as it is written, and where scenarios are found: those of this program are compiled in, and any file will do.

use std::fs;

use anyhow::{Context, Result, bail};
use dynomesh_core::time::Span;
use serde::Deserialize;

use super::{Drawn, Expect, Timed};
use crate::fault::Spec;
use crate::system::rival::Kind;
use crate::workload;

/// What is run.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    /// The name of its file.
    #[serde(skip)]
    pub(crate) name: String,
    /// What it is, in a sentence.
    pub(crate) title: String,
    /// The mesh.
    #[serde(default)]
    pub(crate) mesh: Shape,
    /// How long it takes.
    #[serde(default)]
    pub(crate) run: Timing,
    /// What is asked of the mesh.
    pub(crate) workload: Vec<workload::Spec>,
    /// What breaks, when.
    #[serde(default)]
    pub(crate) fault: Vec<Timed>,
    /// What breaks, drawn by the seed.
    #[serde(default)]
    pub(crate) drawn: Option<Drawn>,
    /// What must be reached.
    #[serde(default)]
    pub(crate) expect: Expect,
}

/// What a mesh consists of.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Shape {
    /// What is run.
    pub(crate) system: Kind,
    pub(crate) edges: u16,
    pub(crate) blocks: u16,
    /// Of each block.
    pub(crate) replicas: u16,
    /// Replicas of the control plane.
    pub(crate) control: u16,
    /// Dynos of one request each.
    pub(crate) dynos: u16,
    /// Dynos that speak WebSocket.
    pub(crate) sockets: u16,
    /// A dyno works for this long ...
    pub(crate) floor: Span,
    /// ... and for an exponential time of this mean on top.
    pub(crate) mean: Span,
    /// Threads of each edge and replica.
    pub(crate) threads: u16,
    /// `committed` or `leased`.
    pub(crate) slots: Slots,
    /// Log entries between two snapshots of a block; the mesh's own default if not set.
    pub(crate) snapshot_every: Option<u64>,
    /// More arguments of `dynomesh app create`.
    pub(crate) app: Vec<String>,
}

/// When slots count as granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Slots {
    Committed,
    Leased,
}

/// How long a run takes.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Timing {
    /// Load before the first fault, by which what is normal is known.
    pub(crate) warm: Span,
    /// Load after the last fault was healed.
    pub(crate) after: Span,
    /// Whether `run all` runs it too.
    pub(crate) in_all: bool,
}

/// What the faults of a scenario need from the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// A relay in the cables.
    pub(crate) relay: bool,
    /// Faults that are put into processes.
    pub(crate) faults: bool,
    /// Disks of this size.
    pub(crate) small_disks: Option<String>,
}

macro_rules! built_in {
    ($($name:literal),* $(,)?) => { &[$(($name, include_str!(concat!("../../scenarios/", $name, ".toml")))),*] };
}

/// The scenarios of this program, in the order of `run all`.
const BUILT_IN: &[(&str, &str)] = built_in![
    "kill-leader",
    "kill-follower",
    "kill-edge",
    "kill-control",
    "kill-dyno",
    "kill-block",
    "freeze-leader",
    "freeze-follower",
    "freeze-block",
    "freeze-edge",
    "freeze-control",
    "freeze-dyno",
    "cut-leader",
    "cut-block-from-edges",
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
    Scenario::read(&stem, &text)
}

// === impl Scenario ===

impl Scenario {
    /// Reads and checks a scenario.
    pub(crate) fn read(name: &str, text: &str) -> Result<Self> {
        let mut scenario: Scenario = toml::from_str(text).with_context(|| format!("the scenario {name}"))?;
        scenario.name = name.to_owned();
        scenario.check().with_context(|| format!("the scenario {name}"))?;
        Ok(scenario)
    }

    /// What its faults need from the start.
    pub(crate) fn needs(&self) -> Needs {
        let mut needs = Needs::default();
        self.faults().for_each(|fault| fault.add_needs(&mut needs));
        needs
    }

    /// How many requests the dynos can do in a second.
    pub(crate) fn capacity(&self) -> f64 {
        f64::from(self.mesh.dynos) / (self.mesh.floor + self.mesh.mean).as_secs_f64()
    }

    /// The same for a rival, where its faults are such as it can have too.
    pub(crate) fn against(&self, rival: Kind) -> Option<Self> {
        let workload: Vec<_> = self.workload.iter().filter(|spec| !matches!(spec, workload::Spec::Sockets(_))).cloned().collect();
        let mesh = Shape { system: rival, replicas: 1, sockets: 0, ..self.mesh.clone() };
        let name = format!("{}-{rival}", self.name);
        (self.faults().all(Spec::suits_rivals) && !workload.is_empty()).then(|| Scenario { name, mesh, workload, ..self.clone() })
    }

    fn faults(&self) -> impl Iterator<Item = &Spec> {
        self.fault.iter().map(|timed| &timed.what).chain(self.drawn.iter().flat_map(|drawn| &drawn.from))
    }

    fn check(&self) -> Result<()> {
        let Shape { edges, blocks, replicas, control, dynos, .. } = self.mesh;
        for (key, value, most) in
            [("edges", edges, 99), ("blocks", blocks, 99), ("replicas", replicas, 7), ("control", control, 7), ("dynos", dynos, 999)]
        {
            if !(1..=most).contains(&value) {
                bail!("mesh.{key} = {value} must be from 1 to {most}");
            }
        }
        if self.workload.is_empty() {
            bail!("there must be a [[workload]]: what nobody asks for shows nothing");
        }
        if let Some(drawn) = &self.drawn
            && drawn.from.is_empty()
        {
            bail!("drawn.from must name a fault");
        }
        Ok(())
    }
}

impl Default for Shape {
    fn default() -> Self {
        Shape {
            system: Kind::Mesh,
            edges: 2,
            blocks: 2,
            replicas: 3,
            control: 1,
            dynos: 16,
            sockets: 0,
            floor: Span::from_millis(20),
            mean: Span::from_millis(100),
            threads: 1,
            slots: Slots::Committed,
            snapshot_every: None,
            app: Vec::new(),
        }
    }
}

impl Default for Timing {
    fn default() -> Self {
        Timing { warm: Span::from_secs(12), after: Span::from_secs(17), in_all: true }
    }
}

impl std::fmt::Display for Slots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Slots::Committed => "committed",
            Slots::Leased => "leased",
        })
    }
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
    fn what_is_unknown_is_refused_with_its_name_and_what_would_be_right() {
        let error = |text: &str| format!("{:#}", Scenario::read("x", text).unwrap_err());
        let told = error("title = \"t\"\nworkload = []\n[mesh]\nedgess = 3");
        assert!(told.contains("`edgess`") && told.contains("`edges`"), "{told}");
        let told = error("title = \"t\"\nworkload = []\n[expect]\ngap = 3");
        assert!(told.contains("`gap`") && told.contains("`longest_gap`"), "{told}");
        assert!(error("title = \"t\"\nworkload = []").contains("[[workload]]"));
        let told = error("title = \"t\"\n[mesh]\nblocks = 0\n[[workload]]\nkind = \"mixed\"\nload = 0.8");
        assert!(told.contains("mesh.blocks = 0 must be from 1"), "{told}");
        assert!(format!("{:#}", named("nonsense").unwrap_err()).contains("kill-leader"));
    }
}
