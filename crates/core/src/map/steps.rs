//! What a block's leader, and the directory's, propose when they look at the map.
//!
//! Both functions are pure and repeatable: they compare the view with the replicated state and return what is missing. A leader calls
//! its function whenever the view or the state has changed, and proposes what it returns; whatever is lost, repeated or refused on
//! the way is returned again. Safety never depends on the view being fresh: a stale view can only delay.
//!
//! A move from B to C: the directory assigns the dyno to C under a higher epoch, after B. B drains, releases once no slot is left, and
//! publishes its promise. C adopts when it has seen that promise, or when the directory has and no longer names B.

use crate::app::Phase;
use crate::block::{self, AdoptDyno, BlockState};
use crate::directory::{self, DirectoryState};
use crate::id::{BlockName, DynoId, Epoch, GroupId};
use crate::map::MapView;
use crate::map::fact::{AssignedFact, Predecessor, ReleasedFact};
use crate::planted;

/// Promises that a block keeps while forgetting them would delay an adoption.
const PROMISES_KEPT: usize = 1_000;

/// What block `me` should propose to its own group now, in this order.
pub fn steps(view: &MapView, me: &BlockName, state: &BlockState) -> Vec<block::Command> {
    let mut commands = Vec::new();
    set_apps(view, me, state, &mut commands);
    for assigned in view.assigned() {
        let step = if assigned.block.as_ref() == Some(me) { take(view, me, state, assigned) } else { leave(me, state, assigned) };
        commands.extend(step);
    }
    commands.extend(outranked(view, me, state));
    commands.extend(removed_apps(view, state));
    // Last, for they raise the floor under what has yet to be adopted.
    commands.extend(forgettable(view, me, state));
    commands
}

/// What the directory's leader should propose: blocks it has not bound yet, and promises it has not taken note of.
pub fn directory_steps(view: &MapView, state: &DirectoryState) -> Vec<directory::Command> {
    let unbound = view.leaders().filter(|leader| state.may_bind(&leader.block, leader.group));
    let unbound = unbound.map(|leader| (&leader.block, leader.group));
    // A recovered directory knows blocks by name alone. What they were is still told, also of one that is down: evicted, it must hear of it.
    let forgotten = view.bindings().filter(|bound| {
        let nameless = state.block(&bound.block).is_some_and(|block| block.group.is_none());
        nameless && state.may_bind(&bound.block, bound.group) && view.leader(&bound.block).is_none()
    });
    let unbound = unbound.chain(forgotten.map(|bound| (&bound.block, bound.group)));
    let mut commands: Vec<_> = unbound.map(|(name, group)| directory::Command::BindBlock { name: name.clone(), group }).collect();
    for dyno in state.dynos() {
        let id = &dyno.spec.id;
        let promised = |block: &BlockName| {
            let counts = |fact: &&ReleasedFact| view.speaks_for(block, fact.group) && state.may_be(block, fact.group);
            let promise = view.promise(id, block).filter(counts);
            promise.map(|fact| fact.epoch)
        };
        let earlier = dyno.after.iter().filter_map(|earlier| {
            let promised = promised(&earlier.block).filter(|promised| state.is_cleared(dyno, earlier, *promised))?;
            Some((&earlier.block, promised))
        });
        // The present block is asked too: it may have promised more than it can keep under this epoch.
        let present = dyno.block().filter(|_| !state.is_inherited(dyno));
        let present = present.and_then(|block| Some((block, promised(block).filter(|promised| *promised >= dyno.epoch)?)));
        for (block, epoch) in earlier.chain(present) {
            commands.push(directory::Command::Released { dyno: id.clone(), block: block.clone(), epoch });
        }
    }
    commands
}

/// Apps of dynos that are assigned to this block or owned by it: they must be known before their dynos are adopted.
fn set_apps(view: &MapView, me: &BlockName, state: &BlockState, commands: &mut Vec<block::Command>) {
    let assigned = view.assigned_to(me).map(|assigned| &assigned.dyno.app);
    let mut apps: Vec<_> = assigned.chain(state.apps().map(|app| &app.spec.name)).collect();
    apps.sort();
    apps.dedup();
    for fact in apps.into_iter().filter_map(|name| view.app(name)) {
        let newer = state.app(&fact.name).is_none_or(|known| known.version < fact.version);
        if let (true, Some(spec)) = (newer, &fact.spec) {
            commands.push(block::Command::SetApp { spec: Box::new(spec.clone()), version: fact.version });
        }
    }
}

