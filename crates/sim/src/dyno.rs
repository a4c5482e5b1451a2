//! A dyno as studies need it: behind its cable it fails by turns, works on a few requests at once, keeps the others waiting, and may be
//! slow. It also keeps the book that no router can keep: how many requests it really had at once.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use dynomesh_core::time::Span;

use crate::engine::{Giver, World};
use crate::part::{Answer, Fault, Part};
use crate::workload::{Request, nanos_of};

/// What a dyno is like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DynoMake {
    /// From its router, each way.
    pub cable: Span,
    /// Requests it works on at once; more wait inside it.
    pub workers: u32,
    /// How much longer than by itself a request takes beside others: with n running it takes `1 + slowdown * (n - 1)^1.5` times as long.
    pub slowdown: f64,
    /// How much longer everything takes here: 1 for an ordinary dyno.
    pub slow: f64,
}

/// See the module's doc.
pub struct Dyno {
    make: DynoMake,
    fault: Option<Fault>,
    running: Cell<u32>,
    waiting: RefCell<VecDeque<Giver<()>>>,
    book: Cell<Book>,
}

/// What a dyno has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Book {
    /// Requests that it let in.
    pub entered: u64,
    /// Those that found all its workers busy: with a cap equal to its workers, each is a broken promise.
    pub over_cap: u64,
    /// Requests that it refused while it was down.
    pub refused: u64,
    /// Time that its workers spent on requests.
    pub busy: Span,
}

impl Dyno {
    /// A dyno that works, or one that fails by `fault`.
    pub fn new(make: DynoMake, fault: Option<Fault>) -> Self {
        Dyno { make, fault, running: Cell::new(0), waiting: RefCell::default(), book: Cell::default() }
    }

    /// Requests in it now, running and waiting: the truth that routers guess at.
    pub fn depth(&self) -> u32 {
        self.running.get() + u32::try_from(self.waiting.borrow().len()).unwrap_or(u32::MAX)
    }

    /// What it has seen so far.
    pub fn book(&self) -> Book {
        self.book.get()
    }

    /// Touches it without a request, as a probe does after its way through the cable: whether it would refuse one.
    pub fn is_down(&self, world: &World) -> bool {
        self.fault.as_ref().is_some_and(|fault| fault.is_down(world))
    }

    /// The cable to it, each way.
    pub fn cable(&self) -> Span {
        self.make.cable
    }

    /// Serves a request that has come through the cable; false if it refused it at once.
    pub async fn serve(&self, world: &World, request: Request) -> bool {
        if self.is_down(world) {
            self.note(|book| book.refused += 1);
            return false;
        }
        self.note(|book| book.entered += 1);
        if self.running.get() < self.make.workers {
            self.running.set(self.running.get() + 1);
        } else {
            self.note(|book| book.over_cap += 1);
            let (giver, turn) = world.promise();
            self.waiting.borrow_mut().push_back(giver);
            turn.await;
        }
        let time = self.time(request.service);
        world.sleep(time).await;
        self.note(|book| book.busy = book.busy + time);
        match self.waiting.borrow_mut().pop_front() {
            Some(next) => next.give(()),
            None => self.running.set(self.running.get() - 1),
        }
        true
    }

    fn time(&self, alone: Span) -> Span {
        let beside = f64::from(self.running.get().saturating_sub(1));
        let factor = self.make.slow * (1.0 + self.make.slowdown * libm::pow(beside, 1.5));
        if factor == 1.0 { alone } else { Span::from_nanos(nanos_of(alone.as_nanos() as f64 * factor)) }
    }

    fn note(&self, write: impl FnOnce(&mut Book)) {
        let mut book = self.book.get();
        write(&mut book);
        self.book.set(book);
    }
}

impl Part for Dyno {
    async fn ask(&self, world: &World, request: Request) -> Answer {
        world.sleep(self.make.cable).await;
        let served = self.serve(world, request).await;
        world.sleep(self.make.cable).await;
        if served { Answer::Served } else { Answer::Failed }
    }
}
