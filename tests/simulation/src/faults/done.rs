//! A fault under way: what was done, how it is taken away, and whether anybody felt it.
//!
//! Felt is what had an effect: a process that died and lives again, one that stood still long enough for others to notice, a clock that
//! somebody read after its step, something stopped, lost, delayed or refused. What was only tried proves nothing.

use dynomesh_testkit::check::routes_alone::CONTROL_DOWN;
use dynomesh_testkit::history::Incident;

use super::{FREEZE, KILL, now};
use crate::kernel::with;
use crate::mesh::{Mesh, Role};

/// What has to be undone.
pub(crate) struct Done {
    /// What it was, and to whom.
    pub(crate) told: String,
    /// Its number in the plan, by which the world knows what it did.
    pub(super) number: usize,
    pub(super) incidents: Vec<Incident>,
    /// Nodes, each with the process that was killed.
    pub(super) killed: Vec<(usize, usize)>,
    pub(super) frozen: Vec<usize>,
    /// Whether it counts only if a trap froze somebody at its moment.
    pub(super) aimed: bool,
    /// Whether the control plane took a move.
    pub(super) moved: bool,
}

// === impl Done ===

impl Done {
    pub(super) fn nothing_yet(number: usize, told: String) -> Self {
        Done { told, number, incidents: Vec::new(), killed: Vec::new(), frozen: Vec::new(), aimed: false, moved: false }
    }

    pub(super) fn note(&mut self, mesh: &Mesh, node: usize, kind: &str) {
        let node = &mesh.nodes[node];
        self.told += &format!(" {}", node.name);
        let block = match &node.role {
            Role::Replica { block } => Some(block.clone()),
            _ => None,
        };
        let silent = matches!(kind, KILL | FREEZE);
        let kind = if silent && node.role == Role::Control { CONTROL_DOWN } else { kind };
        // Of a replica whose id is not known nothing can be said, or it would be said of the whole block.
        let cut_off = silent && node.id.is_some();
        self.incidents.push(Incident { block, replica: node.id, cut_off, ..Incident::at(kind, &node.name, now()) });
    }

    /// These replicas reach nobody of their group.
    pub(super) fn cut_off(&mut self, mesh: &Mesh, nodes: &[usize]) {
        for node in nodes.iter().map(|node| &mesh.nodes[*node]) {
            let Role::Replica { block } = &node.role else { continue };
            let incident = Incident::at("cut-off", &node.name, now());
            let (block, cut_off) = (Some(block.clone()), node.id.is_some());
            self.incidents.push(Incident { block, replica: node.id, cut_off, ..incident });
        }
    }

    /// Takes it away; whether it was felt.
    pub(crate) fn end(self, mesh: &mut Mesh, incidents: &mut Vec<Incident>) -> bool {
        let ended = now();
        incidents.extend(self.incidents.into_iter().map(|incident| {
            // What was frozen or killed may have been started anew by the end of another fault.
            let starts = mesh.nodes.iter().filter(|node| node.name == incident.target).flat_map(|node| &node.starts);
            let anew = starts.copied().find(|started| *started > incident.began);
            let anew = anew.filter(|_| matches!(incident.kind.as_str(), KILL | FREEZE | CONTROL_DOWN));
            Incident { ended: Some(anew.map_or(ended, |anew| anew.min(ended))), ..incident }
        }));
        for (node, _) in &self.killed {
            if !mesh.runs(*node) {
                mesh.run(*node);
            }
        }
        with(|world| {
            let lives_again =
                self.killed.iter().filter(|(node, process)| world.was_replaced(*process, mesh.nodes[*node].process)).count() > 0;
            // Each of them is to be thawed, whatever came of the first.
            let stood = self.frozen.iter().filter(|process| world.thaw(**process)).count() > 0;
            let stood = stood && (!self.aimed || world.has_sprung(self.number));
            let healed = world.heal(self.number);
            self.moved || lives_again || stood || healed
        })
    }
}
