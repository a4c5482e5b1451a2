//! A client's head on its way through an edge: refused for a reason that a plainer reading sees too, or sent on as one clear head that
//! says what the client said, and nothing in the mesh's name or about the client's connection.

mod plain;

use dynomesh_core::http1::{Limits, Scanner};
use dynomesh_edge::passage::{Passage, Way, pass};
use dynomesh_runtime::http::headers::{MESH_PREFIX, TIER_FIELDS_MAX};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Request, Uri, Version, request};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::Outcome;
use crate::fields::{fields, listed, plain as listing};
use crate::input::Input;
use plain::Plain;

const METHODS: [&str; 8] = ["GET", "GET", "POST", "OPTIONS", "CONNECT", "TRACE", "HEAD", "BREW"];
const TARGETS: [&str; 16] = [
    "/",
    "/a?b",
    "*",
    "http://a/",
    "http://a:80?x",
    "HTTPS://A.b./c",
    "ftp://a/",
    "a:80",
    "http://b@a/",
    "http://[::1]:8/*",
    "//a/b",
    "/?http://b/",
    "http://a",
    "https://a/#x",
    "/%2e%2e/\u{7e}",
    "http://a/?",
];
const AUTHORITIES: [&str; 12] = ["a", "A", "a:80", "b", "b@a", "[::1]:8", "a.", "a:", ":80", "[::1", "a:x", ""];
/// Fields that hyper does not let through with HTTP/2 (RFC 9113, section 8.2.2).
const NOT_OF_HTTP2: [&str; 5] = ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];

/// A byte for the version, one for the edge's settings, and the head.
pub fn check(bytes: &[u8]) -> Outcome {
    let mut input = Input::new(bytes);
    let version = input.one_of(&[Version::HTTP_11, Version::HTTP_11, Version::HTTP_2, Version::HTTP_10]);
    let settings = input.byte();
    let way = Way {
        client: if settings & 1 == 0 { "192.0.2.7:5000" } else { "[2001:db8::7]:5000" }.parse().expect("an address"),
        local: "192.0.2.1:8443".parse().expect("an address"),
        is_tls: settings & 2 != 0,
        forwarded: settings & 4 != 0,
        trusted: settings & 8 != 0,
    };
    let head = if version == Version::HTTP_2 { of_http2(&mut input) } else { of_http1(&mut input, version) };
    let Some(head) = head else { return Outcome::Refused };
    let wanted = Plain::read(&head);
    let passed = pass(clone(&head), &way, &mut StdRng::seed_from_u64(7));
    match (passed, wanted) {
        (Err(_), Err(_)) => Outcome::Refused,
        (Ok(passage), Ok(wanted)) => {
            judge(&head, &way, &wanted, &passage);
            Outcome::Taken
        }
        (passed, wanted) => panic!("{head:?} came to {passed:?}, but plainly {wanted:?}"),
    }
}

/// A head that the scanner lets through, as hyper reads it.
fn of_http1(input: &mut Input<'_>, version: Version) -> Option<request::Parts> {
    let (method, target) = (input.one_of(&METHODS), drawn(input, &TARGETS)?);
    let mut head = Request::new(()).into_parts().0;
    head.headers = fields(input, 100).iter().filter_map(|(name, value)| Some((name.clone(), trimmed(value)?))).collect();
    (head.version, head.method) = (version, method.parse().ok()?);
    let start = format!("{method} {target} {version:?}");
    (count_heads(&start, &head.headers) == Some(1)).then_some(())?;
    head.uri = target.parse().ok()?;
    Some(head)
}

/// A head that h2 lets through.
fn of_http2(input: &mut Input<'_>) -> Option<request::Parts> {
    let (method, scheme) = (input.one_of(&METHODS), input.one_of(&["https", "http", "ftp"]));
    let authority = drawn(input, &AUTHORITIES)?;
    let path = drawn(input, &TARGETS)?;
    let protocol = input.byte();
    let mut uri = http::uri::Parts::default();
    if method != "CONNECT" || protocol != 0 {
        uri.scheme = Some(scheme.parse().ok()?);
        uri.path_and_query = Some(PathAndQuery::try_from(path).ok()?);
    }
    if !authority.is_empty() {
        uri.authority = Some(authority.parse().ok()?);
    } else {
        // As h2 does where there is none.
        uri.scheme = None;
    }
    let mut head = Request::new(()).into_parts().0;
    if method == "CONNECT" && protocol != 0 {
        let protocol = if protocol.is_multiple_of(2) { "websocket" } else { "connect-udp" };
        head.extensions.insert(hyper::ext::Protocol::from_static(protocol));
    }
    head.uri = Uri::from_parts(uri).ok()?;
    (head.version, head.method) = (Version::HTTP_2, method.parse().ok()?);
    head.headers = fields(input, 300);
    for name in NOT_OF_HTTP2 {
        head.headers.remove(name);
    }
    Some(head)
}

