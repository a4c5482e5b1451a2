//! Dynos that are drained, one at a time, and taken back when the next one's turn comes.

use anyhow::Result;
use dynomesh_core::time::{Span, Time};
use dynomesh_testkit::clock;
use rand::seq::IndexedRandom;
use serde::Deserialize;

use super::{Fault, Felt, Hit};
use crate::system::Mesh;
use crate::system::layout::Role;

/// How often, and how long requests may go on.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    /// From one drain to the next.
    interval: Span,
    /// What runs longer is cut.
    #[serde(default = "deadline")]
    deadline: Span,
}

pub(super) struct Drains {
    spec: Spec,
    next: Time,
    drained: Option<String>,
    calls: usize,
    begun: usize,
}

fn deadline() -> Span {
    Span::from_secs(30)
}

// === impl Drains ===

impl Drains {
    pub(super) fn new(spec: &Spec) -> Self {
        Drains { spec: spec.clone(), next: Time::ZERO, drained: None, calls: 0, begun: 0 }
    }

    fn take_back(&mut self, mesh: &mut Mesh) {
        if let Some(dyno) = self.drained.take() {
            mesh.admin.begin(&["dyno", "undrain", &dyno]);
        }
    }
}

impl Fault for Drains {
    fn start(&mut self, mesh: &mut Mesh) -> Result<()> {
        self.calls = mesh.admin.calls().len();
        self.tick(mesh)
    }

    fn tick(&mut self, mesh: &mut Mesh) -> Result<()> {
        // One after the other, so that an earlier word never overtakes a later one about the same dyno.
        if clock::now() < self.next || mesh.admin.under_way() > 0 {
            return Ok(());
        }
        self.next = clock::now() + self.spec.interval;
        if self.drained.is_some() {
            self.take_back(mesh);
            return Ok(());
        }
        let dynos: Vec<String> = mesh.layout.playing(&Role::Dyno).map(|dyno| dyno.name.clone()).collect();
        if let Some(dyno) = dynos.choose(&mut mesh.rng) {
            mesh.admin.begin(&["dyno", "drain", dyno, "--deadline", &self.spec.deadline.to_string()]);
            self.drained = Some(dyno.clone());
            self.begun += 1;
        }
        Ok(())
    }

    fn heal(&mut self, _mesh: &mut Mesh) -> Result<()> {
        Ok(())
    }

    fn is_over(&mut self, mesh: &mut Mesh) -> Result<bool> {
        if mesh.admin.under_way() > 0 {
            return Ok(false);
        }
        let was_drained = self.drained.is_some();
        self.take_back(mesh);
        Ok(!was_drained)
    }

    fn felt(&mut self, mesh: &mut Mesh) -> Result<Felt> {
        let accepted = mesh.admin.calls()[self.calls..]
            .iter()
            .filter(|call| call.answer.is_ok() && call.line.get(1).is_some_and(|verb| verb == "drain"))
            .count();
        Ok(Felt::when(accepted > 0, format!("{accepted} of {} drains accepted", self.begun)))
    }

    fn hits(&self) -> Vec<Hit> {
        Vec::new()
    }
}
