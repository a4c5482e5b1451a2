//! The words edge, block and dyno say to each other in HTTP headers, and what is taken out of a head that passes through.
//!
//! A verdict must not be forged (P21): every `x-dynomesh-*` header is stripped from clients at the edge and from dynos at the block,
//! trailers and interim responses included, before the mesh writes its own.

use std::fmt;
use std::str::FromStr;

use dynomesh_core::id::{Address, Invalid, ReplicaId, Term};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// Most fields of a head between the tiers: those of a client or dyno, of which 100 may be, and those that the mesh adds.
pub const TIER_FIELDS_MAX: usize = 160;

/// How the name of every header of the mesh begins.
pub const MESH_PREFIX: &str = "x-dynomesh-";

macro_rules! names {
    ($($(#[$doc:meta])* $constant:ident = $name:literal;)*) => {
        $($(#[$doc])* pub const $constant: HeaderName = HeaderName::from_static($name);)*
    };
}

names! {
    /// Edge to block: the app the request is for. Required there.
    APP = "x-dynomesh-app";
    /// Edge to block: milliseconds left of the request's deadline (P10).
    DEADLINE_MS = "x-dynomesh-deadline-ms";
    /// Edge to block: attempts at dynos made so far. Block to edge, where no dyno answered: attempts made in this block.
    DYNO_ATTEMPTS = "x-dynomesh-dyno-attempts";
    /// Edge to block: `1` where the block must queue instead of sending the request away (P25).
    MUST_QUEUE = "x-dynomesh-must-queue";
    /// Edge to block: the term of a leader that may have begun this very request and was lost. It may begin again only when everything that
    /// leader began for the app is over; `unproven` is the reason where the block cannot tell (P23).
    AFTER = "x-dynomesh-after";
    /// Edge to block, with a withheld body: how the body is framed for the dyno; see [`Length`].
    LENGTH = "x-dynomesh-length";
    /// Edge to block, with a withheld body: `1` where the client waits for the dyno's own word (`Expect: 100-continue`). The head then goes
    /// to the dyno before the body is asked for, so the request counts as begun once it was sent.
    EXPECTS = "x-dynomesh-expects";
    /// Between edge and block, as a trailer: the trailers of the message; see [`super::trailers`].
    TRAILERS = "x-dynomesh-trailers";
    /// Edge to block: `1` marks a beat, answered by the data path itself.
    BEAT = "x-dynomesh-beat";
    /// Block to edge: what became of the request; without it the outcome is unknown (P21).
    VERDICT = "x-dynomesh-verdict";
    /// Block to edge: why there is no answer of a dyno.
    REASON = "x-dynomesh-reason";
    /// Block to edge, edge to client, block to dyno: the block's name.
    BLOCK = "x-dynomesh-block";
    /// Block to edge, where it answers itself: the id of the replica.
    REPLICA = "x-dynomesh-replica";
    /// Block to edge: the run of that replica, in hexadecimal.
    INCARNATION = "x-dynomesh-incarnation";
    /// Block to edge, edge to client, block to dyno: the epoch under which the block owns the dyno, in decimal.
    EPOCH = "x-dynomesh-epoch";
    /// Block to edge, edge to client: the dyno.
    DYNO = "x-dynomesh-dyno";
    /// Block to edge: load of the app in the block; see [`Load`].
    LOAD = "x-dynomesh-load";
    /// Block to edge: who leads the block; see [`Leader`].
    LEADER = "x-dynomesh-leader";
    /// Answer to a beat: `leader`, `follower`, `electing` or `stopping`.
    ROLE = "x-dynomesh-role";
    /// Block to edge, edge to client: milliseconds waited for a slot.
    QUEUE_MS = "x-dynomesh-queue-ms";
    /// Block to edge: milliseconds waited for the grant's commit, if it was waited for.
    GRANT_MS = "x-dynomesh-grant-ms";
    /// Block to edge, edge to client: milliseconds waited for a connection to the dyno.
    CONNECT_MS = "x-dynomesh-connect-ms";
    /// Block to edge: `close` where the dyno's response was delimited by the end of its connection (P27).
    FRAMING = "x-dynomesh-framing";
    /// Block to dyno: the leader's term (P28). Edge to block: the term of the leader that is meant, where it must be known later in which one
    /// the request began (P23); the leader of any other refuses it.
    TERM = "x-dynomesh-term";
    /// Block to dyno: the slot (P28).
    SLOT = "x-dynomesh-slot";
    /// Edge to client: attempts at blocks made.
    ATTEMPTS = "x-dynomesh-attempts";
    /// Edge to client: the edge's name.
    EDGE = "x-dynomesh-edge";
    /// Edge to client: the code of the edge's own error.
    ERROR = "x-dynomesh-error";
    /// Names a request through all tiers.
    REQUEST_ID = "x-request-id";
    /// The addresses a request came through.
    FORWARDED_FOR = "x-forwarded-for";
    /// The host the client asked for.
    FORWARDED_HOST = "x-forwarded-host";
    /// The scheme the client used.
    FORWARDED_PROTO = "x-forwarded-proto";
    /// The port the client connected to.
    FORWARDED_PORT = "x-forwarded-port";
    /// When the request came: `t=` and milliseconds since 1970.
    REQUEST_START = "x-request-start";
    /// `Keep-Alive`, which the `http` crate does not name.
    KEEP_ALIVE = "keep-alive";
    /// `Proxy-Connection`, obsolete and still sent.
    PROXY_CONNECTION = "proxy-connection";
    /// `Idempotency-Key`.
    IDEMPOTENCY_KEY = "idempotency-key";
}

/// Removes every header of the mesh, and the announcement of trailers by such names.
pub fn strip_mesh(headers: &mut HeaderMap) {
    strip_mesh_but(headers, |_| false);
}

/// As [`strip_mesh`], but leaves the headers of which `kept` says so.
pub fn strip_mesh_but(headers: &mut HeaderMap, kept: impl Fn(&HeaderName) -> bool) {
    let mut found = headers.keys().filter(|name| name.as_str().starts_with(MESH_PREFIX) && !kept(name)).cloned();
    if let Some(first) = found.next() {
        let mut ours = Vec::with_capacity(8);
        ours.push(first);
        ours.extend(found);
        for name in ours {
            headers.remove(name);
        }
    }
    if headers.contains_key(header::TRAILER) {
        strip_announced(headers);
    }
}

fn strip_announced(headers: &mut HeaderMap) {
    let announced: Vec<HeaderValue> = headers.get_all(header::TRAILER).iter().cloned().collect();
    headers.remove(header::TRAILER);
    for value in announced {
        let names = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        let others: Vec<&[u8]> = names.filter(|name| !name.to_ascii_lowercase().starts_with(MESH_PREFIX.as_bytes())).collect();
        if let Ok(others) = HeaderValue::from_bytes(&others.join(&b", "[..]))
            && !others.is_empty()
        {
            headers.append(header::TRAILER, others);
        }
    }
}

/// Removes what concerns one connection only: `Connection` and the headers it lists, `Keep-Alive`, `Proxy-Connection`, `TE`,
/// `Transfer-Encoding` and `Upgrade`.
///
/// `Host` and `Content-Length` stay even where `Connection` lists them: a peer must not take them from the next one.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let connection: Vec<HeaderValue> = headers.get_all(header::CONNECTION).iter().cloned().collect();
    for value in &connection {
        remove_listed(headers, value);
    }
    for name in [header::CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, header::TE, header::TRANSFER_ENCODING, header::UPGRADE] {
        headers.remove(name);
    }
}

fn remove_listed(headers: &mut HeaderMap, connection: &HeaderValue) {
    let listed = connection.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    for name in listed.filter_map(|name| HeaderName::from_bytes(name).ok()) {
        if name != header::HOST && name != header::CONTENT_LENGTH {
            headers.remove(name);
        }
    }
}

/// The value of a header that is there exactly once and is visible ASCII.
pub fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    if values.next().is_some() { None } else { first.to_str().ok() }
}

/// As [`text`], read as a `T`; `None` where it is none.
pub fn parsed<T: FromStr>(headers: &HeaderMap, name: &HeaderName) -> Option<T> {
    text(headers, name)?.parse().ok()
}

/// A header value from what prints as visible ASCII: names, numbers and addresses of the mesh do.
pub fn value(text: impl fmt::Display) -> HeaderValue {
    let text = text.to_string();
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("?"))
}

/// Load of an app in a block as [`LOAD`] tells it: `used/slots/queued`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// Slots taken, held, orphaned or in quarantine.
    pub used: u32,
    /// Slots of dynos that take requests.
    pub slots: u32,
    /// Requests waiting.
    pub queued: u32,
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.used, self.slots, self.queued)
    }
}

