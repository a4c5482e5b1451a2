//! What a leader does besides requests: it lets holds lapse, asks dynos whether they are up, tells the map how loaded it is.

use std::rc::Rc;

use dynomesh_core::balance::Probed;
use dynomesh_core::id::DynoId;
use dynomesh_core::time::Span;
use rand::RngExt;

use super::Block;
use crate::engine::World;
use crate::part::place_of;

/// Between two looks at which holds have lapsed and which probes are due.
pub(super) const LOOK: Span = Span::from_millis(25);

/// Lets holds lapse, and probes dynos while the block is led.
pub(super) async fn keep(block: Rc<Block>, world: World, probes: bool) {
    loop {
        world.sleep(LOOK).await;
        for (app, floor) in &block.floors {
            let lapsed = floor.borrow_mut().ledger.lapse(world.now());
            if !lapsed.is_empty() {
                block.pump(&world, *app);
            }
            if !probes || !block.is_led() {
                continue;
            }
            let due = floor.borrow().ledger.probe_due(world.now());
            for dyno in due {
                let slot = block.slot();
                if floor.borrow_mut().ledger.begin_probe(&dyno, slot, world.now()).is_some() {
                    world.spawn(probe(block.clone(), world.clone(), *app, dyno));
                }
            }
        }
    }
}

async fn probe(block: Rc<Block>, world: World, app: u32, dyno: DynoId) {
    let target = &block.dynos[place_of(&dyno)];
    world.sleep(target.cable()).await;
    let passed = !target.is_down(&world);
    world.sleep(target.cable()).await;
    let result = if passed { Probed::Passed } else { Probed::Failed };
    if let Some(floor) = block.floors.get(&app) {
        floor.borrow_mut().ledger.probed(&dyno, result, world.now());
    }
    block.pump(&world, app);
}

/// Tells the map every `age`; blocks do not tell in step.
pub(super) async fn publish(block: Rc<Block>, world: World, age: Span) {
    let phase = world.chance(|rng| rng.random_range(0..=age.as_nanos()));
    world.sleep(Span::from_nanos(phase)).await;
    loop {
        {
            let mut published = block.published.borrow_mut();
            published.0 += 1;
            published.1 = block.apps().map(|app| (app, block.word(app, world.now()))).collect();
        }
        world.sleep(age.max(Span::from_micros(100))).await;
    }
}
