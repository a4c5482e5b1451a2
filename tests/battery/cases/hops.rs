//! What belongs to one connection, what is the mesh's own, and what a client may ask of those on the way.

use super::{get, post};
use crate::case::{Act, After, Case, Dyno, Reach, Seen, Step, Told, either, passed, refused};

/// Field lines that end with their connection (RFC 9110, section 7.6.1).
const HOP_BY_HOP: [(&str, &str); 6] = [
    ("keep-alive", "keep-alive: timeout=5\r\n"),
    ("proxy-connection", "proxy-connection: keep-alive\r\n"),
    ("te", "te: gzip;q=0.5\r\n"),
    ("upgrade", "upgrade: example/1\r\n"),
    ("http2-settings", "http2-settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"),
    ("x-a", "connection: x-a\r\nx-a: b\r\n"),
];

/// Words of the mesh in a client's mouth.
const FORGED: [&str; 12] = [
    "x-dynomesh-app",
    "x-dynomesh-deadline-ms",
    "x-dynomesh-dyno-attempts",
    "x-dynomesh-must-queue",
    "x-dynomesh-length",
    "x-dynomesh-beat",
    "x-dynomesh-verdict",
    "x-dynomesh-term",
    "x-dynomesh-slot",
    "X-Dynomesh-Framing",
    "X-DYNOMESH-REASON",
    "x-dynomesh-never-heard-of",
];

