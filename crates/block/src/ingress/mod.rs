//! What a block replica answers to edges.
//!
//! Every answer carries a verdict that says whether a dyno may have seen the request; without it an edge takes the outcome as unknown.
//! A replica that does not lead refers to the one that does and never forwards (P24). Up to a few dynos are tried, and only while
//! nothing was sent: a failure after that goes back to the edge, which knows whether the request may be repeated (P23).

mod marks;

use std::sync::Arc;

use bytes::Bytes;
use dynomesh_core::balance::Outcome;
use dynomesh_core::dispatch::{self, another_dyno};
use dynomesh_core::id::{AppName, DynoId};
use dynomesh_core::time::{Span, Time};
use dynomesh_runtime::http::headers::{self, Length};
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Frame;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tracing::debug;

use crate::grant::{Claim, Refusal, Shared, Waited, acquire};
use crate::metrics::AnswerLabels;
use crate::upstream::{self, Answer, Drain, DynoBody, Failure, RequestBody, Socket};
use marks::{Marks, Reason, Verdict};

/// One data thread's service.
#[derive(Clone)]
pub(crate) struct Ingress {
    shared: Arc<Shared>,
    drain: Drain,
}

/// What the edge said about a request.
struct Hop {
    app: AppName,
    deadline: Time,
    attempts: u32,
    must_queue: bool,
    length: Option<Length>,
}

/// A request with the words between the tiers taken out.
struct Outbound {
    head: http::request::Parts,
    body: Incoming,
    withheld: Option<Length>,
}

// === impl Ingress ===

