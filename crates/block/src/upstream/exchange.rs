//! A request on its way to a dyno, until there is a response's head or a reason why there is none.

use std::io;
use std::sync::Arc;

use dynomesh_core::dispatch::{Reached, Sending};
use dynomesh_core::time::{Span, Time};
use http::{Request, Response, StatusCode};
use hyper::body::{Body, Incoming};
use tokio::sync::oneshot;
use tracing::debug;

use super::body::RequestBody;
use super::gate::Gate;
use super::line::Line;
use super::{Host, Link, drain, end};
use crate::grant::{Claim, Shared};

/// How a request at a dyno ended, when it did not end in a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Stopped by the write gate: nothing was sent.
    Late,
    /// The connection failed before anything was sent.
    NotSent,
    /// The dyno ended it without a response, or gave one that is none.
    Failed,
    /// The connection broke, and it was not the dyno that ended it: the outcome is unknown.
    Broken,
    /// No answer in time: the outcome is unknown.
    Unknown,
    /// Cut by the block: the outcome is unknown.
    Cut,
}

/// A response whose body still holds the slot. Its connection is with the claim.
pub(crate) struct Answer {
    pub(crate) response: Response<Incoming>,
    pub(crate) claim: Claim,
    pub(crate) service: Span,
}

/// What a request goes over.
pub(crate) enum Way {
    /// A connection that has served others.
    Used(Link),
    /// A connection over which nothing was said.
    Fresh(Arc<Line>),
}

/// A request and all it takes.
pub(crate) struct Dispatch {
    pub(crate) claim: Claim,
    pub(crate) way: Way,
    pub(crate) host: Host,
    pub(crate) request: Request<RequestBody>,
    pub(crate) sending: Sending,
    /// Whether a switch of protocols was asked for.
    pub(crate) may_switch: bool,
    /// Until when there must be a head.
    pub(crate) head_by: Time,
}

/// Sends a request to the dyno of its claim and reports the response's head, or how it failed.
///
/// Whoever waits may go away: then the response is read to its end, for at most `abandon_limit`, or cut if the app says so (P13).
pub(crate) fn dispatch(shared: &Arc<Shared>, dispatch: Dispatch) -> oneshot::Receiver<Result<Answer, Failure>> {
    let (mut sender, receiver) = oneshot::channel();
    let shared = shared.clone();
    tokio::task::spawn_local(async move {
        let Dispatch { mut claim, way, host, request, sending, may_switch, head_by } = dispatch;
        let began = shared.clock.now();
        claim.dispatched();
        let cuts = drain::cuts(&claim);
        let ended = {
            let write_by = began + shared.limits.dispatch_by;
            let mut exchange = Exchange { shared: &shared, claim: &mut claim, host, may_switch, head_by, write_by };
            tokio::select! {
                biased;
                ended = exchange.run(way, request, sending) => ended,
                () = sender.closed(), if cuts => Err(Failure::Cut),
            }
        };
        let answer = match ended {
            Ok(response) => Ok(Answer { response, service: shared.clock.now().since(began), claim }),
            Err(failure) => {
                claim.end(failure.outcome());
                Err(failure)
            }
        };
        match sender.send(answer) {
            Err(Ok(Answer { claim, .. })) if cuts => drain::cut(claim),
            Err(Ok(Answer { response, claim, .. })) => drain::read(response.into_body(), claim, shared.limits.abandon_limit).await,
            _ => {}
        }
    });
    receiver
}

struct Exchange<'a> {
    shared: &'a Arc<Shared>,
    claim: &'a mut Claim,
    host: Host,
    may_switch: bool,
    head_by: Time,
    write_by: Time,
}

/// A connection that brought no response.
struct Broken {
    failure: Failure,
    reached: Reached,
}

