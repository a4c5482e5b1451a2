//! Heads and bodies that are too large, too many or too slow.

use super::{get, post};
use crate::case::{After, Case, Seen, Step, Told, either, passed, refused};

pub(crate) fn cases() -> Vec<Case> {
    let seen = || Seen::get("/case");
    let large = |name: &str, bytes: String| refused("3", name, bytes).status(&[400, 413, 414, 431]);
    let slow = |name: &str, bytes: String| refused("issue", name, bytes).status(&[408]).or(Told::Closed);
    let drop_by_drop = |bytes: &str, seen: Seen| {
        let first = bytes.chars().next().map(String::from).unwrap_or_default();
        let case = passed("2", "a request that comes byte by byte", first, seen);
        // The name of the lane is filled in where a piece holds its place.
        let mut pieces: Vec<String> = Vec::new();
        let mut rest = &bytes[1..];
        while !rest.is_empty() {
            let len = if rest.starts_with("{host}") { 6 } else { 1 };
            pieces.push(rest[..len].into());
            rest = &rest[len..];
        }
        pieces.into_iter().fold(case, |case, piece| case.send(piece).then(Step::Pause(1)))
    };
    vec![
        passed("3", "a field of 8 KB", get(&format!("x-a: {}\r\n", "b".repeat(8000))), seen().with("x-a", &"b".repeat(8000))),
        passed(
            "3",
            "a target of 8000 bytes",
            format!("GET /{} HTTP/1.1\r\nhost: {{host}}\r\n\r\n", "a".repeat(8000)),
            Seen::get(&format!("/{}", "a".repeat(8000))),
        ),
        passed("2", "60 fields", get(&(0..60).map(|n| format!("x-{n}: {n}\r\n")).collect::<String>()), seen().with("x-59", "59")),
        either("2", "90 fields", get(&(0..90).map(|n| format!("x-{n}: {n}\r\n")).collect::<String>()), seen().with("x-89", "89"))
            .or(Told::Status(&[431])),
        large("a field of 200 KB", get(&format!("x-a: {}\r\n", "b".repeat(200 << 10)))),
        large("a field of 2 MB", get(&format!("x-a: {}\r\n", "b".repeat(2 << 20)))),
        large("a name of 200 KB", get(&format!("{}: b\r\n", "x".repeat(200 << 10)))),
        large("a target of 200 KB", format!("GET /{} HTTP/1.1\r\nhost: {{host}}\r\n\r\n", "a".repeat(200 << 10))),
        large("a request line that never ends", "a".repeat(1 << 20)),
        large("5000 fields", get(&"x-a: b\r\n".repeat(5000))),
        large("100000 empty values", get(&"a:\r\n".repeat(100_000))),
        large("a value of white space", get(&format!("x-a:{}\r\n", " ".repeat(200 << 10)))),
        either("2.2", "100000 empty lines before a request", format!("{}{}", "\r\n".repeat(100_000), get("")), seen())
            .or(Told::Status(&[408, 431]))
            .or(Told::Closed),
        passed(
            "6",
            "a body of 300 KB",
            post(&format!("content-length: {}\r\n", 300 << 10), &"x".repeat(300 << 10)),
            Seen::post("/case", "x".repeat(300 << 10)),
        ),
        passed(
            "7.1",
            "a body of 300 KB in chunks of 100 bytes",
            post("transfer-encoding: chunked\r\n", &format!("{}0\r\n\r\n", format!("64\r\n{}\r\n", "x".repeat(100)).repeat(3072))),
            Seen::post("/case", "x".repeat(307_200)),
        ),
        drop_by_drop(&post("content-length: 4\r\n", "body"), Seen::post("/case", "body")),
        drop_by_drop(&post("transfer-encoding: chunked\r\n", "4\r\nbody\r\n0\r\n\r\n"), Seen::post("/case", "body")),
        passed("6", "a body that comes behind a pause", post("content-length: 4\r\n", ""), Seen::post("/case", "body"))
            .then(Step::Pause(300))
            .send("body"),
        slow("a head that stops", "GET /case HTTP/1.1\r\nhost: {host}\r\n".into()),
        slow("a request line that stops", "GET /ca".into()),
        slow("a head that drips", "GET /case HTTP/1.1\r\n".into())
            .send("x-a: b\r\n")
            .then(Step::Pause(700))
            .send("x-a: b\r\n")
            .then(Step::Pause(700))
            .send("x-a: b\r\n")
            .then(Step::Pause(700))
            .send("host: {host}\r\n\r\n"),
        slow("a body that stops", post("content-length: 10\r\n", "only")),
        slow("chunks that stop", post("transfer-encoding: chunked\r\n", "4\r\nonly\r\n")),
        slow("a body that never begins", post("content-length: 10\r\n", "")),
        slow("a body that stops behind 200 KB", post("content-length: 1000000\r\n", &"x".repeat(200 << 10))).after(After::Closed),
    ]
}
