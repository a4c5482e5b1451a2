//! The request line, its version, and field names.

use super::{bytes, get};
use crate::case::{After, Case, Seen, Told, either, passed, refused};

/// Versions that are none.
const VERSIONS: [&str; 17] = [
    "http/1.1",
    "Http/1.1",
    "HTTP/1",
    "HTTP/1.",
    "HTTP/.1",
    "HTTP/1.10",
    "HTTP/11",
    "HTTP/1.1x",
    "HTTP/1.1 x",
    "HTTP /1.1",
    "HTTP/ 1.1",
    "HTTP/1. 1",
    "HTTPS/1.1",
    "HTP/1.1",
    "HTTP/01.1",
    "HTTP/1,1",
    "XHTTP/1.1",
];

/// Field lines whose name is none.
const NAMES: [(&str, &str); 21] = [
    ("no name", ": b\r\n"),
    ("no colon", "x-a\r\n"),
    ("no colon, a space", "x-a b\r\n"),
    ("a space before the colon", "x-a : b\r\n"),
    ("a tab before the colon", "x-a\t: b\r\n"),
    ("a space within", "x a: b\r\n"),
    ("a parenthesis", "x(a: b\r\n"),
    ("a comma", "x,a: b\r\n"),
    ("a slash", "x/a: b\r\n"),
    ("an at sign", "x@a: b\r\n"),
    ("a semicolon", "x;a: b\r\n"),
    ("an equals sign", "x=a: b\r\n"),
    ("a question mark", "x?a: b\r\n"),
    ("a bracket", "x[a]: b\r\n"),
    ("a backslash", "x\\a: b\r\n"),
    ("a brace", "x{a}: b\r\n"),
    ("quotes", "\"x-a\": b\r\n"),
    ("a less-than sign", "x<a: b\r\n"),
    ("a high byte", "x\u{e4}: b\r\n"),
    ("a space before Host's colon", "host : evil.test\r\n"),
    ("a space before the length's colon", "content-length : 4\r\n"),
];

pub(crate) fn cases() -> Vec<Case> {
    let line = |line: &str| format!("{line}\r\nhost: {{host}}\r\n\r\n");
    let seen = || Seen::get("/case");
    let mut cases = vec![
        either("3", "two spaces before the target", line("GET  /case HTTP/1.1"), seen()),
        either("3", "two spaces before the version", line("GET /case  HTTP/1.1"), seen()),
        either("3", "tabs between the parts", line("GET\t/case\tHTTP/1.1"), seen()),
        either("3", "a space behind the version", line("GET /case HTTP/1.1 "), seen()),
        refused("3", "a vertical tab between the parts", line("GET\u{b}/case\u{b}HTTP/1.1")),
        refused("3", "a space in the target", line("GET /ca se HTTP/1.1")),
        refused("3", "a request that looks like another", line("GET / HTTP/1.1 /smuggled HTTP/1.1")),
        refused("3", "no target", line("GET HTTP/1.1")),
        refused("3", "no method", line("/case HTTP/1.1")),
        refused("3", "a method alone", line("GET")),
        refused("3", "an answer", line("HTTP/1.1 200 OK")),
        // HTTP/0.9 asks without a version; it is answered by nobody here.
        refused("3", "no version", "GET /case\r\n\r\n"),
        refused("3", "no version, with fields", line("GET /case")),
        refused("2.3", "HTTP/0.9", line("GET /case HTTP/0.9")).or(Told::Status(&[505])),
        refused("2.3", "HTTP/2.0", line("GET /case HTTP/2.0")).or(Told::Status(&[505])),
        refused("2.3", "HTTP/3.0", line("GET /case HTTP/3.0")).or(Told::Status(&[505])),
        refused("2.3", "HTTP/9.9", line("GET /case HTTP/9.9")).or(Told::Status(&[505])),
        either("9110 2.5", "HTTP/1.2 is taken for HTTP/1.1", line("GET /case HTTP/1.2"), seen()).or(Told::Status(&[505])),
        passed("3", "HTTP/1.0", line("GET /case HTTP/1.0"), seen()).after(After::Closed),
        passed("3.1", "a method that nobody knows", line("FROB /case HTTP/1.1"), Seen::of("FROB", "/case"))
            .or(Told::Status(&[501]))
            .method("FROB")
            .reach(crate::case::Reach::AtMost(vec![Seen::of("FROB", "/case")])),
        either("3.1", "a method in lower case is another method", line("get /case HTTP/1.1"), Seen::of("get", "/case"))
            .or(Told::Status(&[405, 501])),
        either("3.1", "a method of odd token characters", line("G!#$%&'*+-.^_`|~ /case HTTP/1.1"), Seen::of("G!#$%&'*+-.^_`|~", "/case"))
            .or(Told::Status(&[405, 501])),
        refused("3", "a method of 100 KB", line(&format!("{} /case HTTP/1.1", "M".repeat(100 << 10)))).or(Told::Status(&[414, 431, 501])),
        passed("5", "names in mixed case", get("X-a: b\r\n"), seen().with("x-a", "b")),
        passed("5.1", "a name of all token characters", get("x!#$%&'*+-.^_`|~: b\r\n"), seen().with("x!#$%&'*+-.^_`|~", "b")),
        passed("5", "two fields of one name keep their order", get("x-a: 1\r\nx-b: 2\r\n"), seen().with("x-a", "1").with("x-b", "2")),
    ];
    for method in ["G(ET", "GE,T", "GET:", "G\"ET", "[GET]", "G\u{e4}T", "G\\ET", "GET/case"] {
        cases.push(
            refused("3.1", format!("the method {method:?}"), bytes(&line(&format!("{method} /case HTTP/1.1")))).or(Told::Status(&[501])),
        );
    }
    cases.extend(
        VERSIONS.map(|version| {
            refused("2.3", format!("the version {version:?}"), line(&format!("GET /case {version}"))).or(Told::Status(&[505]))
        }),
    );
    cases.extend(NAMES.map(|(name, field)| refused("5.1", format!("a field name: {name}"), bytes(&get(field)))));
    cases.extend(NAMES.map(|(name, field)| {
        let head = format!("GET /case HTTP/1.1\r\n{field}host: {{host}}\r\n\r\n");
        refused("5.1", format!("a field name, in the first line: {name}"), bytes(&head))
    }));
    cases
}
