//! What a block replica answers to edges.
//!
//! Every answer carries a verdict that says whether a dyno may have seen the request; without it an edge takes the outcome as unknown.
//! A replica that does not lead refers to the one that does and never forwards (P24). Up to a few dynos are tried, and only while
//! nothing was sent: a failure after that goes back to the edge, which knows whether the request may be repeated (P23).

mod marks;
mod outbound;

use std::sync::Arc;

use dynomesh_core::balance::Outcome;
use dynomesh_core::dispatch::{self, another_dyno};
use dynomesh_core::id::DynoId;
use dynomesh_core::time::Span;
use dynomesh_runtime::http::serve::Peer;
use dynomesh_runtime::http::{headers, trailers};
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::body::{Body, Incoming};
use tracing::debug;

use crate::grant::{Ask, Claim, Refusal, Shared, Waited, acquire, behind};
use crate::metrics::AnswerLabels;
use crate::upstream::{self, Answer, Dispatch, Drain, DynoBody, Failure, Host, Way};
use marks::{Marks, Reason, Verdict};
use outbound::{First, Hop, Outbound};

/// One data thread's service.
#[derive(Clone)]
pub(crate) struct Ingress {
    shared: Arc<Shared>,
    drain: Drain,
    host: Host,
}

/// What an answer must know of its request.
struct Asked {
    is_head: bool,
    peer: Peer,
}

// === impl Ingress ===

