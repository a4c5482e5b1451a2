//! Streams of messages: valid ones, and ones with a few bytes or fields that are nearly so.

use std::fmt;

use dynomesh_core::http1::Asked;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// Messages one after the other. `heads` of them have been written out, so many must be found.
#[derive(Clone)]
pub(crate) struct Stream {
    pub(crate) bytes: Vec<u8>,
    pub(crate) heads: u64,
}

/// A change to a stream.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Replace(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    /// A line put before, or after, some line's end.
    Line(Index, &'static [u8]),
    /// A line once more.
    Twice(Index),
    /// Every case of a text exchanged for another.
    Exchange(&'static [u8], &'static [u8]),
}

/// Bytes that some parser takes for something else.
const ODD: &[u8] = b"\r\n\t \0\x0b\x0c\x7f\x80\xff:;,#@*/?<\"`[]%x019aAZ-_";

/// Fields that forgiving parsers read differently.
const LINES: &[&[u8]] = &[
    b"Content-Length: 1\r\n",
    b"content-length: 0\r\n",
    b"Content-Length: 1, 1\r\n",
    b"Content-Length: +1\r\n",
    b"Content-Length : 1\r\n",
    b"Content-Length: 18446744073709551615\r\n",
    b"Content-Length: 18446744073709551616\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Transfer-Encoding:chunked\n",
    b"TRANSFER-ENCODING: \tChunked\t\r\n",
    b"Host: a\r\n",
    b"Host: b@a\r\n",
    b"Host: a:70000\r\n",
    b"X: a\rb\r\n",
    b"X: a\r\n b\r\n",
    b": a\r\n",
    b"X\r\n",
    b" X: a\r\n",
    b"\r\n",
    b"\n",
    b"0\r\n",
    b"1;a=b\r\n",
    b"00000000000000001\r\n",
    b"GET / HTTP/1.1\r\n",
    b"GET /0123456789012345678901234567890123456789 HTTP/1.1\r\n",
    b"HTTP/1.1 204 No Content\r\n",
];

const EXCHANGES: &[(&[u8], &[u8])] = &[
    (b"HTTP/1.1", b"HTTP/1.0"),
    (b"HTTP/1.1", b"HTTP/1.2"),
    (b"\r\n", b"\n"),
    (b": ", b":"),
    (b": ", b" : "),
    (b"GET", b"CONNECT"),
    (b"POST", b"OPTIONS"),
    (b" / ", b" * "),
    (b" / ", b" http://a:80?b=`\" "),
    (b" / ", b" http://b@a/ "),
    (b" / ", b" a:80 "),
    (b" 200", b" 204"),
    (b" 200", b" 101"),
    (b" 200", b" 304"),
    (b"chunked", b"Chunked "),
    (b"chunked", b"chunked, chunked"),
];

pub(crate) fn requests() -> impl Strategy<Value = Stream> {
    vec(request(), 1..4).prop_map(|requests| Stream { heads: requests.len() as u64, bytes: requests.concat() })
}

pub(crate) fn response() -> impl Strategy<Value = (Asked, Stream)> {
    (select(vec![Asked::Plain, Asked::Plain, Asked::Head, Asked::Connect, Asked::Upgrade]), vec(interim(), 0..3), final_response())
        .prop_map(|(asked, interim, (status, head, content))| {
            let heads = interim.len() as u64 + 1;
            let content = if asked == Asked::Head || matches!(status, 304) { Vec::new() } else { content };
            (asked, Stream { bytes: [interim.concat(), head, content].concat(), heads })
        })
}

pub(crate) fn changes() -> impl Strategy<Value = Vec<Change>> {
    let change = prop_oneof![
        3 => (any::<Index>(), odd()).prop_map(|(at, byte)| Change::Replace(at, byte)),
        3 => (any::<Index>(), odd()).prop_map(|(at, byte)| Change::Insert(at, byte)),
        3 => any::<Index>().prop_map(Change::Remove),
        4 => (any::<Index>(), select(LINES)).prop_map(|(at, line)| Change::Line(at, line)),
        2 => any::<Index>().prop_map(Change::Twice),
        2 => select(EXCHANGES).prop_map(|(from, to)| Change::Exchange(from, to)),
    ];
    vec(change, 0..4)
}

/// Where a stream is cut into reads.
pub(crate) fn cuts() -> impl Strategy<Value = Vec<Index>> {
    vec(any::<Index>(), 0..12)
}

pub(crate) fn odd() -> impl Strategy<Value = u8> {
    prop_oneof![3 => select(ODD), 1 => any::<u8>()]
}

// === impl Stream ===

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} heads in {}", self.heads, self.bytes.escape_ascii())
    }
}

// === impl Change ===

