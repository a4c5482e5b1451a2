//! The planner at the size that the mesh is made for.

use std::time::Instant;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::town::{app, block, town, zone};
use crate::id::DynoId;
use crate::plan::{BlockSeen, DEFAULTS, DynoSeen, LoadSeen, Observation, Standing, check_invariants, plan};

const BLOCKS: usize = 1_000;
const DYNOS: usize = 100_000;

fn blocks() -> Observation {
    let mut mesh = town();
    let names = (0..BLOCKS).map(|nth| (block(&format!("b{nth:04}")), BlockSeen::serving(zone(["z1", "z2", "z3"][nth % 3]))));
    mesh.blocks.extend(names);
    mesh
}

fn add(mesh: &mut Observation, of: &str, at: usize) {
    let id = DynoId::new(&format!("{of}.{:06}", mesh.dynos.len())).unwrap();
    mesh.dynos.insert(id, DynoSeen::resident(app(of), Some(block(&format!("b{at:04}")))));
}

/// 300 apps from a few dynos to some thousands, their dynos anywhere, some blocks draining or evicted.
fn mixed() -> Observation {
    let (mut mesh, mut rng) = (blocks(), StdRng::seed_from_u64(1));
    let weights: Vec<u64> = (0..300u64).map(|nth| 1 + nth * nth / 50).collect();
    let all: u64 = weights.iter().sum();
    for (nth, weight) in weights.iter().enumerate() {
        let of = format!("app-{nth:03}");
        let dynos = usize::try_from(weight * DYNOS as u64 / all).unwrap().max(2);
        let spread = rng.random_range(1..=(dynos / 10).clamp(1, BLOCKS));
        let first = rng.random_range(0..BLOCKS);
        for _ in 0..dynos {
            add(&mut mesh, &of, (first + rng.random_range(0..spread) * 7) % BLOCKS);
        }
        for step in 0..spread {
            let load = LoadSeen { slots: 20, used: rng.random_range(0..20), queued: rng.random_range(0..5) };
            mesh.loads.insert((app(&of), block(&format!("b{:04}", (first + step * 7) % BLOCKS))), load);
        }
    }
    while mesh.dynos.len() < DYNOS {
        add(&mut mesh, "app-299", 5);
    }
    mesh.standing("b0001", Standing::Draining).standing("b0002", Standing::Evicted)
}

/// The dearest case known: one app in ten blocks that belongs in all thousand.
fn heaped() -> Observation {
    let mut mesh = blocks();
    for nth in 0..DYNOS {
        add(&mut mesh, "shop", nth % 10);
    }
    mesh
}

#[test]
#[expect(clippy::disallowed_methods, reason = "it measures the planner, which knows no clock")]
#[ignore = "takes seconds: a figure, not a rule"]
fn a_thousand_blocks_are_planned_within_a_second() {
    for (name, mesh) in [("mixed", mixed()), ("heaped", heaped())] {
        let start = Instant::now();
        let plan = plan(&mesh, &DEFAULTS);
        let took = start.elapsed();
        check_invariants(&mesh, &DEFAULTS, &plan);
        let held: u32 = plan.held_back.iter().map(|held| held.dynos).sum();
        println!("{name}: {} dynos, {} moves, {held} held back, in {took:?}", mesh.dynos.len(), plan.moves.len());
        assert!(took.as_secs_f64() < 1.0, "{name} took {took:?}");
    }
}
