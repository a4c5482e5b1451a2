//! What must hold of every plan, judged from the observation alone and without the planner's own bookkeeping.

use std::collections::{BTreeMap, BTreeSet};

use super::observation::{DynoSeen, Observation, Standing};
use super::outcome::{Move, Plan};
use super::policy::{Percent, Policy};
use super::reason::Reason;
use crate::id::{AppName, BlockName, Zone};

/// Panics if the plan breaks a constraint: for tests, and for a control plane that would rather stop than move what it must not.
pub fn check_invariants(observation: &Observation, policy: &Policy, plan: &Plan) {
    let dynos: BTreeSet<_> = plan.moves.iter().map(|step| &step.dyno).collect();
    assert_eq!(dynos.len(), plan.moves.len(), "a dyno is moved twice in one plan");
    for step in &plan.moves {
        check_move(observation, policy, step);
    }
    check_limits(observation, policy, plan);
    check_room(observation, plan);
    check_blocks(observation, policy, plan);
    check_zones(observation, policy, plan);
}

fn seen<'a>(observation: &'a Observation, step: &Move) -> &'a DynoSeen {
    observation.dynos.get(&step.dyno).unwrap_or_else(|| panic!("{} is not a dyno", step.dyno))
}

fn standing(observation: &Observation, block: &BlockName) -> Option<Standing> {
    observation.blocks.get(block).map(|block| block.standing)
}

/// Whether the dyno serves nobody where it is.
fn is_rescue(observation: &Observation, step: &Move) -> bool {
    step.from.as_ref().is_none_or(|from| standing(observation, from) == Some(Standing::Evicted))
}

/// Whether the dyno has to leave, whatever the rest of the mesh looks like.
fn has_to_leave(observation: &Observation, step: &Move) -> bool {
    let draining = step.from.as_ref().is_some_and(|from| standing(observation, from) == Some(Standing::Draining));
    is_rescue(observation, step) || draining
}

fn check_move(observation: &Observation, policy: &Policy, step: &Move) {
    let (dyno, seen) = (&step.dyno, seen(observation, step));
    assert_eq!((&step.from, &step.app), (&seen.block, &seen.app), "{dyno} is not where the plan says");
    assert_ne!(step.from.as_ref(), Some(&step.to), "{dyno} goes where it is");
    assert_eq!(standing(observation, &step.to), Some(Standing::Serving), "{dyno} goes to {}, which takes no dynos", step.to);
    if let Some(from) = &step.from {
        let from = standing(observation, from);
        assert!(!matches!(from, None | Some(Standing::Lost(_))), "{dyno} would hang in its lost block");
        assert!(!seen.moving || from == Some(Standing::Evicted), "{dyno} is on the move already");
        assert!(!seen.drain || from != Some(Standing::Serving), "{dyno} is drained and its block is not");
    }
    let rests = seen.last_moved.is_some_and(|last| observation.now.since(last) < policy.dyno_rest);
    let pressing = has_to_leave(observation, step) || matches!(step.reason, Reason::Room { .. });
    assert!(!rests || pressing, "{dyno} rests");
}

fn check_limits(observation: &Observation, policy: &Policy, plan: &Plan) {
    let unfinished = observation.unfinished() as usize;
    let others = plan.moves.iter().filter(|step| !is_rescue(observation, step)).count();
    let all = plan.moves.len();
    assert!(others == 0 || unfinished + all <= policy.moves_max.max(policy.rescues_max) as usize, "too many moves");
    assert!(others == 0 || unfinished + others <= policy.moves_max as usize, "more than {} moves unfinished", policy.moves_max);
    assert!(all == 0 || unfinished + all <= policy.rescues_max as usize, "more than {} moves unfinished", policy.rescues_max);
    for app in plan.moves.iter().filter(|step| !is_rescue(observation, step)).map(|step| &step.app) {
        let of = || observation.dynos.values().filter(|dyno| dyno.app == *app);
        let most = (of().count() * policy.app_max.0 as usize / 100).max(1);
        let moving = of().filter(|dyno| dyno.moving).count();
        let planned = plan.moves.iter().filter(|step| step.app == *app && !is_rescue(observation, step)).count();
        assert!(moving + planned <= most, "{planned} moves of app {app} on top of {moving}, {most} may be");
    }
}

fn check_room(observation: &Observation, plan: &Plan) {
    let mut count: BTreeMap<&BlockName, u32> = BTreeMap::new();
    observation.dynos.values().filter_map(|dyno| dyno.block.as_ref()).for_each(|block| *count.entry(block).or_default() += 1);
    for step in &plan.moves {
        let dynos = count.entry(&step.to).or_default();
        *dynos += 1;
        let room = observation.blocks[&step.to].room;
        assert!(*dynos <= room, "{} would have {dynos} dynos and has room for {room}", step.to);
    }
}

