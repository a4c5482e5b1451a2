//! Fields and messages (RFC 9113, section 8): malformed requests are refused and never reach the dyno, least of all as two.

use super::frame::*;
use super::hpack::{field, fields};
use super::{Case, HOST, Want, case, either, fields_of, malformed, passed, seen};
use crate::case::{Reach, Seen};

type Pairs = &'static [(&'static str, &'static str)];

const METHOD: (&str, &str) = (":method", "GET");
const SCHEME: (&str, &str) = (":scheme", "http");
const AUTHORITY: (&str, &str) = (":authority", HOST);
const PATH: (&str, &str) = (":path", "/case");

/// Lists of pseudo-header fields that make no request (sections 8.3 and 8.3.1).
const PSEUDO: [(&str, &str, Pairs); 23] = [
    ("9113 8.3", "an unknown pseudo-header", &[METHOD, SCHEME, AUTHORITY, PATH, (":own", "x")]),
    ("9113 8.3", ":status in a request", &[METHOD, SCHEME, AUTHORITY, PATH, (":status", "200")]),
    ("9113 8.3", "a pseudo-header behind a field", &[METHOD, SCHEME, AUTHORITY, ("x-a", "b"), PATH]),
    ("9113 8.3", ":method behind a field", &[SCHEME, AUTHORITY, PATH, ("x-a", "b"), METHOD]),
    ("9113 8.3", ":path twice", &[METHOD, SCHEME, AUTHORITY, PATH, PATH]),
    ("9113 8.3", ":path twice, different", &[METHOD, SCHEME, AUTHORITY, PATH, (":path", "/smuggled")]),
    ("9113 8.3", ":method twice", &[METHOD, METHOD, SCHEME, AUTHORITY, PATH]),
    ("9113 8.3", ":scheme twice", &[METHOD, SCHEME, SCHEME, AUTHORITY, PATH]),
    ("9113 8.3", ":authority twice", &[METHOD, SCHEME, AUTHORITY, AUTHORITY, PATH]),
    ("9113 8.3", ":authority twice, different", &[METHOD, SCHEME, (":authority", "evil.test"), AUTHORITY, PATH]),
    ("9113 8.3.1", "no :method", &[SCHEME, AUTHORITY, PATH]),
    ("9113 8.3.1", "no :scheme", &[METHOD, AUTHORITY, PATH]),
    ("9113 8.3.1", "no :path", &[METHOD, SCHEME, AUTHORITY]),
    ("9113 8.3.1", "no :path beside a host", &[METHOD, SCHEME, ("host", HOST)]),
    ("9113 8.3.1", "no pseudo-header", &[("host", HOST)]),
    ("9113 8.3.1", "an empty :path", &[METHOD, SCHEME, AUTHORITY, (":path", "")]),
    ("9113 8.3.1", "an empty :method", &[(":method", ""), SCHEME, AUTHORITY, PATH]),
    ("9113 8.3.1", "no :authority and no host", &[METHOD, SCHEME, PATH]),
    ("9113 8.3.1", "user information in :authority", &[METHOD, SCHEME, (":authority", "user@lane-X.test"), PATH]),
    ("9113 8.3", ":protocol that was not allowed", &[METHOD, SCHEME, AUTHORITY, PATH, (":protocol", "websocket")]),
    ("9113 8.3", "a pseudo-header in capitals", &[(":Method", "GET"), SCHEME, AUTHORITY, PATH]),
    ("9113 8.3", "a name that is a colon", &[METHOD, SCHEME, AUTHORITY, PATH, (":", "x")]),
    ("9113 8.3.1", "two hosts", &[METHOD, SCHEME, PATH, ("host", HOST), ("host", HOST)]),
];

