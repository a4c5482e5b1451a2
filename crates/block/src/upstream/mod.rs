//! One request at one dyno: a connection, the head past the write gate, the answer's head, its body.
//!
//! Without keep-alive every request has a connection of its own, closed after the response: an idle connection of a frozen or former
//! leader would starve a dyno that serves one connection at a time. With it, a connection rests after its response (see [`Idle`]) and is
//! used again by a request that may be sent twice, if it comes to that (`dynomesh_core::dispatch::reuse`).
//!
//! The exchange runs in a task of its own, so that a client that leaves does not cut what the dyno is doing (P13). Interim answers other
//! than 100 and 101 end here: hyper's server has no way to pass them on.

mod body;
mod closing;
mod cut;
mod drain;
mod end;
mod exchange;
mod frames;
mod gate;
mod host;
mod idle;
mod line;
mod link;
pub(crate) mod probe;
mod socket;
mod tunnel;

use std::io;

use bytes::Bytes;
use dynomesh_core::balance::Outcome;
use dynomesh_core::dispatch::Sending;
use dynomesh_core::id::{Epoch, SlotId, Term};
use dynomesh_runtime::http::headers;
use http::{HeaderMap, HeaderValue};

pub(crate) use body::{DynoBody, Permission, RequestBody};
pub(crate) use cut::Cut;
pub(crate) use drain::Drain;
pub(crate) use exchange::{Answer, Dispatch, Failure, Way, dispatch};
pub(crate) use host::Host;
pub(crate) use idle::Idle;
pub(crate) use link::{Freedom, Link};
pub(crate) use socket::USER_TIMEOUT;
pub(crate) use tunnel::carry;

use crate::grant::{Claim, Shared};
use line::Line;

/// The connection a request takes: the idle one that came with its slot, if it may and that one is good; else a fresh one, and the idle
/// one is closed first.
pub(crate) async fn connect(shared: &Shared, claim: &mut Claim, host: &Host, sending: Sending) -> io::Result<Way> {
    match claim.take_link() {
        Some(mut link) if sending.may_reuse() && link.is_good() => {
            link.visit(host);
            shared.metrics.dyno_reuses.inc();
            return Ok(Way::Used(link));
        }
        idle => drop(idle),
    }
    fresh(shared, claim).await.map(Way::Fresh)
}

async fn fresh(shared: &Shared, claim: &Claim) -> io::Result<std::sync::Arc<Line>> {
    shared.metrics.dyno_connects.inc();
    Line::connect(claim.pick.address, claim.pick.manner.protocol, shared.limits.connect).await
}

/// What a dyno is told of whatever is sent to it (P28), and nothing of what the tiers say to each other.
pub(crate) fn sign(into: &mut HeaderMap, shared: &Shared, slot: SlotId, term: Term, epoch: Epoch) {
    into.insert(headers::BLOCK, shared.block_header.clone());
    into.insert(headers::EPOCH, HeaderValue::from(epoch.0));
    into.insert(headers::TERM, HeaderValue::from(term.0));
    into.insert(headers::SLOT, headers::value(slot));
}

impl Failure {
    /// What it means for the slot.
    fn outcome(self) -> Outcome {
        match self {
            Failure::Late => Outcome::Done,
            Failure::NotSent | Failure::Failed => Outcome::Error,
            Failure::Broken | Failure::Unknown | Failure::Cut => Outcome::Unknown,
        }
    }
}

/// A body that is already whole.
pub(crate) fn whole(bytes: &'static [u8]) -> DynoBody {
    DynoBody::whole(Bytes::from_static(bytes))
}
