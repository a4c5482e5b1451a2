//! Moves without epochs: one order to the old block, one to the new, and each does what it last heard.
//!
//! Two orders about one dyno that overtake each other leave it with two owners or with none, and nothing ever puts that right.

use std::cell::RefCell;
use std::rc::Rc;

use dynomesh_core::app::Phase;
use dynomesh_core::balance::DynoShape;
use dynomesh_core::id::Epoch;

use super::owners::Owners;
use crate::engine::World;
use crate::mesh::block::Block;
use crate::scenario::Setup;
use crate::workload::Draw;

/// See the module's doc.
pub(super) struct Blind {
    blocks: Rc<[Rc<Block>]>,
    /// For each block, which dynos it owns.
    owned: RefCell<Vec<Vec<bool>>>,
    delay: Draw,
    shape: DynoShape,
    owners: Rc<Owners>,
}

impl Blind {
    pub(super) fn new(setup: &Setup, blocks: &Rc<[Rc<Block>]>, homes: &[usize], owners: &Rc<Owners>) -> Rc<Self> {
        let owned = (0..blocks.len()).map(|block| homes.iter().map(|home| *home == block).collect()).collect();
        Rc::new(Blind {
            blocks: blocks.clone(),
            owned: RefCell::new(owned),
            delay: setup.map_delay,
            shape: DynoShape { max_conns: setup.max_conns, epoch: Epoch(1), phase: Phase::Active },
            owners: owners.clone(),
        })
    }

    pub(super) fn assign(self: &Rc<Self>, world: &World, dyno: usize, from: usize, to: usize) -> bool {
        self.order(world, dyno, from, false);
        self.order(world, dyno, to, true);
        true
    }

    fn order(self: &Rc<Self>, world: &World, dyno: usize, block: usize, take: bool) {
        let (blind, clock, delay) = (self.clone(), world.clone(), world.chance(|rng| self.delay.draw(rng)));
        world.spawn(async move {
            clock.sleep(delay).await;
            let owned = std::mem::replace(&mut blind.owned.borrow_mut()[block][dyno], take);
            match (owned, take) {
                (false, true) => {
                    blind.owners.change(clock.now(), dyno, |dyno| dyno.owners += 1);
                    blind.blocks[block].admit(&clock, dyno, blind.shape);
                }
                (true, false) => {
                    blind.owners.change(clock.now(), dyno, |dyno| dyno.owners -= 1);
                    blind.blocks[block].dismiss(dyno);
                }
                _ => {}
            }
        });
    }
}
