//! What a client's request head says, read once, and how it is passed on.
//!
//! A head with no host, two hosts or one that is no host is refused rather than guessed at: block and dyno must not understand
//! another host than the edge did. The same goes for its target, which is sent on in the one form that servers take (RFC 9112,
//! section 3.2.1).

use dynomesh_core::http1::is_authority;
use dynomesh_runtime::http::headers;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::{PathAndQuery, Scheme};
use http::{Method, Uri, Version, request, response};
use rand::{Rng, RngExt};

use crate::forward::{Arrival, Manner, goes_round};
use crate::reply::Fault;
use crate::switch::Switch;

/// Most fields of a head, crumbs of a cookie counted once. HTTP/1.1 has no more of them come this far; HTTP/2 counts bytes alone.
const FIELDS_MAX: usize = 100;
/// Longest request id taken over from a client, in bytes.
const REQUEST_ID_LEN_MAX: usize = 128;

/// A request head.
#[derive(Debug)]
pub(crate) struct Inbound {
    /// The host it asks for, port and all; `None` if it does not say so clearly.
    pub(crate) host: Option<String>,
    /// The target as it is sent on: path and query, or `*`.
    pub(crate) uri: Uri,
    /// The client's own id if it is fit to be passed on, else a new one.
    pub(crate) request_id: HeaderValue,
    /// Whether the head delimits a body, be it of zero bytes.
    pub(crate) framed: bool,
    /// Whether the client waits for the dyno's word before it sends the body.
    pub(crate) expects: bool,
    /// Whether it is a call of gRPC, whose two sides may talk by turns: it is not waited for its body before the dyno has it.
    pub(crate) talks: bool,
    /// Hops left to a request whose way is being traced.
    forwards: Option<u64>,
    /// The switch of protocols it asks for.
    pub(crate) switch: Option<Switch>,
    /// Why it goes no further, if its head is reason enough.
    pub(crate) refused: Option<Fault>,
}

impl Inbound {
    /// Reads a head.
    pub(crate) fn read(head: &request::Parts, rng: &mut impl Rng) -> Self {
        let own_id = headers::text(&head.headers, &headers::REQUEST_ID).filter(|id| is_request_id(id));
        let own_id = own_id.and_then(|_| head.headers.get(headers::REQUEST_ID).cloned());
        let mut inbound = Inbound {
            host: host(head),
            uri: target(head),
            request_id: own_id.unwrap_or_else(|| headers::value(format_args!("{:032x}", rng.random::<u128>()))),
            framed: head.headers.contains_key(header::CONTENT_LENGTH) || head.headers.contains_key(header::TRANSFER_ENCODING),
            expects: false,
            talks: is_grpc(head),
            forwards: forwards_left(head),
            switch: Switch::read(head),
            refused: None,
        };
        match expectation(head) {
            Some(expects) => (inbound.expects, inbound.refused) = (expects, inbound.refuse(head)),
            None => inbound.refused = inbound.refuse(head).or(Some(Fault::Expectation)),
        }
        inbound
    }

    fn refuse(&self, head: &request::Parts) -> Option<Fault> {
        if (head.method == Method::CONNECT && self.switch.is_none()) || is_coded(&head.headers) {
            Some(Fault::Unsupported)
        } else if self.host.is_none() {
            Some(Fault::BadHost)
        } else if !is_target(&head.uri, self.target(), &head.method, head.version) {
            Some(Fault::BadTarget)
        } else if has_too_many_fields(&head.headers) {
            Some(Fault::TooManyFields)
        } else if goes_round(&head.headers) {
            Some(Fault::Loop)
        } else if head.version == Version::HTTP_2 && head.headers.get(header::CONTENT_LENGTH).is_some_and(|length| !is_length(length)) {
            Some(Fault::BadLength)
        } else if self.forwards == Some(0) {
            Some(Fault::LastHop)
        } else {
            None
        }
    }

    /// Path and query.
    pub(crate) fn target(&self) -> &str {
        self.uri.path_and_query().map_or("/", PathAndQuery::as_str)
    }

    /// The headers as every attempt sends them: without what concerns the client's connection, without any word of the mesh (P21),
    /// and without framing, which each hop makes for itself.
    pub(crate) fn forward(&self, mut headers: HeaderMap, arrival: &Arrival, manner: Manner) -> HeaderMap {
        headers::strip_mesh(&mut headers);
        headers::strip_hop_by_hop(&mut headers);
        for name in [header::CONTENT_LENGTH, header::EXPECT, HeaderName::from_static("http2-settings")] {
            headers.remove(name);
        }
        if arrival.version == Version::HTTP_2 {
            join_cookies(&mut headers);
        }
        let named = self.host.as_deref().filter(|host| !host.is_empty()).map(headers::value);
        // The next server must have a host. Where HTTP/1.0 names none it is where the client connected to (RFC 9112, section 3.3).
        let asked = named.clone().unwrap_or_else(|| headers::value(arrival.local));
        headers.insert(header::HOST, asked);
        arrival.tell(&mut headers, named.as_ref(), manner);
        if let Some(left) = self.forwards {
            headers.insert(header::MAX_FORWARDS, HeaderValue::from(left.saturating_sub(1)));
        }
        headers.insert(headers::REQUEST_ID, self.request_id.clone());
        // To the block itself, which packs the dyno's trailers; the client's own wish ended at this edge.
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        headers
    }
}

