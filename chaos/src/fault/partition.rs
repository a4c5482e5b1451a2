//! Packets between two sets of hosts are dropped without a word, both ways, one way, or only those of gossip.

use std::collections::BTreeSet;

use anyhow::Result;
use serde::Deserialize;

use super::leadership::Leadership;
use super::{Fault, Felt, Hit};
use crate::net::filter::Cut;
use crate::system::Mesh;
use crate::system::layout::{Layout, Role};
use crate::system::select::{Choice, Selector};

/// Between whom, and which packets.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    pub(super) between: [Selector; 2],
    /// Only packets from the first to the second.
    #[serde(default)]
    one_way: bool,
    /// Only datagrams.
    #[serde(default)]
    gossip_only: bool,
}

pub(super) struct Partition {
    spec: Spec,
    sides: [BTreeSet<String>; 2],
    chain: String,
    hits: Vec<Hit>,
    leadership: Leadership,
    dropped: u64,
}

// === impl Partition ===

impl Partition {
    pub(super) fn new(spec: &Spec) -> Self {
        let (sides, chain, leadership) = (Default::default(), String::new(), Leadership::default());
        Partition { spec: spec.clone(), sides, chain, hits: Vec::new(), leadership, dropped: 0 }
    }

    /// The replicas on both sides, and which of them can reach no quorum of their block.
    fn find_hits(&self, layout: &Layout) -> Vec<Hit> {
        let [first, second] = &self.sides;
        let on = |side: &BTreeSet<String>| layout.members.iter().filter(|member| side.contains(&member.host)).cloned().collect::<Vec<_>>();
        let mut hits = Vec::new();
        let is_control =
            |host: &String| layout.members.iter().filter(|member| member.host == *host).all(|member| member.role == Role::Control);
        for (members, opposite) in [(on(first), second), (on(second), first)] {
            // Whoever loses control alone routes as before: for them control is down, and nothing else has happened.
            let is_alone = opposite.iter().all(is_control);
            for member in members.into_iter().filter(|member| !is_alone || member.role == Role::Control) {
                let cut_off = match &member.role {
                    _ if self.spec.gossip_only => false,
                    // Whoever is not heard, or does not hear, gets no vote and no acknowledgement.
                    Role::Replica(block) => {
                        let group = layout.replicas(block);
                        let reached = group.iter().filter(|peer| !opposite.contains(&peer.host)).count();
                        reached * 2 <= group.len()
                    }
                    // For those who route it is down.
                    Role::Control => !self.spec.one_way && layout.playing(&Role::Edge).all(|edge| opposite.contains(&edge.host)),
                    _ => continue,
                };
                hits.push(Hit { name: member.name.clone(), cut_off });
            }
        }
        hits
    }
}

impl Fault for Partition {
    fn aim(&mut self, mesh: &mut Mesh) -> Result<()> {
        self.sides = mesh.sides(&self.spec.between, &mut Choice::default())?;
        self.hits = self.find_hits(&mesh.layout);
        let names: Vec<String> = self.hits.iter().map(|hit| hit.name.clone()).collect();
        self.leadership = Leadership::note(mesh, &names);
        Ok(())
    }

    fn start(&mut self, mesh: &mut Mesh) -> Result<()> {
        self.chain = mesh.next_name("cut");
        let [first, second] = self.sides.each_ref().map(|side| side.iter().cloned().collect::<Vec<_>>());
        let way = |from: &[String], to: &[String]| Cut { from: from.to_vec(), to: to.to_vec(), datagrams: self.spec.gossip_only };
        let mut cuts = vec![way(&first, &second)];
        if !self.spec.one_way {
            cuts.push(way(&second, &first));
        }
        mesh.net.cut(&self.chain, &cuts)?;
        self.leadership.begin(mesh);
        Ok(())
    }

    fn heal(&mut self, mesh: &mut Mesh) -> Result<()> {
        self.dropped = mesh.net.dropped(&self.chain)?;
        mesh.net.mend(&self.chain)
    }

    fn felt(&mut self, _mesh: &mut Mesh) -> Result<Felt> {
        let told = |side: &BTreeSet<String>| side.iter().cloned().collect::<Vec<_>>().join(" ");
        let [first, second] = self.sides.each_ref().map(told);
        let way = if self.spec.one_way { "to" } else { "and" };
        let evidence = format!("{} packets dropped between {first} {way} {second}. {}", self.dropped, self.leadership.told());
        // Who leads and has no quorum is not left alone by the others, if they have one.
        let lonely: Vec<String> = self.hits.iter().filter(|hit| hit.cut_off).map(|hit| hit.name.clone()).collect();
        Ok(Felt::when(self.dropped > 0 && self.leadership.has_changed(&lonely), evidence))
    }

    fn hits(&self) -> Vec<Hit> {
        self.hits.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Shape;

    /// What a cut between these hosts and all others hits.
    fn hits(one_side: impl Fn(&Role) -> bool) -> Vec<Hit> {
        let layout = Layout::new(&Shape { control: 3, dynos: 2, ..Shape::default() }).unwrap();
        let side = |is_first: bool| {
            let members = layout.members.iter().filter(|member| one_side(&member.role) == is_first);
            members.map(|member| member.host.clone()).collect::<BTreeSet<_>>()
        };
        let mut partition = Partition::new(&toml::from_str("between = [\"half\", \"others\"]").unwrap());
        partition.sides = [side(true), side(false)];
        partition.find_hits(&layout)
    }

    #[test]
    fn who_loses_control_alone_is_not_hit() {
        let alone = hits(|role| *role == Role::Control);
        assert_eq!(alone.len(), 3, "{alone:?}");
        assert!(alone.iter().all(|hit| hit.cut_off && hit.name.starts_with("control")), "{alone:?}");
    }

    #[test]
    fn who_loses_edges_is_hit_and_a_replica_that_loses_its_quorum_is_cut_off() {
        let replicas = |hits: &[Hit], cut_off| hits.iter().filter(|hit| hit.name.starts_with('b') && hit.cut_off == cut_off).count();
        let from_edges = hits(|role| *role == Role::Edge);
        assert_eq!((replicas(&from_edges, false), replicas(&from_edges, true)), (6, 0), "{from_edges:?}");
        let layout = Layout::new(&Shape::default()).unwrap();
        let lone = layout.replicas("b1")[0].host.clone();
        let mut partition = Partition::new(&toml::from_str("between = [\"half\", \"others\"]").unwrap());
        partition.sides =
            [[lone.clone()].into(), layout.members.iter().map(|member| member.host.clone()).filter(|host| *host != lone).collect()];
        assert_eq!(replicas(&partition.find_hits(&layout), true), 1);
    }
}
