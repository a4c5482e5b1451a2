//! A server: it works on one request at a time, and the others wait in line.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use super::{Answer, Part};
use crate::engine::{Giver, World};
use crate::workload::{Draw, Request};

/// See [`queue`].
pub struct Queue<P> {
    at_once: u32,
    running: Cell<u32>,
    waiting: RefCell<VecDeque<Giver<()>>>,
    inner: P,
}

/// See [`delay`].
pub struct Delay(Draw);

/// Lets `at_once` requests through at a time, first come, first served.
pub fn queue<P: Part>(at_once: u32, inner: P) -> Queue<P> {
    Queue { at_once, running: Cell::new(0), waiting: RefCell::default(), inner }
}

/// Serves after a time.
pub fn delay(time: Draw) -> Delay {
    Delay(time)
}

/// One request at a time, each taking `service`.
pub fn server(service: Draw) -> Queue<Delay> {
    queue(1, delay(service))
}

impl<P: Part> Part for Queue<P> {
    async fn ask(&self, world: &World, request: Request) -> Answer {
        if self.running.get() < self.at_once {
            self.running.set(self.running.get() + 1);
        } else {
            let (giver, turn) = world.promise();
            self.waiting.borrow_mut().push_back(giver);
            // Whoever was served hands its place over, so the count stays.
            turn.await;
        }
        let answer = self.inner.ask(world, request).await;
        match self.waiting.borrow_mut().pop_front() {
            Some(next) => next.give(()),
            None => self.running.set(self.running.get() - 1),
        }
        answer
    }
}

impl Part for Delay {
    async fn ask(&self, world: &World, _: Request) -> Answer {
        let time = world.chance(|rng| self.0.draw(rng));
        world.sleep(time).await;
        Answer::Served
    }
}
