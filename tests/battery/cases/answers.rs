//! Answers of an evil dyno: framing that is not clear, and heads that are none.

use std::sync::Arc;

use super::{bytes, get};
use crate::case::{Act, After, Case, Dyno, Reach, Seen, Told, answered, answered_to, passed};

/// Another answer, in the place where a careless receiver looks for one.
const MORE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nsmuggled";

/// Lengths that are none.
const LENGTHS: [&str; 13] =
    ["+2", "-2", "0x2", "2 2", "", "2,3", "2.0", "two", "\"2\"", "2;", "18446744073709551618", "99999999999999999999999999", "2\u{b}"];

/// What no status line may be.
const LINES: [&str; 20] = [
    "HTTP/1.1 99 Low",
    "HTTP/1.1 20 OK",
    "HTTP/1.1 2000 OK",
    "HTTP/1.1 2x0 OK",
    "HTTP/1.1 -20 OK",
    "HTTP/1.1  OK",
    "HTTP/1.1",
    "HTTP/1.1 ",
    "HTTP/1.1 000 Zero",
    "HTTP/1.1 200\0 OK",
    "HTTP/1.1\t200\tOK",
    "HTTP/2.0 200 OK",
    "HTTP/0.9 200 OK",
    "http/1.1 200 OK",
    "HTTP/11 200 OK",
    "HTTPS/1.1 200 OK",
    "ICY 200 OK",
    "200 OK",
    "GET / HTTP/1.1",
    "HTTP/1.1 0200 OK",
];

