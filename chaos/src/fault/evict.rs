//! A block that is lost for good: all its replicas are killed, and an operator evicts it. It never comes back.

use anyhow::{Context, Result};
use dynomesh_agent::demo::journal::{self, Event};
use dynomesh_core::time::{Span, Time};
use dynomesh_testkit::clock;
use serde::Deserialize;

use super::{Fault, Felt, Hit};
use crate::figures::ms;
use crate::system::Mesh;
use crate::system::layout::Role;
use crate::system::select::{Block, Choice};

/// How often the operator tries: an eviction is refused while the block was seen a moment ago.
const AGAIN: Span = Span::from_millis(500);

/// Which block.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    /// Its name.
    pub(super) block: String,
    /// How soon after the eviction its dynos serve elsewhere.
    #[serde(default = "within")]
    within: Span,
}

pub(super) struct Evict {
    spec: Spec,
    names: Vec<String>,
    /// The dynos that it had.
    dynos: Vec<String>,
    next: Time,
    calls: usize,
    /// When the command that is under way was begun.
    begun: Time,
    /// When the one was begun that evicted the block.
    evicted: Option<Time>,
}

fn within() -> Span {
    Span::from_secs(10)
}

// === impl Evict ===

impl Evict {
    pub(super) fn new(spec: &Spec) -> Self {
        Evict { spec: spec.clone(), names: Vec::new(), dynos: Vec::new(), next: Time::ZERO, calls: 0, begun: Time::ZERO, evicted: None }
    }

    /// The dynos that the block owns.
    fn owned(&self, mesh: &Mesh) -> Result<Vec<String>> {
        let listed = mesh.admin.json(&["dyno", "list", "--timeout", "3s"])?;
        let owned = listed.as_array().into_iter().flatten().filter(|dyno| dyno["owner"] == self.spec.block.as_str());
        Ok(owned.filter_map(|dyno| dyno["id"].as_str().map(str::to_owned)).collect())
    }

    /// How long after the eviction the last of its dynos began with a request of another block, by their own journals; `None` if one never
    /// did.
    fn served(&self, evicted: Time, mesh: &Mesh) -> Result<Option<Span>> {
        let mut last = Some(Span::ZERO);
        for dyno in &self.dynos {
            let lines = journal::read(&mesh.journal(dyno)).with_context(|| format!("read the journal of {dyno}"))?;
            let began = lines.iter().map(|line| (Time::from_nanos(line.boot_ns), &line.event)).find_map(|(at, event)| match event {
                Event::Start(start) if at > evicted && start.block.as_ref().is_some_and(|block| *block != self.spec.block) => Some(at),
                _ => None,
            });
            last = last.zip(began).map(|(last, began)| last.max(began.since(evicted)));
        }
        Ok(last)
    }
}

impl Fault for Evict {
    fn start(&mut self, mesh: &mut Mesh) -> Result<()> {
        let block = mesh.block(&Block::Named(self.spec.block.clone()), &mut Choice::default())?;
        self.dynos = self.owned(mesh)?;
        self.calls = mesh.admin.calls().len();
        self.names = mesh.layout.playing(&Role::Replica(block)).map(|member| member.name.clone()).collect();
        self.names.iter().try_for_each(|name| mesh.process(name)?.kill())
    }

    fn tick(&mut self, mesh: &mut Mesh) -> Result<()> {
        let block = &self.spec.block;
        if self.evicted.is_some() {
            return Ok(());
        }
        let mut done = mesh.admin.calls()[self.calls..].iter();
        let evict = done.find(|call| call.answer.is_ok() && call.line.get(1).is_some_and(|verb| verb == "evict"));
        self.evicted = evict.map(|_| self.begun);
        if self.evicted.is_none() && mesh.admin.under_way() == 0 && clock::now() >= self.next {
            self.begun = clock::now();
            self.next = self.begun + AGAIN;
            mesh.admin.begin(&["block", "evict", block, "--confirm", block, "--timeout", "3s"]);
        }
        Ok(())
    }

    fn heal(&mut self, _mesh: &mut Mesh) -> Result<()> {
        Ok(())
    }

    fn felt(&mut self, mesh: &mut Mesh) -> Result<Felt> {
        let refused = mesh.admin.calls()[self.calls..].iter().rev().find_map(|call| call.answer.clone().err());
        let Some(evicted) = self.evicted else {
            return Ok(Felt::when(false, format!("no eviction was accepted: {}", refused.unwrap_or_default().trim())));
        };
        let (block, dynos, within) = (&self.spec.block, self.dynos.len(), self.spec.within);
        Ok(match self.served(evicted, mesh)? {
            Some(took) => {
                if took > within {
                    mesh.complaints
                        .push(format!("after the eviction of {block} its dynos served elsewhere in {}, not within {within}", ms(took)));
                }
                Felt::when(dynos > 0, format!("evicted; each of its {dynos} dynos had a request of another block by {} later", ms(took)))
            }
            None => {
                mesh.complaints.push(format!("after the eviction of {block} not all of its {dynos} dynos served elsewhere"));
                Felt::when(true, "evicted; its dynos did not all serve elsewhere")
            }
        })
    }

    fn hits(&self) -> Vec<Hit> {
        Hit::cut_off(&self.names)
    }
}
