//! Seed sweeps: whatever the mesh looks like, plans come to an end, do not swing, and break nothing on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

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
fn settle(rng: &mut StdRng, mesh: &mut Observation, policy: &Policy, load: impl Fn(&mut Observation)) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for _ in 0..ROUNDS_MAX {
        load(mesh);
        let plan = plan(mesh, policy);
        check_invariants(mesh, policy, &plan);
        let (unfinished, known) = (mesh.unfinished() > 0, known(mesh));
        mesh.dynos.values_mut().for_each(|dyno| dyno.moving = false);
        mesh.now += plan.next;
        for step in &plan.moves {
            let dyno = mesh.dynos.get_mut(&step.dyno).unwrap();
            (dyno.block, dyno.last_moved, dyno.moving) = (Some(step.to.clone()), Some(mesh.now), rng.random_bool(0.2));
        }
        if plan.moves.is_empty() && !unfinished {
            if plan.held_back.iter().all(|held| at_rest(&held.wait)) {
                return steps;
            }
            mesh.now += Span::from_secs(60);
        }
        steps.extend(plan.moves.into_iter().map(|step| Step { known: known[&step.app].clone(), step }));
    }
    let last: Vec<&Move> = steps.iter().rev().take(6).map(|step| &step.step).collect();
    panic!("{} moves and no end; the last, backwards: {last:?}", steps.len());
}

#[test]
fn plans_come_to_an_end_and_never_swing() {
    sweep("plans_come_to_an_end_and_never_swing", 400, |rng| {
        let (mut mesh, policy) = (invent(rng), invent_policy(rng));
        let serving: BTreeSet<BlockName> =
            mesh.blocks.iter().filter(|(_, block)| block.standing == Standing::Serving).map(|(name, _)| name.clone()).collect();
        let steps = settle(rng, &mut mesh, &policy, |_| ());
        check_no_swing(&steps, &serving);
        assert!(steps.len() <= 3 * mesh.dynos.len(), "{} moves of {} dynos", steps.len(), mesh.dynos.len());
        mesh.now += Span::from_secs(86_400);
        let again = plan(&mesh, &policy);
        assert!(again.moves.is_empty(), "a fixed point moved: {again}");
        check_emptied(&mesh);
    });
}

/// A move, and what the planner knew of its app then.
struct Step {
    step: Move,
    known: Rc<Known>,
}

/// What an app's moves go by, apart from its load, which does not change.
struct Known {
    /// The blocks that the app is in.
    blocks: BTreeSet<BlockName>,
    /// Slots of other apps by block.
    others: BTreeMap<BlockName, u64>,
}

impl Known {
    /// Whether other apps have left `to`, or have come to `from`, since `then`.
    fn has_crowd_moved(&self, then: &Known, from: Option<&BlockName>, to: &BlockName) -> bool {
        let of = |known: &Known, block: &BlockName| known.others.get(block).copied().unwrap_or(0);
        of(self, to) < of(then, to) || from.is_some_and(|from| of(self, from) > of(then, from))
    }
}

/// As long as an app is in the same blocks, none of its dynos is moved twice for balance, and none comes back to a block that it left unless
/// other apps made place there or took the place where it went.
fn check_no_swing(steps: &[Step], serving: &BTreeSet<BlockName>) {
    let mut left: BTreeMap<(&DynoId, &BlockName), &Known> = BTreeMap::new();
    let mut balanced: BTreeMap<&DynoId, &Known> = BTreeMap::new();
    for Step { step, known } in steps {
        let (dyno, balance) = (&step.dyno, matches!(step.reason, Reason::Load { .. }));
        if let Some(then) = balance.then(|| balanced.insert(dyno, known)).flatten() {
            assert_ne!(then.blocks, known.blocks, "{dyno} is moved twice for balance: {}", step.reason);
        }
        if let Some(then) = left.get(&(dyno, &step.to)) {
            let settled_anew = then.blocks != known.blocks && !matches!(step.reason, Reason::Small { .. });
            let crowd = !balance && known.has_crowd_moved(then, step.from.as_ref(), &step.to);
            assert!(settled_anew || crowd, "{dyno} comes back to {}: {}", step.to, step.reason);
        }
        let free = |from: &&BlockName| serving.contains(*from) && !matches!(step.reason, Reason::Room { .. });
        left.extend(step.from.as_ref().filter(free).map(|from| ((dyno, from), &**known)));
    }
}

/// What is known of each app.
fn known(mesh: &Observation) -> BTreeMap<AppName, Rc<Known>> {
    let mut parts: BTreeMap<&AppName, BTreeMap<&BlockName, u64>> = BTreeMap::new();
    let mut all: BTreeMap<&BlockName, u64> = BTreeMap::new();
    for dyno in mesh.dynos.values() {
        let own = parts.entry(&dyno.app).or_default();
        let Some(at) = dyno.block.as_ref().filter(|at| !dyno.drain && mesh.blocks[*at].standing == Standing::Serving) else { continue };
        *own.entry(at).or_default() += u64::from(dyno.max_conns);
        *all.entry(at).or_default() += u64::from(dyno.max_conns);
    }
    let known = parts.into_iter().map(|(of, own)| {
        let others = all.iter().map(|(at, slots)| ((*at).clone(), slots - own.get(at).unwrap_or(&0)));
        (of.clone(), Rc::new(Known { others: others.collect(), blocks: own.keys().map(|at| (*at).clone()).collect() }))
    });
    known.collect()
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
    sweep("plans_come_to_an_end_where_load_follows_capacity", 200, |rng| {
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
