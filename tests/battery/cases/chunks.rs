//! Chunks and trailers: read by the grammar, or refused.

use super::{MORE, bytes, post};
use crate::case::{After, Case, Seen, Step, Told, either, passed, refused};

/// Chunk streams that end in nobody's grammar.
const BAD: [(&str, &str); 34] = [
    ("a 0x prefix", "0x4\r\nbody\r\n0\r\n\r\n"),
    ("a plus sign", "+4\r\nbody\r\n0\r\n\r\n"),
    ("a minus sign", "-4\r\nbody\r\n0\r\n\r\n"),
    ("a space before the size", " 4\r\nbody\r\n0\r\n\r\n"),
    ("an empty size", "\r\nbody\r\n0\r\n\r\n"),
    ("no digit", "g\r\nbody\r\n0\r\n\r\n"),
    ("junk behind the size", "4x\r\nbody\r\n0\r\n\r\n"),
    ("a comma behind the size", "4,\r\nbody\r\n0\r\n\r\n"),
    ("an underscore in the size", "0_4\r\nbody\r\n0\r\n\r\n"),
    ("two sizes", "4 4\r\nbody\r\n0\r\n\r\n"),
    ("a quoted size", "\"4\"\r\nbody\r\n0\r\n\r\n"),
    ("a NUL behind the size", "4\0\r\nbody\r\n0\r\n\r\n"),
    ("a vertical tab behind the size", "4\u{b}\r\nbody\r\n0\r\n\r\n"),
    ("a high byte behind the size", "4\u{ff}\r\nbody\r\n0\r\n\r\n"),
    ("a size of 2^64 + 4", "10000000000000004\r\nbody\r\n0\r\n\r\n"),
    ("a size of 2^128 + 4", "100000000000000000000000000000004\r\nbody\r\n0\r\n\r\n"),
    ("a size line that ends in LF", "4\nbody\r\n0\r\n\r\n"),
    ("a size line that ends in CR", "4\rbody\r\n0\r\n\r\n"),
    ("a size line that ends in CR CR LF", "4\r\r\nbody\r\n0\r\n\r\n"),
    ("an extension with a bare LF", "4;a\nbody\r\n0\r\n\r\n"),
    ("an extension with a bare CR", "4;a\rb\r\nbody\r\n0\r\n\r\n"),
    ("an extension with a NUL", "4;a=\0\r\nbody\r\n0\r\n\r\n"),
    ("no line end behind the data", "4\r\nbody0\r\n\r\n"),
    ("a line end of LF behind the data", "4\r\nbody\n0\r\n\r\n"),
    ("a line end of CR behind the data", "4\r\nbody\r0\r\n\r\n"),
    ("two other bytes behind the data", "4\r\nbodyXX0\r\n\r\n"),
    ("more data than the size", "3\r\nbody\r\n0\r\n\r\n"),
    ("a last chunk that ends in LF", "4\r\nbody\r\n0\n\n"),
    ("a minus before the last chunk", "4\r\nbody\r\n-0\r\n\r\n"),
    ("0x before the last chunk", "4\r\nbody\r\n0x0\r\n\r\n"),
    ("a trailer without a colon", "4\r\nbody\r\n0\r\nx\r\n\r\n"),
    ("a trailer with a space before the colon", "4\r\nbody\r\n0\r\nx-t : 1\r\n\r\n"),
    ("a trailer with an empty name", "4\r\nbody\r\n0\r\n: 1\r\n\r\n"),
    ("a trailer with a space in its name", "4\r\nbody\r\n0\r\nx t: 1\r\n\r\n"),
];

