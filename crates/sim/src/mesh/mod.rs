//! The mesh itself: edges and blocks by the production rules, in a world of faulty dynos and dying leaders.
//!
//! What decides is [`dynomesh_core`]: the choice of a block, the load an edge takes it to have, the retry rules, the ledger with its
//! holds and probes, the queue. What is modelled here is the world between those decisions, as far as it costs time: cables, elections,
//! the edges' word of a leader's death and of its successor, probes on their way.
//!
//! Left out, because it costs no time that the model could tell from its cables: the log of a block (see `commit`), the map, bodies.

mod block;
mod edge;
mod moves;
mod outage;
mod pins;
mod place;
#[cfg(test)]
mod tests;

use std::cell::{Cell, OnceCell};
use std::rc::Rc;

use dynomesh_core::time::Span;
use rand::RngExt;

use crate::dyno::Dyno;
use crate::engine::World;
use crate::part::{Answer, Part};
use crate::scenario::Setup;
use crate::workload::{Apps, Outcome, Request};

use block::Block;
use edge::Edge;
use moves::Owners;
use pins::Pins;

/// See the module's doc.
pub struct Mesh {
    edges: Box<[Edge]>,
    counts: Rc<Counts>,
}

/// What happened in a run, besides what requests tell.
#[derive(Debug, Default)]
pub struct Counts {
    requests: Cell<u64>,
    /// Attempts at blocks beyond a request's first.
    retries: Cell<u64>,
    /// Attempts at dynos beyond a block's first for the same request.
    dyno_retries: Cell<u64>,
    /// Times a full block sent a request away.
    spills: Cell<u64>,
    /// Requests that waited in a block's queue.
    queued: Cell<u64>,
    /// Second copies of slow requests.
    hedges: Cell<u64>,
    /// Requests that a leader's death took with it.
    killed: Cell<u64>,
    /// Outages of blocks.
    outages: Cell<u64>,
    /// Requests that a block sent to a dyno of another.
    abroad: Cell<u64>,
    /// Who owned which dyno, where dynos move.
    owners: OnceCell<Rc<Owners>>,
    /// What became of pinned requests, where there are any.
    pins: OnceCell<Rc<Pins>>,
}

fn add(count: &Cell<u64>) {
    count.set(count.get() + 1);
}

impl Mesh {
    /// A mesh over `dynos`, in blocks as the setup spreads the apps.
    pub fn new(world: &World, setup: &Setup, apps: &Apps, dynos: &Rc<[Dyno]>) -> Self {
        let counts = Rc::new(Counts::default());
        let places = place::place(setup, apps);
        let homes = place::homes(&places);
        if let Some(pins) = Pins::new(world, setup, &homes) {
            counts.pins.get_or_init(|| pins);
        }
        let blocks: Rc<[Rc<Block>]> = places.iter().map(|places| Block::new(world, setup, dynos, places, &counts)).collect();
        block::overlap(world, setup, &blocks, &places);
        let edges = (0..setup.edges).map(|_| Edge::new(setup, &blocks, &counts)).collect();
        outage::start(world, setup, &blocks);
        if let Some(owners) = moves::start(world, setup, &blocks, homes) {
            counts.owners.get_or_init(|| owners);
        }
        Mesh { edges, counts }
    }

    /// What happened so far; lives on when the mesh is gone.
    pub fn counts(&self) -> Rc<Counts> {
        self.counts.clone()
    }
}

impl Part for Mesh {
    async fn ask(&self, world: &World, request: Request) -> Answer {
        add(&self.counts.requests);
        let edge = world.chance(|rng| rng.random_range(0..self.edges.len()));
        self.edges[edge].ask(world, request).await
    }
}

impl Counts {
    /// Puts the counts into the outcome of a run, as shares of its requests.
    pub fn note(&self, outcome: &mut Outcome) {
        let share = |count: &Cell<u64>| count.get() as f64 / self.requests.get().max(1) as f64;
        outcome.note("retries", share(&self.retries));
        outcome.note("dyno_retries", share(&self.dyno_retries));
        outcome.note("spills", share(&self.spills));
        outcome.note("queued", share(&self.queued));
        outcome.note("hedges", share(&self.hedges));
        outcome.note("killed", share(&self.killed));
        outcome.note("outages", self.outages.get() as f64);
        if self.abroad.get() > 0 {
            outcome.note("abroad", share(&self.abroad));
        }
        if let Some(pins) = self.pins.get() {
            pins.note(outcome);
        }
        if let Some(owners) = self.owners.get() {
            owners.note(outcome);
        }
    }
}

/// Waits out a cable, unless it has no length.
async fn travel(world: &World, cable: Span) {
    if cable > Span::ZERO {
        world.sleep(cable).await;
    }
}
