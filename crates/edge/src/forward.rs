//! What is told about a request's way: to dynos who asked, over what and when, to everybody that it went through this mesh.
//!
//! Addresses and ways are lists that each proxy adds to, so what came from before stays in them; it is worth as much as whoever wrote
//! it. What has but one value is the edge's own word, unless [`Manner::trusted`] says that clients are proxies whose word counts.

use std::net::{IpAddr, SocketAddr};

use dynomesh_runtime::clock::Clock;
use dynomesh_runtime::http::headers;
use dynomesh_runtime::http::serve::Peer;
use http::Version;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// Longest list that is appended to, in bytes; a longer one is replaced.
const LIST_LEN_MAX: usize = 2048;
/// The name under which every edge stands in `Via`.
const PSEUDONYM: &str = "dynomesh";
/// Times a request may have come through edges before: more is a loop, and is answered 508.
const PASSAGES_MAX: usize = 5;

/// How the words of clients about a request's way are treated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Manner {
    /// Whether `Forwarded` is written too (RFC 7239).
    pub(crate) forwarded: bool,
    /// Whether `X-Forwarded-Proto`, `-Port`, `-Host` and `X-Request-Start` of clients are kept.
    pub(crate) trusted: bool,
}

/// How and when a request came.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    /// Who asks.
    pub(crate) client: SocketAddr,
    /// His IP address, ready to be sent.
    pub(crate) ip: HeaderValue,
    /// Where he connected to.
    pub(crate) local: SocketAddr,
    /// Whether he did so by TLS.
    pub(crate) is_tls: bool,
    /// What he speaks.
    pub(crate) version: Version,
    /// Milliseconds since 1970.
    pub(crate) wall_ms: u64,
}

impl Arrival {
    /// A request of `peer` that has just come.
    pub(crate) fn of(peer: &Peer, version: Version, clock: &Clock) -> Self {
        let (client, local, is_tls) = (peer.address, peer.local, peer.is_tls);
        Arrival { client, ip: peer.ip.clone(), local, is_tls, version, wall_ms: clock.wall_millis() }
    }

    /// One as tests need it.
    #[cfg(test)]
    pub(crate) fn test(client: &str, local: &str, is_tls: bool) -> Self {
        let client: SocketAddr = client.parse().unwrap();
        Arrival { client, ip: headers::value(client.ip()), local: local.parse().unwrap(), is_tls, version: Version::HTTP_11, wall_ms: 0 }
    }

    /// `http` or `https`.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.is_tls { "https" } else { "http" }
    }

    /// The version as logs write it.
    pub(crate) fn protocol(&self) -> &'static str {
        match self.version {
            Version::HTTP_10 => "HTTP/1.0",
            Version::HTTP_2 => "HTTP/2.0",
            _ => "HTTP/1.1",
        }
    }

    /// Adds to a request what is known of its way. `host` is the one it asks for, which HTTP/1.0 need not say.
    pub(crate) fn tell(&self, headers: &mut HeaderMap, host: Option<&HeaderValue>, manner: Manner) {
        add(headers, &headers::FORWARDED_FOR, self.ip.clone());
        if manner.forwarded {
            add(headers, &header::FORWARDED, headers::value(self.forwarded(host.and_then(|host| host.to_str().ok()).unwrap_or_default())));
        }
        add(headers, &header::VIA, passage(self.version));
        let own = [
            (headers::FORWARDED_PROTO, Some(HeaderValue::from_static(self.scheme()))),
            (headers::FORWARDED_PORT, Some(HeaderValue::from(self.local.port()))),
            (headers::FORWARDED_HOST, host.cloned()),
        ];
        for (name, value) in own {
            if !(manner.trusted && headers::text(headers, &name).is_some()) {
                replace(headers, name, value);
            }
        }
        if !(manner.trusted && headers::text(headers, &headers::REQUEST_START).is_some_and(is_start)) {
            headers.insert(headers::REQUEST_START, headers::value(format_args!("t={}", self.wall_ms)));
        }
    }

    /// The element of `Forwarded` (RFC 7239, section 4).
    fn forwarded(&self, host: &str) -> String {
        let client = match self.client.ip() {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("\"[{address}]\""),
        };
        let host = if host.is_empty() { String::new() } else { format!(";host=\"{host}\"") };
        format!("for={client}{host};proto={}", self.scheme())
    }
}

/// Whether a request has come through edges so often that it must be going round.
pub(crate) fn goes_round(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::VIA).iter().filter_map(|line| line.to_str().ok());
    let passages = lines.flat_map(|line| line.split(',')).filter(|passage| {
        let by = passage.split_ascii_whitespace().nth(1);
        by.is_some_and(|by| by.eq_ignore_ascii_case(PSEUDONYM))
    });
    passages.count() > PASSAGES_MAX
}

