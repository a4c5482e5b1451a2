//! A block that is lost for good: all its replicas are killed, and an operator evicts it. It never comes back.

use anyhow::Result;
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
    next: Time,
    calls: usize,
    evicted: Option<Time>,
    served: Option<Span>,
}

fn within() -> Span {
    Span::from_secs(10)
}

// === impl Evict ===

impl Evict {
    pub(super) fn new(spec: &Spec) -> Self {
        Evict { spec: spec.clone(), names: Vec::new(), next: Time::ZERO, calls: 0, evicted: None, served: None }
    }

    /// The dynos that the block still has, or that are not owned by the block that they are assigned to.
    fn unserved(&self, mesh: &Mesh) -> Result<usize> {
        let listed = mesh.admin.json(&["dyno", "list", "--timeout", "3s"])?;
        let unserved = |dyno: &&serde_json::Value| {
            dyno["block"] == self.spec.block.as_str() || dyno["block"] != dyno["owner"] || dyno["epoch"] != dyno["owned_epoch"]
        };
        Ok(listed.as_array().map_or(usize::MAX, |dynos| dynos.iter().filter(unserved).count()))
    }
}

impl Fault for Evict {
    fn start(&mut self, mesh: &mut Mesh) -> Result<()> {
        let block = mesh.block(&Block::Named(self.spec.block.clone()), &mut Choice::default())?;
        self.calls = mesh.admin.calls().len();
        self.names = mesh.layout.playing(&Role::Replica(block)).map(|member| member.name.clone()).collect();
        self.names.iter().try_for_each(|name| mesh.process(name)?.kill())
    }

    fn tick(&mut self, mesh: &mut Mesh) -> Result<()> {
        let block = &self.spec.block;
        match self.evicted {
            Some(_) if self.served.is_some() => {}
            Some(evicted) => {
                if self.unserved(mesh).is_ok_and(|left| left == 0) {
                    self.served = Some(clock::now().since(evicted));
                }
            }
            None => {
                let done = mesh.admin.calls()[self.calls..]
                    .iter()
                    .find(|call| call.answer.is_ok() && call.line.get(1).is_some_and(|verb| verb == "evict"));
                self.evicted = done.map(|call| call.ended);
                if self.evicted.is_none() && mesh.admin.under_way() == 0 && clock::now() >= self.next {
                    self.next = clock::now() + AGAIN;
                    mesh.admin.begin(&["block", "evict", block, "--confirm", block, "--timeout", "3s"]);
                }
            }
        }
        Ok(())
    }

    fn heal(&mut self, _mesh: &mut Mesh) -> Result<()> {
        Ok(())
    }

    fn felt(&mut self, mesh: &mut Mesh) -> Result<Felt> {
        let refused = mesh.admin.calls()[self.calls..].iter().rev().find_map(|call| call.answer.clone().err());
        Ok(match (self.evicted, self.served) {
            (Some(_), Some(took)) => {
                if took > self.spec.within {
                    mesh.complaints.push(format!(
                        "after the eviction of {} its dynos served elsewhere in {}, not within {}",
                        self.spec.block,
                        ms(took),
                        self.spec.within
                    ));
                }
                Felt::when(true, format!("evicted; its dynos served elsewhere {} later", ms(took)))
            }
            (Some(_), None) => {
                mesh.complaints.push(format!("the dynos of {} never served elsewhere after its eviction", self.spec.block));
                Felt::when(true, "evicted; its dynos did not serve elsewhere")
            }
            (None, _) => Felt::when(false, format!("no eviction was accepted: {}", refused.unwrap_or_default().trim())),
        })
    }

    fn hits(&self) -> Vec<Hit> {
        Hit::cut_off(&self.names)
    }
}
