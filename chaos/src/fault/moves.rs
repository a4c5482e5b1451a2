//! Dynos that are moved from block to block all the time.

use anyhow::Result;
use dynomesh_core::time::{Span, Time};
use dynomesh_testkit::clock;
use rand::seq::IndexedRandom;
use serde::Deserialize;

use super::{Fault, Felt, Hit};
use crate::system::Mesh;
use crate::system::layout::Role;

/// Moves that may be under way at once: a control plane that is down answers none.
const UNDER_WAY_MAX: usize = 8;

/// How often.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    /// From one move to the next.
    interval: Span,
}

pub(super) struct Moves {
    spec: Spec,
    next: Time,
    calls: usize,
    begun: usize,
}

// === impl Moves ===

impl Moves {
    pub(super) fn new(spec: &Spec) -> Self {
        Moves { spec: spec.clone(), next: Time::ZERO, calls: 0, begun: 0 }
    }
}

impl Fault for Moves {
    fn start(&mut self, mesh: &mut Mesh) -> Result<()> {
        self.calls = mesh.admin.calls().len();
        self.tick(mesh)
    }

    fn tick(&mut self, mesh: &mut Mesh) -> Result<()> {
        if clock::now() < self.next || mesh.admin.under_way() >= UNDER_WAY_MAX {
            return Ok(());
        }
        self.next = clock::now() + self.spec.interval;
        let dynos: Vec<String> = mesh.layout.playing(&Role::Dyno).map(|dyno| dyno.name.clone()).collect();
        let blocks = mesh.layout.blocks();
        if let (Some(dyno), Some(block)) = (dynos.choose(&mut mesh.rng).cloned(), blocks.choose(&mut mesh.rng)) {
            mesh.admin.begin(&["dyno", "move", &dyno, "--to", block, "--timeout", "5s", "-o", "json"]);
            self.begun += 1;
        }
        Ok(())
    }

    fn heal(&mut self, _mesh: &mut Mesh) -> Result<()> {
        Ok(())
    }

    fn is_over(&mut self, mesh: &mut Mesh) -> Result<bool> {
        Ok(mesh.admin.under_way() == 0)
    }

    fn felt(&mut self, mesh: &mut Mesh) -> Result<Felt> {
        let moves = mesh.admin.calls()[self.calls..].iter().filter(|call| call.line.get(1).is_some_and(|verb| verb == "move"));
        // One to where the dyno is already changes nothing.
        let changed = |said: &String| serde_json::from_str(said).is_ok_and(|told: serde_json::Value| told["changed"] == true);
        let moved = moves.filter(|call| call.answer.as_ref().is_ok_and(changed)).count();
        Ok(Felt::when(moved > 0, format!("{moved} of {} commands gave a dyno another block", self.begun)))
    }

    fn hits(&self) -> Vec<Hit> {
        Vec::new()
    }
}
