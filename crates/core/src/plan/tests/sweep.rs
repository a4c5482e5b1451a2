//! Seed sweeps: whatever the mesh looks like, plans come to an end, do not swing, and break nothing on the way.

use std::collections::{BTreeMap, BTreeSet};

use rand::RngExt;
use rand::rngs::StdRng;

use super::town::{app, block, town, zone};
use crate::id::{AppName, BlockName, DynoId};
use crate::plan::{AppSeen, BlockSeen, DEFAULTS, DynoSeen, LoadSeen, Move, Observation, Percent, Policy, Reason, Standing, Wait};
use crate::plan::{check_invariants, plan};
use crate::sweep::sweep;
use crate::time::{Span, Time};

/// Rounds after which a mesh of these sizes must have come to rest. The largest has some 200 dynos, of which one moves in a round at worst.
const ROUNDS_MAX: usize = 600;

fn invent(rng: &mut StdRng) -> Observation {
    let mut mesh = town();
    let zones = rng.random_range(0..4);
    for nth in 0..rng.random_range(1..9) {
        let zone = if zones == 0 { None } else { zone(["z1", "z2", "z3"][rng.random_range(0..zones)]) };
        mesh.blocks.insert(block(&format!("b{nth}")), invent_block(rng, mesh.now, zone));
    }
    let names: Vec<BlockName> = mesh.blocks.keys().cloned().collect();
    for nth in 0..rng.random_range(1..6) {
        let of = app(&format!("app-{nth}"));
        if rng.random_bool(0.3) {
            mesh.apps.insert(of.clone(), AppSeen { group: Some(rng.random_range(1..12)) });
        }
        invent_app(rng, &mut mesh, &of, &names);
    }
    mesh
}

fn invent_block(rng: &mut StdRng, now: Time, zone: Option<crate::id::Zone>) -> BlockSeen {
    let standing = match rng.random_range(0..14) {
        0 => Standing::Draining,
        1 => Standing::Lost(now - Span::from_secs(rng.random_range(0..900))),
        2 => Standing::Evicted,
        _ => Standing::Serving,
    };
    let since = if rng.random_bool(0.2) { now - Span::from_secs(rng.random_range(0..900)) } else { Time::ZERO };
    let room = if rng.random_bool(0.15) { rng.random_range(1..60) } else { 10_000 };
    BlockSeen { zone, standing, since, room }
}

fn invent_app(rng: &mut StdRng, mesh: &mut Observation, of: &AppName, names: &[BlockName]) {
    let reach = rng.random_range(1..=names.len());
    let alike = rng.random_bool(0.6);
    let dynos = if rng.random_bool(0.3) { rng.random_range(1..8) } else { rng.random_range(1..120) };
    for nth in 0..dynos {
        let at = names[rng.random_range(0..reach)].clone();
        let mut dyno = DynoSeen::resident(of.clone(), (!rng.random_bool(0.03)).then_some(at));
        dyno.max_conns = if alike { 1 } else { [1, 1, 2, 5, 20][rng.random_range(0..5)] };
        dyno.drain = rng.random_bool(0.05);
        dyno.moving = dyno.block.is_some() && rng.random_bool(0.03);
        dyno.last_moved = rng.random_bool(0.1).then(|| mesh.now - Span::from_secs(rng.random_range(0..900)));
        dyno.up = [None, Some(true), Some(true), Some(false)][rng.random_range(0..4)];
        dyno.in_flight = rng.random_range(0..3);
        dyno.zone = if rng.random_bool(0.5) { zone(["z1", "z2", "z3"][rng.random_range(0..3)]) } else { None };
        mesh.dynos.insert(DynoId::new(&format!("{of}.{nth:03}")).unwrap(), dyno);
    }
    for name in names {
        if rng.random_bool(0.2) {
            continue;
        }
        let load = LoadSeen { slots: rng.random_range(1..40), used: rng.random_range(0..40), queued: rng.random_range(0..8) };
        mesh.loads.insert((of.clone(), name.clone()), load);
    }
}

fn invent_policy(rng: &mut StdRng) -> Policy {
    let policy = Policy {
        blocks_min: rng.random_range(1..4),
        hysteresis: Percent(rng.random_range(5..40)),
        zone_max: Percent(rng.random_range(34..101)),
        moves_max: rng.random_range(1..20),
        app_max: Percent(rng.random_range(5..101)),
        load_say: Percent(rng.random_range(0..91)),
        // With a rest a swing would only be slow.
        dyno_rest: if rng.random_bool(0.7) { Span::ZERO } else { DEFAULTS.dyno_rest },
        ..DEFAULTS
    };
    policy.check().unwrap();
    policy
}

/// Whether nothing is left that time would change.
fn at_rest(wait: &Wait) -> bool {
    matches!(wait, Wait::Lost { .. } | Wait::NoRoom | Wait::Full { .. } | Wait::Zone { .. })
}