/// The step for a dyno that is assigned to this block.
fn take(view: &MapView, me: &BlockName, state: &BlockState, assigned: &AssignedFact) -> Option<block::Command> {
    let AssignedFact { dyno: spec, epoch, drain, cut, .. } = assigned;
    let own = state.dyno(&spec.id);
    if own.is_some_and(|own| own.epoch >= *epoch) {
        return None;
    }
    let promised = state.promised(&spec.id);
    if own.is_none() && promised >= *epoch {
        // It lies under a forgotten promise. Saying so in a fresh one lets the directory assign the dyno anew.
        let untold = state.promise(&spec.id).is_none();
        return untold.then(|| block::Command::Release { dyno: spec.id.clone(), epoch: *epoch });
    }
    let outranked = view.owner(&spec.id).is_some_and(|owner| owner.block != *me && owner.epoch > *epoch);
    let released =
        |earlier: &Predecessor| view.released(&spec.id, &earlier.block).is_some_and(|promised| earlier.is_cleared_by(promised, *epoch));
    let clear = planted::ADOPT_WITHOUT_RELEASED || assigned.after.iter().all(released);
    let app_known = state.app(&spec.app).is_some() || view.app(&spec.app).is_some_and(|app| app.spec.is_some());
    // Whatever was assigned to a block before it was evicted is not meant for it any more, nor for another group under its name (P16).
    let evicted = view.evicted_at(me).is_some_and(|evicted| evicted.0 >= epoch.0);
    if clear && app_known && !outranked && !evicted {
        return Some(block::Command::Adopt(AdoptDyno { spec: spec.clone(), epoch: *epoch, drain: *drain, cut: *cut }));
    }
    // Until then nothing is granted under the older epoch either (P19).
    let own = own.filter(|own| own.phase == Phase::Active)?;
    Some(block::Command::Drain { dyno: spec.id.clone(), epoch: own.epoch, cut: *cut })
}

/// The step for a dyno that is assigned elsewhere or to nobody.
fn leave(me: &BlockName, state: &BlockState, assigned: &AssignedFact) -> Option<block::Command> {
    let id = &assigned.dyno.id;
    if let Some(own) = state.dyno(id) {
        return match own.phase {
            _ if own.epoch >= assigned.epoch => None,
            Phase::Active => Some(block::Command::Drain { dyno: id.clone(), epoch: own.epoch, cut: assigned.cut }),
            _ if own.used > 0 && assigned.cut < own.cut => {
                Some(block::Command::Drain { dyno: id.clone(), epoch: own.epoch, cut: assigned.cut })
            }
            // The promise covers all that was assigned here before, whether it was seen or not.
            _ if own.used == 0 || planted::RELEASE_WITH_SLOTS => Some(block::Command::Release { dyno: id.clone(), epoch: assigned.epoch }),
            _ => None,
        };
    }
    // Somebody waits for a promise that was never made, for a dyno that never came (P15), or for one that was forgotten.
    let untold = awaited(me, assigned).is_some_and(|earlier| state.promise(id) < Some(earlier));
    untold.then(|| block::Command::Release { dyno: id.clone(), epoch: assigned.epoch })
}

/// Up to which epoch a promise of this block is waited for, if the directory has not yet taken note of one.
fn awaited(me: &BlockName, assigned: &AssignedFact) -> Option<Epoch> {
    assigned.after.iter().find(|earlier| earlier.block == *me).map(|earlier| earlier.epoch)
}

/// Promises that nobody waits for. One up to a later epoch than the view knows of may still be waited for by an assignment that is not
/// in this view, unless the floor says it anyhow. While adoptions are pending that the floor would pass, promises are kept, but for so
/// many.
fn forgettable(view: &MapView, me: &BlockName, state: &BlockState) -> Vec<block::Command> {
    let adoptable = |assigned: &&AssignedFact| {
        let id = &assigned.dyno.id;
        state.dyno(id).is_none() && state.promised(id) < assigned.epoch
    };
    let pending = view.assigned_to(me).filter(adoptable).map(|assigned| assigned.epoch).min();
    let crowded = state.released().len() > PROMISES_KEPT;
    let idle = state.released().filter(|(dyno, promise)| {
        let settled = |assigned: &AssignedFact| {
            let elsewhere = assigned.block.as_ref() != Some(me) && awaited(me, assigned).is_none();
            elsewhere && *promise <= assigned.epoch.max(state.floor()) && has_arrived(view, assigned)
        };
        view.assignment(dyno).is_some_and(settled) && (crowded || pending.is_none_or(|pending| *promise < pending))
    });
    idle.map(|(dyno, epoch)| block::Command::Forget { dyno: dyno.clone(), epoch }).collect()
}

