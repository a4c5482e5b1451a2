//! A cable: what it takes to get there, and as long again to get back.

use dynomesh_core::time::Span;

use super::{Answer, Part};
use crate::engine::World;
use crate::workload::Request;

/// See [`cable`].
pub struct Cable<P> {
    each_way: Span,
    end: P,
}

/// Puts `each_way` of delay before the request and before its answer.
pub fn cable<P: Part>(each_way: Span, end: P) -> Cable<P> {
    Cable { each_way, end }
}

impl<P: Part> Part for Cable<P> {
    async fn ask(&self, world: &World, request: Request) -> Answer {
        world.sleep(self.each_way).await;
        let answer = self.end.ask(world, request).await;
        world.sleep(self.each_way).await;
        answer
    }
}
