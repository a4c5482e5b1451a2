//! Ask again when it failed.

use super::{Answer, Part};
use crate::engine::World;
use crate::workload::Request;

/// See [`retry`].
pub struct Retry<P> {
    tries: u32,
    inner: P,
}

/// Asks up to `tries` times in all, at once each time, until it is served.
pub fn retry<P: Part>(tries: u32, inner: P) -> Retry<P> {
    Retry { tries, inner }
}

impl<P: Part> Part for Retry<P> {
    async fn ask(&self, world: &World, request: Request) -> Answer {
        for _ in 1..self.tries {
            if self.inner.ask(world, request).await == Answer::Served {
                return Answer::Served;
            }
        }
        self.inner.ask(world, request).await
    }
}