/// Adds to an answer that it came through this mesh. Dynos are spoken to in HTTP/1.1 as far as an edge knows.
pub(crate) fn sign_way(headers: &mut HeaderMap) {
    add(headers, &header::VIA, passage(Version::HTTP_11));
}

/// A message of this version came through an edge, as `Via` writes it (RFC 9110, section 7.6.3).
fn passage(version: Version) -> HeaderValue {
    HeaderValue::from_static(match version {
        Version::HTTP_10 => "1.0 dynomesh",
        Version::HTTP_2 => "2.0 dynomesh",
        _ => "1.1 dynomesh",
    })
}

/// Adds an element to the list a header is, on one line.
fn add(headers: &mut HeaderMap, name: &HeaderName, element: HeaderValue) {
    if !headers.contains_key(name) {
        headers.insert(name, element);
        return;
    }
    let element = element.to_str().unwrap_or_default();
    let lines = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    let mut list = lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(", ");
    if list.len() > LIST_LEN_MAX {
        list.clear();
    }
    if !list.is_empty() {
        list.push_str(", ");
    }
    headers.insert(name, headers::value(format_args!("{list}{element}")));
}

fn replace(headers: &mut HeaderMap, name: HeaderName, value: Option<HeaderValue>) {
    match value {
        Some(value) => headers.insert(name, value),
        None => headers.remove(name),
    };
}

/// Whether this is a start of a request: `t=` and milliseconds.
fn is_start(text: &str) -> bool {
    text.strip_prefix("t=").is_some_and(|ms| (1..=16).contains(&ms.len()) && ms.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(before: &[(&'static str, &str)], host: &str, manner: Manner) -> HeaderMap {
        let peer = Arrival::test("[2001:db8::7]:5000", "192.0.2.1:8443", true);
        let arrival = Arrival { version: Version::HTTP_2, wall_ms: 1_763_672_401_250, ..peer };
        let mut headers = HeaderMap::new();
        for (name, value) in before {
            headers.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        let host = (!host.is_empty()).then(|| headers::value(host));
        arrival.tell(&mut headers, host.as_ref(), manner);
        headers
    }

    #[test]
    fn a_dyno_learns_who_asks_for_what_over_what_and_when() {
        let headers = told(&[], "shop:8443", Manner { forwarded: true, trusted: false });
        for (name, value) in [
            ("x-forwarded-for", "2001:db8::7"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-port", "8443"),
            ("x-forwarded-host", "shop:8443"),
            ("x-request-start", "t=1763672401250"),
            ("via", "2.0 dynomesh"),
            ("forwarded", "for=\"[2001:db8::7]\";host=\"shop:8443\";proto=https"),
        ] {
            assert_eq!(headers[name], value, "{name}");
        }
        assert!(!told(&[], "shop", Manner::default()).contains_key("forwarded"));
    }

    #[test]
    fn lists_are_added_to_and_single_words_are_the_edges_own_unless_clients_are_trusted() {
        let before = [
            ("x-forwarded-for", "198.51.100.1"),
            ("x-forwarded-for", "10.0.0.1"),
            ("via", "1.1 near"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-port", "80"),
            ("x-forwarded-host", "outer"),
            ("x-request-start", "t=5"),
        ];
        let headers = told(&before, "", Manner::default());
        assert_eq!(headers["x-forwarded-for"], "198.51.100.1, 10.0.0.1, 2001:db8::7");
        assert_eq!(headers["via"], "1.1 near, 2.0 dynomesh");
        assert_eq!((&headers["x-forwarded-proto"], &headers["x-forwarded-port"]), (&"https".parse().unwrap(), &"8443".parse().unwrap()));
        assert!(!headers.contains_key("x-forwarded-host"), "HTTP/1.0 names none, and the client's own does not count");
        assert_eq!(headers["x-request-start"], "t=1763672401250");

        let trusted = Manner { forwarded: false, trusted: true };
        let headers = told(&before, "shop", trusted);
        for (name, value) in &before[3..] {
            assert_eq!(headers[*name], value, "{name}");
        }
        assert_eq!(told(&[("x-request-start", "yesterday")], "shop", trusted)["x-request-start"], "t=1763672401250");
    }

    #[test]
    fn a_list_without_end_is_replaced() {
        let long = "1, ".repeat(1000);
        assert_eq!(told(&[("x-forwarded-for", &long)], "shop", Manner::default())["x-forwarded-for"], "2001:db8::7");
    }

    #[test]
    fn a_request_that_came_through_edges_too_often_goes_round() {
        let mut headers = told(&[("via", "1.1 near, 1.1 dynomesh (comment)")], "shop", Manner::default());
        for _ in 0..3 {
            add(&mut headers, &header::VIA, HeaderValue::from_static("1.1 DYNOMESH"));
        }
        assert!(!goes_round(&headers), "{headers:?}");
        headers.append(header::VIA, HeaderValue::from_static("HTTP/1.1 dynomesh"));
        assert!(goes_round(&headers), "{headers:?}");
    }
}
