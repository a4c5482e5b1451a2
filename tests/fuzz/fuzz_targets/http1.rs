//! The HTTP/1.1 scanner: no input makes it panic, hand on more than there is, or judge otherwise when the stream is cut.
//!
//! The first byte says what is scanned and how it is cut; the rest is the stream.
#![no_main]

use dynomesh_core::http1::{Asked, Limits, Scanner, Violation};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits { line_max: 64, head_max: 256, fields_max: 6, extension_max: 8, trailers_max: 48 };

fuzz_target!(|data: &[u8]| {
    let Some((&choice, stream)) = data.split_first() else { return };
    let whole = scan(choice, [stream]);
    let step = 1 + usize::from(choice >> 3);
    for step in [1, step] {
        let cut = scan(choice, stream.chunks(step));
        assert_eq!((cut.1, cut.2), (whole.1, whole.2), "steps of {step}");
        assert!(cut.0 >= whole.0);
    }
});

/// Good bytes, what was wrong, and the heads passed.
fn scan<'a>(choice: u8, pieces: impl IntoIterator<Item = &'a [u8]>) -> (usize, Option<Violation>, u64) {
    let mut scanner = scanner(choice);
    let mut good = 0;
    for piece in pieces {
        let scanned = scanner.scan(piece);
        assert!(scanned.good <= piece.len());
        assert!(scanned.violation.is_some() || scanned.good == piece.len());
        good += scanned.good;
        if scanned.violation.is_some() {
            return (good, scanned.violation, scanner.heads());
        }
    }
    (good, None, scanner.heads())
}

fn scanner(choice: u8) -> Scanner {
    let asked = match choice & 7 {
        0 => Asked::Plain,
        1 => Asked::Head,
        2 => Asked::Connect,
        3 => Asked::Upgrade,
        _ => return Scanner::requests(LIMITS),
    };
    let mut scanner = Scanner::responses(LIMITS);
    scanner.expect(asked);
    scanner
}
