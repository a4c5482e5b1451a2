//! Clocks that step: the time since boot goes ahead as after a suspend, the time of day either way. The former stays: time does not
//! come back.

use std::fs;

use anyhow::{Result, bail};
use dynomesh_core::time::Span;
use serde::Deserialize;

use super::leadership::Leadership;
use super::{Fault, Felt, Hit};
use crate::system::Mesh;
use crate::system::select::{Choice, Selector};

/// What the daemon says when it has read of a fault.
const HEARD: &str = "faults changed";

/// Whose clocks, and where they step to.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    target: Selector,
    /// The time since boot is so far ahead.
    #[serde(default)]
    ahead: Span,
    /// The time of day is wrong by so much, for example `-1h`.
    #[serde(default)]
    wall: Option<String>,
}

pub(super) struct Clock {
    spec: Spec,
    names: Vec<String>,
    logs: Vec<u64>,
    leadership: Leadership,
}

// === impl Clock ===

impl Clock {
    pub(super) fn new(spec: &Spec) -> Self {
        Clock { spec: spec.clone(), names: Vec::new(), logs: Vec::new(), leadership: Leadership::default() }
    }

    fn text(&self, wall: bool) -> String {
        let wall = self.spec.wall.as_ref().filter(|_| wall).map(|wall| format!("wall_offset = \"{wall}\"\n"));
        format!("clock_ahead = \"{}\"\n{}", self.spec.ahead, wall.unwrap_or_default())
    }
}

impl Fault for Clock {
    fn start(&mut self, mesh: &mut Mesh) -> Result<()> {
        if self.spec.ahead == Span::ZERO && self.spec.wall.is_none() {
            bail!("a fault of clocks must set `ahead` or `wall`");
        }
        self.names = mesh.select(&self.spec.target, &mut Choice::default())?;
        self.leadership = Leadership::note(mesh, &self.names);
        for name in &self.names {
            self.logs.push(mesh.process(name)?.log_len());
        }
        self.leadership.begin();
        self.names.iter().try_for_each(|name| Ok(fs::write(mesh.fault_file(name), self.text(true))?))
    }

    fn tick(&mut self, mesh: &mut Mesh) -> Result<()> {
        self.leadership.look(mesh);
        Ok(())
    }

    fn heal(&mut self, mesh: &mut Mesh) -> Result<()> {
        self.names.iter().try_for_each(|name| Ok(fs::write(mesh.fault_file(name), self.text(false))?))
    }

    fn felt(&mut self, mesh: &mut Mesh) -> Result<Felt> {
        let mut heard = 0;
        for (name, from) in self.names.iter().zip(&self.logs) {
            heard += usize::from(mesh.process(name)?.log_since(*from).contains(HEARD));
        }
        let wall = self.spec.wall.as_deref().unwrap_or("0s");
        let evidence = format!(
            "{heard} of {} clocks stepped by {}, the time of day by {wall}. {}",
            self.names.len(),
            self.spec.ahead,
            self.leadership.told()
        );
        Ok(Felt::when(heard == self.names.len(), evidence))
    }

    fn hits(&self) -> Vec<Hit> {
        Hit::of(&self.names)
    }
}
