//! What the edge says to clients: errors of its own, and a dyno's response with the mesh's words cleaned up.
//!
//! An error names whose fault it was by its code, in `x-dynomesh-error`, and by one sentence. It never tells a client which hosts,
//! blocks or addresses exist: that is for the log.

use bytes::Bytes;
use dynomesh_core::dispatch::Verdict;
use dynomesh_runtime::http::headers;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode, Version};

use crate::attempt::Failure;

/// Names of the mesh that a client may see. All others are taken out of responses.
const SHOWN: [HeaderName; 5] = [headers::BLOCK, headers::EPOCH, headers::DYNO, headers::QUEUE_MS, headers::CONNECT_MS];

/// Why the edge answers by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Fault {
    /// No usable `Host`.
    BadHost,
    /// A target that is no path.
    BadTarget,
    /// It goes round in a circle of proxies.
    Loop,
    /// More fields than a head between the tiers has room for.
    TooManyFields,
    /// `Max-Forwards` ends here.
    LastHop,
    /// A `Content-Length` that is no number.
    BadLength,
    /// It expects what nobody here can do.
    Expectation,
    /// The client's body broke off.
    BadBody,
    /// The client's body stood still, or did not come before the deadline.
    BodyLate,
    /// No app has this host.
    UnknownHost,
    /// `CONNECT`, or a transfer coding that cannot be passed on.
    Unsupported,
    /// No block has a dyno of the app.
    NoBlock,
    /// Every block that has one was without a leader for as long as we are patient.
    NoLeader,
    /// The app's queues are full.
    Overloaded,
    /// The block had no dyno that could take it.
    NoDyno,
    /// Nothing was run, and no further attempt is allowed.
    NotDispatched,
    /// A dyno took the request and failed.
    DynoFailed,
    /// A dyno took the request and did not answer in time.
    DynoTimeout,
    /// Its dyno was to be free by now, so the block gave it up.
    Cut,
    /// Whether a dyno ran the request is not known.
    Unknown,
    /// The deadline passed.
    Deadline,
}

impl Fault {
    /// All of them, for metrics that must exist before they count.
    pub(crate) const ALL: [Fault; 21] = [
        Fault::BadHost,
        Fault::BadTarget,
        Fault::Loop,
        Fault::TooManyFields,
        Fault::LastHop,
        Fault::BadLength,
        Fault::Expectation,
        Fault::BadBody,
        Fault::BodyLate,
        Fault::UnknownHost,
        Fault::Unsupported,
        Fault::NoBlock,
        Fault::NoLeader,
        Fault::Overloaded,
        Fault::NoDyno,
        Fault::NotDispatched,
        Fault::DynoFailed,
        Fault::DynoTimeout,
        Fault::Cut,
        Fault::Unknown,
        Fault::Deadline,
    ];