/// Whether a dyno's last move is over: it is gone, or its block has told that it owns it (P18).
fn has_arrived(view: &MapView, assigned: &AssignedFact) -> bool {
    assigned.block.is_none() || view.owner(&assigned.dyno.id).is_some_and(|owner| owner.epoch >= assigned.epoch)
}

/// Own dynos that another block says it owns under a higher epoch: nothing more is granted, whatever the assignment says (P19).
fn outranked(view: &MapView, me: &BlockName, state: &BlockState) -> Vec<block::Command> {
    let active = state.dynos().filter(|own| own.phase == Phase::Active);
    // With a newer assignment in sight, that has been seen to already.
    let unseen = active.filter(|own| view.assignment(&own.spec.id).is_none_or(|assigned| assigned.epoch <= own.epoch));
    let outranked = unseen.filter(|own| view.owner(&own.spec.id).is_some_and(|owner| owner.block != *me && owner.epoch > own.epoch));
    outranked.map(drained).collect()
}

/// Grants nothing more of an own dyno, whatever its last assignment said.
fn drained(own: &block::DynoRecord) -> block::Command {
    block::Command::Drain { dyno: own.spec.id.clone(), epoch: own.epoch, cut: own.cut }
}

/// What block `me` should propose if its group is this one: an evicted group drains and releases all it has and adopts nothing more, not
/// even what is assigned to its name, for that is meant for the group that has the name now (P16). Nor does a group whose name the
/// directory has bound to another; and one that was never bound, as far as it knows, neither takes nor promises anything under its name (P5).
pub fn steps_of_group(view: &MapView, me: &BlockName, group: Option<GroupId>, state: &BlockState) -> Vec<block::Command> {
    if group.is_some_and(|group| view.is_stranger(me, group)) {
        return renounced(state);
    }
    let mut usual = steps(view, me, state);
    // Without the directory's word, one that has served goes on: it was bound once.
    let bound = view.bound(me).is_some() || state.has_served();
    if group.is_some() && !bound {
        usual.retain(|command| {
            !matches!(command, block::Command::Adopt(_) | block::Command::Release { .. } | block::Command::SetApp { .. })
        });
    }
    let Some(group) = group.filter(|group| view.is_evicted(me, *group)) else { return usual };
    usual.retain(|command| !matches!(command, block::Command::Adopt(_)));
    let releases = |id: &DynoId| usual.iter().any(|command| matches!(command, block::Command::Release { dyno, .. } if dyno == id));
    let done: Vec<_> = idle(state).filter(|own| !releases(&own.spec.id)).map(given_up).collect();
    let mut commands = evicted_steps(view, me, group, state);
    commands.extend(usual);
    commands.extend(done);
    commands
}

/// What a group gives up that another has the name of: all it ever took under that name.
fn renounced(state: &BlockState) -> Vec<block::Command> {
    let active = state.dynos().filter(|own| own.phase == Phase::Active);
    active.map(drained).chain(idle(state).map(given_up)).collect()
}

/// Own dynos that are drained and have no slot left.
fn idle(state: &BlockState) -> impl Iterator<Item = &block::DynoRecord> {
    state.dynos().filter(|own| own.phase == Phase::Draining && own.used == 0)
}

/// Gives an own dyno up, whoever has it next.
fn given_up(own: &block::DynoRecord) -> block::Command {
    block::Command::Release { dyno: own.spec.id.clone(), epoch: own.epoch }
}

/// What a block of this group should propose first when it finds itself evicted (P16): it grants nothing more. What it has it gives up by the
/// usual steps, for each dyno was assigned anew.
pub fn evicted_steps(view: &MapView, me: &BlockName, group: GroupId, state: &BlockState) -> Vec<block::Command> {
    if !view.is_evicted(me, group) {
        return Vec::new();
    }
    state.dynos().filter(|own| own.phase == Phase::Active).map(drained).collect()
}

/// Apps that were deleted, once no dyno of them is left here.
fn removed_apps(view: &MapView, state: &BlockState) -> Vec<block::Command> {
    let deleted = state.apps().filter_map(|app| view.app(&app.spec.name).filter(|fact| fact.spec.is_none() && fact.version > app.version));
    let unused = deleted.filter(|fact| !state.dynos().any(|dyno| dyno.spec.app == fact.name));
    unused.map(|fact| block::Command::RemoveApp { name: fact.name.clone(), version: fact.version }).collect()
}
