//! One request at one dyno: connect, write past the gate, read the head, stream the body.
//!
//! Every request has a connection of its own, closed after the response: an idle connection of a frozen or former leader would starve
//! a dyno that serves one connection at a time. The exchange runs in a task of its own, so that a client that leaves does not cut
//! what the dyno is doing (P13).

mod body;
mod cut;
mod gate;
pub(crate) mod probe;
mod socket;

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use dynomesh_core::balance::Outcome;
use dynomesh_core::id::Address;
use dynomesh_core::time::{Span, Time};
use dynomesh_runtime::net;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::sync::{mpsc, oneshot};
use tracing::debug;

pub(crate) use body::{DynoBody, RequestBody};
pub(crate) use cut::Cut;
pub(crate) use socket::{Socket, USER_TIMEOUT};

use crate::grant::{Claim, Shared};
use gate::{Gate, Gated};

/// A response to a client that left is read on for this long when its body already streams; then it is cut.
const DRAIN_STREAM: Span = Span::from_secs(1);

/// How a request at a dyno ended, when it did not end in a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Stopped by the write gate: nothing was sent.
    Late,
    /// The connection failed before anything was sent.
    NotSent,
    /// The dyno ended it without a response.
    Failed,
    /// No answer in time: the outcome is unknown.
    Unknown,
    /// Cut by the block: the outcome is unknown.
    Cut,
}

/// A response whose body still holds the slot.
pub(crate) struct Answer {
    pub(crate) response: Response<Incoming>,
    pub(crate) claim: Claim,
    pub(crate) service: Span,
}

/// Takes over the responses of clients that left.
#[derive(Clone)]
pub(crate) struct Drain(mpsc::UnboundedSender<(Incoming, Claim)>);

// === impl Drain ===

impl Drain {
    /// Starts the drain of one data thread.
    pub(crate) fn start() -> Self {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        tokio::task::spawn_local(async move {
            while let Some((body, claim)) = receiver.recv().await {
                tokio::task::spawn_local(drain(body, claim, DRAIN_STREAM));
            }
        });
        Drain(sender)
    }

    fn take(&self, body: Incoming, claim: Claim) {
        // With the thread gone the claim is dropped here, which leaves the slot in doubt: right, for nobody reads on.
        let _ = self.0.send((body, claim));
    }
}

/// Reads a response to its end for nobody.
async fn drain(mut body: Incoming, claim: Claim, limit: Span) {
    let reading = async {
        while let Some(frame) = http_body_util::BodyExt::frame(&mut body).await {
            if frame.is_err() {
                return false;
            }
        }
        true
    };
    match tokio::time::timeout(limit.to_std(), reading).await {
        Ok(true) => claim.end(Outcome::Done),
        Ok(false) if !claim.pick.cut.is_cut() => claim.end(Outcome::Error),
        _ => {
            claim.pick.cut.cut();
            claim.end(Outcome::Unknown);
        }
    }
}

/// Connects to a dyno.
pub(crate) async fn connect(address: Address, limit: Span) -> io::Result<Socket> {
    Socket::new(net::connect(address, limit).await?)
}

/// Sends `request` to the dyno of `claim` and reports its head, or how it failed.
///
/// Whoever waits may go away: then the response is read to its end, for at most `abandon_limit`.
pub(crate) fn dispatch(
    shared: &Arc<Shared>,
    mut claim: Claim,
    socket: Socket,
    request: Request<RequestBody>,
    head_by: Time,
) -> oneshot::Receiver<Result<Answer, Failure>> {
    let (sender, receiver) = oneshot::channel();
    let shared = shared.clone();
    tokio::task::spawn_local(async move {
        let began = shared.clock.now();
        let gate = Gate::new(shared.clock.clone(), shared.lease(), claim.pick.term, began + shared.limits.dispatch_by);
        claim.dispatched();
        let result = exchange(&shared, &claim, &gate, socket, request, head_by).await;
        let answer = match result {
            Ok(response) => Ok(Answer { response, service: shared.clock.now().since(began), claim }),
            Err(failure) => {
                claim.end(match failure {
                    Failure::Late => Outcome::Done,
                    Failure::NotSent | Failure::Failed => Outcome::Error,
                    Failure::Unknown | Failure::Cut => Outcome::Unknown,
                });
                Err(failure)
            }
        };
        if let Err(Ok(Answer { response, claim, .. })) = sender.send(answer) {
            drain(response.into_body(), claim, shared.limits.abandon_limit).await;
        }
    });
    receiver
}

async fn exchange(
    shared: &Shared,
    claim: &Claim,
    gate: &Arc<Gate>,
    socket: Socket,
    request: Request<RequestBody>,
    head_by: Time,
) -> Result<Response<Incoming>, Failure> {
    let io = TokioIo::new(Gated::new(socket, gate.clone()));
    let mut builder = http1::Builder::new();
    builder.max_buf_size(64 * 1024);
    let Ok((mut sender, connection)) = builder.handshake::<_, RequestBody>(io).await else { return Err(Failure::NotSent) };
    let driver = tokio::task::spawn_local(async move {
        if let Err(error) = connection.await {
            debug!(%error, "dyno connection ended");
        }
    });
    claim.pick.cut.arm(driver.abort_handle());
    let limit = shared.clock.now().until(head_by).to_std();
    let answered = tokio::time::timeout(limit, sender.send_request(request)).await;
    let failure = match answered {
        // Nothing was upgraded, so a switch of protocols is no answer to what was asked.
        Ok(Ok(response)) if response.status() == StatusCode::SWITCHING_PROTOCOLS => Failure::Failed,
        Ok(Ok(response)) => return Ok(response),
        Ok(Err(_)) if gate.refused() => Failure::Late,
        Ok(Err(_)) if !gate.passed() => Failure::NotSent,
        Ok(Err(_)) if claim.pick.cut.is_cut() => Failure::Cut,
        Ok(Err(error)) if error.is_user() || error.is_canceled() => Failure::Unknown,
        Ok(Err(error)) => {
            debug!(%error, dyno = %claim.pick.dyno, "dyno ended a request without a response");
            Failure::Failed
        }
        Err(_) => Failure::Unknown,
    };
    driver.abort();
    Err(failure)
}

/// A body that is already whole.
pub(crate) fn whole(bytes: &'static [u8]) -> DynoBody {
    DynoBody::whole(Bytes::from_static(bytes))
}
