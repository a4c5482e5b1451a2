//! The scanner of HTTP/1.1: one verdict however the stream is cut, no byte handed on that was not there, and what the plain telling of the
//! same rules says.

use dynomesh_core::http1::{Asked, Limits, Scanner, Violation};

use crate::Outcome;
use crate::input::{Input, pieces};

#[path = "../../../crates/core/tests/http1/reference.rs"]
mod reference;

/// So small that a few bytes come to each.
const LIMITS: Limits = Limits { line_max: 50, head_max: 160, fields_max: 5, extension_max: 8, trailers_max: 24 };

/// A few messages of both sides.
pub(crate) const SEEDS: &[&[u8]] = &[
    b"\x00\x05GET / HTTP/1.1\r\nHost: a\r\n\r\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nxy",
    b"\x01\x05POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nxy\r\n0\r\nX: y\r\n\r\n",
    b"\x01\x05\r\nGET http://a:80/?b HTTP/1.0\r\n\r\nOPTIONS * HTTP/1.1\r\nHost: [::1]\r\n\r\n",
    b"\x02\x05HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nxy",
    b"\x03\x05HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
    b"\x05\x01HTTP/1.1 101 Switch\r\nUpgrade: a\r\n\r\nxx",
];

#[derive(Debug)]
struct Passed {
    good: usize,
    violation: Option<Violation>,
    heads: u64,
}

/// Two bytes say what is read and how it is cut; the rest is the stream.
pub fn check(bytes: &[u8]) -> Outcome {
    let mut input = Input::new(bytes);
    let asked = input.one_of(&[None, None, Some(Asked::Plain), Some(Asked::Head), Some(Asked::Connect), Some(Asked::Upgrade)]);
    let cuts = [input.byte() % 32, input.byte() % 4];
    let stream = input.rest();
    let whole = scan(asked, &[stream]);
    for cuts in [&cuts[..], &[0]] {
        let cut = scan(asked, &pieces(stream, cuts));
        assert_eq!((cut.violation, cut.heads), (whole.violation, whole.heads), "cut by {cuts:?}");
        assert!(cut.good >= whole.good);
        let early = &stream[whole.good..cut.good];
        let ends = |end: &[u8]| early.windows(end.len()).any(|window| window == end);
        assert!(!ends(b"\n\n") && !ends(b"\n\r\n"), "a refused head was handed on");
    }
    let told = if whole.violation.is_some() { Err(whole.good) } else { Ok(whole.good) };
    let plainly = match asked {
        None => reference::requests(stream, LIMITS),
        Some(asked) => reference::response(stream, asked, LIMITS),
    };
    assert_eq!(told, plainly, "{:?}", whole.violation);
    Outcome::of(whole.violation.is_none() && whole.heads > 0)
}

fn scan(asked: Option<Asked>, pieces: &[&[u8]]) -> Passed {
    let mut scanner = match asked {
        None => Scanner::requests(LIMITS),
        Some(_) => Scanner::responses(LIMITS),
    };
    if let Some(asked) = asked {
        scanner.expect(asked);
    }
    let mut good = 0;
    for piece in pieces {
        let scanned = scanner.scan(piece);
        assert!(scanned.good <= piece.len(), "more is good than there is");
        assert!(scanned.good == piece.len() || scanned.violation.is_some(), "bytes withheld without a word");
        good += scanned.good;
        if scanned.violation.is_some() {
            assert_eq!(scanner.scan(b"x").violation, scanned.violation, "a refusal was taken back");
            return Passed { good, violation: scanned.violation, heads: scanner.heads() };
        }
    }
    Passed { good, violation: None, heads: scanner.heads() }
}