impl Change {
    pub(crate) fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let length = bytes.len();
        match self {
            Change::Replace(at, byte) => bytes[at.index(length)] = *byte,
            Change::Insert(at, byte) => bytes.insert(at.index(length), *byte),
            Change::Remove(at) => drop(bytes.remove(at.index(length))),
            Change::Line(at, line) => {
                let end = lines(bytes)[at.index(lines(bytes).len())].1;
                bytes.splice(end..end, line.iter().copied());
            }
            Change::Twice(at) => {
                let (start, end) = lines(bytes)[at.index(lines(bytes).len())];
                let line = bytes[start..end].to_vec();
                bytes.splice(end..end, line);
            }
            Change::Exchange(from, to) => {
                if let Some(at) = bytes.windows(from.len()).position(|window| window == *from) {
                    bytes.splice(at..at + from.len(), to.iter().copied());
                }
            }
        }
    }
}

/// Start and end of every line.
fn lines(bytes: &[u8]) -> Vec<(usize, usize)> {
    let mut start = 0;
    let line = |line: &[u8]| {
        start += line.len();
        (start - line.len(), start)
    };
    bytes.split_inclusive(|byte| *byte == b'\n').map(line).collect()
}

fn request() -> impl Strategy<Value = Vec<u8>> {
    let start = select(vec![
        "GET / HTTP/1.1\r\nHost: a\r\n",
        "GET /a?b HTTP/1.1\r\nhost:[::1]:80\r\n",
        "OPTIONS * HTTP/1.1\r\nHOST: \t a:80\t\r\n",
        "get HTTP://a.b:8/?c HTTP/1.1\r\nHost: c\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\n",
    ]);
    let whole =
        (blank(), start, fields(), content()).prop_map(|(blank, start, fields, content)| message(&[blank, start.into(), fields], content));
    let old = (blank(), fields()).prop_map(|(blank, fields)| message(&[blank, "GET / HTTP/1.0\r\n".into(), fields], None));
    let connect = fields().prop_map(|fields| message(&["CONNECT a:80 HTTP/1.1\r\nHost: a\r\n".into(), fields], None));
    prop_oneof![6 => whole, 1 => old, 1 => connect]
}

fn interim() -> impl Strategy<Value = Vec<u8>> {
    (select(vec!["100 Continue", "103", "199 \u{e9}"]), fields())
        .prop_map(|(status, fields)| message(&[format!("HTTP/1.1 {status}\r\n"), fields], None))
}

/// Status, head and content: without a length it may go on for ever, so that it is never followed by anything.
fn final_response() -> impl Strategy<Value = (u16, Vec<u8>, Vec<u8>)> {
    let status = prop_oneof![Just((200, "200 OK")), Just((404, "404")), Just((304, "304 Not Modified")), Just((599, "599 "))];
    let full = (status, fields(), content()).prop_map(|((status, line), fields, content)| {
        let (field, bytes) = content.unwrap_or_default();
        (status, format!("HTTP/1.1 {line}\r\n{fields}{field}\r\n").into_bytes(), bytes)
    });
    let none = fields().prop_map(|fields| (204, format!("HTTP/1.1 204 No Content\r\n{fields}\r\n").into_bytes(), Vec::new()));
    prop_oneof![5 => full, 1 => none]
}

fn message(head: &[String], content: Option<(String, Vec<u8>)>) -> Vec<u8> {
    let (field, bytes) = content.unwrap_or_default();
    [head.concat().as_bytes(), field.as_bytes(), b"\r\n", &bytes].concat()
}

fn blank() -> impl Strategy<Value = String> {
    prop_oneof![6 => Just(0), 1 => 1..=4usize].prop_map(|count| "\r\n".repeat(count))
}

fn fields() -> impl Strategy<Value = String> {
    vec(select(vec!["A: b\r\n", "C:\t\r\n", "D-_!|~: \t\"e\", f \r\n", "Upgrade: g\r\n", "Expect: 100-continue\r\n"]), 0..3)
        .prop_map(|fields| fields.concat())
}

/// The field that announces it, and the content; `None` for none.
fn content() -> impl Strategy<Value = Option<(String, Vec<u8>)>> {
    let known = vec(odd(), 0..40).prop_map(|bytes| Some((format!("Content-Length: {}\r\n", bytes.len()), bytes)));
    let extension = select(vec!["", ";a", " ;b=\"c\"", "\t; \u{7e}"]);
    let chunk = (vec(odd(), 1..20), extension, any::<bool>()).prop_map(|(data, extension, long)| {
        let size = if long { format!("{:016X}", data.len()) } else { format!("{:x}", data.len()) };
        [size.as_bytes(), extension.as_bytes(), b"\r\n", &data, b"\r\n"].concat()
    });
    let trailers = select(vec!["", "X: y\r\n", "X: y\r\nZ:\r\n"]);
    let chunked = (vec(chunk, 0..4), trailers).prop_map(|(chunks, trailers)| {
        Some(("Transfer-Encoding: chunked\r\n".to_owned(), [chunks.concat().as_slice(), b"0\r\n", trailers.as_bytes(), b"\r\n"].concat()))
    });
    prop_oneof![2 => Just(None), 2 => known, 3 => chunked]
}
