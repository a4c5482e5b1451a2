//! SIGSTOP: a process keeps its connections and says nothing, and at the end goes on as if no time had passed.

use anyhow::Result;
use dynomesh_core::time::{Span, Time};
use dynomesh_testkit::clock;
use serde::Deserialize;

use super::leadership::Leadership;
use super::{Fault, Felt, Hit, NOTICED_MIN};
use crate::figures::ms;
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
    /// When all of them were seen to stand, and when the first was woken.
    stopped: Option<Time>,
    woken: Option<Time>,
}

// === impl Freeze ===

impl Freeze {
    pub(super) fn new(spec: &Spec) -> Self {
        let (leadership, stopped, woken) = Default::default();
        Freeze { spec: spec.clone(), names: Vec::new(), pids: Vec::new(), leadership, frozen: 0, stopped, woken }
    }

    /// How long they stood, as it was seen.
    fn lasted(&self) -> Span {
        self.stopped.zip(self.woken).map_or(Span::ZERO, |(stopped, woken)| woken.since(stopped))
    }

    fn judged(&self) -> Felt {
        let all = self.frozen == self.names.len() && self.frozen > 0;
        let lone = self.names.len() == 1 && self.leadership.led(&self.names);
        let changed = !lone || self.leadership.has_changed(&self.names);
        let lasted = self.lasted();
        let is_noticed = lasted >= NOTICED_MIN;
        let short =
            if is_noticed { String::new() } else { format!(", not felt: too short for anybody to notice, less than {NOTICED_MIN}") };
        let evidence = format!("{} of {} frozen for {}{short}. {}", self.frozen, self.names.len(), ms(lasted), self.leadership.told());
        Felt::when(all && changed && is_noticed, evidence)
    }
}

impl Fault for Freeze {
    fn aim(&mut self, mesh: &mut Mesh) -> Result<()> {
        self.names = mesh.select_running(&self.spec.target, &mut Choice::default())?;
        self.leadership = Leadership::note(mesh, &self.names);
        Ok(())
    }

    fn start(&mut self, mesh: &mut Mesh) -> Result<()> {
        for name in &self.names {
            self.pids.extend(mesh.process(name)?.pid());
        }
        self.leadership.begin(mesh);
        self.pids.iter().for_each(|pid| process::freeze(*pid));
        // A process with several threads stops within a moment, not at once.
        until("what was frozen to stop", STOP_MAX, || self.pids.iter().all(|pid| process::is_frozen(*pid)).then_some(()))?;
        self.stopped = Some(clock::now());
        self.frozen = self.pids.len();
        Ok(())
    }

    fn heal(&mut self, _mesh: &mut Mesh) -> Result<()> {
        self.woken = Some(clock::now());
        self.pids.iter().for_each(|pid| process::thaw(*pid));
        Ok(())
    }

    fn felt(&mut self, _mesh: &mut Mesh) -> Result<Felt> {
        Ok(self.judged())
    }

    fn hits(&self) -> Vec<Hit> {
        Hit::cut_off(&self.names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freeze_that_nobody_can_notice_is_not_felt() {
        let frozen = |millis: u64| {
            let mut freeze = Freeze::new(&Spec { target: Selector::Edge });
            (freeze.names, freeze.pids, freeze.frozen) = (vec!["edge-1".into()], vec![2], 1);
            (freeze.stopped, freeze.woken) = (Some(Time::ZERO), Some(Time::ZERO + Span::from_millis(millis)));
            freeze.judged()
        };
        assert!(frozen(300).is_felt);
        for millis in [0, 1, 299] {
            let felt = frozen(millis);
            assert!(!felt.is_felt && felt.evidence.contains("too short for anybody to notice"), "{felt:?}");
        }
        assert!(!Freeze::new(&Spec { target: Selector::Edge }).judged().is_felt, "what never stood was not frozen");
    }
}
