//! What outlives its requester on a data thread: responses of clients that left, and connections whose drivers are a moment behind.

use dynomesh_core::app::ClientGone;
use dynomesh_core::balance::Outcome;
use dynomesh_core::time::Span;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::mpsc;

use super::{Freedom, end};
use crate::grant::Claim;

/// A response to a client that left is read on for this long when its body already streams; then it is cut.
pub(super) const DRAIN_STREAM: Span = Span::from_secs(1);
/// Longest wait for a driver to see the end of what its user has seen end.
const SETTLE: Span = Span::from_millis(20);

/// Takes over what is left of requests, for one data thread.
#[derive(Clone)]
pub(crate) struct Drain(mpsc::UnboundedSender<Left>);

enum Left {
    Body(Incoming, Claim),
    Link(Claim),
}

// === impl Drain ===

impl Drain {
    /// Starts the drain of the calling thread.
    pub(crate) fn start() -> Self {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        tokio::task::spawn_local(async move {
            while let Some(left) = receiver.recv().await {
                tokio::task::spawn_local(async move {
                    match left {
                        Left::Body(body, claim) => read(body, claim, DRAIN_STREAM).await,
                        Left::Link(claim) => settle(claim).await,
                    }
                });
            }
        });
        Drain(sender)
    }

    /// Reads the rest of a response for nobody.
    pub(super) fn take(&self, body: Incoming, claim: Claim) {
        // With the thread gone the claim is dropped here, which leaves the slot in doubt: right, for nobody reads on.
        let _ = self.0.send(Left::Body(body, claim));
    }

    /// A response has been read to its end: its connection may rest, and its slot is free.
    pub(super) fn finish(&self, claim: Claim) {
        match claim.link().map(|link| link.freedom()) {
            Some(Freedom::Soon) => drop(self.0.send(Left::Link(claim))),
            _ => claim.end(Outcome::Done),
        }
    }
}

async fn settle(mut claim: Claim) {
    if let Some(link) = claim.link_mut() {
        // One that is not settled by then is closed.
        let _ = tokio::time::timeout(SETTLE.to_std(), link.settled()).await;
    }
    claim.end(Outcome::Done);
}

/// Whether a request is cut when nobody waits for it any more.
pub(super) fn cuts(claim: &Claim) -> bool {
    claim.pick.manner.client_gone == ClientGone::Cut
}

/// Cuts a request that nobody waits for. What its dyno makes of that nobody knows, so its slot stays in doubt (P13).
pub(super) fn cut(claim: Claim) {
    claim.pick.cut.cut();
    claim.end(Outcome::Unknown);
}

/// Reads a response to its end for nobody.
pub(super) async fn read(mut body: Incoming, claim: Claim, limit: Span) {
    let reading = async {
        while let Some(frame) = body.frame().await {
            frame?;
        }
        Ok::<(), hyper::Error>(())
    };
    let read = tokio::time::timeout(limit.to_std(), reading).await;
    match read {
        _ if claim.pick.cut.is_cut() => cut(claim),
        Ok(Ok(())) => settle(claim).await,
        Ok(Err(error)) if end::is_of_the_dyno(&error) => claim.end(Outcome::Error),
        _ => cut(claim),
    }
}
