//! What the directory wants and what blocks report, joined for an answer.
//!
//! The directory's word is exact; a block's is what was last heard of it. Where they differ the row says both: the phase is the
//! owner's, since only the owner knows what a dyno does.

use std::collections::{BTreeMap, BTreeSet};

use dynomesh_core::app::Phase;
use dynomesh_core::directory::{DirectoryState, DynoRecord, Place};
use dynomesh_core::id::BlockName;
use dynomesh_core::map::MapView;
use dynomesh_core::map::fact::{LeaderFact, OwnedFact, ReplicaFact};
use dynomesh_proto::admin::v1 as wire;
use dynomesh_proto::convert::admin as convert;

use super::node_rows;
use crate::sight::Mesh;

/// A dyno for an answer.
pub(crate) fn dyno(record: &DynoRecord, view: &MapView) -> wire::Dyno {
    let owner = owner(record, view);
    let mut row = wire::Dyno {
        id: record.spec.id.to_string(),
        app: record.spec.app.to_string(),
        addr: record.spec.address.to_string(),
        block: record.block().map(BlockName::to_string).unwrap_or_default(),
        epoch: record.epoch.0,
        max_conns: record.spec.max_conns,
        in_flight: owner.map_or(0, |owner| owner.in_flight),
        drain: record.drain,
        owner: owner.map(|owner| owner.block.to_string()).unwrap_or_default(),
        owned_epoch: owner.map_or(0, |owner| owner.epoch.0),
        drain_ms: record.cut.as_millis(),
        waits_for: record.after.iter().map(|earlier| earlier.block.to_string()).collect(),
        ..wire::Dyno::default()
    };
    row.set_phase(phase(record, view));
    row.set_state(convert::state(owner.and_then(|owner| owner.up)));
    row
}

/// The block that owns a dyno, as far as was heard: one that has let go of it since is no owner.
fn owner<'a>(record: &DynoRecord, view: &'a MapView) -> Option<&'a OwnedFact> {
    let owner = view.owner(&record.spec.id)?;
    (owner.phase != Phase::Released && view.released(&owner.dyno, &owner.block) < Some(owner.epoch)).then_some(owner)
}

fn phase(record: &DynoRecord, view: &MapView) -> wire::DynoPhase {
    if record.place == Place::Removed {
        return wire::DynoPhase::Removing;
    }
    match (owner(record, view), view.owner(&record.spec.id)) {
        (Some(owner), _) => convert::phase(owner.phase),
        (None, Some(_)) => wire::DynoPhase::Released,
        (None, None) => wire::DynoPhase::Pending,
    }
}

/// Names of all blocks that were bound or heard of.
pub(crate) fn block_names(state: &DirectoryState, view: &MapView) -> BTreeSet<BlockName> {
    let seen = view.leaders().filter(|leader| !state.was_removed(leader.group));
    state.blocks().map(|block| block.name.clone()).chain(seen.map(|leader| leader.block.clone())).collect()
}

/// A block for an answer.
pub(crate) fn block(name: &BlockName, state: &DirectoryState, mesh: &Mesh) -> wire::Block {
    let bound = state.block(name);
    // Another group that uses a bound name is not this block (P5).
    let group = bound.and_then(|bound| bound.group);
    let leader = mesh.view.leader(name).filter(|leader| group.is_none_or(|group| group == leader.group));
    let replicas = leader.map(|leader| members(leader, mesh)).unwrap_or_default();
    let leading = replicas.iter().find(|replica| replica.leader);
    let mut row = wire::Block {
        name: name.to_string(),
        leader: leading.map(|leader| leader.http.clone()).unwrap_or_default(),
        zone: leader.and_then(|leader| leader.zone.as_ref()).map(ToString::to_string).unwrap_or_default(),
        term: leader.map_or(0, |leader| leader.term.0),
        live: bound.map_or(0, |bound| u32::try_from(mesh.heard_of(bound).count()).unwrap_or(u32::MAX)),
        group: group.or(leader.map(|leader| leader.group)).map(|group| group.to_string()).unwrap_or_default(),
        bound: bound.is_some(),
        drain: bound.is_some_and(|bound| bound.drain),
        evicted: bound.is_some_and(|bound| bound.evicted),
        version: bound.map_or(0, |bound| bound.version.0),
        assigned: bound.map_or(0, |bound| bound.dynos),
        replicas,
        ..wire::Block::default()
    };
    for load in mesh.view.all_loads().filter(|load| load.block == *name) {
        row.dynos += load.dynos;
        row.slots += u64::from(load.slots);
        row.in_flight += u64::from(load.used);
        row.queued += u64::from(load.queued);
    }
    row
}

