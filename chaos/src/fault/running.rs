//! A fault of a run, from its beginning until it is over, and what a history tells of it.

use anyhow::Result;
use dynomesh_core::time::{Span, Time};
use dynomesh_testkit::check::routes_alone::CONTROL_DOWN;
use dynomesh_testkit::clock;
use dynomesh_testkit::history::Incident;

use super::{Fault, Felt, Hit, Spec};
use crate::system::Mesh;
use crate::system::layout::Role;

/// A fault of a run, from its beginning.
pub(crate) struct Running {
    pub(crate) kind: String,
    /// In words, with what was drawn.
    pub(crate) title: String,
    /// Until it is over.
    fault: Option<Box<dyn Fault>>,
    /// Chance put it where it is.
    pub(crate) is_drawn: bool,
    pub(crate) began: Time,
    pub(crate) ended: Option<Time>,
    pub(crate) felt: Option<Felt>,
    /// When it had taken hold.
    pub(crate) held: Time,
    /// When it is to be healed.
    pub(crate) heal_at: Time,
    must_last: bool,
    hits: Vec<Hit>,
}

// === impl Running ===

impl Running {
    /// Begins a fault that is to last so long from when it has taken hold. `None` if other faults have left nothing to be broken.
    pub(crate) fn start(spec: &Spec, lasts: Span, mesh: &mut Mesh) -> Result<Option<Self>> {
        let mut fault = spec.fault();
        fault.aim(mesh)?;
        // From before the first process is touched: requests that were on their way then may be lost.
        let began = clock::now();
        fault.start(mesh)?;
        let held = clock::now();
        let hits = fault.hits();
        if hits.is_empty() && spec.has_target() {
            fault.heal(mesh)?;
            return Ok(None);
        }
        let names: Vec<&str> = hits.iter().map(|hit| hit.name.as_str()).collect();
        let title = format!("{} {}", spec.kind(), if names.len() > 6 { format!("{} processes", names.len()) } else { names.join(" ") });
        Ok(Some(Running {
            kind: spec.kind().into(),
            title: title.trim().into(),
            fault: Some(fault),
            is_drawn: false,
            began,
            ended: None,
            felt: None,
            held,
            heal_at: held + lasts,
            must_last: spec.must_last(),
            hits,
        }))
    }

    /// A fault that found nothing to strike.
    pub(crate) fn missed(spec: &Spec, is_drawn: bool) -> Self {
        let (began, felt) = (clock::now(), Some(Felt::when(false, "nothing was left to be struck")));
        let (kind, title) = (spec.kind().into(), spec.told());
        let (held, heal_at, ended, must_last, hits) = (began, began, Some(began), false, Vec::new());
        Running { kind, title, fault: None, is_drawn, began, ended, felt, held, heal_at, must_last, hits }
    }

    /// Takes it back.
    pub(crate) fn heal(&mut self, mesh: &mut Mesh) -> Result<()> {
        self.ended = Some(clock::now());
        self.fault.as_mut().map_or(Ok(()), |fault| fault.heal(mesh))
    }

    /// Goes on with it.
    pub(crate) fn tick(&mut self, mesh: &mut Mesh) -> Result<()> {
        self.fault.as_mut().map_or(Ok(()), |fault| fault.tick(mesh))
    }

    /// Whether it has been taken back in full.
    pub(crate) fn is_over(&mut self, mesh: &mut Mesh) -> Result<bool> {
        self.fault.as_mut().map_or(Ok(true), |fault| fault.is_over(mesh))
    }

    /// By what it was felt; asked once, when it is over.
    pub(crate) fn feel(&mut self, mesh: &mut Mesh) -> Result<()> {
        let Some(mut fault) = self.fault.take() else { return Ok(()) };
        let felt = fault.felt(mesh)?;
        self.felt = Some(felt.if_lasted(self.ended.unwrap_or(self.held).since(self.held), self.must_last));
        Ok(())
    }

    /// As the history tells it. A control plane that is out of reach as a whole is one incident.
    pub(crate) fn incidents(&self, mesh: &Mesh) -> Vec<Incident> {
        let is_control = |name: &str| mesh.layout.member(name).is_ok_and(|member| member.role == Role::Control);
        let hit = self.hits.iter().filter(|hit| hit.cut_off && is_control(&hit.name)).count();
        let is_down = hit > 0 && hit == mesh.layout.playing(&Role::Control).count();
        // An evicted block never comes back.
        let ended = self.ended.filter(|_| self.kind != "evict");
        let told = |hit: &Hit| {
            let block = mesh.layout.member(&hit.name).ok().and_then(|member| match &member.role {
                Role::Replica(block) => Some(block.clone()),
                _ => None,
            });
            let replica = mesh.replica_ids.get(&hit.name).copied();
            // Without its id a replica would be taken for its whole block.
            let cut_off = hit.cut_off && (block.is_none() || replica.is_some());
            Incident { block, replica, struck: Some(self.began), ended, cut_off, ..Incident::at(&self.kind, &hit.name, self.held) }
        };
        let down = is_down.then(|| Incident { ended, ..Incident::at(CONTROL_DOWN, "control", self.held) });
        self.hits.iter().filter(|hit| !(is_down && is_control(&hit.name))).map(told).chain(down).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> Spec {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn a_fault_that_found_nothing_is_told_and_was_not_felt() {
        let missed = Running::missed(&spec("kind = \"kill\"\ntarget = \"leader of any\""), false);
        assert_eq!((missed.title.as_str(), missed.ended), ("kill leader of any", Some(missed.began)));
        assert!(missed.hits.is_empty() && missed.felt.is_some_and(|felt| !felt.is_felt && felt.evidence.contains("nothing was left")));
    }

    #[test]
    fn a_partition_that_hits_no_replica_has_still_happened() {
        assert!(!spec("kind = \"partition\"\nbetween = [\"users\", \"edges\"]").has_target());
        assert!(spec("kind = \"freeze\"\ntarget = \"edge\"").has_target());
    }
}
