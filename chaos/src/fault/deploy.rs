//! A deploy: one dyno after the other gets SIGTERM, or SIGKILL, and is started again once it has stopped. Nobody tells the mesh before:
//! no dyno is drained, and what was on its way when the signal came is for the mesh to see to.

use std::collections::VecDeque;

use anyhow::Result;
use dynomesh_core::time::{Span, Time};
use dynomesh_testkit::clock;
use serde::Deserialize;

use super::{Fault, Felt, Hit};
use crate::system::Mesh;
use crate::system::layout::Role;

/// How.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    /// From one dyno to the next.
    interval: Span,
    /// They get SIGKILL instead of SIGTERM.
    #[serde(default)]
    killed: bool,
}

pub(super) struct Deploy {
    spec: Spec,
    waiting: VecDeque<String>,
    stopping: Vec<String>,
    next: Time,
    restarted: usize,
    all: usize,
}

// === impl Deploy ===

impl Deploy {
    pub(super) fn new(spec: &Spec) -> Self {
        Deploy { spec: spec.clone(), waiting: VecDeque::new(), stopping: Vec::new(), next: Time::ZERO, restarted: 0, all: 0 }
    }

    /// Starts again what has stopped.
    fn restart(&mut self, mesh: &mut Mesh) -> Result<()> {
        for name in std::mem::take(&mut self.stopping) {
            if mesh.process(&name)?.has_stopped() {
                mesh.start_process(&name)?;
                self.restarted += 1;
            } else {
                self.stopping.push(name);
            }
        }
        Ok(())
    }
}

impl Fault for Deploy {
    fn start(&mut self, mesh: &mut Mesh) -> Result<()> {
        self.waiting = mesh.layout.playing(&Role::Dyno).map(|dyno| dyno.name.clone()).collect();
        self.all = self.waiting.len();
        Ok(())
    }

    fn tick(&mut self, mesh: &mut Mesh) -> Result<()> {
        self.restart(mesh)?;
        if clock::now() < self.next {
            return Ok(());
        }
        self.next = clock::now() + self.spec.interval;
        if let Some(name) = self.waiting.pop_front() {
            let process = mesh.process(&name)?;
            if self.spec.killed {
                process.kill()?
            } else {
                process.terminate()
            }
            self.stopping.push(name);
        }
        Ok(())
    }

    fn heal(&mut self, _mesh: &mut Mesh) -> Result<()> {
        Ok(())
    }

    fn is_over(&mut self, mesh: &mut Mesh) -> Result<bool> {
        self.tick(mesh)?;
        Ok(self.waiting.is_empty() && self.stopping.is_empty())
    }

    fn felt(&mut self, _mesh: &mut Mesh) -> Result<Felt> {
        Ok(Felt::when(self.restarted == self.all, format!("{} of {} dynos restarted", self.restarted, self.all)))
    }

    fn hits(&self) -> Vec<Hit> {
        Vec::new()
    }
}