pub(crate) fn cases() -> Vec<Case> {
    let seen = || Seen::get("/case");
    let mut cases = vec![
        passed(
            "9110 7.6.1",
            "two fields listed in Connection",
            get("connection: x-a, x-c\r\nx-a: b\r\nx-c: d\r\nx-e: f\r\n"),
            seen().without("x-a").without("x-c").with("x-e", "f"),
        ),
        passed(
            "9110 7.6.1",
            "fields listed in two Connections",
            get("connection: x-a\r\nx-a: b\r\nConnection: X-C\r\nx-c: d\r\n"),
            seen().without("x-a").without("x-c"),
        ),
        passed("9110 7.6.1", "a field listed in Connection that is not there", get("connection: x-a\r\n"), seen()),
        // Lists that name what the mesh itself needs: it stays, or the request is refused.
        either("9110 7.6.1", "Connection: host", get("connection: host\r\n"), seen()),
        either(
            "9110 7.6.1",
            "Connection: content-length",
            post("content-length: 4\r\nconnection: content-length\r\n", "body"),
            Seen::post("/case", "body"),
        ),
        either(
            "9110 7.6.1",
            "Connection: transfer-encoding",
            post("transfer-encoding: chunked\r\nconnection: transfer-encoding\r\n", "4\r\nbody\r\n0\r\n\r\n"),
            Seen::post("/case", "body"),
        ),
        either(
            "9110 7.6.1",
            "Connection: x-dynomesh-block",
            get("connection: x-dynomesh-block\r\n"),
            seen().with("x-dynomesh-block", "b1"),
        ),
        either(
            "9110 7.6.1",
            "Connection: x-forwarded-for",
            get("connection: x-forwarded-for\r\n"),
            seen().with("x-forwarded-for", "127.0.0.1"),
        ),
        either("9110 7.6.1", "Connection: x-request-id", get("connection: x-request-id\r\n"), seen().with("x-request-id", "*")),
        either("9110 7.6.1", "Connection: via", get("connection: via\r\n"), seen().with("via", "*")),
        either("9110 7.6.1", "Connection: x-dynomesh-app", get("connection: x-dynomesh-app, x-dynomesh-deadline-ms\r\n"), seen()),
        either("9110 7.6.1", "Connection: connection", get("connection: connection\r\n"), seen()),
        either("9110 7.6.1", "a Connection that is no list of tokens", get("connection: (x), \"y\", , a b\r\n"), seen()),
        either("9110 7.6.1", "a Connection of 1000 names", get(&format!("connection: {}\r\n", "x-a, ".repeat(1000))), seen()),
        // What the mesh adds.
        passed("9110 7.6.3", "Via is added", get(""), seen().with("via", "*")),
        passed("9110 7.6.3", "Via is added behind others", get("via: 1.0 other\r\n"), seen().with("via", "*")),
        passed(
            "issue",
            "the client is told to the dyno",
            get(""),
            seen().with("x-forwarded-for", "127.0.0.1").with("x-forwarded-proto", "http").with("x-forwarded-port", "*"),
        ),
        passed("issue", "a request gets an id and a start", get(""), seen().with("x-request-id", "*").with("x-request-start", "*")),
        passed("issue", "a request keeps its id", get("x-request-id: own-1\r\n"), seen().with("x-request-id", "own-1")),
        either("issue", "an id that is none", get("x-request-id: a b\r\n"), seen().with("x-request-id", "*")),
        passed("issue", "a forged block", get("x-dynomesh-block: evil\r\n"), seen().with("x-dynomesh-block", "b1")),
        // Expectations.
        passed(
            "9110 10.1.1",
            "Expect: 100-continue, the body withheld",
            post("content-length: 4\r\nexpect: 100-continue\r\n", ""),
            Seen::post("/case", "body").with("expect", "100-continue"),
        )
        .then(Step::Await(100))
        .send("body")
        .method("POST")
        .interim(&[&[100]]),
        passed(
            "9110 10.1.1",
            "Expect: 100-continue with chunks withheld",
            post("transfer-encoding: chunked\r\nexpect: 100-continue\r\n", ""),
            Seen::post("/case", "body"),
        )
        .then(Step::Await(100))
        .send("4\r\nbody\r\n0\r\n\r\n")
        .interim(&[&[100]]),
        passed(
            "9110 10.1.1",
            "Expect: 100-continue, the body at once",
            post("content-length: 4\r\nexpect: 100-continue\r\n", "body"),
            Seen::post("/case", "body"),
        )
        .interim(&[&[], &[100]]),
        passed(
            "9110 10.1.1",
            "Expect in mixed case",
            post("content-length: 4\r\nExpect: 100-Continue\r\n", ""),
            Seen::post("/case", "body"),
        )
        .then(Step::Await(100))
        .send("body")
        .interim(&[&[100]]),
        passed("9110 10.1.1", "Expect without a body", get("expect: 100-continue\r\n"), seen()).interim(&[&[], &[100]]),
        passed(
            "9110 10.1.1",
            "Expect from HTTP/1.0 is ignored",
            "POST /case HTTP/1.0\r\nhost: {host}\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\nbody",
            Seen::post("/case", "body"),
        )
        .after(After::Closed),
        either("9110 10.1.1", "an expectation that nobody knows", get("expect: the-unexpected\r\n"), seen()).status(&[200, 400, 417]),
        // The client sends no body now, so what it sends next must not be taken for one.
        refused(
            "9110 10.1.1",
            "Expect at a host that nobody has",
            "POST /case HTTP/1.1\r\nhost: unknown.test\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n",
        )
        .status(&[404, 421]),
        passed(
            "9110 10.1.1",
            "Expect, and the dyno refuses",
            post("content-length: 4\r\nexpect: 100-continue\r\n", ""),
            Seen::post("/case", "body"),
        )
        .dyno(Dyno::Early(vec![Act::Say(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\nno".to_vec())]))
        .then(Step::Await(100))
        .send("body")
        .status(&[401])
        .interim(&[&[], &[100]])
        .after(After::Either)
        .reach(Reach::AtMost(vec![Seen::post("/case", "body")])),
        // Upgrades that nobody grants.
        passed(
            "9110 7.8",
            "Upgrade: h2c is not taken up",
            get("connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"),
            seen().without("http2-settings").with("x-request-id", "*"),
        ),
        passed("9110 7.8", "Upgrade that is not listed in Connection", get("upgrade: websocket\r\n"), seen().without("upgrade")),
        passed(
            "9110 7.8",
            "a request behind an upgrade that was not granted",
            get("connection: upgrade\r\nupgrade: h2c\r\n") + &get(""),
            seen(),
        )
        .methods(&["GET", "GET"])
        .each(vec![vec![Told::Status(&[200])], vec![Told::Status(&[200])]])
        .reach(Reach::These(vec![seen(), seen()])),
        passed("9110 10.1.4", "TE: trailers", get("te: trailers\r\n"), seen()),
        passed("9110 10.1.4", "TE with chunked", get("te: trailers, chunked\r\nconnection: te\r\n"), seen()),
        // An intermediary ends TRACE and OPTIONS where their count is spent.
        either("9110 7.6.2", "OPTIONS with Max-Forwards: 0", "OPTIONS * HTTP/1.1\r\nhost: {host}\r\nmax-forwards: 0\r\n\r\n", seen())
            .method("OPTIONS")
            .status(&[200, 204, 405, 501])
            .reach(Reach::Nothing),
        either("9110 7.6.2", "TRACE with Max-Forwards: 0", "TRACE /case HTTP/1.1\r\nhost: {host}\r\nmax-forwards: 0\r\n\r\n", seen())
            .method("TRACE")
            .status(&[200, 405, 501])
            .reach(Reach::Nothing),
        passed(
            "9110 7.6.2",
            "OPTIONS with Max-Forwards: 5",
            "OPTIONS /case HTTP/1.1\r\nhost: {host}\r\nmax-forwards: 5\r\n\r\n",
            Seen::of("OPTIONS", "/case").with("max-forwards", "4"),
        )
        .method("OPTIONS"),
        passed("9110 7.6.2", "GET with Max-Forwards: 0", get("max-forwards: 0\r\n"), seen()),
        either("9110 9.3.8", "TRACE", "TRACE /case HTTP/1.1\r\nhost: {host}\r\n\r\n", Seen::of("TRACE", "/case"))
            .method("TRACE")
            .status(&[200, 405, 501]),
    ];
    for (name, lines) in HOP_BY_HOP {
        cases.push(passed("9110 7.6.1", format!("{name} ends with its connection"), get(lines), seen().without(name)));
    }
    for name in FORGED {
        cases.push(passed(
            "issue",
            format!("forged: {name}"),
            get(&format!("{name}: forged\r\n")),
            seen().without(&format!("{}: forged", name.to_lowercase())),
        ));
    }
    cases
}
