//! The types that openraft is run with, and the runtime it runs on. No other file names openraft's type parameters.
//!
//! The runtime is tokio's with one difference: election timeouts are drawn from a generator that can be seeded per thread, so
//! that a group on seeded threads draws the same timeouts again.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use openraft::{AsyncRuntime, OptionalSend, RaftTypeConfig};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng, TryRng};
use serde::{Deserialize, Serialize};

use crate::payload::Payload;

/// openraft's type parameters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Engine;

/// What openraft knows of a member besides its id.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// Where it takes requests.
    pub(crate) http: String,
    /// Where it takes the calls of its peers.
    pub(crate) grpc: String,
}

impl RaftTypeConfig for Engine {
    type D = Payload;
    type R = ();
    type NodeId = u64;
    type Node = Place;
    type Term = u64;
    type LeaderId = openraft::impls::leader_id_std::LeaderId<u64, u64>;
    type Vote = openraft::impls::Vote<Self::LeaderId>;
    type Payload = openraft::EntryPayload<Payload, u64, Place>;
    type Entry = openraft::Entry<<Self::LeaderId as openraft::vote::RaftLeaderId>::Committed, Self::Payload>;
    type Responder<T>
        = openraft::impls::OneshotResponder<Self, T>
    where
        T: OptionalSend + 'static;
    type Batch<T>
        = openraft::impls::InlineBatch<T>
    where
        T: OptionalSend + 'static;
    type AsyncRuntime = Seeded;
    type ErrorSource = openraft::impls::BoxedErrorSource;
}

pub(crate) type Ballot = openraft::type_config::alias::VoteOf<Engine>;
pub(crate) type LogId = openraft::type_config::alias::LogIdOf<Engine>;
pub(crate) type Entry = openraft::type_config::alias::EntryOf<Engine>;
pub(crate) type Membership = openraft::Membership<u64, Place>;
pub(crate) type StoredMembership = openraft::type_config::alias::StoredMembershipOf<Engine>;
pub(crate) type SnapshotMeta = openraft::type_config::alias::SnapshotMetaOf<Engine>;
pub(crate) type CommittedLeaderId = openraft::type_config::alias::CommittedLeaderIdOf<Engine>;

/// A log id from its parts.
pub(crate) fn log_id(term: u64, index: u64) -> LogId {
    LogId::new(CommittedLeaderId::new(term), index)
}

/// The term of a log id.
pub(crate) fn term_of(id: &LogId) -> u64 {
    **id.committed_leader_id()
}

/// A vote from its parts.
pub(crate) fn ballot(term: u64, replica: u64, committed: bool) -> Ballot {
    if committed { Ballot::new_committed(term, replica) } else { Ballot::new(term, replica) }
}

type Tokio = openraft::impls::TokioRuntime;

/// tokio, with a seedable generator per thread.
#[derive(Debug)]
pub(crate) struct Seeded(Tokio);

thread_local! {
    static RNG: RefCell<StdRng> = RefCell::new(StdRng::from_rng(&mut rand::rng()));
}

/// Seeds this thread's generator. Replicas run on a `current_thread` runtime, so all their draws are made on this thread.
pub(crate) fn seed_thread(seed: u64) {
    RNG.with_borrow_mut(|rng| *rng = StdRng::seed_from_u64(seed));
}

/// Draws from this thread's generator.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ThreadDraw;

impl TryRng for ThreadDraw {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(RNG.with_borrow_mut(Rng::next_u32))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(RNG.with_borrow_mut(Rng::next_u64))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        RNG.with_borrow_mut(|rng| rng.fill_bytes(bytes));
        Ok(())
    }
}

impl AsyncRuntime for Seeded {
    type JoinError = <Tokio as AsyncRuntime>::JoinError;
    type JoinHandle<T: OptionalSend + 'static> = <Tokio as AsyncRuntime>::JoinHandle<T>;
    type Sleep = <Tokio as AsyncRuntime>::Sleep;
    type Instant = <Tokio as AsyncRuntime>::Instant;
    type TimeoutError = <Tokio as AsyncRuntime>::TimeoutError;
    type Timeout<R, T: Future<Output = R> + OptionalSend> = <Tokio as AsyncRuntime>::Timeout<R, T>;
    type ThreadLocalRng = ThreadDraw;
    type Mpsc = <Tokio as AsyncRuntime>::Mpsc;
    type Watch = <Tokio as AsyncRuntime>::Watch;
    type Oneshot = <Tokio as AsyncRuntime>::Oneshot;
    type Mutex<T: OptionalSend + 'static> = <Tokio as AsyncRuntime>::Mutex<T>;

    fn spawn<T>(future: T) -> Self::JoinHandle<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        Tokio::spawn(future)
    }

    fn sleep(duration: Duration) -> Self::Sleep {
        Tokio::sleep(duration)
    }

    fn sleep_until(deadline: Self::Instant) -> Self::Sleep {
        Tokio::sleep_until(deadline)
    }

    fn timeout<R, F: Future<Output = R> + OptionalSend>(duration: Duration, future: F) -> Self::Timeout<R, F> {
        Tokio::timeout(duration, future)
    }

    fn timeout_at<R, F: Future<Output = R> + OptionalSend>(deadline: Self::Instant, future: F) -> Self::Timeout<R, F> {
        Tokio::timeout_at(deadline, future)
    }

    fn is_panic(join_error: &Self::JoinError) -> bool {
        Tokio::is_panic(join_error)
    }

    fn thread_rng() -> Self::ThreadLocalRng {
        ThreadDraw
    }

    fn new(threads: usize) -> Self {
        Seeded(Tokio::new(threads))
    }

    fn block_on<F, T>(&mut self, future: F) -> T
    where
        F: Future<Output = T>,
    {
        self.0.block_on(future)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;

    #[test]
    fn a_seeded_thread_draws_the_same_timeouts_again() {
        let draw = |seed| {
            seed_thread(seed);
            (0..8).map(|_| Seeded::thread_rng().random_range(90..120u64)).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }
}