impl Ingress {
    /// The service of the calling data thread.
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Ingress { shared, drain: Drain::start(), host: Host::default() }
    }

    /// The calling data thread, as the one that drives connections to dynos.
    pub(crate) fn host(&self) -> Host {
        self.host.clone()
    }

    /// Answers one request of an edge.
    pub(crate) async fn answer(self, request: Request<Incoming>, peer: Peer) -> Response<DynoBody> {
        if request.headers().contains_key(headers::BEAT) {
            return marks::beat(&self.shared);
        }
        let (head, body) = request.into_parts();
        let hop = match Hop::read(&head.headers, self.shared.clock.now(), self.shared.limits.deadline) {
            Ok(hop) => hop,
            Err(problem) => return marks::bad_request(&self.shared, problem),
        };
        let asked = Asked { is_head: head.method == Method::HEAD, peer };
        let outbound = Outbound::new(&hop, head, body);
        let (response, verdict, reason) = self.route(&hop, &asked, outbound).await;
        let labels = AnswerLabels { verdict: verdict.as_str(), reason: reason.as_str() };
        self.shared.metrics.requests.get_or_create(&labels).inc();
        response
    }

    async fn route(&self, hop: &Hop, asked: &Asked, mut outbound: Outbound) -> (Response<DynoBody>, Verdict, Reason) {
        let shared = &self.shared;
        let mut tried: Vec<DynoId> = Vec::new();
        let mut marks = Marks::default();
        if let Some(term) = hop.after {
            match behind(shared, &hop.app, term, hop.deadline).await {
                Ok(waited) => marks.add(waited),
                Err(Refusal::Unproven) => return self.fail(hop, &marks, StatusCode::BAD_GATEWAY, Verdict::Unknown, Reason::Unproven),
                Err(refusal) => return self.refuse(hop, &marks, refusal.into()),
            }
        }
        loop {
            let ask = Ask { app: &hop.app, deadline: hop.deadline, exclude: &tried, must_queue: hop.must_queue, term: hop.term };
            let (mut claim, waited) = match acquire(shared, &ask).await {
                Ok(granted) => granted,
                Err(refusal) => return self.refuse(hop, &marks, refusal.into()),
            };
            marks.add(waited);
            self.observe(waited);
            tried.push(claim.pick.dyno.clone());
            marks.dyno_attempts += 1;
            let began = shared.clock.now();
            let sending = outbound.sending(&claim.pick.manner);
            let way = match upstream::connect(shared, &mut claim, &self.host, sending).await {
                Ok(way) => way,
                Err(error) => {
                    debug!(dyno = %claim.pick.dyno, address = %claim.pick.address, %error, "dyno does not accept");
                    claim.end(Outcome::Error);
                    let (here, left) = (marks.dyno_attempts, shared.clock.now().until(hop.deadline));
                    if another_dyno(
                        dispatch::Verdict::NotDispatched,
                        here,
                        hop.attempts.saturating_add(here),
                        shared.limits.dyno_attempts,
                        left,
                    ) {
                        continue;
                    }
                    return self.refuse(hop, &marks, Reason::Refused);
                }
            };
            marks.connect = shared.clock.now().since(began);
            shared.metrics.connect_seconds.observe(marks.connect.as_secs_f64());
            let first = match self.begin(&mut outbound, &claim).await {
                Ok(first) => first,
                Err(reason) => {
                    drop((way, claim));
                    return self.refuse(hop, &marks, reason);
                }
            };
            claim.pick.epoch = shared.router().epoch_of(&claim.pick);
            return self.finish(hop, asked, marks, outbound, claim, way, first).await;
        }
    }

    /// A withheld body is asked for only now, and must start at once (P22).
    async fn begin(&self, outbound: &mut Outbound, claim: &Claim) -> Result<First, Reason> {
        if !outbound.begins_with_body(&claim.pick.manner) {
            return Ok(First::default());
        }
        match tokio::time::timeout(self.shared.limits.body_start.to_std(), outbound.first()).await {
            Ok(Ok(first)) => Ok(first),
            Ok(Err(_)) | Err(_) => Err(Reason::BodyLate),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "all that was gathered on the way is used up here")]
    async fn finish(
        &self,
        hop: &Hop,
        asked: &Asked,
        mut marks: Marks,
        outbound: Outbound,
        claim: Claim,
        way: Way,
        first: First,
    ) -> (Response<DynoBody>, Verdict, Reason) {
        let shared = &self.shared;
        marks.dyno = Some((claim.pick.dyno.clone(), claim.pick.epoch));
        let head_by = (shared.clock.now() + shared.limits.first_byte).min(hop.deadline.max(shared.clock.now() + Span::from_millis(1)));
        let abandon_by = shared.clock.now() + shared.limits.first_byte.min(shared.limits.abandon_limit);
        let manner = claim.pick.manner;
        let (sending, may_switch) = (outbound.sending(&manner), outbound.may_switch(&manner));
        let request = outbound.into_request(first, &manner, |words| {
            upstream::sign(words, shared, claim.pick.slot, claim.pick.term, claim.pick.epoch);
        });
        let dispatch = Dispatch { claim, way, host: self.host.clone(), request, sending, may_switch, head_by: abandon_by };
        let mut answering = upstream::dispatch(shared, dispatch);
        let limit = shared.clock.now().until(head_by).to_std();
        let answered = match tokio::time::timeout(limit, &mut answering).await {
            Ok(Ok(answered)) => answered,
            // The exchange goes on without us and settles the slot when it ends.
            Ok(Err(_)) | Err(_) => Err(Failure::Unknown),
        };
        match answered {
            Ok(answer) => self.respond(hop, asked, &marks, answer),
            Err(Failure::Late) => {
                shared.metrics.late.inc();
                self.refuse(hop, &marks, Reason::Late)
            }
            Err(Failure::NotSent) => self.refuse(hop, &marks, Reason::Refused),
            Err(Failure::Failed) => self.fail(hop, &marks, StatusCode::BAD_GATEWAY, Verdict::Over, Reason::DynoFailed),
            Err(Failure::Broken) => self.fail(hop, &marks, StatusCode::BAD_GATEWAY, Verdict::Unknown, Reason::DynoFailed),
            Err(Failure::Cut) => self.fail(hop, &marks, StatusCode::BAD_GATEWAY, Verdict::Unknown, Reason::Cut),
            Err(Failure::Unknown) => self.fail(hop, &marks, StatusCode::GATEWAY_TIMEOUT, Verdict::Unknown, Reason::DynoTimeout),
        }
    }

    fn respond(&self, hop: &Hop, asked: &Asked, marks: &Marks, answer: Answer) -> (Response<DynoBody>, Verdict, Reason) {
        let shared = &self.shared;
        shared.metrics.service_seconds.observe(answer.service.as_secs_f64());
        let (mut head, incoming) = answer.response.into_parts();
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return self.switch(hop, asked, marks, head, answer.claim);
        }
        let is_http2 = head.version == Version::HTTP_2;
        let is_framed = is_http2 || outbound::is_framed(&head.headers);
        let is_bodiless = asked.is_head || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        headers::strip_hop_by_hop(&mut head.headers);
        headers::strip_mesh(&mut head.headers);
        head.version = Version::HTTP_11;
        if head.status == StatusCode::NO_CONTENT {
            // It has no length (RFC 9110, section 8.6).
            head.headers.remove(CONTENT_LENGTH);
        }
        if !is_framed && !is_bodiless {
            // Its end was the end of the connection, and a cut looks the same: the edge passes it on as such (P27). Between the tiers it
            // goes in chunks, so that a block that dies in the middle of it is not mistaken for its end.
            head.headers.insert(headers::FRAMING, HeaderValue::from_static("close"));
        }
        if !is_bodiless && !incoming.is_end_stream() {
            if is_http2 && outbound::may_have_trailers(&head.headers) && head.headers.remove(CONTENT_LENGTH).is_some() {
                // With HTTP/1.1 it is either a length or trailers (RFC 9112, section 6.3). Said, since hyper knows the length.
                head.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            }
            if !head.headers.contains_key(CONTENT_LENGTH) {
                trailers::announce(&mut head.headers);
            }
        }
        marks.write(&mut head.headers, shared, &hop.app, Verdict::Answered, Reason::None);
        let body = DynoBody::streaming(incoming, answer.claim, self.drain.clone(), shared.limits.idle_stream);
        (Response::from_parts(head, body), Verdict::Answered, Reason::None)
    }

    /// The dyno goes on by another protocol, as the client wished: the connections are joined once the edge has the answer.
    fn switch(
        &self,
        hop: &Hop,
        asked: &Asked,
        marks: &Marks,
        mut head: http::response::Parts,
        claim: Claim,
    ) -> (Response<DynoBody>, Verdict, Reason) {
        if !outbound::is_websocket(&head.headers) {
            claim.end(Outcome::Error);
            return self.fail(hop, marks, StatusCode::BAD_GATEWAY, Verdict::Over, Reason::DynoFailed);
        }
        headers::strip_hop_by_hop(&mut head.headers);
        headers::strip_mesh(&mut head.headers);
        head.headers.remove(CONTENT_LENGTH);
        outbound::put_upgrade(&mut head.headers);
        marks.write(&mut head.headers, &self.shared, &hop.app, Verdict::Answered, Reason::None);
        upstream::carry(claim, asked.peer.take_over(), self.shared.limits.idle_stream);
        (Response::from_parts(head, upstream::whole(b"")), Verdict::Answered, Reason::None)
    }

    fn refuse(&self, hop: &Hop, marks: &Marks, reason: Reason) -> (Response<DynoBody>, Verdict, Reason) {
        self.fail(hop, marks, StatusCode::SERVICE_UNAVAILABLE, Verdict::NotDispatched, reason)
    }

    fn fail(
        &self,
        hop: &Hop,
        marks: &Marks,
        status: StatusCode,
        verdict: Verdict,
        reason: Reason,
    ) -> (Response<DynoBody>, Verdict, Reason) {
        let mut response = Response::new(upstream::whole(b""));
        *response.status_mut() = status;
        marks.write(response.headers_mut(), &self.shared, &hop.app, verdict, reason);
        (response, verdict, reason)
    }

    fn observe(&self, waited: Waited) {
        self.shared.metrics.queue_seconds.observe(waited.queue.as_secs_f64());
        self.shared.metrics.grant_seconds.observe(waited.grant.as_secs_f64());
    }
}

// === impl Reason ===

impl From<Refusal> for Reason {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotLeader => Reason::NotLeader,
            Refusal::Electing => Reason::Electing,
            Refusal::Evicted => Reason::Evicted,
            Refusal::UnknownApp => Reason::UnknownApp,
            Refusal::NoDyno => Reason::NoDyno,
            Refusal::QueueFull => Reason::QueueFull,
            Refusal::InDoubt => Reason::InDoubt,
            Refusal::Overloaded => Reason::Overloaded,
            Refusal::QueueTimeout => Reason::QueueTimeout,
            Refusal::Late => Reason::Late,
            Refusal::Stopping => Reason::Stopping,
            Refusal::Unproven => Reason::Unproven,
        }
    }
}
