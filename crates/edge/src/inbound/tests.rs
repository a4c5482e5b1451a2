//! Heads as clients may write them, and what goes on of them.

use http::Request;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;

fn read(request: http::request::Builder) -> (Inbound, HeaderMap) {
    let (head, ()) = request.body(()).unwrap().into_parts();
    let inbound = Inbound::read(&head, &mut StdRng::seed_from_u64(7));
    let peer = Arrival::test("192.0.2.7:5000", "192.0.2.1:80", false);
    let arrival = Arrival { version: head.version, wall_ms: 1, ..peer };
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
fn a_request_without_a_host_asks_for_where_it_came() {
    let (inbound, headers) = read(Request::get("/").version(Version::HTTP_10));
    assert_eq!((inbound.host.as_deref(), &headers[header::HOST]), (Some(""), &HeaderValue::from_static("192.0.2.1:80")));
    assert!(!headers.contains_key(headers::FORWARDED_HOST));
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
    // What the library takes for an authority, and no block would.
    for bad in [",", "shop,", "shop:99999"] {
        assert_eq!(host(Request::get("/").header("host", bad)), None, "{bad:?} passed");
    }
    assert_eq!(host(Request::get("https://a,b/")), None);
    assert_eq!(host(Request::get("/")), None);
}

#[test]
fn a_head_has_at_most_a_hundred_fields_and_its_cookie_is_one() {
    let refused = |fields: usize, crumbs: usize| {
        let request = Request::get("https://a/").version(Version::HTTP_2);
        let request = (0..fields).fold(request, |request, _| request.header("x", "y"));
        read((0..crumbs).fold(request, |request, _| request.header("cookie", "a=1"))).0.refused
    };
    assert_eq!((refused(100, 0), refused(99, 50)), (None, None));
    assert_eq!((refused(101, 0), refused(100, 1)), (Some(Fault::TooManyFields), Some(Fault::TooManyFields)));
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
    for bad in [Request::get("*"), Request::get("ftp://a/"), Request::get("http://a/\u{e9}").version(Version::HTTP_2), pathless] {
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
    assert_eq!(read(Request::options("*").header("host", "a")).0.uri.to_string(), "*");
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
        assert_eq!(id(bad).as_bytes().len(), 32, "{bad:?} passed");
    }
}
