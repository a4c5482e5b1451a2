//! A scenario as it is written.

use anyhow::{Context, Error, Result, bail};
use dynomesh_core::time::Span;
use serde::Deserialize;

use super::{Drawn, Expect, Schedule, Timed};
use crate::fault::Spec;
use crate::system::layout::Layout;
use crate::system::rival::Kind;
use crate::workload::{self, rounds::ROUND};

/// Most requests that a dyno may run at once.
const CONNS_MAX: u32 = 99;
/// Shortest load after the last fault: that of [`dynomesh_testkit::check::Limits::recovery`], and a second in which requests show it.
const AFTER_MIN: Span = Span::from_secs(11);
/// Most dynos that speak WebSocket.
const SOCKETS_MAX: u16 = 99;
/// Most threads of an edge or replica.
const THREADS_MAX: u16 = 64;
/// Fewest log entries between two snapshots that a block takes.
const SNAPSHOT_EVERY_MIN: u64 = 100;
/// Shortest work of a dyno on average: more requests than that leaves room for are no use.
const WORK_MIN: Span = Span::from_millis(1);

/// What is run.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    /// The name of its file; of a rival's, with the rival behind it.
    #[serde(skip)]
    pub(crate) name: String,
    /// What it is called on the command line.
    #[serde(skip)]
    pub(crate) called: String,
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
    pub(crate) dynos: u16,
    /// Requests that each of them runs at once.
    pub(crate) max_conns: u32,
    /// What the mesh is told of whether they accept connections one at a time: `yes`, `no`, or `auto`, which leaves it to find out.
    pub(crate) serial: Serial,
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

/// What is said of dynos, as `dynomesh app create --serial` takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Serial {
    Yes,
    No,
    Auto,
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

// === impl Scenario ===

impl Scenario {
    /// Reads and checks a scenario.
    pub(crate) fn read(name: &str, text: &str) -> Result<Self> {
        let mut scenario: Scenario = toml::from_str(text).with_context(|| format!("the scenario {name}"))?;
        (scenario.name, scenario.called) = (name.to_owned(), name.to_owned());
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
        f64::from(self.mesh.dynos) * f64::from(self.mesh.max_conns) / (self.mesh.floor + self.mesh.mean).as_secs_f64()
    }

    /// The same for a rival; or why it cannot have it.
    pub(crate) fn against(&self, rival: Kind) -> Result<Self, String> {
        if let Some(fault) = self.faults().find(|fault| !fault.suits_rivals()) {
            return Err(format!("{rival} has no counterpart of {}", fault.told()));
        }
        if self.mesh.max_conns > 1 {
            return Err(format!("{rival} is set up for dynos of one request"));
        }
        let workload: Vec<_> = self.workload.iter().filter(|spec| spec.suits_rivals()).cloned().collect();
        if workload.is_empty() {
            return Err(format!("{rival} has no counterpart of what is asked"));
        }
        let mesh = Shape { system: rival, replicas: 1, sockets: 0, ..self.mesh.clone() };
        Ok(Scenario { name: format!("{}-{rival}", self.name), mesh, workload, ..self.clone() })
    }

    /// How long a run takes at least, without its start and end.
    pub(crate) fn length(&self, seed: u64) -> Span {
        let faults = Schedule::new(self, seed).events.iter().map(|event| event.ends).max().unwrap_or(Span::ZERO);
        self.run.warm + faults + self.run.after
    }

