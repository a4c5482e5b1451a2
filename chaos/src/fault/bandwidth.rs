//! Narrow cables: some hosts send and receive at most so much.

use anyhow::Result;
use serde::Deserialize;

use super::{Fault, Felt, Hit};
use crate::system::Mesh;
use crate::system::select::{Choice, Selector};

/// Whose cables, and how wide they are.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    pub(super) target: Selector,
    /// As `tc` takes it, for example `1mbit`.
    pub(super) rate: String,
}

pub(super) struct Bandwidth {
    spec: Spec,
    names: Vec<String>,
    hosts: Vec<String>,
    slowed: u64,
}

// === impl Bandwidth ===

impl Bandwidth {
    pub(super) fn new(spec: &Spec) -> Self {
        Bandwidth { spec: spec.clone(), names: Vec::new(), hosts: Vec::new(), slowed: 0 }
    }
}

impl Fault for Bandwidth {
    fn start(&mut self, mesh: &mut Mesh) -> Result<()> {
        self.names = mesh.select(&self.spec.target, &mut Choice::default())?;
        self.hosts = mesh.layout.hosts_of(&self.names)?;
        self.hosts.iter().try_for_each(|host| mesh.net.narrow(host, &self.spec.rate))
    }

    fn heal(&mut self, mesh: &mut Mesh) -> Result<()> {
        for host in &self.hosts {
            self.slowed += mesh.net.slowed(host)?;
            mesh.net.widen(host)?;
        }
        Ok(())
    }

    fn felt(&mut self, _mesh: &mut Mesh) -> Result<Felt> {
        let evidence = format!("{} at {}: packets had to wait or were dropped {} times", self.spec.rate, self.hosts.join(" "), self.slowed);
        Ok(Felt::when(self.slowed > 0, evidence))
    }

    fn hits(&self) -> Vec<Hit> {
        Hit::of(&self.names)
    }
}