impl FromStr for Load {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let bad = || Invalid::new("load", text, "must be USED/SLOTS/QUEUED");
        let mut parts = text.split('/').map(|part| part.parse::<u32>().map_err(|_| bad()));
        let mut next = || parts.next().ok_or_else(bad)?;
        let load = Load { used: next()?, slots: next()?, queued: next()? };
        if parts.next().is_some() { Err(bad()) } else { Ok(load) }
    }
}

/// Who leads a block as [`LEADER`] tells it: `term/replica/address`, the numbers in decimal. Of two the newer is the larger by
/// (term, replica) (P24).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Leader {
    /// The leader's term.
    pub term: Term,
    /// The leader.
    pub replica: ReplicaId,
    /// Where edges send requests.
    pub http: Address,
}

impl fmt::Display for Leader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.term, self.replica, self.http)
    }
}

impl FromStr for Leader {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let bad = || Invalid::new("leader", text, "must be TERM/REPLICA/IP:PORT");
        let mut parts = text.splitn(3, '/');
        let mut next = || parts.next().ok_or_else(bad);
        let (term, replica, http) = (next()?, next()?, next()?);
        Ok(Leader {
            term: term.parse().map_err(|_| bad())?,
            replica: replica.parse().map_err(|_| bad())?,
            http: http.parse().map_err(|_| bad())?,
        })
    }
}