impl Exchange<'_> {
    /// Over the way that is there, and where the rule allows it once more over a fresh one, within the same slot.
    async fn run(&mut self, way: Way, request: Request<RequestBody>, sending: Sending) -> Result<Response<Incoming>, Failure> {
        let was_used = matches!(way, Way::Used(_));
        let copy = was_used.then(|| copy(&request));
        let first = match self.attempt(way, request).await {
            Ok(response) => return Ok(response),
            Err(broken) => broken,
        };
        let goes_again = sending.goes_again(was_used, first.reached) && !self.claim.pick.cut.is_cut();
        let Some(request) = copy.filter(|_| goes_again) else { return Err(first.failure) };
        debug!(dyno = %self.claim.pick.dyno, reached = ?first.reached, "an idle dyno connection had ended; sent over a fresh one");
        self.shared.metrics.dyno_resends.inc();
        let again = match super::fresh(self.shared, self.claim).await {
            Ok(line) => self.attempt(Way::Fresh(line), request).await.map_err(|broken| broken.failure),
            Err(_) => Err(Failure::NotSent),
        };
        again.map_err(|failure| match failure {
            // The first time it was sent, after all.
            Failure::Late | Failure::NotSent if first.reached != Reached::Nothing => first.failure,
            failure => failure,
        })
    }

    async fn attempt(&mut self, way: Way, mut request: Request<RequestBody>) -> Result<Response<Incoming>, Broken> {
        let line = match &way {
            Way::Used(link) => link.line().clone(),
            Way::Fresh(line) => line.clone(),
        };
        let gate = Gate::new(self.shared.clock.clone(), self.shared.lease(), self.claim.pick.term, self.write_by);
        line.begin(gate.clone(), !request.body().is_end_stream());
        request.body_mut().goes_over(line.clone());
        let limit = self.shared.clock.now().until(self.head_by).to_std();
        let cut = self.claim.pick.cut.clone();
        let (host, now, may_switch) = (self.host.clone(), self.shared.clock.now(), self.may_switch);
        let answering = async {
            let mut link = match way {
                Way::Used(link) => link,
                Way::Fresh(line) => Link::shake(line, host, now).await?,
            };
            cut.arm(&link);
            match link.send(request).await {
                Ok(response) => Ok((link, response)),
                Err(error) => Err(error.into_error()),
            }
        };
        let (failure, reached) = match tokio::time::timeout(limit, answering).await {
            Ok(Ok((_, response))) if response.status() == StatusCode::SWITCHING_PROTOCOLS && !may_switch => {
                debug!(dyno = %self.claim.pick.dyno, "dyno switched protocols unasked");
                (Failure::Failed, Reached::Unknown)
            }
            Ok(Ok((link, response))) => {
                self.claim.set_link(link);
                return Ok(response);
            }
            Ok(Err(_)) if gate.refused() => (Failure::Late, Reached::Nothing),
            Ok(Err(_)) if !gate.passed() => (Failure::NotSent, Reached::Nothing),
            Ok(Err(_)) if cut.is_cut() => (Failure::Cut, Reached::Unknown),
            Ok(Err(error)) if error.is_user() || error.is_canceled() => (Failure::Unknown, Reached::Unknown),
            // Nothing came back in time, not even from its kernel: it may run on.
            Ok(Err(error)) if end::cause(&error).is_some_and(|cause| cause.kind() == io::ErrorKind::TimedOut) => {
                (Failure::Unknown, Reached::Unknown)
            }
            Ok(Err(error)) if !end::is_of_the_dyno(&error) => {
                debug!(%error, dyno = %self.claim.pick.dyno, "a request's connection broke");
                (Failure::Broken, Reached::Unknown)
            }
            Ok(Err(error)) => {
                debug!(%error, dyno = %self.claim.pick.dyno, "dyno ended a request without a response");
                let ended = end::is_of_the_connection(&error) && !line.has_heard();
                (Failure::Failed, if ended { Reached::Ended } else { Reached::Unknown })
            }
            Err(_) => (Failure::Unknown, Reached::Unknown),
        };
        Err(Broken { failure, reached })
    }
}

/// A request without a body once more.
fn copy(request: &Request<RequestBody>) -> Request<RequestBody> {
    let mut copy = Request::new(RequestBody::none());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}
