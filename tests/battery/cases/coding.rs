//! `Transfer-Encoding`: `chunked` and nothing else, and never beside a length.

use super::{MORE, MORE_LEN, bytes, post};
use crate::case::{After, Case, Seen, Told, either, passed, refused};

/// A last chunk with [`MORE`] behind it.
fn ended() -> String {
    format!("0\r\n\r\n{MORE}")
}

/// Field lines that hide the coding from some receivers, each refused whatever else there is.
const HIDDEN: [(&str, &str, &str); 17] = [
    ("5.1", "a space before the colon", "transfer-encoding : chunked\r\n"),
    ("5.1", "a tab before the colon", "transfer-encoding\t: chunked\r\n"),
    ("5.1", "a vertical tab before the colon", "transfer-encoding\u{b}: chunked\r\n"),
    ("5.1", "a NUL before the colon", "transfer-encoding\0: chunked\r\n"),
    ("5.1", "a byte before the name", "\u{1}transfer-encoding: chunked\r\n"),
    ("5.1", "a high byte before the name", "\u{ff}transfer-encoding: chunked\r\n"),
    ("5.1", "a space within the name", "transfer encoding: chunked\r\n"),
    ("6.1", "a vertical tab before the value", "transfer-encoding: \u{b}chunked\r\n"),
    ("6.1", "a vertical tab behind the value", "transfer-encoding: chunked\u{b}\r\n"),
    ("6.1", "a NUL before the value", "transfer-encoding: \0chunked\r\n"),
    ("6.1", "a NUL behind the value", "transfer-encoding: chunked\0\r\n"),
    ("6.1", "a high byte before the value", "transfer-encoding: \u{ff}chunked\r\n"),
    ("2.2", "a bare CR behind the value", "transfer-encoding: chunked\rx\r\n"),
    ("2.2", "behind a bare CR", "x-a: b\rtransfer-encoding: chunked\r\n"),
    ("2.2", "a bare CR before the value", "transfer-encoding:\rchunked\r\n"),
    ("5.1", "an empty name before", ": b\r\ntransfer-encoding : chunked\r\n"),
    ("5.1", "a byte order mark", "\u{ef}\u{bb}\u{bf}transfer-encoding: chunked\r\n"),
];

/// Codings that are not understood, or that do not end the body.
const UNKNOWN: [&str; 18] = [
    "xchunked",
    "chunkedx",
    "x chunked",
    "chunked, identity",
    "identity, chunked",
    "identity",
    "gzip",
    "gzip, chunked",
    "chunked, gzip",
    "chunked, chunked",
    "\"chunked\"",
    "'chunked'",
    "chunked;q=1",
    "chunked; a=b",
    "chunked x",
    "",
    "cow",
    "[chunked]",
];

