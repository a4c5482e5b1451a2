//! What a client's request head says, read once, and how it is passed on.
//!
//! A head with no host, two hosts or one that is no host is refused rather than guessed at: block and dyno must not understand
//! another host than the edge did.

use std::net::SocketAddr;

use dynomesh_runtime::http::headers;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery};
use http::{Uri, Version, request, response};
use rand::{Rng, RngExt};

/// Longest request id taken over from a client, in bytes.
const REQUEST_ID_LEN_MAX: usize = 128;
/// Longest `X-Forwarded-For` that is appended to, in bytes; a longer one is replaced.
const FORWARDED_LEN_MAX: usize = 2048;

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
    /// Whether the body is in a transfer coding that is not `chunked`, which could not be passed on (RFC 9112, section 6.1).
    pub(crate) coded: bool,
}

impl Inbound {
    /// Reads a head.
    pub(crate) fn read(head: &request::Parts, rng: &mut impl Rng) -> Self {
        let own_id = headers::text(&head.headers, &headers::REQUEST_ID).filter(|id| is_request_id(id));
        Inbound {
            host: host(head),
            uri: target(&head.uri),
            request_id: own_id.map_or_else(|| format!("{:032x}", rng.random::<u128>()), str::to_owned),
            coded: head
                .headers
                .get_all(header::TRANSFER_ENCODING)
                .iter()
                .any(|coding| !coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked")),
            framed: head.headers.contains_key(header::CONTENT_LENGTH) || head.headers.contains_key(header::TRANSFER_ENCODING),
        }
    }

    /// Path and query.
    pub(crate) fn target(&self) -> &str {
        self.uri.path_and_query().map_or("/", PathAndQuery::as_str)
    }

    /// The headers as every attempt sends them: without what concerns the client's connection, without any word of the mesh (P21),
    /// and without framing, which each hop makes for itself.
    pub(crate) fn forward(&self, mut headers: HeaderMap, client: SocketAddr) -> HeaderMap {
        headers::strip_mesh(&mut headers);
        headers::strip_hop_by_hop(&mut headers);
        for name in [header::CONTENT_LENGTH, header::EXPECT, HeaderName::from_static("http2-settings")] {
            headers.remove(name);
        }
        if let Some(host) = self.host.as_deref().and_then(|host| HeaderValue::try_from(host).ok()) {
            headers.insert(header::HOST, host);
        }
        headers.insert(headers::FORWARDED_FOR, forwarded_for(&headers, client));
        headers.insert(headers::REQUEST_ID, headers::value(&self.request_id));
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
    // A bare authority is a target for CONNECT alone (RFC 9112, section 3.2.3).
    if head.uri.authority().is_some() && head.uri.scheme().is_none() {
        return None;
    }
    if let Some(authority) = head.uri.authority() {
        return (!authority.as_str().contains('@')).then(|| authority.to_string());
    }
    match first {
        Some(value) => {
            let host = value.to_str().ok()?;
            let named = !host.is_empty() && !host.contains('@') && host.parse::<Authority>().is_ok();
            named.then(|| host.to_owned())
        }
        // HTTP/1.0 knew no hosts: such a request is for whoever takes any.
        None => (head.version == Version::HTTP_10).then(String::new),
    }
}

/// The target without scheme and authority.
fn target(uri: &Uri) -> Uri {
    if uri.authority().is_none() && uri.scheme().is_none() {
        return uri.clone();
    }
    uri.path_and_query().cloned().map_or_else(|| Uri::from_static("/"), Uri::from)
}

fn is_request_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= REQUEST_ID_LEN_MAX && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn forwarded_for(headers: &HeaderMap, client: SocketAddr) -> HeaderValue {
    let known = headers.get_all(headers::FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
    let mut list = known.collect::<Vec<_>>().join(", ");
    if list.len() > FORWARDED_LEN_MAX {
        list.clear();
    }
    if !list.is_empty() {
        list.push_str(", ");
    }
    headers::value(format_args!("{list}{}", client.ip()))
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
        let forwarded = inbound.forward(head.headers, "192.0.2.7:5000".parse().unwrap());
        (inbound, forwarded)
    }

    #[test]
    fn a_request_needs_one_clear_host() {
        let host = |request| read(request).0.host;
        assert_eq!(host(Request::get("/").header("host", "shop:80")).as_deref(), Some("shop:80"));
        assert_eq!(host(Request::get("http://inner/x").header("host", "outer")).as_deref(), Some("inner"));
        assert_eq!(host(Request::get("/").version(Version::HTTP_10)).as_deref(), Some(""));
        for bad in ["", "a b", "user@shop", "shop/x", "[::1"] {
            assert_eq!(host(Request::get("/").header("host", bad)), None, "{bad:?} passed");
        }
        assert_eq!(host(Request::get("/")), None);
        assert_eq!(host(Request::get("/").header("host", "a").header("host", "a")), None);
    }

    #[test]
    fn an_absolute_target_is_passed_on_without_its_host() {
        let (inbound, headers) = read(Request::get("http://inner/x?y=1").header("host", "outer"));
        assert_eq!((inbound.uri.to_string(), headers[header::HOST].to_str().unwrap()), ("/x?y=1".into(), "inner"));
        assert_eq!(read(Request::options("*").header("host", "a")).0.uri.to_string(), "*");
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
        assert_eq!(names, ["host", "x-forwarded-for", "x-own", "x-request-id"]);
        assert!(inbound.framed);
    }

    #[test]
    fn the_client_is_added_to_those_before_it() {
        let (_, headers) =
            read(Request::get("/").header("host", "a").header("x-forwarded-for", "198.51.100.1").header("x-forwarded-for", "10.0.0.1"));
        assert_eq!(headers[headers::FORWARDED_FOR], "198.51.100.1, 10.0.0.1, 192.0.2.7");
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
