//! Leaders of blocks die and others are elected; zones fail with all their blocks.

use std::rc::Rc;

use super::block::Block;
use crate::engine::World;
use crate::part::Failures;
use crate::scenario::Setup;

/// Starts the failures of a mesh's blocks, each for itself, and of its zones.
pub(super) fn start(world: &World, setup: &Setup, blocks: &[Rc<Block>]) {
    if let Some(failures) = setup.router_failures.failures() {
        for block in blocks {
            world.spawn(fail(world.clone(), vec![block.clone()], failures));
        }
    }
    if let Some(failures) = setup.zone_failures.failures() {
        for zone in 0..setup.zones.max(1) {
            let members = blocks.iter().skip(zone).step_by(setup.zones.max(1)).cloned().collect();
            world.spawn(fail(world.clone(), members, failures));
        }
    }
}

async fn fail(world: World, blocks: Vec<Rc<Block>>, failures: Failures) {
    loop {
        let up = world.chance(|rng| failures.up.draw(rng));
        world.sleep(up).await;
        blocks.iter().for_each(|block| block.lose_leader());
        let down = world.chance(|rng| failures.down.draw(rng));
        world.sleep(down).await;
        blocks.iter().for_each(|block| block.elect(world.now()));
    }
}