/// Members of a block's group as its leader names them, each with what it says of itself.
pub(crate) fn members(leader: &LeaderFact, mesh: &Mesh) -> Vec<wire::Replica> {
    let said: BTreeMap<u64, wire::Replica> = mesh
        .view
        .nodes()
        .filter_map(|fact| node_rows::replica(fact, mesh))
        .filter(|((block, _), _)| *block == leader.block.as_str())
        .map(|((_, id), row)| (id, row))
        .collect();
    let row = |replica: &ReplicaFact| wire::Replica {
        id: replica.id.0,
        http: replica.http.to_string(),
        grpc: replica.grpc.to_string(),
        leader: replica.id == leader.leader,
        block: leader.block.to_string(),
        ..said.get(&replica.id.0).cloned().unwrap_or_default()
    };
    leader.replicas.iter().map(row).collect()
}

/// What an operator should know, one sentence each.
pub(crate) fn warnings(state: &DirectoryState, view: &MapView) -> Vec<String> {
    let mut warnings = Vec::new();
    let waiting = state.dynos().filter(|dyno| dyno.place == Place::Waiting).count();
    if waiting > 0 {
        warnings.push(format!("{waiting} dynos wait for a block: none is known yet; start and bootstrap one"));
    }
    for bound in state.blocks() {
        let is_other = |leader: &&LeaderFact| bound.group.is_some_and(|group| group != leader.group);
        if view.leaders_under(&bound.name).all(|leader| is_other(&leader)) {
            warnings.push(format!("nothing was heard of block {} since this process started; are its replicas running?", bound.name));
        }
        for other in view.leaders_under(&bound.name).filter(is_other) {
            warnings.push(format!(
                "another group, {}, calls itself block {}: the name is bound to another, and this one takes nothing and promises nothing under \
                 it; stop it, and set it up under another name, on empty disks",
                other.group, bound.name
            ));
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use dynomesh_core::directory::Command;
    use dynomesh_core::id::{DynoId, Epoch, GroupId, Index, ReplicaId, Term};
    use dynomesh_core::map::Fact;
    use dynomesh_core::map::fact::{LoadFact, ReleasedFact};

    use super::*;

    fn directory() -> DirectoryState {
        let mut state = DirectoryState::new(0);
        let request = wire::CreateAppRequest { name: "shop".into(), hosts: vec!["*".into()], policy: None, ..Default::default() };
        let spec = Box::new(convert::app_spec(request).unwrap());
        let app = spec.name.clone();
        state.apply(Index(1), Command::CreateApp { spec });
        state.apply(Index(2), Command::BindBlock { name: b1(), group: GroupId(1) });
        let address = "127.0.0.1:3000".parse().unwrap();
        state.apply(Index(3), Command::AddDyno { id: Some(a()), app, address, max_conns: Some(4), block: None });
        state
    }

    fn a() -> DynoId {
        DynoId::new("a").unwrap()
    }

    fn b1() -> BlockName {
        BlockName::new("b1").unwrap()
    }

    fn owned(epoch: Epoch, phase: Phase) -> Fact {
        Fact::Owned(OwnedFact { dyno: a(), block: b1(), group: None, epoch, term: Term(1), seq: 1, phase, up: Some(true), in_flight: 2 })
    }

    fn row(state: &DirectoryState, view: &MapView) -> wire::Dyno {
        dyno(state.dyno(&a()).unwrap(), view)
    }

    #[test]
    fn a_dyno_goes_from_pending_over_its_owners_word_to_removing() {
        let mut state = directory();
        let mut view = MapView::new();
        let pending = row(&state, &view);
        assert_eq!((pending.phase(), pending.block.as_str(), pending.owner.as_str()), (wire::DynoPhase::Pending, "b1", ""));
        assert_eq!((pending.max_conns, pending.in_flight, pending.state()), (4, 0, wire::DynoState::Unspecified));

        view.absorb(owned(Epoch(pending.epoch), Phase::Active));
        let active = row(&state, &view);
        assert_eq!((active.phase(), active.in_flight, active.state()), (wire::DynoPhase::Active, 2, wire::DynoState::Up));
        assert_eq!((active.owner.as_str(), active.owned_epoch), ("b1", active.epoch));

        // A drain that the owner has not heard of yet is no drain.
        state.apply(Index(4), Command::DrainDyno { id: a(), cut: None });
        let wished = row(&state, &view);
        assert_eq!((wished.phase(), wished.drain), (wire::DynoPhase::Active, true));
        assert!(wished.epoch > wished.owned_epoch);
        view.absorb(owned(Epoch(wished.epoch), Phase::Draining));
        assert_eq!(row(&state, &view).phase(), wire::DynoPhase::Draining);

        state.apply(Index(5), Command::RemoveDyno { id: a(), force: true });
        assert_eq!(row(&state, &view).phase(), wire::DynoPhase::Removing);
    }

    #[test]
    fn a_block_that_let_go_of_a_dyno_is_no_owner() {
        let state = directory();
        let mut view = MapView::new();
        let epoch = state.dyno(&a()).unwrap().epoch;
        view.absorb(owned(epoch, Phase::Active));
        view.absorb(Fact::Released(ReleasedFact { dyno: a(), block: b1(), group: None, epoch }));
        let released = row(&state, &view);
        assert_eq!((released.phase(), released.owner.as_str(), released.in_flight), (wire::DynoPhase::Released, "", 0));
    }

    fn leader(group: u128) -> Fact {
        let replica = |id: u64| ReplicaFact {
            id: ReplicaId(id),
            http: format!("127.0.0.1:{}", 8000 + id).parse().unwrap(),
            grpc: format!("127.0.0.1:{}", 9000 + id).parse().unwrap(),
        };
        let replicas = vec![replica(1), replica(2)];
        Fact::Leader(LeaderFact { block: b1(), group: GroupId(group), term: Term(5), seq: 1, leader: ReplicaId(2), replicas, zone: None })
    }

    fn load(app: &str, slots: u32) -> Fact {
        let app = dynomesh_core::id::AppName::new(app).unwrap();
        Fact::Load(LoadFact { block: b1(), app, term: Term(5), seq: 1, slots, used: 1, queued: 3, dynos: 2 })
    }

    #[test]
    fn a_blocks_load_is_that_of_all_its_apps() {
        let mut view = MapView::new();
        for fact in [leader(1), load("shop", 2), load("blog", 5)] {
            view.absorb(fact);
        }
        let row = block(&b1(), &directory(), &Mesh::alone(&view));
        assert_eq!((row.dynos, row.slots, row.in_flight, row.queued), (4, 7, 2, 6));
        assert_eq!((row.leader.as_str(), row.term, row.bound), ("127.0.0.1:8002", 5, true));
        let leads: Vec<bool> = row.replicas.iter().map(|replica| replica.leader).collect();
        assert_eq!(leads, [false, true]);
        assert!(warnings(&directory(), &view).is_empty());
    }

    #[test]
    fn another_group_under_a_bound_name_is_not_that_block() {
        let mut view = MapView::new();
        view.absorb(leader(7));
        let row = block(&b1(), &directory(), &Mesh::alone(&view));
        assert_eq!((row.leader.as_str(), row.bound, row.group), ("", true, GroupId(1).to_string()));
        let warnings = warnings(&directory(), &view);
        assert!(warnings.len() == 2 && warnings[0].contains("nothing was heard") && warnings[1].contains("another group"), "{warnings:?}");
        // The same when it is known which of them is meant.
        view.absorb(Fact::Bound(directory().block(&b1()).unwrap().binding().unwrap()));
        assert_eq!((super::warnings(&directory(), &view), view.leader(&b1())), (warnings, None));
        view.absorb(leader(1));
        let warnings = super::warnings(&directory(), &view);
        assert!(warnings.len() == 1 && warnings[0].contains(&GroupId(7).to_string()), "{warnings:?}");
    }
}
