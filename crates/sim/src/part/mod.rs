//! The parts that the reference table is composed of. A part is asked, and some virtual time later it has answered.
//!
//! Each does one thing and wraps what it asks in turn, so that a stack of routers is one expression:
//! `retry(3, random(blocks(10, || cable(each_way, faulty(failures, least_conn(hold, dynos(25)))))))`.

mod cable;
mod faulty;
mod least_conn;
mod queue;
mod random;
mod retry;

pub use cable::{Cable, cable};
pub use faulty::{Failures, Fault, Faulty, faulty};
pub use least_conn::{Hold, LeastConn, hold, least_conn, no_hold};
pub(crate) use least_conn::{dyno_id, place_of, slot_id};
pub use queue::{Delay, Queue, delay, queue, server};
pub use random::{Random, pool, random};
pub use retry::{Retry, retry};

use std::future::Future;
use std::rc::Rc;

use crate::engine::World;
use crate::workload::Request;

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It was served.
    Served,
    /// It was not.
    Failed,
}

/// Something that can be asked.
pub trait Part: 'static {
    /// Serves one request, or fails.
    fn ask(&self, world: &World, request: Request) -> impl Future<Output = Answer>;
}

/// One part asked by several.
impl<P: Part> Part for Rc<P> {
    fn ask(&self, world: &World, request: Request) -> impl Future<Output = Answer> {
        P::ask(self, world, request)
    }
}
