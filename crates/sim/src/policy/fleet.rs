//! What stands in front of every rival: edges without memory, and a fleet of routers that fail.

use dynomesh_core::time::Span;
use rand::RngExt;

use crate::engine::World;
use crate::part::{Answer, Fault, Part};
use crate::scenario::Setup;
use crate::workload::Request;

/// Routers of one make, chosen by chance. A failed request is tried again at once: by its router at the dyno that it then chooses, and
/// after that by its edge at a router chosen anew, which may be the same: at the reference load two in ten thousand requests find the same
/// dead router three times, whoever routes behind it.
pub struct Fleet<R> {
    cable: Span,
    tries: u32,
    routers: Vec<(Option<Fault>, R)>,
}

impl<R> Fleet<R> {
    /// As many routers as the setup has blocks; `make` is told the place of each.
    pub(super) fn new(setup: &Setup, make: impl FnMut(usize) -> R) -> Self {
        let fault = || setup.router_failures.failures().map(Fault::new);
        let routers = (0..setup.blocks).map(make).map(|router| (fault(), router)).collect();
        Fleet { cable: setup.router_cable, tries: setup.rival_tries, routers }
    }

    /// One router that never fails.
    pub(super) fn perfect(setup: &Setup, router: R) -> Self {
        Fleet { cable: setup.router_cable, tries: setup.rival_tries, routers: vec![(None, router)] }
    }
}

impl<R: Part> Part for Fleet<R> {
    async fn ask(&self, world: &World, request: Request) -> Answer {
        for _ in 0..self.tries {
            let place = world.chance(|rng| rng.random_range(0..self.routers.len()));
            let (fault, router) = &self.routers[place];
            world.sleep(self.cable).await;
            let down = fault.as_ref().is_some_and(|fault| fault.is_down(world));
            let served = !down && try_dynos(world, router, request, self.tries).await;
            world.sleep(self.cable).await;
            if served {
                return Answer::Served;
            }
        }
        Answer::Failed
    }
}

async fn try_dynos(world: &World, router: &impl Part, request: Request, tries: u32) -> bool {
    for _ in 0..tries {
        if router.ask(world, request).await == Answer::Served {
            return true;
        }
    }
    false
}
