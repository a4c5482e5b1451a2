//! The lenient readings, on streams that mean different things to them.

use super::*;

const GOOD: &str = "POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\n\r\nabcGET /b HTTP/1.1\r\nhost: h\r\n\r\n";

/// A second request, in the place where a receiver may look for one.
const MORE: &str = "GET /smuggled-1 HTTP/1.1\r\nhost: h\r\n\r\n";

fn is_told_apart(head: &str, body: &str) {
    let bytes = format!("POST /a HTTP/1.1\r\nhost: h\r\n{head}\r\n\r\n{body}");
    assert!(agreed(bytes.as_bytes()).is_err(), "{bytes:?} passes for one request");
}

#[test]
fn an_honest_stream_is_the_same_in_all_readings() {
    let stream = agreed(GOOD.as_bytes()).unwrap();
    assert_eq!(stream.rest, Rest::Clean);
    let seen: Vec<_> = stream.requests.iter().map(Request::to_string).collect();
    assert_eq!(seen, ["POST /a with 3 bytes", "GET /b with 0 bytes"]);
    assert_eq!(faults(GOOD.as_bytes()), [""; 0]);
}

#[test]
fn an_honest_chunked_stream_is_the_same_in_all_readings() {
    let bytes = "POST /a HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\nx-t: 1\r\n\r\n";
    let stream = agreed(bytes.as_bytes()).unwrap();
    assert_eq!(stream.requests.len(), 1);
    assert_eq!(stream.requests[0].body, b"abc0123456789");
    assert_eq!(stream.requests[0].trailers, [("x-t".to_owned(), "1".to_owned())]);
    assert_eq!(faults(bytes.as_bytes()), [""; 0]);
}

#[test]
fn a_request_cut_off_is_partial_in_all_readings() {
    for bytes in ["GET / HTTP/1.1\r\nhost", "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\nab"] {
        assert_eq!(agreed(bytes.as_bytes()).unwrap().rest, Rest::Partial, "{bytes:?}");
    }
}

#[test]
fn a_smuggled_request_is_caught_in_every_family() {
    let chunked = format!("0\r\n\r\n{MORE}");
    let length = chunked.len();
    is_told_apart(&format!("content-length: {length}\r\ntransfer-encoding: chunked"), &chunked);
    is_told_apart("transfer-encoding: chunked\r\ncontent-length: 4", &format!("2d\r\n{MORE}\r\n0\r\n\r\n"));
    is_told_apart(&format!("content-length: 0\r\ncontent-length: {}", MORE.len()), MORE);
    is_told_apart(&format!("content-length: 0, {}", MORE.len()), MORE);
    is_told_apart(&format!("content-length: {length}\r\ntransfer-encoding : chunked"), &chunked);
    is_told_apart(&format!("content-length: {length}\r\ntransfer-encoding\u{b}: chunked"), &chunked);
    is_told_apart(&format!("content-length: {length}\r\ntransfer-encoding: xchunked"), &chunked);
    is_told_apart(&format!("content-length: {length}\r\ntransfer-encoding: chunked, identity"), &chunked);
    is_told_apart(&format!("content-length: {length}\r\nx: y\r\n transfer-encoding: chunked"), &chunked);
    is_told_apart(&format!("content-length: {length}\r\nx: y\ntransfer-encoding: chunked"), &chunked);
    is_told_apart(&format!("content-length: {length}\r\nx: y\rtransfer-encoding: chunked"), &chunked);
    is_told_apart(&format!("content-length: {}\r\nx: y\r\n content-length: 0", MORE.len()), MORE);
}

#[test]
fn a_request_hidden_among_chunks_is_caught() {
    let coded = "transfer-encoding: chunked";
    is_told_apart(coded, &format!("1\r\nZ\n0\n\n{MORE}\r\n0\r\n\r\n"));
    is_told_apart(coded, &format!("5\r\nabcdeXX0\r\n\r\n{MORE}"));
    is_told_apart(coded, &format!("0;x=\n\n{MORE}\r\n\r\n"));
}

#[test]
fn bytes_that_no_sender_may_send_are_faults() {
    let fault = |head: &str| faults(format!("POST /a HTTP/1.1\r\nhost: h\r\n{head}\r\n\r\n").as_bytes());
    assert_eq!(fault("x-a: b"), [""; 0]);
    for head in [
        "x-a: b\0c",
        "x-a: b\nc: d",
        "x-a : b",
        "content-length: 0\r\ncontent-length: 0",
        "content-length: +0",
        "host: i",
        "x(a): b",
        "transfer-encoding: chunked\r\ncontent-length: 0",
    ] {
        assert!(
            !fault(head).is_empty() || agreed(format!("POST /a HTTP/1.1\r\nhost: h\r\n{head}\r\n\r\n").as_bytes()).is_err(),
            "{head:?}"
        );
    }
    assert!(!faults(b"GET / HTTP/1.1\r\n\r\n").is_empty());
}
