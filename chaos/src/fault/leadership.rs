//! What becomes of the leaders of blocks while a fault lasts.

use std::collections::BTreeMap;

use dynomesh_core::time::{Span, Time};
use dynomesh_testkit::clock;

use crate::system::Mesh;
use crate::system::layout::Role;
use crate::system::question::Leader;

/// Leaders before a fault, and those that came after them.
#[derive(Default)]
pub(super) struct Leadership {
    began: Time,
    before: BTreeMap<String, Leader>,
    /// Who led a block in a later term, and how soon that was seen.
    after: BTreeMap<String, (Leader, Span)>,
}

// === impl Leadership ===

impl Leadership {
    /// Notes who leads the blocks of these processes.
    pub(super) fn note(mesh: &Mesh, names: &[String]) -> Self {
        let mut before = BTreeMap::new();
        for name in names {
            if let Ok(member) = mesh.layout.member(name)
                && let Role::Replica(block) = &member.role
                && !before.contains_key(block)
                && let Some(leader) = mesh.leader(block)
            {
                before.insert(block.clone(), leader);
            }
        }
        Leadership { began: clock::now(), before, after: BTreeMap::new() }
    }

    /// From now on time counts.
    pub(super) fn begin(&mut self) {
        self.began = clock::now();
    }

    /// Looks for new leaders.
    pub(super) fn look(&mut self, mesh: &Mesh) {
        for (block, before) in &self.before {
            if !self.after.contains_key(block)
                && let Some(leader) = mesh.leader(block)
                && leader.term > before.term
            {
                self.after.insert(block.clone(), (leader, clock::now().since(self.began)));
            }
        }
    }

    /// Whether one of these processes led its block.
    pub(super) fn led(&self, names: &[String]) -> bool {
        self.before.values().any(|leader| names.contains(&leader.name))
    }

    /// Whether every block that one of these processes led has been led in a later term.
    pub(super) fn has_changed(&self, names: &[String]) -> bool {
        self.before.iter().filter(|(_, leader)| names.contains(&leader.name)).all(|(block, _)| self.after.contains_key(block))
    }

    /// In words.
    pub(super) fn told(&self) -> String {
        let told = |(block, before): (&String, &Leader)| match self.after.get(block) {
            None => format!("{block} led by {} in term {} throughout", before.name, before.term),
            Some((after, took)) => {
                format!(
                    "{block} led by {} in term {} after {} in term {}, seen within {} ms",
                    after.name,
                    after.term,
                    before.name,
                    before.term,
                    took.as_millis()
                )
            }
        };
        self.before.iter().map(told).collect::<Vec<_>>().join("; ")
    }
}
