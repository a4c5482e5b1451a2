//! A client that does not wait for slow answers before it asks again.
//!
//! Requests are sent when they are due, whatever became of those before them, and each is timed from that moment: a frozen mesh shows
//! as every request it delayed, not as the few that were open (coordinated omission). It never repeats a request that may have been
//! sent, unless it is asked to; only one that provably was not goes to another connection, or to the next edge if this one refuses connections.
//!
//! Threads: one engine per client runs all connections; each [`Running`] load has one that keeps its time, and [`Client::replay`] keeps
//! it on its caller's. They are joined by an unbounded channel of requests that are due, and the engine bounds the connections.

mod ask;
mod connection;
mod load;
mod replay;
mod secure;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

use dynomesh_core::time::{Span, Time};
use tokio::sync::mpsc::UnboundedSender;

pub use ask::{Ask, Framing, PROBE_PATH, SOCKET_PATH};
pub use load::{Arrivals, Load, Rounds, Running};
pub use secure::{Answered, Secure};
pub use wire::Wire;

use crate::clock;
use crate::history::Exchange;

/// Bytes of an answer's body that are kept; of the rest only the length is, and whether the content is as expected.
pub const TEXT_MAX: usize = 4096;
/// How long a client waits for an answer, unless told otherwise: a little longer than the mesh's own deadline.
pub const DEADLINE: Span = Span::from_secs(70);
/// Connections open at once, unless told otherwise.
pub const CONNECTIONS_MAX: usize = 2048;

/// Sends requests to the edges of a mesh in turn. Clones share their connections.
#[derive(Debug, Clone)]
pub struct Client {
    host: Arc<str>,
    due: UnboundedSender<Due>,
}

/// A request that is due, and where its outcome goes.
#[derive(Debug)]
pub(crate) struct Due {
    ask: Ask,
    host: Arc<str>,
    at: Time,
    outcome: mpsc::Sender<Exchange>,
}

/// A request on its way.
#[derive(Debug)]
pub struct Pending {
    outcome: mpsc::Receiver<Exchange>,
}

// === impl Client ===

impl Client {
    /// A client of `edges` that asks for `host`.
    pub fn new(edges: Vec<SocketAddr>, host: &str) -> Self {
        Self::with_connections(edges, host, CONNECTIONS_MAX)
    }

    /// A client that opens at most so many connections; requests past them wait, and the wait counts.
    pub fn with_connections(edges: Vec<SocketAddr>, host: &str, connections_max: usize) -> Self {
        let (due, requests) = tokio::sync::mpsc::unbounded_channel();
        let engine = move || connection::run(edges, connections_max, requests);
        thread::Builder::new().name("client".into()).spawn(engine).expect("a thread can be started");
        Client { host: host.into(), due }
    }

    /// The same client asking for another host.
    pub fn for_host(&self, host: &str) -> Self {
        Client { host: host.into(), due: self.due.clone() }
    }

    /// Sends a request and does not wait for it.
    pub fn begin(&self, ask: Ask) -> Pending {
        self.begin_due(ask, clock::now())
    }

    fn begin_due(&self, ask: Ask, due: Time) -> Pending {
        let (sender, outcome) = mpsc::channel();
        self.submit(ask, due, sender);
        Pending { outcome }
    }

    /// Sends a request and waits for its outcome.
    pub fn send(&self, ask: Ask) -> Exchange {
        self.begin(ask).wait()
    }

    /// Sends requests all at once and waits for their outcomes, in the order of the requests.
    pub fn send_all(&self, asks: impl IntoIterator<Item = Ask>) -> Vec<Exchange> {
        let pending: Vec<Pending> = asks.into_iter().map(|ask| self.begin(ask)).collect();
        pending.into_iter().map(Pending::wait).collect()
    }

    fn submit(&self, ask: Ask, at: Time, outcome: mpsc::Sender<Exchange>) {
        let due = Due { ask, host: self.host.clone(), at, outcome };
        self.due.send(due).expect("the engine lives as long as its clients");
    }
}

// === impl Pending ===

impl Pending {
    /// Waits for the outcome.
    pub fn wait(self) -> Exchange {
        self.outcome.recv().expect("the engine tells the outcome of every request")
    }

    /// The outcome, if it is clear already. It is told once.
    pub fn poll(&self) -> Option<Exchange> {
        self.outcome.try_recv().ok()
    }
}

#[cfg(test)]
mod tests;
