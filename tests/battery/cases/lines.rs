//! Line ends, folds, and bytes that have no place in a head.

use super::{MORE, bytes, get, post};
use crate::case::{Case, Seen, either, passed, refused};

pub(crate) fn cases() -> Vec<Case> {
    let seen = || Seen::get("/case");
    let mut cases = vec![
        // A recipient may take a bare LF for the end of a line; then it must do so everywhere.
        either("2.2", "every line ends in LF", "GET /case HTTP/1.1\nhost: {host}\n\n", seen()),
        either("2.2", "the request line ends in LF", "GET /case HTTP/1.1\nhost: {host}\r\n\r\n", seen()),
        either("2.2", "a field ends in LF", get("x-a: b\nx-c: d\r\n"), seen().with("x-a", "b").with("x-c", "d")),
        either("2.2", "the empty line ends in LF", "GET /case HTTP/1.1\r\nhost: {host}\r\n\n", seen()),
        either(
            "2.2",
            "a body behind an empty line that ends in LF",
            "POST /case HTTP/1.1\r\nhost: {host}\r\ncontent-length: 4\r\n\nbody",
            Seen::post("/case", "body"),
        ),
        either("2.2", "a field ends in CR CR LF", get("x-a: b\r\r\n"), seen()),
        refused("2.2", "every line ends in CR", "GET /case HTTP/1.1\rhost: {host}\r\r")
            .then(crate::case::Step::Shut)
            .or(crate::case::Told::Closed),
        refused("2.2", "the request line ends in CR", "GET /case HTTP/1.1\rhost: {host}\r\n\r\n"),
        either("2.2", "a bare CR in a value", get("x-a: b\rc\r\n"), seen().with("x-a", "b c")),
        either("2.2", "a bare CR at the end of a value", get("x-a: b\r \r\n"), seen()),
        refused("2.2", "a bare CR in a name", get("x-a\rb: c\r\n")),
        refused("2.2", "a bare CR before the colon", get("x-a\r: c\r\n")),
        refused("2.2", "a request behind a bare CR", get(&format!("x-a: b\r\r{}", MORE.replace("\r\n", "\r"))))
            .or(crate::case::Told::Closed)
            .then(crate::case::Step::Shut),
        either("9110 5.5", "a NUL in a value", get("x-a: b\0c\r\n"), seen().with("x-a", "b c")),
        either("9110 5.5", "a NUL at the end of a value", get("x-a: b\0\r\n"), seen()),
        either("9110 5.5", "a NUL and a field behind it", get("x-a: b\0content-length: 4\r\n"), seen()),
        refused("9110 5.5", "a NUL in Host", "GET /case HTTP/1.1\r\nhost: {host}\0.evil\r\n\r\n"),
        refused("5.1", "a NUL in a name", get("x\0a: b\r\n")),
        refused("3", "a NUL in the target", "GET /ca\0se HTTP/1.1\r\nhost: {host}\r\n\r\n"),
        refused("3", "a NUL in the method", "G\0ET /case HTTP/1.1\r\nhost: {host}\r\n\r\n"),
        refused("3", "a NUL before the method", "\0GET /case HTTP/1.1\r\nhost: {host}\r\n\r\n"),
        refused("3", "a NUL alone", "\0\r\n\r\n"),
        // Folds: refused, or made one space.
        either("5.2", "a folded value", get("x-a: b\r\n c\r\n"), seen().with("x-a", "b c")),
        either("5.2", "a value folded by a tab", get("x-a: b\r\n\tc\r\n"), seen().with("x-a", "b c")),
        either("5.2", "a value folded twice", get("x-a: b\r\n c\r\n d\r\n"), seen().with("x-a", "b c d")),
        either("5.2", "a value that begins in the next line", get("x-a:\r\n b\r\n"), seen().with("x-a", "b")),
        either("5.2", "a fold of white space alone", get("x-a: b\r\n \r\n"), seen().with("x-a", "b")),
        either("5.2", "a fold that looks like a field", get("x-a: b\r\n x-c: d\r\n"), seen().without("x-c")),
        either("5.2", "a folded length", post("content-length:\r\n 4\r\n", "body"), Seen::post("/case", "body")),
        refused("5.2", "a length folded within", post("content-length: 4\r\n 0\r\n", "body")),
        refused("5.2", "a folded Host", "GET /case HTTP/1.1\r\nhost: {host}\r\n .evil\r\n\r\n"),
        refused("5.2", "Host folded by a field that looks like another", "GET /case HTTP/1.1\r\nhost: {host}\r\n host: evil.test\r\n\r\n"),
        either("5.2", "a folded Connection", get("connection:\r\n x-a\r\nx-a: b\r\n"), seen().without("x-a")),
        // White space before the first field: refused, or those lines dropped.
        either("2.2", "a space before the first field", "GET /case HTTP/1.1\r\n x-a: b\r\nhost: {host}\r\n\r\n", seen().without("x-a")),
        either("2.2", "a tab before the first field", "GET /case HTTP/1.1\r\n\tx-a: b\r\nhost: {host}\r\n\r\n", seen().without("x-a")),
        refused("2.2", "a space before the only Host", "GET /case HTTP/1.1\r\n host: {host}\r\n\r\n"),
        either("2.2", "a space before a first Host of two", "GET /case HTTP/1.1\r\n host: evil.test\r\nhost: {host}\r\n\r\n", seen()),
        either(
            "2.2",
            "a space before a first coding",
            "POST /case HTTP/1.1\r\n transfer-encoding: chunked\r\nhost: {host}\r\ncontent-length: 4\r\n\r\nbody",
            Seen::post("/case", "body"),
        ),
        either("2.2", "a line of white space before the first field", "GET /case HTTP/1.1\r\n \r\nhost: {host}\r\n\r\n", seen()),
        // Empty lines before a request.
        passed("2.2", "an empty line before the request line", format!("\r\n{}", get("")), seen()),
        either("2.2", "ten empty lines before the request line", format!("{}{}", "\r\n".repeat(10), get("")), seen()),
        either("2.2", "an empty line that ends in LF before the request line", format!("\n{}", get("")), seen()),
        refused("2.2", "a CR before the request line", format!("\r{}", get(""))),
        refused("3", "a space before the request line", format!(" {}", get(""))),
        refused("3", "a tab before the request line", format!("\t{}", get(""))),
        refused("3", "a byte order mark before the request line", bytes(&format!("\u{ef}\u{bb}\u{bf}{}", get("")))),
        refused("3", "random bytes", bytes("\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\u{3}\u{3}\r\n\r\n")),
        // Values that are allowed.
        passed("9110 5.5", "a value of high bytes", bytes(&get("x-a: \u{ff}\u{80}\r\n")), seen().with("x-a", "\u{ff}\u{80}")),
        passed("5", "a value with tabs", get("x-a: b\tc\r\n"), seen().with("x-a", "b\tc")),
        passed("5", "white space around a value", get("x-a: \t b \t\r\n"), seen().with("x-a", "b")),
        passed("5", "no white space before a value", get("x-a:b\r\n"), seen().with("x-a", "b")),
        passed("5", "an empty value", get("x-a:\r\n"), seen().with("x-a", "")),
        passed("5", "a value with colons", get("x-a: :b: c\r\n"), seen().with("x-a", ":b: c")),
    ];
    for (name, c) in
        [("SOH", '\u{1}'), ("BEL", '\u{7}'), ("BS", '\u{8}'), ("VT", '\u{b}'), ("FF", '\u{c}'), ("ESC", '\u{1b}'), ("DEL", '\u{7f}')]
    {
        cases.push(either("9110 5.5", format!("{name} in a value"), get(&format!("x-a: b{c}c\r\n")), seen()));
        cases.push(refused("5.1", format!("{name} in a name"), get(&format!("x{c}a: b\r\n"))));
        cases.push(refused("3.2", format!("{name} in the target"), format!("GET /ca{c}se HTTP/1.1\r\nhost: {{host}}\r\n\r\n")));
    }
    cases
}
