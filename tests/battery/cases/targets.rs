//! The target in its four forms, and the host: one, and the same for everybody.

use super::{bytes, get};
use crate::case::{After, Case, Reach, Seen, Told, either, passed, refused};

/// What makes a Host invalid when it stands behind a good one.
const HOSTS: [&str; 20] = [
    "/x", "?x", "#x", " x", "\tx", "\\x", "\"", "<x>", "{x}", "^", "|", "`", ":x", ":-1", ":+80", ":80:80", ":8 0", "\u{e4}", "\u{1}", "]",
];

/// Targets that pass as they are: nothing is decoded, resolved or joined.
const KEPT: [&str; 12] =
    ["/", "//", "//evil.test/x", "/a/../b", "/a/./b", "/%2e%2e/%2F", "/a%00b", "/%", "/a;b=c", "/?", "/?a=b?c", "/a?http://evil.test/"];

/// Targets that no grammar knows.
const NONE: [&str; 12] = [
    "case",
    "?x",
    "#x",
    "../case",
    "{host}",
    "{host}/case",
    "{host}:80",
    ":80",
    "http:/case",
    "http:case",
    "://{host}/case",
    "http//{host}/case",
];

pub(crate) fn cases() -> Vec<Case> {
    let line = |line: &str| format!("{line} HTTP/1.1\r\nhost: {{host}}\r\n\r\n");
    let to = |line: &str, host: &str| format!("{line} HTTP/1.1\r\nhost: {host}\r\n\r\n");
    let seen = || Seen::get("/case");
    // The framing of these is clear, so that the connection may stay open.
    let bad = |section, name: String, bytes: Vec<u8>| refused(section, name, bytes).after(After::Either);
    let bad_line = |section, name: &str, text: String| bad(section, name.into(), bytes(&text));
    let mut cases = vec![
        bad_line("3.2", "HTTP/1.1 without Host", "GET /case HTTP/1.1\r\n\r\n".into()),
        bad_line("3.2", "HTTP/1.1 without Host, absolute", "GET http://{host}/case HTTP/1.1\r\n\r\n".into()),
        bad_line("3.2", "two Hosts", get("host: evil.test\r\n")),
        bad_line("3.2", "two Hosts, the same", get("host: {host}\r\n")),
        bad_line("3.2", "two Hosts, the first another", "GET /case HTTP/1.1\r\nhost: evil.test\r\nHOST: {host}\r\n\r\n".into()),
        bad_line("3.2", "two Hosts, one empty", get("host:\r\n")),
        bad_line("3.2", "a list of Hosts", to("GET /case", "{host}, {host}")),
        bad_line("3.2", "an empty Host", to("GET /case", "")).status(&[400, 404]),
        bad_line("3.2", "user information in Host", to("GET /case", "user@{host}")),
        bad_line("3.2", "a Host that is a URL", to("GET /case", "http://{host}")),
        bad_line("3.2", "a Host in brackets that do not close", to("GET /case", "[::1")),
        bad_line("3.2", "a Host that nobody has", to("GET /case", "unknown.test")).status(&[404, 421]),
        passed("9110 4.2.3", "a Host in capitals", to("GET /case", "{HOST}").replace("{HOST}", "{host}"), seen()),
        passed("3.2", "a Host with a port", to("GET /case", "{host}:80"), seen().host("{host}:80")),
        either("9110 4.2.3", "a Host with an empty port", to("GET /case", "{host}:"), seen().host("{host}:")),
        either("3.2", "a Host with a port that there is not", to("GET /case", "{host}:99999"), seen().host("{host}:99999"))
            .or(Told::Status(&[404])),
        // A comma is a character of names (RFC 3986, section 3.2.2).
        bad_line("3.2", "a Host with a comma", to("GET /case", "{host},x")).status(&[400, 404]),
        either("3.2", "a Host with a dot at its end", to("GET /case", "{host}."), seen().host("{host}.")).or(Told::Status(&[404])),
        // The authority of the target wins over Host.
        passed("3.2.2", "an absolute target", line("GET http://{host}/case"), seen()),
        passed("3.2.2", "an absolute target in capitals", line("GET HTTP://{host}/case"), seen()),
        passed("3.2.2", "an absolute target with a port", line("GET http://{host}:80/case"), seen().host("{host}:80")),
        passed("3.2.2", "an absolute target wins over Host", to("GET http://{host}/case", "evil.test"), seen()),
        passed("3.2.2", "an absolute target without a path", line("GET http://{host}"), Seen::get("/")),
        passed("3.2.2", "an absolute target with a query alone", line("GET http://{host}?q=1"), Seen::get("/?q=1")),
        bad_line("3.2.2", "an absolute target of another host", line("GET http://unknown.test/case")).status(&[404, 421]),
        bad_line(
            "3.2.2",
            "an absolute target with two Hosts",
            "GET http://{host}/case HTTP/1.1\r\nhost: {host}\r\nhost: {host}\r\n\r\n".into(),
        ),
        bad_line("3.2.2", "an absolute target with a bad Host", to("GET http://{host}/case", "a b")),
        bad_line("9110 4.2.4", "an absolute target with user information", line("GET http://user:pass@{host}/case")),
        bad_line("9110 4.2.4", "an absolute target with a host as user", line("GET http://evil.test@{host}/case")),
        bad_line("9110 4.2.1", "an absolute target without a host", line("GET http:///case")),
        bad_line("3.2.2", "an absolute target with a bad port", line("GET http://{host}:x/case")),
        bad_line("3.2.2", "an absolute target with a backslash", line("GET http://{host}\\evil.test/case")),
        either("3.3", "an absolute target of https", line("GET https://{host}/case"), seen()).or(Told::Status(&[404, 421])),
        either("3.3", "an absolute target of another scheme", line("GET ftp://{host}/case"), seen()).or(Told::Status(&[404, 421, 501])),
        either("3.3", "an absolute target of a script", line("GET javascript:alert(1)"), seen())
            .reach(Reach::Nothing)
            .status(&[400, 404, 501]),
        // Authority and asterisk.
        bad_line("3.2.3", "CONNECT", "CONNECT {host}:443 HTTP/1.1\r\nhost: {host}:443\r\n\r\n".into())
            .method("CONNECT")
            .status(&[400, 403, 404, 405, 501]),
        bad_line("3.2.3", "CONNECT without a port", "CONNECT {host} HTTP/1.1\r\nhost: {host}\r\n\r\n".into())
            .method("CONNECT")
            .status(&[400, 403, 404, 405, 501]),
        bad_line("3.2.3", "CONNECT to a path", "CONNECT /case HTTP/1.1\r\nhost: {host}\r\n\r\n".into())
            .method("CONNECT")
            .status(&[400, 403, 404, 405, 501]),
        bad_line(
            "3.2.3",
            "CONNECT with a length",
            "CONNECT {host}:443 HTTP/1.1\r\nhost: {host}:443\r\ncontent-length: 4\r\n\r\nbody".into(),
        )
        .method("CONNECT")
        .status(&[400, 403, 404, 405, 501]),
        passed("3.2.4", "OPTIONS of the server", line("OPTIONS *"), Seen::of("OPTIONS", "*")).method("OPTIONS"),
        passed("3.2.4", "OPTIONS of an absolute target without a path", line("OPTIONS http://{host}"), Seen::of("OPTIONS", "*"))
            .method("OPTIONS"),
        passed("3.2.4", "OPTIONS of a path", line("OPTIONS /case"), Seen::of("OPTIONS", "/case")).method("OPTIONS"),
        bad_line("3.2.4", "GET of the server", line("GET *")),
        bad_line("3.2.4", "POST of the server", "POST * HTTP/1.1\r\nhost: {host}\r\ncontent-length: 4\r\n\r\nbody".into()),
        bad_line("3.2.4", "OPTIONS of an asterisk and more", line("OPTIONS */case")),
        // Bytes that a target may not have: refused or, where they can be kept apart, kept.
        bad_line("3.2", "high bytes in a target", line("GET /\u{c3}\u{a4}")),
        either("3.2", "a fragment", line("GET /case#part"), seen()),
        either("3.2", "a fragment of an absolute target", line("GET http://{host}/case#part"), seen()),
        either("3.2", "odd characters in a target", line("GET /a\"<>^`{|}"), Seen::get("/a\"<>^`{|}")),
        either("3.2", "a backslash in a target", line("GET /a\\..\\b"), Seen::get("/a\\..\\b")),
    ];
    cases.extend(
        HOSTS.map(|tail| bad("3.2", format!("a Host with {tail:?} behind it"), bytes(&to("GET /case", &format!("{{host}}{tail}"))))),
    );
    cases.extend(KEPT.map(|target| passed("3.2.1", format!("the target {target}"), line(&format!("GET {target}")), Seen::get(target))));
    cases.extend(NONE.map(|target| bad("3.2", format!("the target {target}"), bytes(&line(&format!("GET {target}"))))));
    cases
}
