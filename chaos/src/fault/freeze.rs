//! SIGSTOP: a process keeps its connections and says nothing, and at the end goes on as if no time had passed.

use anyhow::Result;
use dynomesh_core::time::Span;
use serde::Deserialize;

use super::leadership::Leadership;
use super::{Fault, Felt, Hit};
use crate::program::process;
use crate::system::Mesh;
use crate::system::select::{Choice, Selector};
use crate::waiting::until;

/// Longest time until every thread has stopped.
const STOP_MAX: Span = Span::from_secs(5);

/// Which processes.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    pub(super) target: Selector,
}

pub(super) struct Freeze {
    spec: Spec,
    names: Vec<String>,
    pids: Vec<u32>,
    leadership: Leadership,
    frozen: usize,
}

// === impl Freeze ===

impl Freeze {
    pub(super) fn new(spec: &Spec) -> Self {
        Freeze { spec: spec.clone(), names: Vec::new(), pids: Vec::new(), leadership: Leadership::default(), frozen: 0 }
    }
}

impl Fault for Freeze {
    fn start(&mut self, mesh: &mut Mesh) -> Result<()> {
        self.names = mesh.select_running(&self.spec.target, &mut Choice::default())?;
        self.leadership = Leadership::note(mesh, &self.names);
        for name in &self.names {
            self.pids.extend(mesh.process(name)?.pid());
        }
        self.leadership.begin();
        self.pids.iter().for_each(|pid| process::freeze(*pid));
        // A process with several threads stops within a moment, not at once.
        until("what was frozen to stop", STOP_MAX, || self.pids.iter().all(|pid| process::is_frozen(*pid)).then_some(()))?;
        self.frozen = self.pids.len();
        Ok(())
    }

    fn tick(&mut self, mesh: &mut Mesh) -> Result<()> {
        self.leadership.look(mesh);
        Ok(())
    }

    fn heal(&mut self, _mesh: &mut Mesh) -> Result<()> {
        self.pids.iter().for_each(|pid| process::thaw(*pid));
        Ok(())
    }

    fn felt(&mut self, _mesh: &mut Mesh) -> Result<Felt> {
        let all = self.frozen == self.names.len() && self.frozen > 0;
        let lone = self.names.len() == 1 && self.leadership.led(&self.names);
        let changed = !lone || self.leadership.has_changed(&self.names);
        Ok(Felt::when(all && changed, format!("{} of {} frozen. {}", self.frozen, self.names.len(), self.leadership.told())))
    }

    fn hits(&self) -> Vec<Hit> {
        Hit::cut_off(&self.names)
    }
}