/// Plans and obeys until nothing moves any more; tells all moves. Some of them take a round longer.
fn settle(rng: &mut StdRng, mesh: &mut Observation, policy: &Policy, load: impl Fn(&mut Observation)) -> Vec<Move> {
    let mut moves = Vec::new();
    for _ in 0..ROUNDS_MAX {
        load(mesh);
        let plan = plan(mesh, policy);
        check_invariants(mesh, policy, &plan);
        let unfinished = mesh.unfinished() > 0;
        mesh.dynos.values_mut().for_each(|dyno| dyno.moving = false);
        mesh.now += plan.next;
        for step in &plan.moves {
            let dyno = mesh.dynos.get_mut(&step.dyno).unwrap();
            (dyno.block, dyno.last_moved, dyno.moving) = (Some(step.to.clone()), Some(mesh.now), rng.random_bool(0.2));
        }
        if plan.moves.is_empty() && !unfinished {
            if plan.held_back.iter().all(|held| at_rest(&held.wait)) {
                return moves;
            }
            mesh.now += Span::from_secs(60);
        }
        moves.extend(plan.moves);
    }
    panic!("{} moves and no end; the last: {:?}", moves.len(), &moves[moves.len().saturating_sub(6)..]);
}

#[test]
fn plans_come_to_an_end_and_never_swing() {
    sweep("plans_come_to_an_end_and_never_swing", 300, |rng| {
        let (mut mesh, policy) = (invent(rng), invent_policy(rng));
        let serving: BTreeSet<BlockName> =
            mesh.blocks.iter().filter(|(_, block)| block.standing == Standing::Serving).map(|(name, _)| name.clone()).collect();
        let moves = settle(rng, &mut mesh, &policy, |_| ());
        check_no_swing(&moves, &serving);
        assert!(moves.len() <= 3 * mesh.dynos.len(), "{} moves of {} dynos", moves.len(), mesh.dynos.len());
        mesh.now += Span::from_secs(86_400);
        let again = plan(&mesh, &policy);
        assert!(again.moves.is_empty(), "a fixed point moved: {again}");
        check_emptied(&mesh);
    });
}

/// No dyno comes back to a block that it left, unless that was too full then and no longer is because *others* moved; and none is
/// moved twice for balance unless its app moved for another reason meanwhile, which changes what its blocks should have.
fn check_no_swing(moves: &[Move], serving: &BTreeSet<BlockName>) {
    let mut left: BTreeSet<(&DynoId, &BlockName)> = BTreeSet::new();
    let mut balanced: BTreeMap<&AppName, BTreeSet<&DynoId>> = BTreeMap::new();
    for step in moves {
        let (dyno, balanced) = (&step.dyno, balanced.entry(&step.app).or_default());
        match step.reason {
            Reason::Load { .. } => assert!(balanced.insert(dyno), "{dyno} is moved twice for balance: {}", step.reason),
            _ => balanced.clear(),
        }
        let crowd = matches!(step.reason, Reason::Crowd { .. });
        assert!(crowd || !left.contains(&(dyno, &step.to)), "{dyno} comes back to {}: {}", step.to, step.reason);
        let free = |from: &&BlockName| serving.contains(*from) && !matches!(step.reason, Reason::Room { .. });
        left.extend(step.from.as_ref().filter(free).map(|from| (dyno, from)));
    }
}

/// What had to be left was left, where there was somewhere to go.
fn check_emptied(mesh: &Observation) {
    let free = mesh.blocks.iter().any(|(name, seen)| {
        let has = mesh.dynos.values().filter(|dyno| dyno.block.as_ref() == Some(name)).count();
        seen.standing == Standing::Serving && has < seen.room as usize
    });
    let standing = |dyno: &DynoSeen| dyno.block.as_ref().map(|block| mesh.blocks[block].standing);
    let homeless = mesh.dynos.values().filter(|dyno| matches!(standing(dyno), None | Some(Standing::Draining | Standing::Evicted)));
    assert!(!free || homeless.count() == 0, "dynos were left behind");
}

#[test]
fn plans_come_to_an_end_where_load_follows_capacity() {
    sweep("plans_come_to_an_end_where_load_follows_capacity", 150, |rng| {
        let (mut mesh, policy) = (invent(rng), invent_policy(rng));
        let total: u64 = rng.random_range(0..80);
        // Some blocks are slower than others for good.
        let slow: BTreeMap<BlockName, u64> = mesh.blocks.keys().map(|name| (name.clone(), rng.random_range(8..16))).collect();
        settle(rng, &mut mesh, &policy, |mesh| tell(mesh, total, &slow));
    });
}

/// Loads as edges make them: by capacity, times what slows a block down.
fn tell(mesh: &mut Observation, total: u64, slow: &BTreeMap<BlockName, u64>) {
    let mut slots: BTreeMap<(AppName, BlockName), u64> = BTreeMap::new();
    for dyno in mesh.dynos.values().filter(|dyno| !dyno.drain) {
        let Some(at) = &dyno.block else { continue };
        *slots.entry((dyno.app.clone(), at.clone())).or_default() += u64::from(dyno.max_conns);
    }
    mesh.loads.clear();
    for ((of, at), own) in &slots {
        let weighted = slots.iter().filter(|((app, _), _)| app == of).map(|((_, block), slots)| slots * slow[block]).sum::<u64>();
        let used = u32::try_from(total * own * slow[at] / weighted.max(1)).unwrap();
        mesh.loads.insert((of.clone(), at.clone()), LoadSeen { slots: u32::try_from(*own).unwrap(), used, queued: 0 });
    }
}
