//! Answers that are cut off: none of them may look whole, and no POST may be run twice for it.

use crate::case::{Act, Case, answered_to};

/// Cuts, each by a close and by a reset.
fn cuts() -> Vec<(&'static str, String)> {
    let ok = |rest: &str| format!("HTTP/1.1 200 OK\r\n{rest}");
    vec![
        ("before it begins", String::new()),
        ("within the status line", "HTTP/1.1 20".into()),
        ("behind the status line", ok("")),
        ("within a field", ok("content-le")),
        ("behind a field", ok("content-length: 2\r\n")),
        ("behind the head", ok("content-length: 2\r\n\r\n")),
        ("within a body", ok("content-length: 100\r\n\r\nonly this")),
        ("one byte before its end", ok("content-length: 3\r\n\r\nok")),
        ("within a body of 300 KB", ok(&format!("content-length: 400000\r\n\r\n{}", "x".repeat(300 << 10)))),
        ("before the first chunk", ok("transfer-encoding: chunked\r\n\r\n")),
        ("within a chunk size", ok("transfer-encoding: chunked\r\n\r\n2")),
        ("within a chunk", ok("transfer-encoding: chunked\r\n\r\n4\r\non")),
        ("behind a chunk", ok("transfer-encoding: chunked\r\n\r\n4\r\nonly\r\n")),
        ("within the last chunk", ok("transfer-encoding: chunked\r\n\r\n4\r\nonly\r\n0")),
        ("before the last empty line", ok("transfer-encoding: chunked\r\n\r\n4\r\nonly\r\n0\r\n")),
        ("within the last empty line", ok("transfer-encoding: chunked\r\n\r\n4\r\nonly\r\n0\r\n\r")),
        ("within the trailers", ok("transfer-encoding: chunked\r\n\r\n4\r\nonly\r\n0\r\nx-t: 1\r\n")),
        (
            "behind 300 KB of chunks",
            ok(&format!("transfer-encoding: chunked\r\n\r\n{}", format!("1000\r\n{}\r\n", "x".repeat(4096)).repeat(75))),
        ),
        ("behind an interim answer", "HTTP/1.1 100 Continue\r\n\r\n".into()),
    ]
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for method in ["GET", "POST"] {
        for (place, answer) in cuts() {
            for end in [Act::Close, Act::Reset] {
                let name = format!("{method}: an answer ends {place}, by {end:?}");
                // A reset overtakes what was sent; a little later it cuts where the case says.
                let case = answered_to("8", name, method, &answer).act(Act::Pause(20)).act(end).broken();
                cases.push(if answer.contains("100 Continue") { case.interim(&[&[], &[100]]) } else { case });
            }
        }
        let name = format!("{method}: an answer without a length ends by a reset");
        cases.push(answered_to("8", name, method, "HTTP/1.1 200 OK\r\n\r\nonly this").act(Act::Pause(20)).act(Act::Reset).broken());
        let name = format!("{method}: an answer without a length ends by a reset behind 300 KB");
        let long = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(300 << 10));
        cases.push(answered_to("8", name, method, long).act(Act::Pause(20)).act(Act::Reset).broken());
    }
    cases
}
