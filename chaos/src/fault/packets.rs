//! Bad cables: packets of some hosts are delayed, lost, doubled and overtaken.

use anyhow::Result;
use serde::Deserialize;

use super::{Fault, Felt, Hit};
use crate::net::impair::Impairment;
use crate::net::relay::Counts;
use crate::system::Mesh;
use crate::system::select::{Choice, Selector};
use dynomesh_core::time::Span;

/// Whose cables, and how bad they are.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    pub(super) target: Selector,
    #[serde(default)]
    delay: Span,
    #[serde(default)]
    jitter: Span,
    #[serde(default)]
    loss: f64,
    #[serde(default)]
    duplicate: f64,
    #[serde(default)]
    reorder: f64,
}

pub(super) struct Packets {
    spec: Spec,
    names: Vec<String>,
    hosts: Vec<String>,
    before: Counts,
}

// === impl Spec ===

impl Spec {
    pub(super) fn impairment(&self) -> Impairment {
        let &Spec { delay, jitter, loss, duplicate, reorder, .. } = self;
        Impairment { delay, jitter, loss, duplicate, reorder }
    }
}

// === impl Packets ===

impl Packets {
    pub(super) fn new(spec: &Spec) -> Self {
        Packets { spec: spec.clone(), names: Vec::new(), hosts: Vec::new(), before: Counts::default() }
    }

    fn counts(&self, mesh: &Mesh) -> Result<Counts> {
        let relay = mesh.net.relay()?;
        let mut sum = Counts::default();
        for counts in self.hosts.iter().map(|host| relay.counts(host)) {
            sum.passed += counts.passed;
            sum.lost += counts.lost;
            sum.delayed += counts.delayed;
            sum.doubled += counts.doubled;
            sum.overtaken += counts.overtaken;
        }
        Ok(sum)
    }
}

impl Fault for Packets {
    fn start(&mut self, mesh: &mut Mesh) -> Result<()> {
        self.names = mesh.select(&self.spec.target, &mut Choice::default())?;
        self.hosts = mesh.layout.hosts_of(&self.names)?;
        self.before = self.counts(mesh)?;
        let relay = mesh.net.relay()?;
        self.hosts.iter().try_for_each(|host| relay.impair(host, self.spec.impairment()))
    }

    fn heal(&mut self, mesh: &mut Mesh) -> Result<()> {
        let relay = mesh.net.relay()?;
        self.hosts.iter().try_for_each(|host| relay.impair(host, Impairment::default()))
    }

    fn felt(&mut self, mesh: &mut Mesh) -> Result<Felt> {
        let (now, before, asked) = (self.counts(mesh)?, self.before, self.spec.impairment());
        let [lost, delayed, doubled, overtaken] =
            [now.lost - before.lost, now.delayed - before.delayed, now.doubled - before.doubled, now.overtaken - before.overtaken];
        let seen = |asked: bool, count: u64| !asked || count > 0;
        let is_felt = seen(asked.loss > 0.0, lost)
            && seen(asked.delay + asked.jitter > Span::ZERO, delayed)
            && seen(asked.duplicate > 0.0, doubled)
            && seen(asked.reorder > 0.0, overtaken);
        let evidence = format!(
            "{} at {}: {lost} packets lost, {delayed} delayed, {doubled} doubled, {overtaken} overtaken",
            asked.told(),
            self.hosts.join(" ")
        );
        Ok(Felt::when(is_felt, evidence))
    }

    fn hits(&self) -> Vec<Hit> {
        Hit::of(&self.names)
    }
}