/// How a withheld body is framed for the dyno, as [`LENGTH`] tells it (P22).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// No body and no framing header: `none`.
    None,
    /// Framed in chunks: `chunked`.
    Chunked,
    /// Exactly this many bytes, 0 included.
    Known(u64),
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Length::None => f.write_str("none"),
            Length::Chunked => f.write_str("chunked"),
            Length::Known(bytes) => bytes.fmt(f),
        }
    }
}

impl FromStr for Length {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "none" => Ok(Length::None),
            "chunked" => Ok(Length::Chunked),
            bytes => bytes.parse().map(Length::Known).map_err(|_| Invalid::new("length", text, "must be a number, 'chunked' or 'none'")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(lines: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap());
        }
        headers
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn trailers_in_the_name_of_the_mesh_are_not_announced() {
        let mut headers = HeaderMap::new();
        headers.append("trailer", "x-sum, X-Dynomesh-Verdict".parse().unwrap());
        headers.append("trailer", "x-dynomesh-epoch".parse().unwrap());
        strip_mesh(&mut headers);
        assert_eq!(headers.get_all("trailer").iter().collect::<Vec<_>>(), ["x-sum"]);
    }

    #[test]
    fn mesh_headers_are_stripped_in_any_case_and_number() {
        let mut headers = head(&[
            ("X-Dynomesh-Verdict", "not-dispatched"),
            ("x-dynomesh-verdict", "answered"),
            ("x-dynomesh-", "empty"),
            ("x-dynomesh-of-tomorrow", "1"),
            ("x-dynomes", "near"),
            ("host", "h"),
        ]);
        strip_mesh(&mut headers);
        assert_eq!(names(&headers), ["host", "x-dynomes"]);
    }

    #[test]
    fn hop_by_hop_headers_and_those_connection_lists_are_stripped() {
        let mut headers = head(&[
            ("connection", "close, X-One ,,"),
            ("connection", "x-two,host, content-length"),
            ("x-one", "1"),
            ("x-two", "2"),
            ("x-three", "3"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("content-length", "5"),
            ("host", "h"),
            ("trailer", "x-sum"),
        ]);
        strip_hop_by_hop(&mut headers);
        assert_eq!(names(&headers), ["content-length", "host", "trailer", "x-three"]);
    }

    #[test]
    fn values_survive_text() {
        let load = Load { used: 3, slots: 8, queued: 1 };
        assert_eq!(load.to_string(), "3/8/1");
        assert_eq!("3/8/1".parse::<Load>().unwrap(), load);
        for bad in ["", "1/2", "1/2/3/4", "a/1/1", "1/2/-3"] {
            assert!(bad.parse::<Load>().is_err(), "{bad:?} passed");
        }

        let leader = Leader { term: Term(7), replica: ReplicaId(9), http: "[::1]:80".parse().unwrap() };
        assert_eq!(leader.to_string().parse::<Leader>().unwrap(), leader);
        for bad in ["", "7/9", "7/9/host:80", "x/9/127.0.0.1:80"] {
            assert!(bad.parse::<Leader>().is_err(), "{bad:?} passed");
        }

        for length in [Length::None, Length::Chunked, Length::Known(0), Length::Known(u64::MAX)] {
            assert_eq!(length.to_string().parse::<Length>().unwrap(), length);
        }
        assert!("-1".parse::<Length>().is_err());
    }

    #[test]
    fn a_repeated_header_has_no_value() {
        let headers = head(&[("x-dynomesh-epoch", "1"), ("x-dynomesh-epoch", "2"), ("x-dynomesh-term", "3")]);
        assert_eq!(parsed::<u64>(&headers, &EPOCH), None);
        assert_eq!(parsed::<u64>(&headers, &TERM), Some(3));
    }
}
