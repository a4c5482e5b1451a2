//! What the planner is told, put together from the directory, the map and what was seen.
//!
//! All of it is heard anew by whoever leads next; what only time tells (when a dyno was moved, since when a block is silent) every replica has
//! gathered by itself.

use std::collections::BTreeMap;

use dynomesh_core::block::DYNOS_MAX;
use dynomesh_core::directory::{BlockRecord, DirectoryState, DynoRecord, Place, Rebalance};
use dynomesh_core::id::{DynoId, Zone};
use dynomesh_core::map::MapView;
use dynomesh_core::plan::{BlockSeen, DynoSeen, LoadSeen, Observation, Standing};
use dynomesh_core::time::{Span, Time};

use crate::sight::{Mesh, Sight, has_arrived};

/// A block none of whose replicas was heard for this long is lost, as far as plans go: nothing can leave it, and nothing is sent there.
/// Longer than an election and the gossip's own doubt.
const LOST_AFTER: Span = Span::from_secs(10);

/// Blocks that were first seen within this time of each other are of one age.
const AS_OLD: Span = Span::from_secs(60);

/// The mesh as it is now.
pub(crate) fn observe(state: &DirectoryState, mesh: &Mesh, sight: &Sight, convergence: Option<Span>) -> Observation {
    let now = sight.now();
    let mut blocks: BTreeMap<_, _> = state.blocks().map(|block| (block.name.clone(), block_seen(block, mesh, sight, now))).collect();
    // Blocks that came with the first are as old as the mesh: there is no older one from which to fill them gently.
    let first = blocks.values().map(|block| block.since).min().unwrap_or(Time::ZERO);
    blocks.values_mut().filter(|block| block.since.since(first) < AS_OLD).for_each(|block| block.since = Time::ZERO);
    let dynos = state.dynos().filter(|dyno| dyno.place != Place::Removed);
    let dynos = dynos.map(|dyno| (dyno.spec.id.clone(), dyno_seen(dyno, &mesh.view, sight)));
    let loads = mesh.view.all_loads().filter(|load| state.app(&load.app).is_some() && state.block(&load.block).is_some());
    let loads = loads.map(|load| {
        let (used, queued) = sight.load(load);
        ((load.app.clone(), load.block.clone()), LoadSeen { slots: load.slots, used, queued })
    });
    Observation { now, blocks, apps: BTreeMap::new(), dynos: dynos.collect(), loads: loads.collect(), convergence }
}

/// Whether a move is made without being asked for: those that empty a block always, the others if the operator has said so.
pub(crate) fn is_wanted(state: &DirectoryState, dyno: &DynoId) -> bool {
    if state.settings().rebalance == Rebalance::Auto {
        return true;
    }
    let block = state.dyno(dyno).and_then(DynoRecord::block).and_then(|block| state.block(block));
    block.is_none_or(|block| !block.takes_dynos())
}

/// Moves that are decided and not finished.
pub(crate) fn unfinished(state: &DirectoryState, view: &MapView) -> u32 {
    let moving = state.dynos().filter(|dyno| is_moving(dyno, view)).count();
    u32::try_from(moving).unwrap_or(u32::MAX)
}

/// A dyno whose block has not said that it owns it, or which an earlier one has not let go of. A word that changes nothing but a drain is
/// no move: its block owns the dyno all along.
fn is_moving(dyno: &DynoRecord, view: &MapView) -> bool {
    let Place::At(block) = &dyno.place else { return false };
    let stays = || dyno.after.is_empty() && view.owner(&dyno.spec.id).is_some_and(|owner| owner.block == *block);
    !has_arrived(view, &dyno.spec.id, dyno.epoch) && !stays()
}

fn dyno_seen(dyno: &DynoRecord, view: &MapView, sight: &Sight) -> DynoSeen {
    let owner = view.owner(&dyno.spec.id);
    DynoSeen {
        app: dyno.spec.app.clone(),
        block: dyno.block().cloned(),
        zone: None,
        max_conns: dyno.spec.max_conns,
        drain: dyno.drain,
        moving: is_moving(dyno, view),
        last_moved: sight.moved(&dyno.spec.id),
        up: owner.and_then(|owner| owner.up),
        in_flight: owner.map_or(0, |owner| owner.in_flight),
    }
}

fn block_seen(block: &BlockRecord, mesh: &Mesh, sight: &Sight, now: Time) -> BlockSeen {
    let seen = sight.block(&block.name);
    let leader = mesh.view.leader(&block.name).filter(|leader| block.group.is_none_or(|group| group == leader.group));
    let zone: Option<Zone> = leader.and_then(|leader| leader.zone.clone());
    // A block whose processes never spoke of themselves cannot be told to be silent.
    let speaks = mesh.speaks(block);
    let standing = match () {
        () if block.evicted => Standing::Evicted,
        () if leader.is_none() || (speaks && now.since(seen.heard) > LOST_AFTER) => Standing::Lost(seen.heard),
        () if block.drain => Standing::Draining,
        () => Standing::Serving,
    };
    BlockSeen { zone, standing, since: seen.since, room: u32::try_from(DYNOS_MAX).unwrap_or(u32::MAX) }
}
