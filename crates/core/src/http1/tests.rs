//! Every rule by a message that breaks it, and by one that just does not.

use std::collections::BTreeSet;

use super::Violation as V;
use super::{Asked, Limits, Scanned, Scanner, Violation};

const SMALL: Limits = Limits { line_max: 60, head_max: 200, fields_max: 4, extension_max: 16, trailers_max: 40 };

/// Every rule, broken in a request: the section is the violation's own.
const REQUESTS: &[(V, &[u8])] = &[
    (V::BareLf, b"GET / HTTP/1.1\nHost: a\n\n"),
    (V::BareLf, b"GET / HTTP/1.1\r\nHost: a\n\r\n"),
    (V::BareLf, b"GET / HTTP/1.1\r\nHost: a\r\n\n"),
    (V::BareLf, b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    (V::BareLf, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n"),
    (V::BareLf, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;a\nx\r\n0\r\n\r\n"),
    (V::BareLf, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\n"),
    (V::BareCr, b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n"),
    (V::BareCr, b"GET / HTTP/1.1\rHost: a\r\n\r\n"),
    (V::BareCr, b"GET / HTTP/1.1\r\nHost: a\r\nX\r: b\r\n\r\n"),
    (V::BareCr, b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n"),
    (V::BlankLines, b"\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    (V::RequestLine, b"GET /\r\n\r\n"),
    (V::RequestLine, b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
    (V::RequestLine, b"GET / a HTTP/1.1\r\nHost: a\r\n\r\n"),
    (V::RequestLine, b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n"),
    (V::RequestLine, b"GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n"),
    (V::Method, b" / HTTP/1.1\r\nHost: a\r\n\r\n"),
    (V::Method, b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n"),
    (V::Method, b"GET\x00 / HTTP/1.1\r\nHost: a\r\n\r\n"),
    (V::LineTooLong, b"GET /0123456789012345678901234567890123456789012345678901234567890 HTTP/1.1\r\nHost: a\r\n\r\n"),
    (V::LineTooLong, b"0123456789012345678901234567890123456789012345678901234567890"),
    (V::Version, b"GET / http/1.1\r\nHost: a\r\n\r\n"),
    (V::Version, b"GET / HTTP/1.01\r\nHost: a\r\n\r\n"),
    (V::Version, b"GET / HTTP/1.\xb1\r\nHost: a\r\n\r\n"),
    (V::VersionUnsupported, b"GET / HTTP/1.2\r\nHost: a\r\n\r\n"),
    (V::VersionUnsupported, b"GET / HTTP/0.9\r\nHost: a\r\n\r\n"),
    (V::VersionUnsupported, b"GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
    (V::Preface, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    (V::TargetBytes, b"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n"),
    (V::TargetBytes, b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n"),
    (V::TargetBytes, b"GET /<> HTTP/1.1\r\nHost: a\r\n\r\n"),
    (V::TargetBytes, b"GET /` HTTP/1.1\r\nHost: a\r\n\r\n"),
    (V::TargetBytes, b"GET /?\" HTTP/1.1\r\nHost: a\r\n\r\n"),
    (V::Fragment, b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"),
    (V::TargetForm, b"GET a HTTP/1.1\r\nHost: a\r\n\r\n"),
    (V::TargetForm, b"GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
    (V::TargetForm, b"GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n"),
    (V::TargetForm, b"GET ?a HTTP/1.1\r\nHost: a\r\n\r\n"),
    (V::TargetScheme, b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    (V::Userinfo, b"GET http://b@a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    (V::Userinfo, b"GET / HTTP/1.1\r\nHost: b@a\r\n\r\n"),
    (V::Userinfo, b"CONNECT b@a:80 HTTP/1.1\r\nHost: a\r\n\r\n"),
    (V::HostInvalid, b"GET http:/// HTTP/1.1\r\nHost: a\r\n\r\n"),
    (V::HostInvalid, b"GET http://:80/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    (V::HostInvalid, b"GET / HTTP/1.1\r\nHost:\r\n\r\n"),
    (V::HostInvalid, b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
    (V::HostInvalid, b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"),
    (V::HostInvalid, b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    (V::HostInvalid, b"GET / HTTP/1.1\r\nHost: a%2fb\r\n\r\n"),
    (V::HostInvalid, b"GET / HTTP/1.1\r\nHost: a:8x\r\n\r\n"),
    (V::HostInvalid, b"GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n"),
    (V::HostInvalid, b"GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n"),
    (V::HostInvalid, b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"),
    (V::HostInvalid, b"GET / HTTP/1.1\r\nHost: [a]:80\r\n\r\n"),
    (V::HostInvalid, b"GET / HTTP/1.1\r\nHost: \xe9\r\n\r\n"),
    (V::HostInvalid, b"CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n"),
    (V::HostInvalid, b"CONNECT a: HTTP/1.1\r\nHost: a\r\n\r\n"),
    (V::HostInvalid, b"CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n"),
    (V::HostInvalid, b"CONNECT http://a:80 HTTP/1.1\r\nHost: a\r\n\r\n"),
    (V::HostMissing, b"GET / HTTP/1.1\r\n\r\n"),
    (V::HostMissing, b"GET http://a/ HTTP/1.1\r\n\r\n"),
    (V::HostRepeated, b"GET / HTTP/1.1\r\nHost: a\r\nhOST: a\r\n\r\n"),
    (V::HostRepeated, b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"),
    (V::LeadingWhitespace, b"GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
    (V::LeadingWhitespace, b"GET / HTTP/1.1\r\n\tX: b\r\nHost: a\r\n\r\n"),
    (V::Fold, b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n"),
    (V::Fold, b"GET / HTTP/1.1\r\nHost: a\r\n\t\r\n\r\n"),
    (V::FieldColon, b"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n"),
    (V::FieldSpace, b"GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
    (V::FieldSpace, b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length\t: 1\r\n\r\n"),
    (V::FieldName, b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n"),
    (V::FieldName, b"GET / HTTP/1.1\r\nHost: a\r\nX Y: b\r\n\r\n"),
    (V::FieldName, b"GET / HTTP/1.1\r\nHost: a\r\nX\x00: b\r\n\r\n"),
    (V::FieldName, b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encod\xc4\xb1ng: chunked\r\n\r\n"),
    (V::FieldValue, b"GET / HTTP/1.1\r\nHost: a\r\nX: b\x00\r\n\r\n"),
    (V::FieldValue, b"GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n"),
    (V::FieldValue, b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n"),
    (V::HeadTooLarge, b"GET / HTTP/1.1\r\nHost: a\r\nX: 0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"),
    (V::TooManyFields, b"GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\n\r\n"),
    (V::ContentLength, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n"),
    (V::ContentLength, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n"),
    (V::ContentLength, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n"),
    (V::ContentLength, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\n"),
    (V::ContentLength, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1 1\r\n\r\n"),
    (V::ContentLength, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \"1\"\r\n\r\n"),
    (V::ContentLength, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\n"),
    (V::ContentLengthRepeated, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx"),
    (V::ContentLengthRepeated, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\ncontent-length: 1\r\n\r\nx"),
    (V::ContentLengthRepeated, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\nx"),
    (V::TransferEncoding, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n"),
    (V::TransferEncoding, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n"),
    (V::TransferEncoding, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n"),
    (V::TransferEncoding, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n"),
    (V::TransferEncoding, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n"),
    (V::TransferEncoding, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;q=1\r\n\r\n"),
    (V::TransferEncoding, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n"),
    (V::TransferEncoding, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ,chunked\r\n\r\n"),
    (V::TransferEncoding, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked,\r\n\r\n"),
    (V::TransferEncoding, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n"),
    (V::TransferEncodingRepeated, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
    (V::TransferCoding, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"),
    (V::TransferEncodingVersion, b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"),
    (V::TwoFramings, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
    (V::TwoFramings, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"),
    (V::ContentForbidden, b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\nContent-Length: 5\r\n\r\n"),
    (V::ChunkSize, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\r\n"),
    (V::ChunkSize, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n;a\r\n"),
    (V::ChunkSize, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\n"),
    (V::ChunkSize, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n 1\r\n"),
    (V::ChunkSize, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1 \r\n"),
    (V::ChunkSize, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n"),
    (V::ChunkSize, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n00000000000000001\r\n"),
    (V::ChunkExtension, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;0123456789abcdef\r\n"),
    (V::ChunkExtension, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;a\rb\r\nx\r\n"),
    (V::ChunkEnd, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxx\r\n"),
    (V::ChunkEnd, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\n"),
    (V::ChunkEnd, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\rx"),
    (V::TrailersTooLarge, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: 01234567890123456789012345678901234567"),
    (V::TooManyFields, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: \r\nB: \r\nC: \r\nD: \r\nE: \r\n\r\n"),
    (V::TrailerForbidden, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 5\r\n\r\n"),
    (V::FieldSpace, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX : 5\r\n\r\n"),
];

/// What only a response can break, or breaks otherwise.
const RESPONSES: &[(V, Asked, &[u8])] = &[
    (V::StatusLine, Asked::Plain, b"\r\nHTTP/1.1 200 OK\r\n\r\n"),
    (V::StatusLine, Asked::Plain, b"HTTP/1.1\r\n\r\n"),
    (V::StatusLine, Asked::Plain, b"HTTP/1.1  200 OK\r\n\r\n"),
    (V::StatusLine, Asked::Plain, b"HTTP/1.1 20 OK\r\n\r\n"),
    (V::StatusLine, Asked::Plain, b"HTTP/1.1 2000 OK\r\n\r\n"),
    (V::StatusLine, Asked::Plain, b"HTTP/1.1 099 OK\r\n\r\n"),
    (V::StatusLine, Asked::Plain, b"HTTP/1.1 600 OK\r\n\r\n"),
    (V::StatusLine, Asked::Plain, b"HTTP/1.1 200\tOK\r\n\r\n"),
    (V::StatusLine, Asked::Plain, b"HTTP/1.1 200 O\x00K\r\n\r\n"),
    (V::BareCr, Asked::Plain, b"HTTP/1.1 200 O\rK\r\n\r\n"),
    (V::BareLf, Asked::Plain, b"HTTP/1.1 200 OK\n\n"),
    (V::Version, Asked::Plain, b"ICY/1.10 200 OK\r\n\r\n"),
    (V::VersionUnsupported, Asked::Plain, b"HTTP/2.0 200 OK\r\n\r\n"),
    (V::Fold, Asked::Plain, b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n"),
    (V::FieldSpace, Asked::Plain, b"HTTP/1.1 200 OK\r\nX : a\r\n\r\n"),
    (V::TwoFramings, Asked::Plain, b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
    (V::TwoFramings, Asked::Head, b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
    (V::ContentLengthRepeated, Asked::Plain, b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"),
    (V::TransferEncoding, Asked::Plain, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"),
    (V::TransferEncodingVersion, Asked::Plain, b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
    (V::Surplus, Asked::Plain, b"HTTP/1.1 204 No Content\r\nContent-Length: 1\r\n\r\nx"),
    (V::ContentForbidden, Asked::Plain, b"HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked\r\n\r\n"),
    (V::Switched, Asked::Plain, b"HTTP/1.1 101 Switching Protocols\r\n\r\n"),
    (V::Surplus, Asked::Plain, b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 200 OK\r\n\r\n"),
    (V::Surplus, Asked::Plain, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n\r\n"),
    (V::Surplus, Asked::Plain, b"HTTP/1.1 204 No Content\r\n\r\nx"),
    (V::Surplus, Asked::Plain, b"HTTP/1.1 304 Not Modified\r\nContent-Length: 1\r\n\r\nx"),
    (V::Surplus, Asked::Head, b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"),
];

fn asked(asked: Asked) -> Scanner {
    let mut scanner = Scanner::responses(SMALL);
    scanner.expect(asked);
    scanner
}

fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

fn passed(bytes: &[u8]) -> Scanned {
    Scanned { good: bytes.len(), violation: None }
}

#[test]
fn every_rule_is_refused_by_its_name() {
    for (violation, bytes) in REQUESTS {
        let told = Scanner::requests(SMALL).scan(bytes).violation;
        assert_eq!(told, Some(*violation), "RFC {}: {}", violation.section(), shown(bytes));
    }
    for (violation, question, bytes) in RESPONSES {
        let told = asked(*question).scan(bytes).violation;
        assert_eq!(told, Some(*violation), "RFC {}: {}", violation.section(), shown(bytes));
    }
    let tested: BTreeSet<_> = REQUESTS.iter().map(|row| row.0).chain(RESPONSES.iter().map(|row| row.0)).collect();
    assert_eq!(tested, Violation::ALL.iter().copied().collect());
}

#[test]
fn no_two_rules_share_a_code_and_each_has_a_status() {
    let codes: BTreeSet<_> = Violation::ALL.iter().map(|violation| violation.code()).collect();
    assert_eq!(codes.len(), Violation::ALL.len());
    assert!(Violation::ALL.iter().all(|violation| matches!(violation.status(), 400 | 414 | 431 | 501 | 505)));
}

#[test]
fn what_is_whole_passes() {
    let requests: &[&[u8]] = &[
        b"GET / HTTP/1.0\r\n\r\n",
        b"\r\n\r\n\r\n\r\nGET /a|b{c}^\\?`'[]!%zz HTTP/1.1\r\nhost:[::1]:80\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: a:\r\n\r\n",
        b"GET HTTPS://a:80?b HTTP/1.1\r\nHost: 127.0.0.1\r\nX: \t\xe9\t\r\nY:\r\n\r\n",
        b"CONNECT [::1]:80 HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 003\r\n\r\n\n\n\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\tCHUNKED \r\n\r\n3;a=\"b\"\r\n\r\n\r\r\n0000 ;c\r\nX: y\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ];
    for bytes in requests {
        let mut scanner = Scanner::requests(SMALL);
        assert_eq!(scanner.scan(bytes), passed(bytes), "{}", shown(bytes));
        assert!(scanner.is_between_messages(), "{}", shown(bytes));
    }
    let responses: &[(Asked, &[u8])] = &[
        (Asked::Plain, b"HTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx"),
        (
            Asked::Plain,
            b"HTTP/1.1 100 \r\n\r\nHTTP/1.1 103 Hints\r\nLink: a\r\n\r\nHTTP/1.1 404 N\xf6 \r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (Asked::Plain, b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"),
        (Asked::Plain, b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n"),
        (Asked::Head, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ];
    for (question, bytes) in responses {
        let mut scanner = asked(*question);
        assert_eq!(scanner.scan(bytes), passed(bytes), "{}", shown(bytes));
        assert!(scanner.is_between_messages(), "{}", shown(bytes));
        // The connection serves the next request.
        scanner.expect(Asked::Plain);
        assert_eq!(scanner.scan(responses[0].1), passed(responses[0].1));
    }
}

#[test]
fn a_response_without_a_length_goes_on_to_the_end() {
    let mut scanner = asked(Asked::Plain);
    let bytes = b"HTTP/1.0 200 OK\r\n\r\n\n\0HTTP/1.1 200 OK\r\n";
    assert_eq!(scanner.scan(bytes), passed(bytes));
    assert!(!scanner.is_between_messages());
}

#[test]
fn after_a_switch_or_into_a_tunnel_everything_passes() {
    let rows: [(Asked, &[u8]); 2] = [
        (Asked::Upgrade, b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x00\n"),
        (Asked::Connect, b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n\x00\n"),
    ];
    for (question, bytes) in rows {
        let mut scanner = asked(question);
        assert_eq!(scanner.scan(bytes), passed(bytes));
        assert_eq!(scanner.scan(b"\x00\n"), passed(b"\x00\n"));
    }
    let mut scanner = Scanner::requests(SMALL);
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: b\r\n\r\n";
    assert_eq!(scanner.scan(request), passed(request));
    scanner.opaque();
    assert_eq!(scanner.scan(b"\x00\n"), passed(b"\x00\n"));
}

#[test]
fn nothing_may_come_before_it_is_asked_for() {
    let mut scanner = Scanner::responses(SMALL);
    let early = b"HTTP/1.1 408 Request Timeout\r\n\r\n";
    assert_eq!(scanner.scan(early), Scanned { good: 0, violation: Some(Violation::Surplus) });
    scanner.expect(Asked::Plain);
    scanner.opaque();
    assert_eq!(scanner.scan(early), Scanned { good: 0, violation: Some(Violation::Surplus) }, "refused once, refused for ever");
}

#[test]
fn a_second_question_before_the_first_is_answered_brings_no_second_answer() {
    let mut scanner = asked(Asked::Plain);
    let _ = scanner.scan(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n");
    scanner.expect(Asked::Plain);
    assert_eq!(scanner.scan(b"\r\nHTTP/1.1 "), Scanned { good: 2, violation: Some(Violation::Surplus) });
}

#[test]
fn good_bytes_end_before_the_refused_head() {
    let good = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx\r\n";
    let whole = [&good[..], b"GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n"].concat();
    assert_eq!(Scanner::requests(SMALL).scan(&whole), Scanned { good: good.len(), violation: Some(Violation::FieldSpace) });

    // Of a head that earlier reads have begun, nothing of this read is handed on.
    let mut scanner = Scanner::requests(SMALL);
    let (first, second) = whole.split_at(good.len() + 20);
    assert_eq!(scanner.scan(first), passed(first));
    assert_eq!(scanner.scan(second), Scanned { good: 0, violation: Some(Violation::FieldSpace) });
    assert_eq!(scanner.heads(), 1);
    assert!(!scanner.is_in_content());
}

#[test]
fn a_refusal_within_content_is_told_from_one_in_a_head() {
    let mut scanner = Scanner::requests(SMALL);
    let bytes = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxx";
    assert_eq!(scanner.scan(bytes), Scanned { good: bytes.len() - 1, violation: Some(Violation::ChunkEnd) });
    assert!(scanner.is_in_content());
}
