//! The block's own words in heads: the verdict towards the edge, block and epoch towards the dyno.

use bytes::Bytes;
use dynomesh_consensus::State;
use dynomesh_core::id::{AppName, DynoId, Epoch};
use dynomesh_core::time::Span;
use dynomesh_runtime::http::headers::{self, value};
use http::header::{CONTENT_LENGTH, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use crate::grant::{Right, Shared, Waited};
use crate::upstream::{self, DynoBody};

/// What became of a request (P21).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A dyno answered.
    Answered,
    /// No dyno saw any of it.
    NotDispatched,
    /// A dyno had it and ended it without an answer.
    Over,
    /// A dyno had it; what became of it is not known.
    Unknown,
}

/// Why there is no answer of a dyno.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    None,
    QueueFull,
    InDoubt,
    QueueTimeout,
    Overloaded,
    NoDyno,
    UnknownApp,
    NotLeader,
    Electing,
    Evicted,
    Late,
    Refused,
    Stopping,
    BodyLate,
    Unproven,
    DynoFailed,
    DynoTimeout,
    Cut,
}

impl Verdict {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Verdict::Answered => "answered",
            Verdict::NotDispatched => "not-dispatched",
            Verdict::Over => "over",
            Verdict::Unknown => "unknown",
        }
    }
}

impl Reason {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Reason::None => "none",
            Reason::QueueFull => "queue-full",
            Reason::InDoubt => "in-doubt",
            Reason::QueueTimeout => "queue-timeout",
            Reason::Overloaded => "overloaded",
            Reason::NoDyno => "no-dyno",
            Reason::UnknownApp => "unknown-app",
            Reason::NotLeader => "not-leader",
            Reason::Electing => "electing",
            Reason::Evicted => "evicted",
            Reason::Late => "late",
            Reason::Refused => "refused",
            Reason::Stopping => "stopping",
            Reason::BodyLate => "body-late",
            Reason::Unproven => "unproven",
            Reason::DynoFailed => "dyno-failed",
            Reason::DynoTimeout => "dyno-timeout",
            Reason::Cut => "cut",
        }
    }
}

/// What an answer tells about the way a request took.
#[derive(Debug, Clone, Default)]
pub(crate) struct Marks {
    pub(crate) dyno_attempts: u32,
    pub(crate) dyno: Option<(DynoId, Epoch)>,
    pub(crate) queue: Span,
    pub(crate) grant: Span,
    pub(crate) connect: Span,
}

impl Marks {
    pub(crate) fn add(&mut self, waited: Waited) {
        self.queue = self.queue + waited.queue;
        self.grant = self.grant + waited.grant;
    }

    /// Writes all of it into a head that carries none of it.
    pub(crate) fn write(&self, into: &mut HeaderMap, shared: &Shared, app: &AppName, verdict: Verdict, reason: Reason) {
        let load = shared.router().load(shared.clock.now(), app);
        let load = headers::Load { used: load.used, slots: load.slots, queued: load.queued };
        into.insert(headers::VERDICT, HeaderValue::from_static(verdict.as_str()));
        into.insert(headers::LOAD, value(load));
        into.insert(headers::QUEUE_MS, told(self.queue));
        into.insert(headers::CONNECT_MS, told(self.connect));
        if self.grant > Span::ZERO {
            into.insert(headers::GRANT_MS, told(self.grant));
        }
        if let Some((dyno, epoch)) = &self.dyno {
            into.insert(headers::DYNO, value(dyno));
            into.insert(headers::EPOCH, HeaderValue::from(epoch.0));
        }
        // Every field costs three processes, and almost all answers are a dyno's: what only a refusal needs is not in them.
        if verdict == Verdict::Answered {
            into.insert(headers::BLOCK, shared.block_header.clone());
            return;
        }
        into.insert(headers::DYNO_ATTEMPTS, HeaderValue::from(self.dyno_attempts));
        into.insert(headers::REASON, HeaderValue::from_static(reason.as_str()));
        into.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        if verdict == Verdict::NotDispatched {
            into.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        identify(into, shared);
        if matches!(reason, Reason::NotLeader | Reason::Electing) {
            refer(into, shared);
        }
    }
}

/// A wait in milliseconds.
fn told(wait: Span) -> HeaderValue {
    let tenths = (wait.as_nanos() + 50_000) / 100_000;
    match tenths {
        0 => HeaderValue::from_static("0.0"),
        tenths => value(format_args!("{}.{}", tenths / 10, tenths % 10)),
    }
}

/// Who answers.
fn identify(into: &mut HeaderMap, shared: &Shared) {
    let replica = shared.replica();
    into.insert(headers::BLOCK, shared.block_header.clone());
    into.insert(headers::REPLICA, HeaderValue::from(replica.id().0));
    into.insert(headers::INCARNATION, value(format_args!("{:x}", replica.incarnation().0)));
}

/// Who leads, where this replica knows another, or leads itself in a term that was not meant.
fn refer(into: &mut HeaderMap, shared: &Shared) {
    let replica = shared.replica();
    let role = replica.role();
    let role = role.borrow();
    let leads = role.state == State::Leader { ready: true };
    if let Some(leader) = role.leader.as_ref().filter(|leader| leads || leader.id != replica.id()) {
        into.insert(headers::LEADER, value(headers::Leader { term: role.term, replica: leader.id, http: leader.http }));
    }
}

/// The answer to a beat: this data thread lives, and what this replica takes itself for.
pub(crate) fn beat(shared: &Shared) -> Response<DynoBody> {
    let mut response = Response::new(upstream::whole(b""));
    *response.status_mut() = StatusCode::NO_CONTENT;
    // A copy: what is asked below takes locks, and a change of role waits for who looks at it.
    let state = shared.replica().role().borrow().state;
    let role = match state {
        _ if shared.router().stopping() => "stopping",
        State::Leader { ready: true } if shared.router().right() != Right::Unheard && shared.lease().valid(shared.clock.now()) => "leader",
        State::Follower | State::Learner => "follower",
        State::Leader { .. } | State::Candidate => "electing",
    };
    let into = response.headers_mut();
    into.insert(headers::ROLE, HeaderValue::from_static(role));
    identify(into, shared);
    if role == "leader" {
        let role = shared.replica().role();
        let role = role.borrow();
        if let Some(me) = role.members.iter().find(|member| member.id == shared.replica().id()) {
            into.insert(headers::LEADER, value(headers::Leader { term: role.term, replica: me.id, http: me.http }));
        }
    } else {
        refer(into, shared);
    }
    response
}

/// The answer to a request that no edge sends.
pub(crate) fn bad_request(shared: &Shared, problem: &'static str) -> Response<DynoBody> {
    let mut response = Response::new(DynoBody::whole(Bytes::from_static(problem.as_bytes())));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    let into = response.headers_mut();
    into.insert(headers::VERDICT, HeaderValue::from_static(Verdict::NotDispatched.as_str()));
    into.insert(headers::REASON, HeaderValue::from_static("bad-request"));
    identify(into, shared);
    response
}