    pub(super) fn faults(&self) -> impl Iterator<Item = &Spec> {
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
        if !(1..=CONNS_MAX).contains(&self.mesh.max_conns) {
            bail!("mesh.max_conns = {} must be from 1 to {CONNS_MAX}", self.mesh.max_conns);
        }
        if self.mesh.sockets > SOCKETS_MAX {
            bail!("mesh.sockets = {} must be at most {SOCKETS_MAX}", self.mesh.sockets);
        }
        if !(1..=THREADS_MAX).contains(&self.mesh.threads) {
            bail!("mesh.threads = {} must be from 1 to {THREADS_MAX}", self.mesh.threads);
        }
        if let Some(every) = self.mesh.snapshot_every.filter(|every| *every < SNAPSHOT_EVERY_MIN) {
            bail!("mesh.snapshot_every = {every} must be at least {SNAPSHOT_EVERY_MIN}");
        }
        if self.mesh.floor + self.mesh.mean < WORK_MIN {
            bail!("mesh.floor = {} and mesh.mean = {} must be {WORK_MIN} at least together", self.mesh.floor, self.mesh.mean);
        }
        self.expect.check().map_err(Error::msg)?;
        if self.workload.is_empty() {
            bail!("there must be a [[workload]]: what nobody asks for shows nothing");
        }
        self.workload.iter().try_for_each(workload::Spec::check).map_err(Error::msg)?;
        self.drawn.as_ref().map_or(Ok(()), Drawn::check).map_err(Error::msg)?;
        let layout = Layout::new(&self.mesh)?;
        self.faults().try_for_each(|fault| fault.check(&layout)).map_err(Error::msg)?;
        if self.faults().next().is_some() && self.run.after < AFTER_MIN {
            bail!(
                "run.after = {} must be {AFTER_MIN} at least: who uses each dyno is judged that long after the last fault",
                self.run.after
            );
        }
        if let Some(within) = self.expect.p99_back_within {
            let (warm, after) = (ROUND.times(2), within + ROUND);
            if self.run.warm < warm || self.run.after < after {
                bail!(
                    "expect.p99_back_within = {within} needs run.warm of at least {warm} and run.after of at least {after}: windows to compare"
                );
            }
        }
        if let Some(within) = self.expect.p99_carried_within
            && let Some(fault) = self.fault.iter().find(|timed| timed.lasts < within + ROUND)
        {
            bail!("expect.p99_carried_within = {within} needs faults that last {} at least: {}", within + ROUND, fault.what.told());
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
            max_conns: 1,
            serial: Serial::Yes,
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

impl Serial {
    /// As the command line takes it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Serial::Yes => "yes",
            Serial::No => "no",
            Serial::Auto => "auto",
        }
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
    fn what_is_unknown_is_refused_with_its_name_and_what_would_be_right() {
        let error = |text: &str| format!("{:#}", Scenario::read("x", text).unwrap_err());
        let told = error("title = \"t\"\nworkload = []\n[mesh]\nedgess = 3");
        assert!(told.contains("`edgess`") && told.contains("`edges`"), "{told}");
        let told = error("title = \"t\"\nworkload = []\n[expect]\ngap = 3");
        assert!(told.contains("`gap`") && told.contains("`longest_gap`"), "{told}");
        assert!(error("title = \"t\"\nworkload = []").contains("[[workload]]"));
        let told = error("title = \"t\"\n[mesh]\nblocks = 0\n[[workload]]\nkind = \"mixed\"\nload = 0.8");
        assert!(told.contains("mesh.blocks = 0 must be from 1"), "{told}");
    }

    #[test]
    fn numbers_that_show_nothing_or_are_too_much_are_refused_with_their_range() {
        let mixed = "[[workload]]\nkind = \"mixed\"\nload = 0.5\n";
        let registers =
            |operators, count| format!("[[workload]]\nkind = \"registers\"\noperators = {operators}\ncount = {count}\ninterval = \"1s\"\n");
        let drawn = |count, overlap| {
            let from = "from = [{ kind = \"kill\", target = \"edge\" }]";
            format!("{mixed}[drawn]\ncount = {count}\ngap = \"1s\"\nlasts = \"1s\"\noverlap = {overlap}\n{from}")
        };
        for (key, text) in [
            ("mesh.sockets = 60000", format!("[mesh]\nsockets = 60000\n{mixed}")),
            ("mesh.threads = 0", format!("[mesh]\nthreads = 0\n{mixed}")),
            ("mesh.threads = 65", format!("[mesh]\nthreads = 65\n{mixed}")),
            ("mesh.snapshot_every = 0", format!("[mesh]\nsnapshot_every = 0\n{mixed}")),
            ("mesh.max_conns = 0", format!("[mesh]\nmax_conns = 0\n{mixed}")),
            ("mesh.floor = 0", format!("[mesh]\nfloor = \"0s\"\nmean = \"0s\"\n{mixed}")),
            ("workload.operators = 0", registers(0, 1)),
            ("workload.count = 0", registers(1, 0)),
            ("workload.clients = 0", "[[workload]]\nkind = \"slow\"\nclients = 0\nsize = 9\n".into()),
            ("workload.connections = 0", "[[workload]]\nkind = \"sockets\"\nconnections = 0\n".into()),
            ("workload.rate = 1000000000000", "[[workload]]\nkind = \"fast\"\nrate = 1e12\n".into()),
            ("workload.get = -1", format!("{mixed}get = -1.0\n")),
            ("more than 0", format!("{mixed}get = 0.0\npost = 0.0\nput = 0.0\ndelete = 0.0\n")),
            ("`times` = 0", format!("{mixed}[[fault]]\nkind = \"kill\"\ntarget = \"edge\"\ntimes = 0\n")),
            ("`times` = 4294967295", format!("{mixed}[[fault]]\nkind = \"kill\"\ntarget = \"edge\"\ntimes = 4294967295\n")),
            ("drawn.count = 0", drawn("0", "0.5")),
            ("drawn.overlap = 1.5", drawn("1", "1.5")),
            ("drawn.overlap = NaN", drawn("1", "nan")),
            ("expect.safe_success = -1", format!("{mixed}[expect]\nsafe_success = -1.0\n")),
            ("expect.cpu_max = NaN", format!("{mixed}[expect]\ncpu_max = nan\n")),
        ] {
            let told = format!("{:#}", Scenario::read("x", &format!("title = \"t\"\n{text}")).unwrap_err());
            assert!(told.contains(key), "{key}: {told}");
        }
    }

    #[test]
    fn load_that_is_none_or_more_than_can_be_is_refused_with_its_range() {
        let read =
            |workload: &str| Scenario::read("x", &format!("title = \"t\"\n[[workload]]\n{workload}")).map_err(|error| format!("{error:#}"));
        for load in ["0.0", "-0.5", "1.6", "nan", "inf"] {
            let told = read(&format!("kind = \"mixed\"\nload = {load}")).unwrap_err();
            assert!(told.contains("load = ") && told.contains("at most 1.5"), "{told}");
        }
        for rate in ["0.0", "-3.0", "nan", "inf"] {
            for workload in ["kind = \"fast\"", "kind = \"bodies\"\nsize_max = 9000"] {
                let told = read(&format!("{workload}\nrate = {rate}")).unwrap_err();
                assert!(told.contains("rate = ") && told.contains("more than 0"), "{told}");
            }
        }
        assert!(read("kind = \"mixed\"\nload = 1.5").is_ok() && read("kind = \"fast\"\nrate = 0.1").is_ok());
    }

    #[test]
    fn faults_must_last_for_as_long_as_what_is_expected_meanwhile() {
        let text = "title = \"t\"\n[[workload]]\nkind = \"mixed\"\nload = 0.8\n[expect]\np99_carried_within = \"10s\"\n[[fault]]\nkind = \"kill\"\n\
                    target = \"edge\"\nfor = ";
        let told = format!("{:#}", Scenario::read("x", &format!("{text}\"15s\"")).unwrap_err());
        assert!(told.contains("p99_carried_within = 10s") && told.contains("last 16s"), "{told}");
        assert!(Scenario::read("x", &format!("{text}\"16s\"")).is_ok());
    }

    #[test]
    fn rivals_have_what_is_not_of_a_mesh_alone() {
        let against = |fault: &str| {
            let text = format!("title = \"t\"\n[[workload]]\nkind = \"mixed\"\nload = 0.8\n[[fault]]\n{fault}");
            Scenario::read("x", &text).unwrap().against(Kind::Haproxy).map(|rival| (rival.name, rival.called))
        };
        for target in ["leader of any", "block any", "edge", "dyno"] {
            for kind in ["kill", "freeze"] {
                let rival = against(&format!("kind = \"{kind}\"\ntarget = \"{target}\""));
                assert_eq!(rival, Ok(("x-haproxy".to_owned(), "x".to_owned())));
            }
        }
        for target in ["follower of any", "control"] {
            let told = against(&format!("kind = \"freeze\"\ntarget = \"{target}\"")).unwrap_err();
            assert!(told.contains("haproxy") && told.contains(target), "{told}");
        }
        assert!(against("kind = \"moves\"\ninterval = \"1s\"").unwrap_err().contains("moves"));
    }
}
