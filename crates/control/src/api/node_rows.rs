//! Processes for an answer: their own last word, whether they are heard, and what is wanted of them.
//!
//! Members of groups are listed even if they never spoke: a replica that nobody hears is what an operator looks for.

use std::collections::BTreeMap;

use dynomesh_consensus::Member;
use dynomesh_core::directory::DirectoryState;
use dynomesh_core::id::BlockName;
use dynomesh_core::map::fact::{NodeFact, NodeRole, NodeState};
use dynomesh_proto::admin::v1 as wire;

use super::rows;
use crate::sight::Mesh;

/// Replicas, each with the key it is listed by: its name, or its group and id where the name is not known.
pub(super) fn replicas(
    block: Option<&BlockName>,
    state: &DirectoryState,
    mesh: &Mesh,
    control: &[Member],
) -> BTreeMap<String, wire::Replica> {
    let mut found: BTreeMap<(String, u64), wire::Replica> = BTreeMap::new();
    for leader in mesh.view.leaders().filter(|leader| block.is_none_or(|block| leader.block == *block)) {
        found.extend(rows::members(leader, mesh).into_iter().map(|row| ((row.block.clone(), row.id), row)));
    }
    for member in control.iter().filter(|_| block.is_none()) {
        let row = wire::Replica { id: member.id.0, grpc: member.grpc.to_string(), ..wire::Replica::default() };
        found.insert((String::new(), member.id.0), row);
    }
    for fact in mesh.view.nodes() {
        let Some((key, said)) = replica(fact, mesh) else { continue };
        if block.is_none_or(|block| key.0 == block.as_str()) {
            found.insert(key, said);
        }
    }
    let wishes: BTreeMap<_, _> = state.wishes().map(|(node, wish)| (node.as_str(), wish)).collect();
    let named = found.into_iter().map(|((block, id), mut row)| {
        if let Some(wish) = wishes.get(row.node.as_str()) {
            (row.drain, row.wish_version) = (wish.drain, wish.version.0);
        }
        let key = if row.node.is_empty() { format!("{block}/{id}") } else { row.node.clone() };
        (key, row)
    });
    named.collect()
}

/// A replica as it speaks of itself; `None` for an edge.
pub(super) fn replica(fact: &NodeFact, mesh: &Mesh) -> Option<((String, u64), wire::Replica)> {
    let base = wire::Replica {
        node: fact.node.to_string(),
        live: mesh.hears(&fact.node),
        state: word(fact.state).into(),
        in_flight: fact.in_flight,
        version: fact.version.clone(),
        zone: fact.zone.as_ref().map(ToString::to_string).unwrap_or_default(),
        keys: fact.keys.clone(),
        ..wire::Replica::default()
    };
    let row = match &fact.role {
        NodeRole::Edge { .. } => return None,
        NodeRole::Block { block, replica, http, grpc, leads, .. } => wire::Replica {
            id: replica.0,
            block: block.to_string(),
            http: http.to_string(),
            grpc: grpc.to_string(),
            leader: *leads,
            ..base
        },
        NodeRole::Control { replica, grpc, leads } => wire::Replica { id: replica.0, grpc: grpc.to_string(), leader: *leads, ..base },
    };
    Some(((row.block.clone(), row.id), row))
}

/// Edges by name.
pub(super) fn edges(state: &DirectoryState, mesh: &Mesh) -> Vec<wire::Edge> {
    let wishes: BTreeMap<_, _> = state.wishes().collect();
    let edges = mesh.view.nodes().filter_map(|fact| {
        let NodeRole::Edge { http } = &fact.role else { return None };
        let wish = wishes.get(&fact.node);
        Some(wire::Edge {
            node: fact.node.to_string(),
            http: http.to_string(),
            live: mesh.hears(&fact.node),
            state: word(fact.state).into(),
            drain: wish.is_some_and(|wish| wish.drain),
            in_flight: fact.in_flight,
            version: fact.version.clone(),
            zone: fact.zone.as_ref().map(ToString::to_string).unwrap_or_default(),
            admin: fact.admin.to_string(),
            keys: fact.keys.clone(),
            wish_version: wish.map_or(0, |wish| wish.version.0),
        })
    });
    edges.collect()
}

fn word(state: NodeState) -> &'static str {
    match state {
        NodeState::Starting => "starting",
        NodeState::Serving => "serving",
        NodeState::Draining => "draining",
        NodeState::Drained => "drained",
    }
}
