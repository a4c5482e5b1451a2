//! Leaders of blocks die and others are elected.

use std::rc::Rc;

use dynomesh_core::time::Span;

use super::block::Block;
use crate::engine::World;
use crate::part::Failures;
use crate::scenario::Setup;

/// Starts the failures of a mesh's blocks, each for itself.
pub(super) fn start(world: &World, setup: &Setup, blocks: &[Rc<Block>]) {
    let Some(failures) = setup.router_failures.failures() else { return };
    for block in blocks {
        world.spawn(fail(world.clone(), block.clone(), failures));
    }
}

async fn fail(world: World, block: Rc<Block>, failures: Failures) {
    loop {
        let up = world.chance(|rng| failures.up.draw(rng));
        world.sleep(up).await;
        block.lose_leader();
        let down: Span = world.chance(|rng| failures.down.draw(rng));
        world.sleep(down).await;
        block.elect(world.now());
    }
}