/// Dynos that take requests by app and block, before the plan and after.
type Counted<'a> = BTreeMap<&'a AppName, BTreeMap<&'a BlockName, u64>>;

fn counted<'a>(observation: &'a Observation, plan: Option<&'a Plan>) -> Counted<'a> {
    let moved: BTreeMap<_, _> = plan.into_iter().flat_map(|plan| &plan.moves).map(|step| (&step.dyno, &step.to)).collect();
    let mut counted: Counted<'a> = BTreeMap::new();
    for (id, dyno) in observation.dynos.iter().filter(|(_, dyno)| !dyno.drain) {
        let at = moved.get(id).copied().or(dyno.block.as_ref());
        let Some(at) = at.filter(|at| !matches!(standing(observation, at), Some(Standing::Draining | Standing::Evicted))) else { continue };
        *counted.entry(&dyno.app).or_default().entry(at).or_default() += u64::from(dyno.max_conns);
    }
    counted
}

/// Most blocks that an app's dynos are worth.
fn worth(observation: &Observation, policy: &Policy, app: &AppName) -> usize {
    let dynos = observation.dynos.values().filter(|dyno| dyno.app == *app && !dyno.drain).count();
    let group = observation.apps.get(app).and_then(|app| app.group).unwrap_or(policy.group) as usize;
    let least = group * (100 - policy.hysteresis.0 as usize);
    ((dynos * 200 + least) / (least * 2)).max(policy.blocks_min as usize).min(dynos).max(1)
}

/// An app does not get more blocks than it had, but those that it is about to exchange, or up to what its dynos are worth.
fn check_blocks(observation: &Observation, policy: &Policy, plan: &Plan) {
    let (before, after) = (counted(observation, None), counted(observation, Some(plan)));
    for (app, blocks) in &after {
        let had = before.get(app).map_or(0, BTreeMap::len);
        let worth = worth(observation, policy, app);
        let exchanged = (100usize.div_ceil(policy.zone_max.0 as usize) - 1).max(1);
        let most = worth.max(had) + exchanged;
        let pressing = |step: &Move| has_to_leave(observation, step) || matches!(step.reason, Reason::Room { .. });
        let strays = plan.moves.iter().any(|step| step.app == **app && pressing(step));
        assert!(strays || blocks.len() <= most, "app {app} had {had} blocks and gets {}", blocks.len());
    }
}

/// A zone that has too much of an app gets no more of it, unless dynos have to go somewhere.
fn check_zones(observation: &Observation, policy: &Policy, plan: &Plan) {
    let (before, after) = (counted(observation, None), counted(observation, Some(plan)));
    let zone_of = |block: &BlockName| observation.blocks.get(block).and_then(|block| block.zone.clone());
    let by_zone = |blocks: &BTreeMap<&BlockName, u64>| {
        let mut zones: BTreeMap<Option<Zone>, u64> = BTreeMap::new();
        let serving = blocks.iter().filter(|(block, _)| standing(observation, block) == Some(Standing::Serving));
        serving.for_each(|(block, slots)| *zones.entry(zone_of(block)).or_default() += slots);
        zones
    };
    let serving = observation.blocks.values().filter(|block| block.standing == Standing::Serving);
    let zones: BTreeSet<Option<&Zone>> = serving.map(|block| block.zone.as_ref()).collect();
    for (app, blocks) in &after {
        if plan
            .moves
            .iter()
            .any(|step| step.app == **app && (has_to_leave(observation, step) || matches!(step.reason, Reason::Room { .. })))
        {
            continue;
        }
        let (old, new) = (before.get(app).map(by_zone).unwrap_or_default(), by_zone(blocks));
        // Blocks' parts are whole dynos, so a zone may end above its share by less than one for each of its blocks.
        let largest = observation.dynos.values().filter(|dyno| dyno.app == **app).map(|dyno| u64::from(dyno.max_conns)).max().unwrap_or(0);
        let slack = largest * blocks.len() as u64;
        // In fewer zones than it would take, and in one if one block is enough, each has its even part.
        let even = Percent(100 / u32::try_from(zones.len().min(worth(observation, policy, app)).clamp(1, 100)).unwrap_or(1));
        let most = policy.zone_max.max(even).share_of(new.values().sum()) + slack;
        for (zone, slots) in &new {
            let had = old.get(zone).copied().unwrap_or(0);
            assert!(*slots <= most.max(had), "{zone:?} goes from {had} to {slots} slots of app {app}, {most} may be");
        }
    }
}
