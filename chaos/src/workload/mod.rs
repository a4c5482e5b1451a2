//! What is asked of the mesh while it breaks, one kind in one file. All of it comes from the host of the users and is begun by the clock
//! alone.

mod bodies;
mod fast;
mod mixed;
mod registers;
pub(crate) mod rounds;
mod slow;
pub(crate) mod sockets;

use std::net::SocketAddr;

use anyhow::Result;
use dynomesh_core::time::{Span, Time};
use dynomesh_testkit::client::{self, Client, Load};
use dynomesh_testkit::history::{Call, Exchange};
use serde::Deserialize;

use crate::system::HOST;

/// A workload as a scenario writes it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum Spec {
    /// Short requests of all methods.
    Mixed(mixed::Spec),
    /// Large bodies, both ways, compared byte by byte.
    Bodies(bodies::Spec),
    /// WebSockets.
    Sockets(sockets::Spec),
    /// Clients that send and read slowly.
    Slow(slow::Spec),
    /// Very short requests at a high rate.
    Fast(fast::Spec),
    /// Operators that write and read the same things.
    Registers(registers::Spec),
}

/// Most load that may be asked for: half as much again as the dynos can do fills every queue within seconds.
const LOAD_MAX: f64 = 1.5;

/// Most requests per second that are drawn: far more than one machine asks.
const RATE_MAX: f64 = 100_000.0;
/// Most clients or operators of one workload.
const CROWD_MAX: u32 = 1_000;

/// Where a workload is begun.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) edges: Vec<SocketAddr>,
    /// Where operators connect to, as the command line takes it.
    pub(crate) admin: String,
    /// Requests that the dynos can do in a second.
    pub(crate) capacity: f64,
    /// Shortest work of a dyno, and the mean of what it takes beyond that.
    pub(crate) floor: Span,
    pub(crate) mean: Span,
    pub(crate) seed: u64,
}

/// A workload that goes on.
pub(crate) trait Running {
    /// What has come out since it was asked last.
    fn take(&mut self) -> Vec<Exchange>;

    /// Asks nothing more, and waits for all that was asked.
    fn finish(self: Box<Self>) -> Finished;

    /// Requests per second that it was to ask, if it has a rate.
    fn rate(&self) -> f64;
}

/// What came out of a workload in the end.
#[derive(Debug, Default)]
pub(crate) struct Finished {
    pub(crate) exchanges: Vec<Exchange>,
    /// Of operators.
    pub(crate) calls: Vec<Call>,
    /// When connections broke that are no requests.
    pub(crate) broke: Vec<Time>,
    /// In words, where requests do not tell all.
    pub(crate) told: Option<String>,
    /// What should not be.
    pub(crate) complaints: Vec<String>,
}

// === impl Spec ===

impl Spec {
    /// Whether edges and blocks that are no mesh can be asked it too.
    pub(crate) fn suits_rivals(&self) -> bool {
        !matches!(self, Spec::Sockets(_) | Spec::Registers(_))
    }

    /// Refuses load that is none, or more than is of any use.
    pub(crate) fn check(&self) -> Result<(), String> {
        match self {
            Spec::Mixed(mixed::Spec { load, .. }) if !(*load > 0.0 && *load <= LOAD_MAX) => {
                Err(format!("workload.load = {load} must be more than 0 and at most {LOAD_MAX}: a share of the dynos' slots"))
            }
            Spec::Fast(fast::Spec { rate, .. }) | Spec::Bodies(bodies::Spec { rate, .. }) if !(*rate > 0.0 && rate.is_finite()) => {
                Err(format!("workload.rate = {rate} must be more than 0, and a number: requests per second"))
            }
            Spec::Fast(fast::Spec { rate, .. }) | Spec::Bodies(bodies::Spec { rate, .. }) if *rate > RATE_MAX => {
                Err(format!("workload.rate = {rate} must be at most {RATE_MAX}: requests per second"))
            }
            Spec::Mixed(spec) => spec.check(),
            Spec::Registers(spec) => spec.check(),
            Spec::Slow(spec) => crowd("clients", spec.clients),
            Spec::Sockets(spec) => crowd("connections", spec.connections),
            Spec::Fast(_) | Spec::Bodies(_) => Ok(()),
        }
    }

    /// Begins it.
    pub(crate) fn start(&self, place: &Place) -> Result<Box<dyn Running>> {
        Ok(match self {
            Spec::Mixed(spec) => Box::new(Open::start(spec.load(place), place)),
            Spec::Bodies(spec) => Box::new(Open::start(spec.load(place), place)),
            Spec::Fast(spec) => Box::new(Open::start(spec.load(place), place)),
            Spec::Sockets(spec) => Box::new(sockets::Sockets::start(spec, place)),
            Spec::Registers(spec) => Box::new(registers::Registers::start(spec, place)?),
            Spec::Slow(spec) => Box::new(slow::Slow::start(spec, place)),
        })
    }
}

/// Refuses a number of clients that asks nothing, or more than one machine can be.
fn crowd(key: &str, count: u32) -> Result<(), String> {
    match count {
        1..=CROWD_MAX => Ok(()),
        _ => Err(format!("workload.{key} = {count} must be from 1 to {CROWD_MAX}")),
    }
}

/// Load in an open loop.
struct Open {
    running: client::Running,
    rate: f64,
}

impl Open {
    fn start(load: Load, place: &Place) -> Self {
        let rate = load.rate;
        Open { running: Client::new(place.edges.clone(), HOST).load(load), rate }
    }
}

impl Running for Open {
    fn take(&mut self) -> Vec<Exchange> {
        self.running.take().into_iter().map(light).collect()
    }

    fn finish(self: Box<Self>) -> Finished {
        Finished { exchanges: self.running.finish().into_iter().map(light).collect(), ..Finished::default() }
    }

    fn rate(&self) -> f64 {
        self.rate
    }
}

/// Answers of the app are kept in short; what went wrong is kept whole, to be read.
fn light(exchange: Exchange) -> Exchange {
    if exchange.ok().is_some() { exchange.light() } else { exchange }
}
