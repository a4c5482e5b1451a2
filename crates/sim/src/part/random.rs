//! One of several, by chance alone.

use std::rc::Rc;

use rand::RngExt;

use super::{Answer, Part};
use crate::engine::World;
use crate::workload::Request;

/// See [`random`].
pub struct Random<P>(Rc<[P]>);

/// `count` parts of the same make.
pub fn pool<P: Part>(count: usize, make: impl Fn() -> P) -> Rc<[P]> {
    (0..count).map(|_| make()).collect()
}

/// Asks one of `parts`, each as likely as the other, whatever was asked before.
pub fn random<P: Part>(parts: Rc<[P]>) -> Random<P> {
    Random(parts)
}

impl<P: Part> Part for Random<P> {
    async fn ask(&self, world: &World, request: Request) -> Answer {
        let place = world.chance(|rng| rng.random_range(0..self.0.len()));
        self.0[place].ask(world, request).await
    }
}
