//! A fault under way: what was done, and how it is taken away.

use dynomesh_testkit::check::routes_alone::CONTROL_DOWN;
use dynomesh_testkit::history::Incident;

use super::{FREEZE, KILL, now};
use crate::kernel::{Cut, with};
use crate::mesh::{Mesh, Role};

/// What has to be undone.
pub(crate) struct Done {
    /// What it was, and to whom.
    pub(crate) told: String,
    pub(super) incidents: Vec<Incident>,
    pub(super) killed: Vec<usize>,
    pub(super) frozen: Vec<usize>,
    pub(super) cuts: Vec<Cut>,
    pub(super) disks: Vec<usize>,
    pub(super) hosts: Vec<u32>,
    pub(super) loss: bool,
    /// Counts before it, to see whether it was felt.
    before: (u64, u64),
    pub(super) felt: bool,
}

// === impl Done ===

impl Done {
    pub(super) fn nothing_yet(told: String) -> Self {
        Done {
            told,
            incidents: Vec::new(),
            killed: Vec::new(),
            frozen: Vec::new(),
            cuts: Vec::new(),
            disks: Vec::new(),
            hosts: Vec::new(),
            loss: false,
            before: with(|world| (world.links.stopped, world.disks.felt)),
            felt: false,
        }
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

    /// Takes it away. What it was, and whether it was felt.
    pub(crate) fn end(self, mesh: &mut Mesh, incidents: &mut Vec<Incident>) -> bool {
        let ended = now();
        incidents.extend(self.incidents.into_iter().map(|incident| {
            // What was frozen or killed may have been started anew by the end of another fault.
            let anew = mesh.nodes.iter().find(|node| node.name == incident.target && node.started > incident.began);
            let anew = anew.filter(|_| matches!(incident.kind.as_str(), KILL | FREEZE | CONTROL_DOWN));
            Incident { ended: Some(anew.map_or(ended, |node| node.started.min(ended))), ..incident }
        }));
        for node in self.killed {
            if !mesh.runs(node) {
                mesh.run(node);
            }
        }
        with(|world| {
            for process in self.frozen {
                world.thaw(process);
            }
            for own in &self.cuts {
                // Another fault may have made the same one.
                let place = world.links.cuts.iter().position(|cut| cut == own);
                place.map(|place| world.links.cuts.remove(place));
            }
            world.links.slow.retain(|(host, _)| !self.hosts.contains(host));
            if self.loss {
                world.links.loss = 0;
            }
            world.disks.slow.retain(|process, _| !self.disks.contains(process));
            world.disks.failing.retain(|process| !self.disks.contains(process));
            world.disks.full.retain(|process| !self.disks.contains(process));
            self.felt || world.links.stopped > self.before.0 || world.disks.felt > self.before.1
        })
    }
}
