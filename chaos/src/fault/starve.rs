//! Too little of the processors: processes share a small quota of them, so that they run in jerks.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::leadership::Leadership;
use super::{Fault, Felt, Hit};
use crate::making::GATE;
use crate::system::Mesh;
use crate::system::select::{Choice, Selector};

/// Where the two versions of control groups are found.
const SECOND: &str = "/sys/fs/cgroup";
const FIRST: &str = "/sys/fs/cgroup/cpu";
/// The quota is for this long, in microseconds.
const PERIOD_MICROS: u64 = 100_000;

/// Which processes, and how much they get.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    pub(super) target: Selector,
    /// Share of one processor that all of them together get.
    pub(super) share: f64,
}

pub(super) struct Starve {
    spec: Spec,
    names: Vec<String>,
    group: Option<Group>,
    leadership: Leadership,
    throttled: u64,
}

/// A control group of our own.
struct Group {
    dir: PathBuf,
    parent: PathBuf,
}

// === impl Starve ===

impl Starve {
    pub(super) fn new(spec: &Spec) -> Self {
        Starve { spec: spec.clone(), names: Vec::new(), group: None, leadership: Leadership::default(), throttled: 0 }
    }
}

impl Fault for Starve {
    fn aim(&mut self, mesh: &mut Mesh) -> Result<()> {
        self.names = mesh.select(&self.spec.target, &mut Choice::default())?;
        self.leadership = Leadership::note(mesh, &self.names);
        Ok(())
    }

    fn start(&mut self, mesh: &mut Mesh) -> Result<()> {
        let group = Group::create(&mesh.next_name("starve"), self.spec.share)?;
        self.leadership.begin(mesh);
        for name in &self.names {
            if let Some(pid) = mesh.process(name)?.pid() {
                group.take(pid)?;
            }
        }
        self.group = Some(group);
        Ok(())
    }

    fn heal(&mut self, mesh: &mut Mesh) -> Result<()> {
        let Some(group) = self.group.take() else { return Ok(()) };
        self.throttled = group.throttled();
        for name in &self.names {
            if let Some(pid) = mesh.process(name)?.pid() {
                group.leave(pid)?;
            }
        }
        Ok(())
    }

    fn felt(&mut self, _mesh: &mut Mesh) -> Result<Felt> {
        let told =
            format!("stopped {} times for having used up {} of a processor. {}", self.throttled, self.spec.share, self.leadership.told());
        Ok(Felt::when(self.throttled > 0, told))
    }

    fn hits(&self) -> Vec<Hit> {
        Hit::of(&self.names)
    }
}

// === impl Group ===

impl Group {
    fn create(name: &str, share: f64) -> Result<Self> {
        let second = PathBuf::from(SECOND).join("cpu.max").exists() || PathBuf::from(SECOND).join("cgroup.controllers").exists();
        let parent = PathBuf::from(if second { SECOND } else { FIRST });
        let dir = parent.join(format!("{}{}-{name}", crate::net::PREFIX, std::process::id()));
        let _making = GATE.pass();
        fs::create_dir(&dir).with_context(|| format!("make the control group {}", dir.display()))?;
        let group = Group { dir, parent };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a share of 0.1 s in microseconds"
        )]
        let quota = (PERIOD_MICROS as f64 * share) as u64;
        if second {
            group.write("cpu.max", &format!("{quota} {PERIOD_MICROS}"))?;
        } else {
            group.write("cpu.cfs_period_us", &PERIOD_MICROS.to_string())?;
            group.write("cpu.cfs_quota_us", &quota.to_string())?;
        }
        Ok(group)
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        fs::write(self.dir.join(file), text).with_context(|| self.dir.join(file).display().to_string())
    }

    fn take(&self, pid: u32) -> Result<()> {
        self.write("cgroup.procs", &pid.to_string())
    }

    fn leave(&self, pid: u32) -> Result<()> {
        let procs = self.parent.join("cgroup.procs");
        fs::write(&procs, pid.to_string()).with_context(|| procs.display().to_string())
    }

    /// How often its processes were stopped.
    fn throttled(&self) -> u64 {
        let told = fs::read_to_string(self.dir.join("cpu.stat")).unwrap_or_default();
        told.lines().find_map(|line| line.strip_prefix("nr_throttled ")?.parse().ok()).unwrap_or(0)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Fails while processes are in it, that is when the run ends in the middle of the fault; `clean` takes it away then.
        let _ = fs::remove_dir(&self.dir);
    }
}