/// The one host of a request. The target's authority, if it has one, is what counts (RFC 9112, section 3.2.2).
fn host(head: &request::Parts) -> Option<String> {
    let mut hosts = head.headers.get_all(header::HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return None;
    }
    let said = match first {
        Some(value) => Some(value.to_str().ok().filter(|host| is_authority(host.as_bytes()))?),
        None => None,
    };
    match (head.uri.authority(), head.version) {
        // A bare authority is a target for CONNECT alone (RFC 9112, section 3.2.3).
        (Some(_), _) if head.uri.scheme().is_none() => None,
        // A Host beside `:authority` must mean the same (RFC 9113, section 8.3.1).
        (Some(authority), Version::HTTP_2) if said.is_some_and(|said| !said.eq_ignore_ascii_case(authority.as_str())) => None,
        // HTTP/1.1 wants a Host whatever the target is (RFC 9112, section 3.2).
        (Some(_), Version::HTTP_11) if said.is_none() => None,
        (Some(authority), _) => is_authority(authority.as_str().as_bytes()).then(|| authority.to_string()),
        // HTTP/1.0 knew no hosts: such a request is for whoever takes any.
        (None, Version::HTTP_10) => Some(said.unwrap_or_default().to_owned()),
        (None, _) => said.map(str::to_owned),
    }
}

/// Whether the head says `Expect: 100-continue`; `None` where it expects what nobody here can do (RFC 9110, section 10.1.1).
fn expectation(head: &request::Parts) -> Option<bool> {
    if head.version == Version::HTTP_10 {
        return Some(false);
    }
    let values = head.headers.get_all(header::EXPECT).iter();
    let mut known = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    let expects = head.headers.contains_key(header::EXPECT);
    // HTTP/2 clients cannot be told 100: the library has no words for it. Such a client sends on by itself after a while.
    known.all(|value| value.eq_ignore_ascii_case(b"100-continue")).then_some(expects && head.version != Version::HTTP_2)
}

/// Whether it is a call of gRPC, in whatever coding of its messages. With HTTP/1.1 there is none; what is sent there by the name of
/// gRPC-Web sends its body at once.
fn is_grpc(head: &request::Parts) -> bool {
    const TYPE: &str = "application/grpc";
    let kind = headers::text(&head.headers, &header::CONTENT_TYPE).unwrap_or_default();
    let is_type = kind.get(..TYPE.len()).is_some_and(|start| start.eq_ignore_ascii_case(TYPE));
    head.version == Version::HTTP_2 && is_type && matches!(kind.as_bytes().get(TYPE.len()), None | Some(b'+' | b';' | b' '))
}

/// Whether a transfer coding would have to be undone that is not `chunked` (RFC 9112, section 6.1).
fn is_coded(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    codings.any(|coding| !coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"))
}

/// Whether the target names something a server could have: a path, or with OPTIONS the server itself.
fn is_target(uri: &Uri, target: &str, method: &Method, version: Version) -> bool {
    let ours = uri.scheme().is_none_or(|scheme| *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS);
    // `:path` is there and not empty (RFC 9113, section 8.3.1).
    let is_missing = uri.path().is_empty() || uri.path_and_query().is_some_and(|path| path.as_str().starts_with('?'));
    let begun = version != Version::HTTP_2 || method == Method::CONNECT || !is_missing;
    // The library takes more of `:path` than may stand in a request line.
    let clear = target.bytes().all(|byte| byte.is_ascii_graphic());
    ours && begun && clear && (target.starts_with('/') || (target == "*" && method == Method::OPTIONS))
}

fn has_too_many_fields(headers: &HeaderMap) -> bool {
    let crumbs = headers.get_all(header::COOKIE).iter().count();
    headers.len() - crumbs.saturating_sub(1) > FIELDS_MAX
}

fn is_length(value: &HeaderValue) -> bool {
    !value.is_empty() && value.as_bytes().iter().all(u8::is_ascii_digit)
}

/// How many more hops a request may make whose way is being traced (RFC 9110, section 7.6.2).
fn forwards_left(head: &request::Parts) -> Option<u64> {
    let traced = head.method == Method::OPTIONS || head.method == Method::TRACE;
    headers::parsed(&head.headers, &header::MAX_FORWARDS).filter(|_| traced)
}

/// The crumbs a cookie comes in with HTTP/2, as the one line they are with HTTP/1.1 (RFC 9113, section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() > 1
        && let Ok(cookie) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]))
    {
        headers.insert(header::COOKIE, cookie);
    }
}

/// The target without scheme and authority. OPTIONS of a server as a whole, which has no path in its absolute form, is `*` (RFC 9112, section
/// 3.2.4); a lone slash is taken for the same, since the library does not tell them apart.
fn target(head: &request::Parts) -> Uri {
    let uri = &head.uri;
    if head.method == Method::OPTIONS
        && head.version != Version::HTTP_2
        && uri.scheme().is_some()
        && uri.path_and_query().is_some_and(|path| path == "/")
    {
        return Uri::from_static("*");
    }
    if uri.authority().is_none() && uri.scheme().is_none() {
        return uri.clone();
    }
    match uri.path_and_query() {
        // A query right after the authority is one of the empty path, which is written `/` (RFC 9112, section 3.2.1).
        Some(path) if path.as_str().starts_with('?') => path.to_string().parse().unwrap_or_else(|_| Uri::from_static("/")),
        path => path.cloned().map_or_else(|| Uri::from_static("/"), Uri::from),
    }
}

fn is_request_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= REQUEST_ID_LEN_MAX && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Whether a block's response is delimited by the end of its connection, or says that the dyno's was (P27).
pub(crate) fn close_delimited(head: &response::Parts) -> bool {
    let told = headers::text(&head.headers, &headers::FRAMING) == Some("close");
    told || (head.version == Version::HTTP_10 && !head.headers.contains_key(header::CONTENT_LENGTH))
}

#[cfg(test)]
mod tests;