pub(crate) fn cases() -> Vec<Case> {
    let length = format!("content-length: {MORE_LEN}\r\n");
    let empty = || Seen::post("/case", "");
    let good = "4\r\nbody\r\n0\r\n\r\n";
    let seen = || Seen::post("/case", "body");
    let mut cases = vec![
        passed("6.1", "chunked", post("transfer-encoding: chunked\r\n", good), seen()),
        passed("7", "chunked in capitals", post("Transfer-Encoding: CHUNKED\r\n", good), seen()),
        passed("7", "chunked in mixed case", post("tRANSFER-eNCODING: cHuNkEd\r\n", good), seen()),
        passed("5.1", "chunked with white space around it", post("transfer-encoding:\t chunked \t\r\n", good), seen()),
        passed("5.1", "chunked without a space", post("transfer-encoding:chunked\r\n", good), seen()),
        either("9110 5.6.1", "an empty member before chunked", post("transfer-encoding: , chunked\r\n", good), seen())
            .or(Told::Status(&[501])),
        either("9110 5.6.1", "an empty member behind chunked", post("transfer-encoding: chunked,\r\n", good), seen())
            .or(Told::Status(&[501])),
        // A length beside a coding: refused, or read as chunked with the connection closed behind it.
        either("6.3", "CL.TE", post(&format!("{length}transfer-encoding: chunked\r\n"), &ended()), empty()).after(After::Closed),
        either("6.3", "TE.CL", post(&format!("transfer-encoding: chunked\r\n{length}"), &ended()), empty()).after(After::Closed),
        either("6.3", "a length of nothing beside chunked", post("content-length: 0\r\ntransfer-encoding: chunked\r\n", good), seen())
            .after(After::Closed),
        either("6.3", "a true length beside chunked", post("content-length: 14\r\ntransfer-encoding: chunked\r\n", good), seen())
            .after(After::Closed),
        either("6.3", "a bad length beside chunked", post("content-length: x\r\ntransfer-encoding: chunked\r\n", good), seen())
            .after(After::Closed),
        either(
            "6.3",
            "two lengths beside chunked",
            post("content-length: 4\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n", good),
            seen(),
        )
        .after(After::Closed),
        refused("7", "chunked twice in two lines", post("transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n", good))
            .or(Told::Status(&[501])),
        // The framing is clear here, so the connection may go on.
        refused("6.1", "an unknown coding in a first line", post("transfer-encoding: x\r\ntransfer-encoding: chunked\r\n", good))
            .or(Told::Status(&[501]))
            .after(After::Either),
        refused("6.1", "an unknown coding in a last line", post("transfer-encoding: chunked\r\ntransfer-encoding: x\r\n", good))
            .or(Told::Status(&[501])),
        // HTTP/1.0 knows no transfer codings: the framing is faulty.
        either("6.1", "HTTP/1.0 with chunked", ten("transfer-encoding: chunked\r\n", good), seen()).after(After::Closed),
        either("6.1", "HTTP/1.0 with chunked and a length", ten(&format!("{length}transfer-encoding: chunked\r\n"), &ended()), empty())
            .after(After::Closed),
        either(
            "6.1",
            "HTTP/1.0 that keeps alive with chunked",
            ten("connection: keep-alive\r\ntransfer-encoding: chunked\r\n", &ended()),
            empty(),
        )
        .after(After::Closed),
        either(
            "9110 9.3.1",
            "a GET with chunks",
            super::get("transfer-encoding: chunked\r\n") + good,
            Seen { body: b"body".into(), ..Seen::get("/case") },
        ),
        either("6.1", "an underscore in the name", post("content-length: 4\r\ntransfer_encoding: chunked\r\n", "body"), seen()),
        either("6.1", "the coding in the TE field", post("content-length: 4\r\nte: chunked\r\n", "body"), seen()),
        either("5.2", "folded before the value", post("transfer-encoding:\r\n chunked\r\n", good), seen()),
        refused("5.2", "folded within the value", post("transfer-encoding: chun\r\n ked\r\n", good)).or(Told::Status(&[501])),
        refused("5.2", "folded behind the value, with another", post("transfer-encoding: chunked\r\n , identity\r\n", good))
            .or(Told::Status(&[501])),
        // Folded onto another field it is no coding at all.
        either("5.2", "folded onto another field", post("x-a: b\r\n transfer-encoding: chunked\r\ncontent-length: 4\r\n", "body"), seen()),
        either(
            "5.2",
            "folded onto another field by a tab",
            post("x-a: b\r\n\ttransfer-encoding: chunked\r\ncontent-length: 4\r\n", "body"),
            seen(),
        ),
        // Who takes a bare LF for the end of a line sees both; who does not sees a bad value.
        either("2.2", "behind a bare LF", post(&format!("{length}x-a: b\ntransfer-encoding: chunked\r\n"), &ended()), empty())
            .after(After::Closed),
        either("2.2", "before a bare LF", post(&format!("{length}transfer-encoding: chunked\nx-a: b\r\n"), &ended()), empty())
            .after(After::Closed),
    ];
    for (section, name, line) in HIDDEN {
        cases.push(
            refused(section, format!("a hidden coding: {name}"), bytes(&post(&format!("{length}{line}"), &ended())))
                .or(Told::Status(&[501])),
        );
        cases.push(refused(section, format!("a hidden coding alone: {name}"), bytes(&post(line, &ended()))).or(Told::Status(&[501])));
    }
    for coding in UNKNOWN {
        let line = format!("transfer-encoding: {coding}\r\n");
        let framed = ["identity, chunked", "gzip, chunked"].contains(&coding);
        let (body, after) = if framed { (good.to_owned(), After::Either) } else { (ended(), After::Closed) };
        cases.push(refused("6.3", format!("the coding {coding:?}"), post(&line, &body)).or(Told::Status(&[501])).after(after));
        cases.push(
            refused("6.3", format!("the coding {coding:?} beside a length"), post(&format!("{length}{line}"), &ended()))
                .or(Told::Status(&[501])),
        );
    }
    cases
}

fn ten(fields: &str, body: &str) -> String {
    format!("POST /case HTTP/1.0\r\nhost: {{host}}\r\n{fields}\r\n{body}")
}