fn drawn<'a>(input: &mut Input<'a>, known: &[&'a str]) -> Option<&'a str> {
    match usize::from(input.byte()) {
        nth @ 0..160 => Some(known[nth % known.len()]),
        _ => std::str::from_utf8(input.short()).ok(),
    }
}

fn trimmed(value: &HeaderValue) -> Option<HeaderValue> {
    HeaderValue::from_bytes(value.as_bytes().trim_ascii()).ok()
}

fn clone(head: &request::Parts) -> request::Parts {
    let mut copy = Request::new(()).into_parts().0;
    copy.clone_from(head);
    copy
}

/// What is sent on is clear to the next server and true to the client.
fn judge(came: &request::Parts, way: &Way, wanted: &Plain, Passage { name, head: sent }: &Passage) {
    assert_eq!((sent.method.as_str(), sent.uri.to_string()), (wanted.method.as_str(), wanted.target.clone()));
    assert_eq!((sent.uri.scheme(), sent.uri.authority()), (None, None));
    assert_eq!(*name, wanted.name);
    let start = format!("{} {} HTTP/1.1", sent.method, sent.uri);
    assert_eq!(count_heads(&start, &sent.headers), Some(1), "what is sent is not one head: {sent:?}");
    let told = |name: &str| sent.headers.get_all(name).iter().map(HeaderValue::as_bytes).collect::<Vec<_>>();
    let once = |name: &str, value: &str| assert_eq!(told(name), [value.as_bytes()], "{name}");
    // Where HTTP/1.0 names none, where it came.
    once("host", wanted.host.as_deref().unwrap_or("192.0.2.1:8443"));
    once("te", "trailers");
    once("via", &wanted.via);
    once("x-forwarded-for", &wanted.forwarded_for(way));
    if wanted.switches {
        once("connection", "upgrade");
        once("upgrade", "websocket");
    } else {
        assert!(told("connection").is_empty() && told("upgrade").is_empty());
    }
    for gone in ["content-length", "transfer-encoding", "expect", "keep-alive", "proxy-connection", "http2-settings"] {
        assert!(told(gone).is_empty(), "{gone} went on");
    }
    assert!(!sent.headers.keys().any(|name| name.as_str().starts_with(MESH_PREFIX)), "the client spoke for the mesh");
    let announced = sent.headers.get_all("trailer").iter().flat_map(|value| listed(value.as_bytes()));
    assert!(!announced.into_iter().any(|name| name.starts_with(MESH_PREFIX)));
    judge_single_words(way, wanted, came, &sent.headers);
    // All else is as it came.
    let mut left = listing(&sent.headers);
    left.retain(|(name, _)| !plain::is_ours_to_say(name));
    left.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(left, wanted.others);
}

/// What has one value is the edge's own word, or the client's where that is trusted and there once.
fn judge_single_words(way: &Way, wanted: &Plain, came: &request::Parts, sent: &HeaderMap) {
    let scheme = if way.is_tls { "https" } else { "http" };
    let host = wanted.host.clone().filter(|host| !host.is_empty());
    let own = [("x-forwarded-proto", Some(scheme.to_owned())), ("x-forwarded-port", Some("8443".into())), ("x-forwarded-host", host)];
    for (name, own) in own {
        let own = own.map(String::into_bytes);
        let kept = wanted.single(came, name).filter(|_| way.trusted);
        let told: Vec<Vec<u8>> = sent.get_all(name).iter().map(|value| value.as_bytes().to_vec()).collect();
        assert_eq!(told, kept.or(own).into_iter().collect::<Vec<_>>(), "{name}");
    }
    let id = sent.get_all("x-request-id").iter().collect::<Vec<_>>();
    assert!(id.len() == 1 && (1..=128).contains(&id[0].len()) && id[0].as_bytes().iter().all(u8::is_ascii_graphic), "{id:?}");
    let start: Vec<_> = sent.get_all("x-request-start").iter().map(|value| value.as_bytes()).collect();
    assert!(start.len() == 1 && start[0].starts_with(b"t=") && start[0][2..].iter().all(u8::is_ascii_digit), "{start:?}");
    assert!(way.trusted || start[0] == b"t=1");
}

/// Heads in what a head is when it is written out, by the scanner; `None` where it refuses it.
fn count_heads(start: &str, fields: &HeaderMap) -> Option<u64> {
    let mut written = format!("{start}\r\n").into_bytes();
    let mut field = |name: &HeaderName, value: &HeaderValue| {
        written.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    };
    fields.iter().for_each(|(name, value)| field(name, value));
    written.extend(b"\r\n");
    let limits = Limits { head_max: usize::MAX >> 1, line_max: usize::MAX >> 1, fields_max: TIER_FIELDS_MAX, ..Limits::default() };
    let mut scanner = Scanner::requests(limits);
    let is_whole = scanner.scan(&written).violation.is_none();
    is_whole.then(|| scanner.heads())
}
