//! Persistence, pipelining, and ends of connections.

use super::{MORE, get, post};
use crate::case::{After, Case, Reach, Seen, Step, Told, passed, refused};

const OK: &[u16] = &[200];

pub(crate) fn cases() -> Vec<Case> {
    let seen = || Seen::get("/case");
    let body = || Seen::post("/case", "body");
    let small = post("content-length: 4\r\n", "body");
    let chunks = post("transfer-encoding: chunked\r\n", "4\r\nbody\r\n0\r\n\r\n");
    let ten = |fields: &str| format!("GET /case HTTP/1.0\r\nhost: {{host}}\r\n{fields}\r\n");
    let these = |seen: Vec<Seen>| Reach::These(seen);
    let left = |name: &str, bytes: String| {
        passed("8", name, bytes, body()).reach(Reach::AtMost(vec![])).then(Step::Pause(50)).then(Step::Leave).after(After::Either)
    };
    vec![
        passed("9.3", "a connection persists", get(""), seen()),
        passed("9.3.2", "two requests at once", get("") + &get(""), seen())
            .methods(&["GET"; 2])
            .each(vec![vec![Told::Status(OK)]; 2])
            .reach(these(vec![seen(), seen()])),
        passed("9.3.2", "eight requests at once", get("").repeat(8), seen())
            .methods(&["GET"; 8])
            .each(vec![vec![Told::Status(OK)]; 8])
            .reach(these(vec![seen(); 8])),
        passed("9.3.2", "requests with bodies at once", [&small[..], &chunks, &get(""), &small].concat(), body())
            .methods(&["POST", "POST", "GET", "POST"])
            .each(vec![vec![Told::Status(OK)]; 4])
            .reach(these(vec![body(), body(), seen(), body()])),
        passed("9.3.2", "a request cut in two behind another", get("") + "GET /ca", seen())
            .then(Step::Pause(50))
            .send("se HTTP/1.1\r\nhost: {host}\r\n\r\n")
            .methods(&["GET"; 2])
            .each(vec![vec![Told::Status(OK)]; 2])
            .reach(these(vec![seen(), seen()])),
        passed("9.3.2", "a HEAD and a GET at once", get("").replace("GET", "HEAD") + &get(""), seen())
            .methods(&["HEAD", "GET"])
            .each(vec![vec![Told::Status(OK)]; 2])
            .reach(these(vec![Seen::of("HEAD", "/case"), seen()])),
        passed("6.3", "a HEAD", get("").replace("GET", "HEAD"), Seen::of("HEAD", "/case")).method("HEAD"),
        passed("2.2", "an empty line behind a body", format!("{small}\r\n"), body()),
        // What is behind a length belongs to nobody.
        passed("6.3", "junk behind a body", format!("{small}JUNK\r\n\r\n"), body())
            .methods(&["POST", "GET"])
            .each(vec![vec![Told::Status(OK)], vec![Told::Status(&[400])]])
            .after(After::Closed),
        passed("6.3", "a bad request behind a good one", format!("{}{}", get(""), "GET /case HTTP/1.1\r\n\r\n"), seen())
            .methods(&["GET"; 2])
            .each(vec![vec![Told::Status(OK)], vec![Told::Status(&[400])]])
            .after(After::Either),
        refused("2.2", "a good request behind a bad one", format!("GET /case HTTP/1.1\r\nhost : x\r\n\r\n{MORE}")),
        refused("6.3", "a good request behind a bad length", format!("{}{MORE}", post("content-length: x\r\n", ""))),
        // A body that nobody wants is read, or the connection ends: it is never taken for the next request.
        unwanted("a body for a host that nobody has", "content-length: 40\r\n", "GET /smuggled HTTP/1.1\r\nhost: a.test\r\n\r\n"),
        unwanted(
            "300 KB for a host that nobody has",
            &format!("content-length: {}\r\n", 300 << 10),
            &"GET /smuggled HTTP/1.1\r\n".repeat(13_000)[..300 << 10],
        ),
        unwanted("chunks for a host that nobody has", "transfer-encoding: chunked\r\n", "18\r\nGET /smuggled HTTP/1.1\r\n\r\n0\r\n\r\n"),
        // Close is close.
        passed("9.6", "Connection: close", get("connection: close\r\n"), seen()).after(After::Closed),
        passed("9.6", "Connection: CLOSE", get("connection: CLOSE\r\n"), seen()).after(After::Closed),
        passed("9.6", "Connection: close in a list", get("connection: x-a, close\r\n"), seen()).after(After::Closed),
        passed("9.6", "Connection: close in a second line", get("connection: keep-alive\r\nconnection: close\r\n"), seen())
            .after(After::Closed),
        passed("9.6", "nothing behind Connection: close is run", get("connection: close\r\n") + MORE, seen()).after(After::Closed),
        passed(
            "9.6",
            "nothing behind a body and Connection: close is run",
            post("content-length: 4\r\nconnection: close\r\n", "body") + MORE,
            body(),
        )
        .after(After::Closed),
        passed("9.3", "HTTP/1.0 closes", ten(""), seen()).after(After::Closed),
        passed("9.3", "nothing behind HTTP/1.0 is run", ten("") + MORE, seen()).after(After::Closed),
        passed("9.3", "HTTP/1.0 with keep-alive", ten("connection: keep-alive\r\n"), seen()).after(After::Either),
        passed("9.3", "HTTP/1.0 with a body", "POST /case HTTP/1.0\r\nhost: {host}\r\ncontent-length: 4\r\n\r\nbody", body())
            .after(After::Closed),
        refused("3.2", "HTTP/1.0 without Host", "GET /case HTTP/1.0\r\n\r\n").status(&[400, 404]),
        refused("9.3", "HTTP/1.0 with a body and no length", "POST /case HTTP/1.0\r\nhost: {host}\r\n\r\nbody")
            .status(&[200, 400, 411])
            .reach(Reach::AtMost(vec![Seen::post("/case", "")])),
        // Half of a connection closed: what was asked is answered, or nobody is left to be told.
        gone(passed("9.6", "a client that has said all", get(""), seen())),
        gone(passed("9.6", "a client that has said all, with a body", small.clone(), body())),
        // Requests that are never whole are never run.
        refused("8", "a length that is not reached", post("content-length: 10\r\n", "only")).then(Step::Shut).or(Told::Closed),
        refused("8", "a length that is not reached behind 100 KB", post("content-length: 200000\r\n", &"x".repeat(100 << 10)))
            .then(Step::Shut)
            .or(Told::Closed)
            .or(Told::Mesh(&[502, 503])),
        refused("8", "a head that is not finished", "GET /case HTTP/1.1\r\nhost: {host}\r\n").then(Step::Shut).or(Told::Closed),
        refused("8", "a head without its empty line, in one byte", "G").then(Step::Shut).or(Told::Closed),
        left("a client that leaves within a body", post("content-length: 10\r\n", "only")),
        left("a client that leaves within 100 KB", post("content-length: 200000\r\n", &"x".repeat(100 << 10))),
        left("a client that leaves within chunks", post("transfer-encoding: chunked\r\n", "4\r\nonly\r\n")),
        left("a client that leaves within a last chunk", post("transfer-encoding: chunked\r\n", "4\r\nonly\r\n0\r\n")),
        left("a client that leaves within a head", "POST /case HTTP/1.1\r\nhost: {host}\r\n".into()),
        left("a client that leaves before it speaks", String::new()),
        left("a client that leaves while the dyno is asked", small.clone()).reach(Reach::AtMost(vec![body()])),
        left("a client that leaves with two requests", small.repeat(2)).reach(Reach::AtMost(vec![body(), body()])),
    ]
}

/// A request for a host that nobody has, with a body.
fn unwanted(name: &str, framing: &str, body: &str) -> Case {
    let bytes = format!("POST /case HTTP/1.1\r\nhost: unknown.test\r\n{framing}\r\n{body}");
    refused("9.3", name, bytes).status(&[404, 421]).after(After::Either)
}

/// A client that closes its half may be taken for one that has gone.
fn gone(case: Case) -> Case {
    let reach = match case.reach.clone() {
        Reach::These(seen) => Reach::AtMost(seen),
        other => other,
    };
    case.then(Step::Shut).or(Told::Closed).reach(reach).after(After::Closed)
}
