//! Flushes to disk that are slow, or fail. A process whose flush failed may end, and is then started again.

use std::collections::BTreeSet;

use anyhow::Result;
use dynomesh_core::time::Span;
use serde::Deserialize;

use super::leadership::Leadership;
use super::{Fault, Felt, Hit, file};
use crate::system::Mesh;
use crate::system::layout::{Member, Role};
use crate::system::select::{Choice, Selector};

/// Whose flushes, and what becomes of them.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    pub(super) target: Selector,
    /// Each takes so much longer.
    #[serde(default)]
    pub(super) delay: Span,
    /// Each fails.
    #[serde(default)]
    pub(super) fails: bool,
}

/// What a process says when it met a flush that fails by this fault.
const FAILED: &str = "a fault put here by DYNOMESH_FAULTS";

pub(super) struct Flush {
    spec: Spec,
    names: Vec<String>,
    /// Where their logs ended when it began.
    logs: Vec<u64>,
    leadership: Leadership,
    /// Sum and number of waits for a commit, before and at the end.
    commits: [(f64, f64); 2],
    /// How many said that a flush had failed, and how many had ended.
    complained: usize,
    ended: usize,
}

// === impl Flush ===

impl Flush {
    pub(super) fn new(spec: &Spec) -> Self {
        let (names, logs, leadership, commits) = Default::default();
        Flush { spec: spec.clone(), names, logs, leadership, commits, complained: 0, ended: 0 }
    }

    /// How long the replicas of the blocks that are struck have waited for commits, and how often; one that does not answer has not waited.
    fn commits(&self, mesh: &Mesh) -> (f64, f64) {
        let block = |member: &Member| if let Role::Replica(block) = &member.role { Some(block.clone()) } else { None };
        let struck: BTreeSet<String> =
            mesh.layout.members.iter().filter(|member| self.names.contains(&member.name)).filter_map(block).collect();
        let replicas = mesh.layout.members.iter().filter(|member| block(member).is_some_and(|block| struck.contains(&block)));
        let count = |name: &str, metric: &str| mesh.metric(name, metric).unwrap_or(0.0);
        let each =
            replicas.map(|member| (count(&member.name, "block_commit_seconds_sum"), count(&member.name, "block_commit_seconds_count")));
        each.fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    /// Mean wait for a commit while the fault lasted, in milliseconds.
    fn waited(&self) -> f64 {
        let [(sum, count), (sum_after, count_after)] = self.commits;
        if count_after > count { (sum_after - sum) / (count_after - count) * 1000.0 } else { 0.0 }
    }
}

impl Fault for Flush {
    fn aim(&mut self, mesh: &mut Mesh) -> Result<()> {
        self.names = mesh.select(&self.spec.target, &mut Choice::default())?;
        self.leadership = Leadership::note(mesh, &self.names);
        self.commits[0] = self.commits(mesh);
        Ok(())
    }

    fn start(&mut self, mesh: &mut Mesh) -> Result<()> {
        self.leadership.begin(mesh);
        for name in &self.names {
            let process = mesh.process(name)?;
            process.may_die = self.spec.fails;
            self.logs.push(process.log_len());
            let (delay, fails) = (Some(self.spec.delay.to_string().into()), Some(self.spec.fails.into()));
            file::change(&mesh.fault_file(name), [("flush_delay", delay), ("flush_fails", fails)])?;
        }
        Ok(())
    }

    fn heal(&mut self, mesh: &mut Mesh) -> Result<()> {
        self.commits[1] = self.commits(mesh);
        for (name, from) in self.names.iter().zip(&self.logs) {
            file::change(&mesh.fault_file(name), [("flush_delay", None), ("flush_fails", None)])?;
            self.complained += usize::from(mesh.process(name)?.log_since(*from).contains(FAILED));
            self.ended += usize::from(mesh.process(name)?.has_stopped());
            mesh.start_process(name)?;
        }
        Ok(())
    }

    fn felt(&mut self, _mesh: &mut Mesh) -> Result<Felt> {
        let slow = self.waited() >= self.spec.delay.as_millis_f64() / 2.0 && self.spec.delay > Span::ZERO;
        let felt = if self.spec.fails { self.complained > 0 } else { slow };
        let (waited, complained, ended, all) = (self.waited(), self.complained, self.ended, self.names.len());
        Ok(Felt::when(
            felt,
            format!(
                "a grant waited {waited:.1} ms for its commit on average; {complained} of {all} met a flush that failed, {ended} ended. {}",
                self.leadership.told()
            ),
        ))
    }

    fn hits(&self) -> Vec<Hit> {
        Hit::of(&self.names)
    }
}