impl Ingress {
    /// The service of the calling data thread.
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Ingress { shared, drain: Drain::start() }
    }

    /// Answers one request of an edge.
    pub(crate) async fn answer(self, request: Request<Incoming>) -> Response<DynoBody> {
        if request.headers().contains_key(headers::BEAT) {
            return marks::beat(&self.shared);
        }
        let (mut head, body) = request.into_parts();
        let hop = match Hop::read(&head.headers, self.shared.clock.now(), self.shared.limits.deadline) {
            Ok(hop) => hop,
            Err(problem) => return marks::bad_request(&self.shared, problem),
        };
        headers::strip_hop_by_hop(&mut head.headers);
        headers::strip_mesh(&mut head.headers);
        head.headers.remove(EXPECT);
        let outbound = Outbound { head, body, withheld: hop.length };
        let (response, verdict, reason) = self.route(&hop, outbound).await;
        let labels = AnswerLabels { verdict: verdict.as_str(), reason: reason.as_str() };
        self.shared.metrics.requests.get_or_create(&labels).inc();
        response
    }

    async fn route(&self, hop: &Hop, mut outbound: Outbound) -> (Response<DynoBody>, Verdict, Reason) {
        let shared = &self.shared;
        let mut tried: Vec<DynoId> = Vec::new();
        let mut marks = Marks::default();
        loop {
            let (claim, waited) = match acquire(shared, &hop.app, hop.deadline, &tried, hop.must_queue).await {
                Ok(granted) => granted,
                Err(refusal) => return self.refuse(hop, &marks, refusal.into()),
            };
            marks.add(waited);
            self.observe(waited);
            tried.push(claim.pick.dyno.clone());
            marks.dyno_attempts += 1;
            let began = shared.clock.now();
            let socket = match upstream::connect(claim.pick.address, shared.limits.connect).await {
                Ok(socket) => socket,
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
            let request = match self.prepare(&mut outbound, &claim).await {
                Ok(request) => request,
                Err(reason) => {
                    drop(claim);
                    return self.refuse(hop, &marks, reason);
                }
            };
            return self.finish(hop, marks, outbound, claim, socket, request).await;
        }
    }

    /// Makes the dyno's request. A withheld body is asked for only now, and must start at once (P22).
    async fn prepare(&self, outbound: &mut Outbound, claim: &Claim) -> Result<PreparedRequest, Reason> {
        let mut first = None;
        if outbound.withheld.is_some() {
            let asking = outbound.body.frame();
            first = match tokio::time::timeout(self.shared.limits.body_start.to_std(), asking).await {
                Ok(None) => None,
                Ok(Some(Ok(frame))) => Some(frame),
                Ok(Some(Err(_))) | Err(_) => return Err(Reason::BodyLate),
            };
        }
        let mut headers = std::mem::take(&mut outbound.head.headers);
        marks::for_dyno(&mut headers, &self.shared, claim);
        Ok(PreparedRequest { headers, first })
    }

    async fn finish(
        &self,
        hop: &Hop,
        mut marks: Marks,
        outbound: Outbound,
        claim: Claim,
        socket: Socket,
        prepared: PreparedRequest,
    ) -> (Response<DynoBody>, Verdict, Reason) {
        let shared = &self.shared;
        let head_request = outbound.head.method == Method::HEAD;
        marks.dyno = Some((claim.pick.dyno.clone(), claim.pick.epoch));
        let head_by = (shared.clock.now() + shared.limits.first_byte).min(hop.deadline.max(shared.clock.now() + Span::from_millis(1)));
        let abandon_by = shared.clock.now() + shared.limits.first_byte.min(shared.limits.abandon_limit);
        let request = outbound.into_request(prepared);
        let mut answering = upstream::dispatch(shared, claim, socket, request, abandon_by);
        let limit = shared.clock.now().until(head_by).to_std();
        let answered = match tokio::time::timeout(limit, &mut answering).await {
            Ok(Ok(answered)) => answered,
            // The exchange goes on without us and settles the slot when it ends.
            Ok(Err(_)) | Err(_) => Err(Failure::Unknown),
        };
        match answered {
            Ok(answer) => self.respond(hop, &marks, answer, head_request),
            Err(Failure::Late) => {
                shared.metrics.late.inc();
                self.refuse(hop, &marks, Reason::Late)
            }
            Err(Failure::NotSent) => self.refuse(hop, &marks, Reason::Refused),
            Err(Failure::Failed) => self.fail(hop, &marks, StatusCode::BAD_GATEWAY, Verdict::Over, Reason::DynoFailed),
            Err(Failure::Cut) => self.fail(hop, &marks, StatusCode::BAD_GATEWAY, Verdict::Unknown, Reason::Cut),
            Err(Failure::Unknown) => self.fail(hop, &marks, StatusCode::GATEWAY_TIMEOUT, Verdict::Unknown, Reason::DynoTimeout),
        }
    }

    fn respond(&self, hop: &Hop, marks: &Marks, answer: Answer, head_request: bool) -> (Response<DynoBody>, Verdict, Reason) {
        let shared = &self.shared;
        shared.metrics.service_seconds.observe(answer.service.as_secs_f64());
        let (mut head, incoming) = answer.response.into_parts();
        let framed = head.headers.contains_key(CONTENT_LENGTH) || head.headers.contains_key(TRANSFER_ENCODING);
        let bodiless = head_request || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        headers::strip_hop_by_hop(&mut head.headers);
        headers::strip_mesh(&mut head.headers);
        head.version = Version::HTTP_11;
        if !framed && !bodiless {
            // Its end was the end of the connection, and a cut looks the same: the edge passes it on as such (P27). Between the tiers it
            // goes in chunks, so that a block that dies in the middle of it is not mistaken for its end.
            head.headers.insert(headers::FRAMING, HeaderValue::from_static("close"));
        }
        marks.write(&mut head.headers, shared, &hop.app, Verdict::Answered, Reason::None);
        let body = DynoBody::streaming(incoming, answer.claim, self.drain.clone(), shared.limits.idle_stream);
        (Response::from_parts(head, body), Verdict::Answered, Reason::None)
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

struct PreparedRequest {
    headers: HeaderMap,
    first: Option<Frame<Bytes>>,
}

// === impl Hop ===

impl Hop {
    fn read(from: &HeaderMap, now: Time, deadline: Span) -> Result<Self, &'static str> {
        let app = headers::text(from, &headers::APP).ok_or("x-dynomesh-app is missing: this port is for edges")?;
        let remaining = headers::parsed::<u64>(from, &headers::DEADLINE_MS).map_or(deadline, Span::from_millis);
        Ok(Hop {
            app: AppName::new(app).map_err(|_| "x-dynomesh-app is not an app name")?,
            deadline: now + remaining,
            attempts: headers::parsed(from, &headers::DYNO_ATTEMPTS).unwrap_or(0),
            must_queue: from.contains_key(headers::MUST_QUEUE),
            length: match from.get(headers::LENGTH) {
                None => None,
                Some(_) => Some(headers::parsed(from, &headers::LENGTH).ok_or("x-dynomesh-length is not a length")?),
            },
        })
    }
}

// === impl Outbound ===

impl Outbound {
    fn into_request(self, prepared: PreparedRequest) -> Request<RequestBody> {
        let PreparedRequest { mut headers, first } = prepared;
        let declared = headers::parsed::<u64>(&headers, &CONTENT_LENGTH);
        let body = match self.withheld {
            Some(Length::None) => {
                headers.remove(CONTENT_LENGTH);
                RequestBody::none()
            }
            Some(Length::Known(bytes)) => {
                headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes));
                RequestBody::new(first, self.body, Some(bytes))
            }
            Some(Length::Chunked) => RequestBody::new(first, self.body, None),
            None if self.body.is_end_stream() => RequestBody::none(),
            None => RequestBody::new(None, self.body, declared),
        };
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        let mut request = Request::new(body);
        *request.method_mut() = self.head.method;
        *request.uri_mut() = self.head.uri;
        *request.headers_mut() = headers;
        request
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
            Refusal::Overloaded => Reason::Overloaded,
            Refusal::QueueTimeout => Reason::QueueTimeout,
            Refusal::Late => Reason::Late,
            Refusal::Stopping => Reason::Stopping,
        }
    }
}