    /// Its code, status and sentence.
    pub(crate) const fn told(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Fault::BadHost => ("bad-host", StatusCode::BAD_REQUEST, "the request needs exactly one valid Host"),
            Fault::BadTarget => ("bad-target", StatusCode::BAD_REQUEST, "the request's target is not a path of this server"),
            Fault::TooManyFields => {
                ("too-many-fields", StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "the request's head has more than 100 fields")
            }
            Fault::LastHop => ("last-hop", StatusCode::NOT_IMPLEMENTED, "Max-Forwards ends at this edge, which has no more to say"),
            Fault::BadLength => ("bad-length", StatusCode::BAD_REQUEST, "Content-Length is not a number"),
            Fault::Loop => ("loop", StatusCode::LOOP_DETECTED, "the request came through this mesh too often"),
            Fault::Expectation => ("expectation", StatusCode::EXPECTATION_FAILED, "of expectations only 100-continue is known"),
            Fault::BadBody => ("bad-body", StatusCode::BAD_REQUEST, "the request body broke off"),
            Fault::BodyLate => ("body-late", StatusCode::REQUEST_TIMEOUT, "the request body did not come in time"),
            Fault::UnknownHost => ("unknown-host", StatusCode::NOT_FOUND, "no app serves this host"),
            Fault::Unsupported => {
                ("unsupported", StatusCode::NOT_IMPLEMENTED, "CONNECT and transfer codings other than chunked are not supported")
            }
            Fault::NoBlock => ("no-block", StatusCode::SERVICE_UNAVAILABLE, "no block has a dyno of this app"),
            Fault::NoLeader => ("no-leader", StatusCode::SERVICE_UNAVAILABLE, "no block of this app could be reached"),
            Fault::Overloaded => ("overloaded", StatusCode::SERVICE_UNAVAILABLE, "the app's queues are full"),
            Fault::NoDyno => ("no-dyno", StatusCode::SERVICE_UNAVAILABLE, "no dyno of this app could take the request"),
            Fault::NotDispatched => ("not-dispatched", StatusCode::SERVICE_UNAVAILABLE, "no dyno saw the request and no attempt is left"),
            Fault::DynoFailed => ("dyno-failed", StatusCode::BAD_GATEWAY, "the dyno took the request and failed"),
            Fault::DynoTimeout => ("dyno-timeout", StatusCode::GATEWAY_TIMEOUT, "the dyno took the request and did not answer in time"),
            Fault::Cut => (
                "cut",
                StatusCode::BAD_GATEWAY,
                "the request was cut at its dyno, which is drained or lost to its block; whether it took effect is not known",
            ),
            Fault::Unknown => (
                "outcome-unknown",
                StatusCode::BAD_GATEWAY,
                "the connection was lost; whether the request ran is not known, so it is not repeated",
            ),
            Fault::Deadline => ("deadline", StatusCode::GATEWAY_TIMEOUT, "the request was not answered before its deadline"),
        }
    }

    /// Its code.
    pub(crate) const fn code(self) -> &'static str {
        self.told().0
    }

    /// What the client is told when `failure` stays the last word.
    pub(crate) fn of(failure: &Failure) -> Fault {
        match (failure.certain(), failure.reason.as_ref()) {
            (_, "deadline") => Fault::Deadline,
            (Verdict::NotDispatched, _) if failure.unreached => Fault::NoLeader,
            (Verdict::NotDispatched, _) if failure.spill || failure.doubt => Fault::Overloaded,
            (Verdict::NotDispatched, "no-dyno" | "unknown-app" | "refused") => Fault::NoDyno,
            (Verdict::NotDispatched, _) => Fault::NotDispatched,
            (_, "dyno-timeout") => Fault::DynoTimeout,
            (_, "cut") => Fault::Cut,
            (Verdict::Over, _) => Fault::DynoFailed,
            (Verdict::Unknown, _) => Fault::Unknown,
        }
    }

    /// The whole answer to a request of this version, without the headers every answer has.
    pub(crate) fn response(self, asked: Version) -> Response<Bytes> {
        let (code, status, sentence) = self.told();
        let mut response = Response::new(Bytes::from(format!("dynomesh: {sentence}\n")));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(headers::ERROR, HeaderValue::from_static(code));
        if matches!(self, Fault::Overloaded | Fault::NoLeader) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if asked != Version::HTTP_2 && matches!(self, Fault::BodyLate | Fault::BadBody) {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// Takes out of a block's response what concerns the connection to it and what clients are not to see.
pub(crate) fn clean(headers: &mut HeaderMap) {
    // Where `Connection` lists one that is shown, it goes: a block lists none.
    headers::strip_hop_by_hop(headers);
    headers::strip_mesh_but(headers, |name| SHOWN.contains(name));
}

/// Adds what every answer carries. A dyno's own request id stays.
pub(crate) fn sign(headers: &mut HeaderMap, edge: &HeaderValue, request_id: &HeaderValue) {
    headers.insert(headers::EDGE, edge.clone());
    if !headers.contains_key(headers::REQUEST_ID) {
        headers.insert(headers::REQUEST_ID, request_id.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_statuses_are_errors() {
        let mut codes: Vec<_> = Fault::ALL.iter().map(|fault| fault.code()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Fault::ALL.len());
        for fault in Fault::ALL {
            let response = fault.response(Version::HTTP_11);
            assert!(response.status().is_client_error() || response.status().is_server_error());
            assert_eq!(response.headers()[headers::ERROR], fault.code());
        }
    }

    #[test]
    fn clients_see_of_the_mesh_only_what_explains() {
        let mut headers = HeaderMap::new();
        for name in
            ["x-dynomesh-block", "x-dynomesh-epoch", "x-dynomesh-verdict", "x-dynomesh-load", "x-dynomesh-leader", "keep-alive", "x-own"]
        {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static("1"));
        }
        clean(&mut headers);
        sign(&mut headers, &HeaderValue::from_static("edge-1"), &HeaderValue::from_static("id"));
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["x-dynomesh-block", "x-dynomesh-edge", "x-dynomesh-epoch", "x-own", "x-request-id"]);
    }
}
