//! kill -9: a process is gone at once, its connections are reset, and what was in its memory is lost. It is started again at the end.

use anyhow::Result;
use serde::Deserialize;

use super::leadership::Leadership;
use super::{Fault, Felt, Hit};
use crate::system::Mesh;
use crate::system::select::{Choice, Selector};

/// Which processes.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    pub(super) target: Selector,
}

pub(super) struct Kill {
    spec: Spec,
    pub(super) names: Vec<String>,
    pub(super) leadership: Leadership,
    killed: usize,
}

// === impl Kill ===

impl Kill {
    pub(super) fn new(spec: &Spec) -> Self {
        Kill { spec: spec.clone(), names: Vec::new(), leadership: Leadership::default(), killed: 0 }
    }
}

impl Fault for Kill {
    fn aim(&mut self, mesh: &mut Mesh) -> Result<()> {
        self.names = mesh.select_running(&self.spec.target, &mut Choice::default())?;
        self.leadership = Leadership::note(mesh, &self.names);
        Ok(())
    }

    fn start(&mut self, mesh: &mut Mesh) -> Result<()> {
        self.leadership.begin(mesh);
        for name in &self.names {
            let process = mesh.process(name)?;
            self.killed += usize::from(process.pid().is_some());
            process.kill()?;
        }
        Ok(())
    }

    fn heal(&mut self, mesh: &mut Mesh) -> Result<()> {
        self.names.iter().try_for_each(|name| mesh.start_process(name))
    }

    fn is_over(&mut self, _mesh: &mut Mesh) -> Result<bool> {
        Ok(self.leadership.has_changed(&self.names))
    }

    fn felt(&mut self, _mesh: &mut Mesh) -> Result<Felt> {
        let all = self.killed == self.names.len() && self.killed > 0;
        let changed = self.leadership.has_changed(&self.names);
        Ok(Felt::when(all && changed, format!("{} of {} killed. {}", self.killed, self.names.len(), self.leadership.told())))
    }

    fn hits(&self) -> Vec<Hit> {
        Hit::cut_off(&self.names)
    }
}