/// Values of pseudo-header fields that would be something else in HTTP/1.
const VALUES: [(&str, &str); 32] = [
    (":method", "GET /smuggled HTTP/1.1\r\nhost: lane-X.test\r\n\r\nGET"),
    (":method", "GE T"),
    (":method", "GET\0"),
    (":method", "GET\r\nx: y"),
    (":method", "G(T"),
    (":method", "G\u{e4}T"),
    (":path", "/case HTTP/1.1\r\nhost: lane-X.test\r\n\r\nGET /smuggled"),
    (":path", "/case HTTP/1.1"),
    (":path", "/ca se"),
    (":path", "/case\r\nx: y"),
    (":path", "/case\n"),
    (":path", "/case\0"),
    (":path", "/case\t"),
    (":path", "/ca\u{7f}se"),
    (":path", "/\u{c3}\u{a4}"),
    (":path", "case"),
    (":path", "*"),
    (":path", "http://lane-X.test/case"),
    (":path", "?x"),
    (":authority", "lane-X.test\r\nx: y"),
    (":authority", "lane-X.test x"),
    (":authority", "lane-X.test/x"),
    (":authority", "lane-X.test\0"),
    (":authority", "lane-X.test:x"),
    (":authority", "lane-X.test#x"),
    (":authority", "lane-X.test, evil.test"),
    (":authority", " lane-X.test"),
    (":authority", ""),
    (":scheme", "http\r\nx: y"),
    (":scheme", "http://evil.test/?"),
    (":scheme", ""),
    (":scheme", "h ttp"),
];

/// Fields that make a request malformed (sections 8.2.1 and 8.2.2).
const FIELDS: [(&str, &str, &str); 41] = [
    ("9113 8.2", "X-A", "b"),
    ("9113 8.2", "x-A", "b"),
    ("9113 8.2.1", "", "b"),
    ("9113 8.2.1", "x a", "b"),
    ("9113 8.2.1", " x-a", "b"),
    ("9113 8.2.1", "x-a ", "b"),
    ("9113 8.2.1", "x-a:", "b"),
    ("9113 8.2.1", "x:a", "b"),
    ("9113 8.2.1", "x-a\0", "b"),
    ("9113 8.2.1", "x-a\r\n", "b"),
    ("9113 8.2.1", "x-a\n", "b"),
    ("9113 8.2.1", "x-a\r\ncontent-length: 4\r\nx-c", "b"),
    ("9113 8.2.1", "x-\u{7f}", "b"),
    ("9113 8.2.1", "x-\u{e4}", "b"),
    ("9113 8.2.1", "x(a)", "b"),
    ("9113 8.2.1", "x-a", "b\r\nx-c: d"),
    ("9113 8.2.1", "x-a", "b\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: lane-X.test\r\n\r\n"),
    ("9113 8.2.1", "x-a", "b\nx-c: d"),
    ("9113 8.2.1", "x-a", "b\rx-c: d"),
    ("9113 8.2.1", "x-a", "b\0c"),
    ("9113 8.2.1", "x-a", "\r\nb"),
    ("9113 8.2.1", "x-a", "b\r\n"),
    ("9113 8.2.1", "cookie", "a=1\r\nx-c: d"),
    ("9113 8.2.1", "host", "lane-X.test\r\nx: y"),
    ("9113 8.2.2", "connection", "close"),
    ("9113 8.2.2", "connection", "keep-alive"),
    ("9113 8.2.2", "connection", "x-a"),
    ("9113 8.2.2", "proxy-connection", "keep-alive"),
    ("9113 8.2.2", "keep-alive", "timeout=5"),
    ("9113 8.2.2", "transfer-encoding", "chunked"),
    ("9113 8.2.2", "transfer-encoding", "identity"),
    ("9113 8.2.2", "upgrade", "h2c"),
    ("9113 8.2.2", "te", "gzip"),
    ("9113 8.2.2", "te", "trailers, gzip"),
    ("9113 8.1.1", "content-length", "-0"),
    ("9113 8.1.1", "content-length", "+0"),
    ("9113 8.1.1", "content-length", "x"),
    ("9113 8.1.1", "content-length", "0x0"),
    ("9113 8.1.1", "content-length", ""),
    ("9113 8.1.1", "content-length", "18446744073709551616"),
    ("9113 8.1.1", "content-length", "4"),
];