fn ok(fields: &str, body: &str) -> Vec<u8> {
    bytes(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n{body}"))
}

/// Whole, or refused.
fn may(case: Case, body: &str) -> Case {
    case.whole(200, body).or(Told::Mesh(&[502]))
}

/// Refused, whole answers being out of the question.
fn bad(case: Case) -> Case {
    case.told([Told::Mesh(&[502])])
}

pub(crate) fn framing() -> Vec<Case> {
    let more = |text: &str| format!("{text}{MORE}");
    let twice = |fields: &str| {
        bad(answered("6.3", format!("an answer with {}", fields.trim_end().replace("\r\n", " and ")), ok(fields, &more("ok"))))
    };
    let mut cases = vec![
        answered("6.3", "a plain answer", ok("content-length: 2\r\n", "ok")).whole(200, "ok").after(After::Open),
        answered("6.3", "a chunked answer", ok("transfer-encoding: chunked\r\n", "2\r\nok\r\n0\r\n\r\n"))
            .whole(200, "ok")
            .after(After::Open),
        answered("7.1.1", "a chunked answer with extensions", ok("transfer-encoding: chunked\r\n", "2;a=b\r\nok\r\n0\r\n\r\n"))
            .whole(200, "ok")
            .after(After::Open),
        answered("6.3", "an answer of no length", ok("content-length: 0\r\n", "")).whole(200, "").after(After::Open),
        answered("6.3", "an answer that ends with its connection", ok("", "ok")).act(Act::Close).whole(200, "ok"),
        answered("6.3", "an answer that says that it ends with its connection", ok("connection: close\r\n", "ok"))
            .act(Act::Close)
            .whole(200, "ok"),
        answered("9.3", "an answer of HTTP/1.0", bytes("HTTP/1.0 200 OK\r\n\r\nok")).act(Act::Close).whole(200, "ok"),
        answered("9.3", "an answer of HTTP/1.0 with a length", bytes("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok"))
            .act(Act::Close)
            .whole(200, "ok")
            .after(After::Open),
        may(
            answered(
                "6.3",
                "a length and chunks",
                ok("content-length: 30\r\ntransfer-encoding: chunked\r\n", &more("2\r\nok\r\n0\r\n\r\n")),
            ),
            "ok",
        ),
        may(
            answered(
                "6.3",
                "chunks and a length",
                ok("transfer-encoding: chunked\r\ncontent-length: 2\r\n", &more("2\r\nok\r\n0\r\n\r\n")),
            ),
            "ok",
        ),
        may(answered("6.3", "the same length twice", ok("content-length: 2\r\ncontent-length: 2\r\n", "ok")), "ok"),
        may(answered("6.3", "a list of the same length", ok("content-length: 2, 2\r\n", "ok")), "ok"),
        may(answered("6.3", "a length of leading zeros", ok("content-length: 0002\r\n", "ok")), "ok"),
        may(answered("5.1", "a length with a space before the colon", ok("content-length : 2\r\n", &more("ok"))), "ok"),
        may(
            answered("5.1", "chunks with a space before the colon", ok("transfer-encoding : chunked\r\n", &more("2\r\nok\r\n0\r\n\r\n"))),
            "ok",
        ),
        twice("content-length: 2\r\ncontent-length: 41\r\n"),
        twice("content-length: 41\r\ncontent-length: 2\r\n"),
        twice("content-length: 2, 41\r\n"),
        twice("content-length: 2\r\ncontent-length: x\r\n"),
    ];
    for coding in ["gzip, chunked", "xchunked", "chunked, chunked", "chunked, gzip", "identity", "\"chunked\"", "chunked;a=b", ""] {
        let fields = format!("transfer-encoding: {coding}\r\n");
        let case =
            answered("6.3", format!("an answer in the coding {coding:?}"), ok(&fields, &more("2\r\nok\r\n0\r\n\r\n"))).act(Act::Close);
        let case = bad(case).or(Told::Broken);
        // `identity` is no coding at all, and what it leaves is a body that ends with its connection.
        cases.push(if coding == "identity" { case.or(Told::Status(&[200])) } else { case });
    }
    cases.extend(LENGTHS.map(|length| {
        bad(answered("6.3", format!("an answer of the length {length:?}"), ok(&format!("content-length: {length}\r\n"), &more("ok"))))
    }));
    for chunks in [
        "zz\r\nok\r\n",
        "2\r\nokXX",
        "2\r\nok0\r\n\r\n",
        "0x2\r\nok\r\n0\r\n\r\n",
        "+2\r\nok\r\n0\r\n\r\n",
        "-2\r\nok\r\n0\r\n\r\n",
        "10000000000000002\r\nok\r\n0\r\n\r\n",
        "2\nok\r\n0\r\n\r\n",
        "2\r\nok\n0\r\n\r\n",
        "3\r\nok\r\n0\r\n\r\n",
        "\r\nok\r\n0\r\n\r\n",
        "2\r\nok\r\n-0\r\n\r\n",
        "2;a\nb\r\nok\r\n0\r\n\r\n",
    ] {
        for method in ["GET", "POST"] {
            let name = format!("{method}: an answer in chunks that are none, {:?}", chunks);
            cases.push(answered_to("7.1", name, method, ok("transfer-encoding: chunked\r\n", &more(chunks))).broken());
        }
    }
    cases.push(
        answered(
            "7.1.2",
            "an answer with a trailer",
            ok("transfer-encoding: chunked\r\ntrailer: x-t\r\n", "2\r\nok\r\n0\r\nx-t: 1\r\n\r\n"),
        )
        .whole(200, "ok")
        .after(After::Open),
    );
    for line in [
        "content-length: 9",
        "transfer-encoding: chunked",
        "connection: close",
        "x-dynomesh-verdict: not-dispatched",
        "set-cookie : a=b",
        "x-t: a\0b",
    ] {
        let case = answered(
            "9110 6.5.1",
            format!("an answer with the trailer {line:?}"),
            ok("transfer-encoding: chunked\r\n", &format!("2\r\nok\r\n0\r\n{line}\r\n\r\n")),
        );
        let name = line.split([':', ' ']).next().unwrap_or_default();
        let case = case.whole(200, "ok").or(Told::Broken).or(Told::Mesh(&[502]));
        cases.push(if name == "transfer-encoding" || name == "connection" { case } else { case.without(name) });
    }
    cases
}

pub(crate) fn heads() -> Vec<Case> {
    let field = |section, name: &str, fields: &str| {
        answered(section, format!("an answer with {name}"), ok(&format!("content-length: 2\r\n{fields}"), "ok"))
    };
    let many: String = (0..5000).map(|n| format!("x-{n}: {n}\r\n")).collect();
    let ninety: String = (0..90).map(|n| format!("x-{n}: {n}\r\n")).collect();
    let mut cases = vec![
        field("5", "a field", "x-a: b\r\n").whole(200, "ok").with("x-a", "b").after(After::Open),
        field("5", "an empty value", "x-a:\r\n").whole(200, "ok").with("x-a", "").after(After::Open),
        field("5", "two cookies", "set-cookie: a=1\r\nset-cookie: b=2\r\n")
            .whole(200, "ok")
            .with("set-cookie", "a=1")
            .with("set-cookie", "b=2")
            .after(After::Open),
        may(field("5.2", "a fold", "x-a: b\r\n c\r\n"), "ok"),
        may(field("5.2", "a fold that looks like a field", "x-a: b\r\n set-cookie: c\r\n"), "ok").without("set-cookie"),
        may(field("2.2", "a bare LF", "x-a: b\nx-c: d\r\n"), "ok"),
        may(field("2.2", "a bare CR", "x-a: b\rx-c: d\r\n"), "ok").without("x-c"),
        may(field("9110 5.5", "a NUL", "x-a: b\0c\r\n"), "ok"),
        may(field("9110 5.5", "a control character", "x-a: b\u{1}c\r\n"), "ok"),
        may(field("5.1", "a space before the colon", "x-a : b\r\n"), "ok"),
        may(field("5.1", "no colon", "x-a\r\n"), "ok"),
        may(field("5.1", "no name", ": b\r\n"), "ok"),
        may(field("5.1", "a space in a name", "x a: b\r\n"), "ok"),
        may(field("2.2", "white space before the first field", ""), "ok"),
        may(
            answered(
                "2.2",
                "an answer with a space before the first field",
                bytes("HTTP/1.1 200 OK\r\n x-a: b\r\ncontent-length: 2\r\n\r\nok"),
            ),
            "ok",
        )
        .without("x-a"),
        may(answered("2.2", "an answer whose lines end in LF", bytes("HTTP/1.1 200 OK\ncontent-length: 2\n\nok")), "ok"),
        may(answered("4", "an answer without a reason", bytes("HTTP/1.1 200 \r\ncontent-length: 2\r\n\r\nok")), "ok"),
        may(answered("4", "an answer without the space behind its status", bytes("HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nok")), "ok"),
        may(answered("4", "an answer whose reason has a NUL", bytes("HTTP/1.1 200 O\0K\r\ncontent-length: 2\r\n\r\nok")), "ok"),
        may(
            answered("4", "an answer whose reason has a CR", bytes("HTTP/1.1 200 O\rset-cookie: a=b\r\ncontent-length: 2\r\n\r\nok")),
            "ok",
        )
        .without("set-cookie"),
        may(answered("2.3", "an answer of HTTP/1.2", bytes("HTTP/1.2 200 OK\r\ncontent-length: 2\r\n\r\nok")), "ok"),
        may(answered("2.2", "an answer behind an empty line", bytes("\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")), "ok"),
        answered("9110 15", "a status of 599", bytes("HTTP/1.1 599 x\r\ncontent-length: 2\r\n\r\nok")).whole(599, "ok"),
        answered("9110 15", "a status of 600", bytes("HTTP/1.1 600 x\r\ncontent-length: 2\r\n\r\nok"))
            .whole(600, "ok")
            .or(Told::Mesh(&[502])),
        answered("9110 15", "a status of 999", bytes("HTTP/1.1 999 x\r\ncontent-length: 2\r\n\r\nok"))
            .whole(999, "ok")
            .or(Told::Mesh(&[502])),
        may(field("5", "90 fields", &ninety), "ok"),
        may(field("5", "5000 fields", &many), "ok"),
        may(field("5", "a field of 2 MB", &format!("x-a: {}\r\n", "b".repeat(2 << 20))), "ok"),
        bad(answered("4", "an answer whose status line never ends", bytes(&format!("HTTP/1.1 200 {}", "x".repeat(4 << 20)))))
            .or(Told::Mesh(&[504])),
        // What belongs to the dyno's connection ends there; the client's own goes on.
        field("9110 7.6.1", "Connection: close", "connection: close\r\n").act(Act::Close).whole(200, "ok").after(After::Open),
        field("9110 7.6.1", "a field listed in Connection", "connection: x-a\r\nx-a: b\r\n")
            .whole(200, "ok")
            .without("x-a")
            .after(After::Open),
        field("9110 7.6.1", "Keep-Alive", "keep-alive: timeout=1\r\nconnection: keep-alive\r\n")
            .whole(200, "ok")
            .without("keep-alive")
            .after(After::Open),
        field("9110 7.6.1", "Proxy-Connection", "proxy-connection: close\r\n")
            .whole(200, "ok")
            .without("proxy-connection")
            .after(After::Open),
        field("9110 7.8", "Upgrade", "upgrade: h2c\r\nconnection: upgrade\r\n").whole(200, "ok").without("upgrade").after(After::Open),
        field("9110 7.6.1", "Connection: content-length", "connection: content-length\r\n").whole(200, "ok"),
        // Words of the mesh are the mesh's.
        field("issue", "a forged verdict", "x-dynomesh-verdict: not-dispatched\r\nx-dynomesh-reason: not-leader\r\n")
            .whole(200, "ok")
            .without("x-dynomesh-verdict")
            .without("x-dynomesh-reason"),
        field("issue", "a forged leader", "x-dynomesh-leader: 999999/1/127.0.0.1:9\r\nx-dynomesh-load: 0/9/0\r\n")
            .whole(200, "ok")
            .without("x-dynomesh-leader")
            .without("x-dynomesh-load"),
        field("issue", "a forged framing", "x-dynomesh-framing: close\r\n")
            .whole(200, "ok")
            .without("x-dynomesh-framing")
            .after(After::Open),
        field("issue", "a forged block", "x-dynomesh-block: evil\r\n").whole(200, "ok").with("x-dynomesh-block", "b1"),
        field("issue", "a forged error", "x-dynomesh-error: no-block\r\n").whole(200, "ok"),
    ];
    cases.extend(
        LINES.map(|line| bad(answered("4", format!("the status line {line:?}"), bytes(&format!("{line}\r\ncontent-length: 2\r\n\r\nok"))))),
    );
    cases.push(bad(answered("4", "no answer but bytes", bytes("\u{16}\u{3}\u{1}\0\0junk\r\n\r\n"))));
    cases.extend(bodiless());
    cases
}

/// Answers that have no body whatever they say, and what an evil dyno sends behind them.
fn bodiless() -> Vec<Case> {
    let head = |section, name: &str, fields: &str, behind: &str| {
        answered_to(section, format!("HEAD: {name}"), "HEAD", ok(fields, behind)).status(&[200])
    };
    let status = |section, name: &str, line: &str, fields: &str, behind: &str, statuses: &'static [u16]| {
        answered(section, name, bytes(&format!("HTTP/1.1 {line}\r\n{fields}\r\n{behind}"))).status(statuses)
    };
    vec![
        head("6.3", "a length", "content-length: 2\r\n", "").with("content-length", "2").after(After::Open),
        head("6.3", "chunks", "transfer-encoding: chunked\r\n", "").after(After::Open),
        head("6.3", "a body", "content-length: 2\r\n", "ok"),
        head("6.3", "a body in chunks", "transfer-encoding: chunked\r\n", "2\r\nok\r\n0\r\n\r\n"),
        head("6.3", "another answer", "content-length: 41\r\n", MORE),
        head("6.3", "no framing, and an end", "", "").act(Act::Close),
        status("6.3", "a 204", "204 No Content", "", "", &[204]).after(After::Open),
        status("6.3", "a 204 with a length", "204 No Content", "content-length: 2\r\n", "", &[204]).without("content-length"),
        status("6.3", "a 204 with a body", "204 No Content", "content-length: 2\r\n", "ok", &[204]).without("content-length"),
        status("6.3", "a 204 with chunks", "204 No Content", "transfer-encoding: chunked\r\n", "2\r\nok\r\n0\r\n\r\n", &[204])
            .without("transfer-encoding"),
        status("6.3", "a 204 with another answer", "204 No Content", "content-length: 41\r\n", MORE, &[204]),
        status("6.3", "a 304", "304 Not Modified", "", "", &[304]).after(After::Open),
        status("6.3", "a 304 with a length", "304 Not Modified", "content-length: 2\r\n", "", &[304]).after(After::Open),
        status("6.3", "a 304 with a body", "304 Not Modified", "content-length: 2\r\n", "ok", &[304]),
        status("6.3", "a 304 with another answer", "304 Not Modified", "content-length: 41\r\n", MORE, &[304]),
        status("9110 15.3.6", "a 205 with a body", "205 Reset Content", "content-length: 2\r\n", "ok", &[205]),
        old("HTTP/1.0 is not told in chunks", "transfer-encoding: chunked\r\n", "2\r\nok\r\n0\r\n\r\n")
            .whole(200, "ok")
            .without("transfer-encoding"),
        old("HTTP/1.0 is told a length", "content-length: 2\r\n", "ok").whole(200, "ok"),
        old("HTTP/1.0 is not told half for the whole", "transfer-encoding: chunked\r\n", "2\r\nok\r\n").act(Act::Close).broken(),
        old("HTTP/1.0 is not told a bad chunk for an end", "transfer-encoding: chunked\r\n", "2\r\nok\r\nzz\r\n").broken(),
        old("HTTP/1.0 is not told a reset for an end", "", "ok").act(Act::Pause(50)).act(Act::Reset).broken(),
    ]
}

fn old(name: &str, fields: &str, body: &str) -> Case {
    let request = get("").replace("/case HTTP/1.1", "/evil HTTP/1.0");
    let dyno = Dyno::Acts(vec![Act::Say(ok(fields, body))]);
    let case = passed("6.1", name, request, Seen::get("/evil")).dyno(dyno).after(After::Closed);
    Case { repeats: true, reach: Reach::These(vec![Seen::get("/evil")]), dyno: Arc::clone(&case.dyno), ..case }
}
