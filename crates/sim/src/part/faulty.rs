//! Something that is up and down by turns, and while it is down refuses at once.
//!
//! It changes its mind only when it is touched, once per touch, and the next period begins at that touch: a part that nobody asks for a
//! long time is found in the state it was left in, or the one after it. What it has let in stays in, whatever happens to it then.

use std::cell::Cell;

use dynomesh_core::time::Time;

use super::{Answer, Part};
use crate::engine::World;
use crate::workload::{Draw, Request};

/// How long something is up, and how long down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failures {
    /// Time between failures.
    pub up: Draw,
    /// Time of a failure.
    pub down: Draw,
}

/// The state of one faulty thing.
#[derive(Debug)]
pub struct Fault {
    failures: Failures,
    /// Whether it is down, and until when, as it was left at the last touch; `None` before the first.
    state: Cell<Option<(bool, Time)>>,
}

/// See [`faulty`].
pub struct Faulty<P> {
    fault: Fault,
    inner: P,
}

/// Lets requests through to `inner` while it is up.
pub fn faulty<P: Part>(failures: Failures, inner: P) -> Faulty<P> {
    Faulty { fault: Fault::new(failures), inner }
}

impl Fault {
    /// Up, from time zero.
    pub fn new(failures: Failures) -> Self {
        Fault { failures, state: Cell::new(None) }
    }

    /// Touches it: whether it is down.
    pub fn is_down(&self, world: &World) -> bool {
        let draw = |draw: Draw| world.chance(|rng| draw.draw(rng));
        let (mut down, mut until) = self.state.get().unwrap_or_else(|| (false, Time::ZERO + draw(self.failures.up)));
        if world.now() >= until {
            down = !down;
            until = world.now() + draw(if down { self.failures.down } else { self.failures.up });
        }
        self.state.set(Some((down, until)));
        down
    }
}

impl<P: Part> Part for Faulty<P> {
    async fn ask(&self, world: &World, request: Request) -> Answer {
        if self.fault.is_down(world) { Answer::Failed } else { self.inner.ask(world, request).await }
    }
}