pub(super) fn cases() -> Vec<Case> {
    let with = |more: &[(&str, &str)]| headers(1, END_STREAM, fields_of("GET", "/case", more));
    let upload = |more: &[(&str, &str)], body: &[u8]| [headers(1, 0, fields_of("POST", "/case", more)), data(1, END_STREAM, body)].concat();
    let smuggled = b"GET /smuggled HTTP/1.1\r\nhost: lane-X.test\r\n\r\n";
    let body = || Seen::post("/case", "body");
    let trailers = |block: Vec<u8>| [super::post(1), data(1, 0, b"body"), headers(1, END_STREAM, block)].concat();
    let connect = |list: &[(&str, &str)]| headers(1, END_STREAM, fields(list));
    let mut cases = vec![
        passed("9113 8.1", "a body of a length", upload(&[("content-length", "4")], b"body"), body()),
        passed("9113 8.1", "a body of no length", upload(&[], b"body"), body()),
        passed("9113 8.1", "an empty body", upload(&[("content-length", "0")], b""), Seen::post("/case", "")),
        either(
            "9110 9.3.1",
            "a GET with a body",
            [headers(1, 0, fields_of("GET", "/case", &[])), data(1, END_STREAM, b"body")].concat(),
            Seen { body: b"body".into(), ..seen() },
        ),
        case(
            "9113 8.1",
            "a body for a host that nobody has",
            [headers(1, 0, fields(&[(":method", "POST"), SCHEME, (":authority", "unknown.test"), PATH])), data(1, END_STREAM, smuggled)]
                .concat(),
            vec![Want::Refused(1)],
        ),
        passed("9113 8.2.2", "te: trailers", with(&[("te", "trailers")]), seen()),
        passed(
            "9113 8.2.3",
            "cookie crumbs are joined",
            with(&[("cookie", "a=1"), ("x-a", "b"), ("cookie", "b=2")]),
            seen().with("cookie", "a=1; b=2"),
        ),
        passed("9113 8.3.1", "host stands for :authority", headers(1, END_STREAM, fields(&[METHOD, SCHEME, PATH, ("host", HOST)])), seen()),
        passed("9113 8.3.1", "host beside the same :authority", with(&[("host", HOST)]), seen()),
        either("9113 8.3.1", "host beside another :authority", with(&[("host", "evil.test")]), seen()),
        case(
            "9113 8.3.1",
            "a :authority that nobody has",
            headers(1, END_STREAM, fields(&[METHOD, SCHEME, (":authority", "unknown.test"), PATH, ("host", HOST)])),
            vec![Want::Refused(1)],
        ),
        passed("9113 8.3.1", "https without TLS", headers(1, END_STREAM, fields(&[METHOD, (":scheme", "https"), AUTHORITY, PATH])), seen()),
        either(
            "9113 8.3.1",
            "a scheme that nobody knows",
            headers(1, END_STREAM, fields(&[METHOD, (":scheme", "gopher"), AUTHORITY, PATH])),
            seen(),
        ),
        passed("9113 8.3.1", "OPTIONS of the server", headers(1, END_STREAM, fields_of("OPTIONS", "*", &[])), Seen::of("OPTIONS", "*")),
        passed(
            "9113 8.3.1",
            "a path with a query",
            headers(1, END_STREAM, fields_of("GET", "/a//../b?c=d&e", &[])),
            Seen::get("/a//../b?c=d&e"),
        ),
        either("9113 8.3.1", "a path with a fragment", headers(1, END_STREAM, fields_of("GET", "/case#x", &[])), seen()),
        // A length that is not the body's: H2.CL.
        malformed("9113 8.1.1", "a length shorter than the body", upload(&[("content-length", "0")], smuggled)),
        malformed("9113 8.1.1", "a length within the body", upload(&[("content-length", "2")], b"body")),
        malformed("9113 8.1.1", "a length longer than the body", upload(&[("content-length", "40")], b"body")),
        malformed("9113 8.1.1", "a length and no body", headers(1, END_STREAM, fields_of("POST", "/case", &[("content-length", "4")]))),
        malformed(
            "9113 8.1.1",
            "a length shorter than a body in frames",
            [headers(1, 0, fields_of("POST", "/case", &[("content-length", "4")])), data(1, 0, b"body"), data(1, END_STREAM, b"more")]
                .concat(),
        ),
        malformed(
            "9113 8.1.1",
            "a length longer than a body with trailers",
            [
                headers(1, 0, fields_of("POST", "/case", &[("content-length", "9")])),
                data(1, 0, b"body"),
                headers(1, END_STREAM, field("x-t", "1")),
            ]
            .concat(),
        ),
        malformed("9113 8.1.1", "two lengths", upload(&[("content-length", "4"), ("content-length", "0")], b"body")),
        malformed("9113 8.1.1", "two lengths, the first nothing", upload(&[("content-length", "0"), ("content-length", "4")], b"body")),
        either("9113 8.1.1", "the same length twice", upload(&[("content-length", "4"), ("content-length", "4")], b"body"), body()),
        malformed("9113 8.1.1", "a list of lengths", upload(&[("content-length", "4, 0")], b"body")),
        // H2.TE.
        malformed("9113 8.2.2", "chunks in a body", upload(&[("transfer-encoding", "chunked")], &[b"0\r\n\r\n", &smuggled[..]].concat())),
        malformed("9113 8.2.2", "chunks and a length", upload(&[("transfer-encoding", "chunked"), ("content-length", "5")], b"0\r\n\r\n")),
        malformed(
            "9113 8.2.1",
            "chunks behind a line end",
            upload(&[("x-a", "b\r\ntransfer-encoding: chunked")], &[b"0\r\n\r\n", &smuggled[..]].concat()),
        ),
        // Trailers.
        passed("9113 8.1", "a trailer", trailers(field("x-t", "1")), body().with("x-t", "1")),
        malformed(
            "9113 8.1",
            "a second head that does not end the stream",
            [super::post(1), headers(1, 0, field("x-t", "1")), data(1, END_STREAM, b"body")].concat(),
        ),
        // Malformed by the letter; the library leaves it out and passes what is left.
        either("9113 8.1", "a pseudo-header in the trailers", trailers(fields(&[PATH])), body()),
        malformed("9113 8.1", ":method in the trailers", trailers(fields(&[("x-t", "1"), METHOD]))),
        malformed("9113 8.2", "a trailer in capitals", trailers(field("X-T", "1"))),
        malformed("9113 8.2.1", "a trailer with a line end", trailers(field("x-t", "1\r\ny: z"))),
        malformed("9113 8.2.2", "a trailer of the connection", trailers(field("connection", "close"))),
        either("9110 6.5.1", "a length in the trailers", trailers(field("content-length", "0")), body()),
        either("9110 6.5.1", "a host in the trailers", trailers(field("host", "evil.test")), body()),
        either("9110 6.5.1", "a word of the mesh in the trailers", trailers(field("x-dynomesh-app", "other")), body()),
        // CONNECT.
        case("9113 8.5", "CONNECT", connect(&[(":method", "CONNECT"), AUTHORITY]), vec![Want::Refused(1)]),
        malformed("9113 8.5", "CONNECT with a path", connect(&[(":method", "CONNECT"), SCHEME, AUTHORITY, PATH])),
        malformed("9113 8.5", "CONNECT without an authority", connect(&[(":method", "CONNECT")])),
        // Words and hops.
        passed(
            "issue",
            "forged words of the mesh",
            with(&[("x-dynomesh-app", "other"), ("x-dynomesh-deadline-ms", "0"), ("x-dynomesh-block", "evil")]),
            seen().without("x-dynomesh-app").with("x-dynomesh-block", "b1"),
        ),
        passed(
            "9110 10.1.1",
            "Expect: 100-continue",
            headers(1, 0, fields_of("POST", "/case", &[("expect", "100-continue"), ("content-length", "4")])),
            body().without("expect"),
        )
        // 100 is not sent with HTTP/2 (docs/request.md); a client sends on by itself.
        .send(data(1, END_STREAM, b"body")),
        case(
            "9113 6.5.2",
            "1000 fields",
            headers(1, END_STREAM, [&fields_of("GET", "/case", &[])[..], &field("a", "").repeat(1000)].concat()),
            vec![Want::Refused(1), Want::Gone(&[CALM, PROTOCOL])],
        )
        .or(Want::Answer(1, &[200]))
        .reach(Reach::AtMost(vec![seen()])),
    ];
    cases.extend(PSEUDO.map(|(section, name, list)| malformed(section, name, headers(1, END_STREAM, fields(list)))));
    cases.extend(VALUES.map(|(name, value)| {
        let list = [METHOD, SCHEME, AUTHORITY, PATH].map(|(known, usual)| if known == name { (known, value) } else { (known, usual) });
        malformed("9113 8.3.1", format!("{name} {value:?}"), headers(1, END_STREAM, fields(&list)))
    }));
    cases.extend(FIELDS.map(|(section, name, value)| malformed(section, format!("the field {name:?}: {value:?}"), with(&[(name, value)]))));
    for value in [" b", "b ", "\tb", "b\t"] {
        // Who does not refuse it must not pass it on as it is.
        cases.push(either(
            "9113 8.2.1",
            format!("white space around a value, {value:?}"),
            with(&[("x-a", value)]),
            seen().with("x-a", "b"),
        ));
    }
    cases
}