/// The same, and a receiver that is less strict finds [`MORE`].
fn smuggling() -> [(&'static str, String); 7] {
    [
        ("a request behind a chunk's extension and a bare LF", format!("1;a\nb\r\n0\r\n\r\n{MORE}0\r\n\r\n")),
        ("a request behind a size that ends in LF", format!("0\n\r\n{MORE}")),
        ("a request behind a missing line end", format!("4\r\nbody0\r\n\r\n{MORE}")),
        ("a request behind a size that wraps", format!("10000000000000000\r\n\r\n{MORE}")),
        ("a request in a trailer that ends in LF", format!("0\r\nx-t: 1\n\n{MORE}\r\n\r\n")),
        ("a request behind a trailer without a colon", format!("0\r\nx\r\n\r\n{MORE}")),
        ("a request behind -0", format!("-0\r\n\r\n{MORE}")),
    ]
}

pub(crate) fn cases() -> Vec<Case> {
    let chunked = |body: &str| bytes(&post("transfer-encoding: chunked\r\n", body));
    let pass = |section, name: &str, body: &str, seen: &str| passed(section, name, chunked(body), Seen::post("/case", seen));
    let may = |section, name: &str, body: &str, seen: &str| either(section, name, chunked(body), Seen::post("/case", seen));
    let mut cases = vec![
        pass("7.1", "several chunks", "2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n", "body"),
        pass("7.1", "sizes in both cases", "A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789"),
        pass("7.1", "a last chunk alone", "0\r\n\r\n", ""),
        pass("7.1", "a last chunk of many zeros", "4\r\nbody\r\n0000\r\n\r\n", "body"),
        pass("7.1", "leading zeros", "0004\r\nbody\r\n0\r\n\r\n", "body"),
        pass("7.1.1", "an extension", "4;a=b\r\nbody\r\n0\r\n\r\n", "body"),
        pass("7.1.1", "an extension without a value", "4;a\r\nbody\r\n0\r\n\r\n", "body"),
        pass("7.1.1", "a quoted extension", "4;a=\"b c\";d=e\r\nbody\r\n0\r\n\r\n", "body"),
        pass("7.1.1", "an extension of the last chunk", "4\r\nbody\r\n0;a=b\r\n\r\n", "body"),
        pass("7.1.1", "a quoted extension with an escape", "4;a=\"\\\"\"\r\nbody\r\n0\r\n\r\n", "body"),
        pass("7.1", "data that looks like a last chunk", "9\r\n0\r\n\r\nGET \r\n0\r\n\r\n", "0\r\n\r\nGET "),
        pass("7.1", "data that looks like a request", "18\r\nGET /smuggled HTTP/1.1\r\n\r\n0\r\n\r\n", "GET /smuggled HTTP/1.1\r\n"),
        may("7.1.1", "white space around an extension", "4 ; a = b\r\nbody\r\n0\r\n\r\n", "body"),
        may("7.1.1", "an extension without a name", "4;\r\nbody\r\n0\r\n\r\n", "body"),
        may("7.1.1", "a quote that is never closed", "4;a=\"\r\nbody\r\n0\r\n\r\n", "body"),
        may("7.1", "white space behind the size", "4 \r\nbody\r\n0\r\n\r\n", "body"),
        may("7.1", "a tab behind the size", "4\t\r\nbody\r\n0\r\n\r\n", "body"),
        may("7.1", "400 leading zeros", &format!("{}4\r\nbody\r\n0\r\n\r\n", "0".repeat(400)), "body"),
        may("7.1", "an empty line that ends in LF", "4\r\nbody\r\n0\r\n\n", "body").or(Told::Status(&[408])),
        may("7.1.2", "a trailer that ends in LF", "4\r\nbody\r\n0\r\nx-t: 1\n\r\n", "body").or(Told::Status(&[408])),
        may("5.2", "a folded trailer", "4\r\nbody\r\n0\r\nx-t: 1\r\n 2\r\n\r\n", "body"),
        may("5.5", "a trailer with a NUL", "4\r\nbody\r\n0\r\nx-t: a\0b\r\n\r\n", "body"),
        passed("7.1.2", "a trailer", chunked("4\r\nbody\r\n0\r\nx-t: 1\r\n\r\n"), Seen::post("/case", "body").with("x-t", "1")),
        passed(
            "7.1.2",
            "a trailer that was announced",
            post("transfer-encoding: chunked\r\ntrailer: x-t\r\n", "4\r\nbody\r\n0\r\nx-t: 1\r\n\r\n"),
            Seen::post("/case", "body").with("x-t", "1"),
        ),
        refused("7.1.1", "an extension of a megabyte", chunked(&format!("4;a={}\r\nbody\r\n0\r\n\r\n", "x".repeat(1 << 20))))
            .or(Told::Status(&[413, 431])),
        refused(
            "7.1.1",
            "4000 chunks with long extensions",
            chunked(&format!("{}0\r\n\r\n", format!("1;a={}\r\nx\r\n", "y".repeat(500)).repeat(4000))),
        )
        .or(Told::Status(&[413, 431])),
        refused("7.1.2", "trailers of 200 KB", chunked(&format!("4\r\nbody\r\n0\r\nx-t: {}\r\n\r\n", "x".repeat(200 << 10))))
            .or(Told::Status(&[413, 431])),
        refused("7.1.2", "5000 trailers", chunked(&format!("4\r\nbody\r\n0\r\n{}\r\n", "x-t: 1\r\n".repeat(5000))))
            .or(Told::Status(&[413, 431])),
        cut("a chunk of 4 GiB and 4 bytes that does not come", chunked("100000004\r\nbody\r\n0\r\n\r\n")),
        cut("a chunk that does not end", chunked("8\r\nbody")),
        cut("chunks that do not end", chunked("4\r\nbody\r\n")),
        cut("a last chunk without its empty line", chunked("4\r\nbody\r\n0\r\n")),
        cut("trailers that do not end", chunked("4\r\nbody\r\n0\r\nx-t: 1\r\n")),
        refused(
            "7.1",
            "a bad chunk behind 300 KB of good ones",
            chunked(&format!("{}zz\r\n", format!("1000\r\n{}\r\n", "x".repeat(4096)).repeat(75))),
        )
        .or(Told::Closed),
    ];
    // A receiver that merges trailers into the fields must not find framing, routing or words of the mesh there (RFC 9110, 6.5.1).
    for line in [
        "content-length: 40",
        "transfer-encoding: chunked",
        "host: evil.test",
        "connection: close",
        "x-dynomesh-app: other",
        "trailer: x-t",
        "te: trailers",
        "X-Dynomesh-Verdict: not-dispatched",
        "content-encoding: gzip",
        "authorization: Basic eA==",
    ] {
        cases.push(may("9110 6.5.1", &format!("the trailer {line}"), &format!("4\r\nbody\r\n0\r\n{line}\r\n\r\n"), "body"));
    }
    cases.extend(BAD.iter().map(|(name, body)| refused("7.1", *name, chunked(body))));
    cases.extend(smuggling().map(|(name, body)| refused("7.1", name, chunked(&body))));
    cases
}

/// A client that ends before its request does.
fn cut(name: &str, bytes: Vec<u8>) -> Case {
    refused("8", name, bytes).then(Step::Shut).or(Told::Closed).after(After::Closed)
}
