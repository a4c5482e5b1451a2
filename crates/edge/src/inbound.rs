//! What a client's request head says, read once, and how it is passed on.
//!
//! A head with no host, two hosts or one that is no host is refused rather than guessed at: block and dyno must not understand
//! another host than the edge did. The same goes for its target, which is sent on in the one form that servers take (RFC 9112,
//! section 3.2.1).

use dynomesh_runtime::http::headers;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Uri, Version, request, response};
use rand::{Rng, RngExt};

use crate::forward::{Arrival, Manner, goes_round};
use crate::reply::Fault;
use crate::switch::Switch;

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
    pub(crate) request_id: String,
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
        let mut inbound = Inbound {
            host: host(head),
            uri: target(head),
            request_id: own_id.map_or_else(|| format!("{:032x}", rng.random::<u128>()), str::to_owned),
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
        if let Some(host) = self.host.as_deref().and_then(|host| HeaderValue::try_from(host).ok()) {
            headers.insert(header::HOST, host);
        }
        arrival.tell(&mut headers, self.host.as_deref().unwrap_or_default(), manner);
        if let Some(left) = self.forwards {
            headers.insert(header::MAX_FORWARDS, HeaderValue::from(left.saturating_sub(1)));
        }
        headers.insert(headers::REQUEST_ID, headers::value(&self.request_id));
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
        Some(value) => Some(value.to_str().ok().filter(|host| is_host(host))?),
        None => None,
    };
    match (head.uri.authority(), head.version) {
        // A bare authority is a target for CONNECT alone (RFC 9112, section 3.2.3).
        (Some(_), _) if head.uri.scheme().is_none() => None,
        // A Host beside `:authority` must mean the same (RFC 9113, section 8.3.1).
        (Some(authority), Version::HTTP_2) if said.is_some_and(|said| !said.eq_ignore_ascii_case(authority.as_str())) => None,
        // HTTP/1.1 wants a Host whatever the target is (RFC 9112, section 3.2).
        (Some(_), Version::HTTP_11) if said.is_none() => None,
        (Some(authority), _) => is_host(authority.as_str()).then(|| authority.to_string()),
        // HTTP/1.0 knew no hosts: such a request is for whoever takes any.
        (None, Version::HTTP_10) => Some(said.unwrap_or_default().to_owned()),
        (None, _) => said.map(str::to_owned),
    }
}

/// Whether this is a host with or without a port, and nothing else.
fn is_host(text: &str) -> bool {
    let Ok(authority) = text.parse::<Authority>() else { return false };
    let (host, port) = (authority.host(), text.strip_prefix(authority.host()));
    let is_port = |port: &str| port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
    !host.is_empty() && port.is_some_and(is_port)
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
    ours && begun && (target.starts_with('/') || (target == "*" && method == Method::OPTIONS))
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
mod tests {
    use http::Request;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn read(request: http::request::Builder) -> (Inbound, HeaderMap) {
        let (head, ()) = request.body(()).unwrap().into_parts();
        let inbound = Inbound::read(&head, &mut StdRng::seed_from_u64(7));
        let arrival = Arrival {
            client: "192.0.2.7:5000".parse().unwrap(),
            local: "192.0.2.1:80".parse().unwrap(),
            is_tls: false,
            version: head.version,
            wall_ms: 1,
        };
        let forwarded = inbound.forward(head.headers, &arrival, Manner::default());
        (inbound, forwarded)
    }

    #[test]
    fn a_request_needs_one_clear_host() {
        let host = |request| read(request).0.host;
        assert_eq!(host(Request::get("/").header("host", "shop:80")).as_deref(), Some("shop:80"));
        assert_eq!(host(Request::get("http://inner/x").header("host", "outer")).as_deref(), Some("inner"));
        assert_eq!(host(Request::get("/").version(Version::HTTP_10)).as_deref(), Some(""));
        for bad in ["", "a b", "user@shop", "shop/x", "[::1", ":80", "shop:http", "shop:80:80"] {
            assert_eq!(host(Request::get("/").header("host", bad)), None, "{bad:?} passed");
            assert_eq!(host(Request::get("http://inner/").header("host", bad)), None, "{bad:?} passed beside another");
        }
        assert_eq!(host(Request::get("http://inner/x")), None);
        assert_eq!(host(Request::get("http://user@inner/x").header("host", "inner")), None);
        assert_eq!(host(Request::get("/")), None);
        assert_eq!(host(Request::get("/").header("host", "a").header("host", "a")), None);
    }

    #[test]
    fn with_http2_the_authority_counts_and_a_host_beside_it_must_be_the_same() {
        let host = |request: http::request::Builder| read(request.version(Version::HTTP_2)).0.host;
        assert_eq!(host(Request::get("http://shop:80/")).as_deref(), Some("shop:80"));
        assert_eq!(host(Request::get("https://shop/").header("host", "SHOP")).as_deref(), Some("shop"));
        assert_eq!(host(Request::get("/").header("host", "shop")).as_deref(), Some("shop"), "translated from HTTP/1.1");
        for bad in ["other", "", "shop:80"] {
            assert_eq!(host(Request::get("https://shop/").header("host", bad)), None, "{bad:?} passed");
        }
        assert_eq!(host(Request::get("/")), None);
    }

    #[test]
    fn crumbs_of_a_cookie_become_one_line() {
        let cookies = |version| {
            let request = Request::get("http://a/").header("host", "a").header("cookie", "a=1").header("cookie", "b=2").version(version);
            read(request).1.get_all("cookie").iter().map(|line| line.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(cookies(Version::HTTP_2), ["a=1; b=2"]);
        assert_eq!(cookies(Version::HTTP_11), ["a=1", "b=2"]);
    }

    #[test]
    fn a_target_is_a_path_or_with_options_the_server() {
        let refused = |request: http::request::Builder| read(request.header("host", "a")).0.refused;
        for good in [Request::get("/"), Request::get("http://a?x"), Request::options("*"), Request::get("https://a/*")] {
            assert_eq!(refused(good), None);
        }
        // As the library gives a head of HTTP/2 without `:path` that has its host in `Host`.
        let pathless = Request::get(Uri::from_parts(http::uri::Parts::default()).unwrap()).version(Version::HTTP_2);
        for bad in [Request::get("*"), Request::get("ftp://a/"), pathless] {
            assert_eq!(refused(bad), Some(Fault::BadTarget));
        }
        assert_eq!(refused(Request::connect("a:80")), Some(Fault::Unsupported));
        assert_eq!(refused(Request::post("/").header("transfer-encoding", "gzip, chunked")), Some(Fault::Unsupported));
    }

    #[test]
    fn one_thing_can_be_expected() {
        let said = |value: &str, version| {
            let inbound = read(Request::post("/").header("host", "a").header("expect", value).version(version)).0;
            (inbound.expects, inbound.refused)
        };
        assert_eq!(said("100-Continue", Version::HTTP_11), (true, None));
        assert_eq!(said("100-continue", Version::HTTP_10), (false, None));
        assert_eq!(said("100-continue, more", Version::HTTP_11), (false, Some(Fault::Expectation)));
        assert!(!read(Request::post("/").header("host", "a")).0.expects);
    }

    #[test]
    fn a_call_of_grpc_is_known_by_its_type() {
        let talks = |kind: &str, version| read(Request::post("http://a/").header("content-type", kind).version(version)).0.talks;
        for kind in ["application/grpc", "application/gRPC+proto", "application/grpc; charset=x"] {
            assert!(talks(kind, Version::HTTP_2) && !talks(kind, Version::HTTP_11), "{kind}");
        }
        for kind in ["application/grpc-web", "application/grp", ""] {
            assert!(!talks(kind, Version::HTTP_2), "{kind}");
        }
    }

    #[test]
    fn an_absolute_target_is_passed_on_without_its_host() {
        let (inbound, headers) = read(Request::get("http://inner/x?y=1").header("host", "outer"));
        assert_eq!((inbound.uri.to_string(), headers[header::HOST].to_str().unwrap()), ("/x?y=1".into(), "inner"));
        for (target, passed) in [("*", "*"), ("http://a", "*"), ("http://a/x", "/x"), ("http://a?x", "/?x"), ("/", "/")] {
            assert_eq!(read(Request::options(target).header("host", "a")).0.uri.to_string(), passed, "{target}");
        }
        let server = Uri::builder().scheme("http").authority("a").path_and_query("*").build().unwrap();
        let (inbound, _) = read(Request::options(server).version(Version::HTTP_2));
        assert_eq!((inbound.uri.to_string(), inbound.refused), ("*".into(), None));
        assert_eq!(read(Request::get("http://a?x").header("host", "a")).0.uri.to_string(), "/?x");
    }

    #[test]
    fn a_clients_words_for_the_mesh_and_its_connection_go_no_further() {
        let request = Request::post("/")
            .header("host", "shop")
            .header("x-dynomesh-app", "other")
            .header("X-Dynomesh-Verdict", "answered")
            .header("connection", "keep-alive, x-hop")
            .header("x-hop", "1")
            .header("upgrade", "websocket")
            .header("expect", "100-continue")
            .header("content-length", "0")
            .header("x-own", "1");
        let (inbound, headers) = read(request);
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names.retain(|name| !["via", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto", "x-request-start", "te"].contains(name));
        assert_eq!(names, ["host", "x-forwarded-for", "x-own", "x-request-id"]);
        assert!(inbound.framed);
    }

    #[test]
    fn a_clients_request_id_is_kept_only_if_it_is_harmless() {
        let id = |id: &str| read(Request::get("/").header("host", "a").header("x-request-id", id)).0.request_id;
        assert_eq!(id("abc-1"), "abc-1");
        for bad in ["", "a b", &"x".repeat(200)] {
            assert_eq!(id(bad).len(), 32, "{bad:?} passed");
        }
    }
}
