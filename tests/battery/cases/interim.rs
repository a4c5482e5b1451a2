//! Answers that come when they are not due: interim ones, early ones, switches nobody asked for, and bytes behind the end.

use super::{bytes, post};
use crate::case::{Act, After, Case, Dyno, Reach, Seen, Step, Told, answered, answered_to, passed};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const MORE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nsmuggled";

pub(crate) fn cases() -> Vec<Case> {
    let first = |name: &str, interim: &str| answered("9110 15.2", name, bytes(&format!("{interim}{OK}"))).whole(200, "ok");
    let hints = "HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n";
    let mut cases = vec![
        first("100 before an answer", "HTTP/1.1 100 Continue\r\n\r\n").interim(&[&[], &[100]]).after(After::Open),
        first("102 before an answer", "HTTP/1.1 102 Processing\r\n\r\n").interim(&[&[], &[102]]).after(After::Open),
        first("103 before an answer", hints).interim(&[&[], &[103]]).after(After::Open),
        first("199 before an answer", "HTTP/1.1 199 Odd\r\n\r\n").interim(&[&[], &[199]]).after(After::Open),
        first("three before an answer", &format!("HTTP/1.1 100 Continue\r\n\r\n{hints}HTTP/1.1 102 Processing\r\n\r\n")).interim(&[
            &[],
            &[100, 103, 102],
            &[103, 102],
            &[103],
        ]),
        first("103 with a word of the mesh", "HTTP/1.1 103 Early Hints\r\nx-dynomesh-verdict: not-dispatched\r\n\r\n")
            .interim(&[&[], &[103]]),
        first("100 with a length", "HTTP/1.1 100 Continue\r\ncontent-length: 5\r\n\r\n").interim(&[&[], &[100]]).or(Told::Mesh(&[502])),
        // HTTP/1.0 knows no interim answers.
        Case {
            repeats: true,
            ..passed("9110 15.2", "103 is not told to HTTP/1.0", "GET /evil HTTP/1.0\r\nhost: {host}\r\n\r\n", Seen::get("/evil"))
                .dyno(Dyno::Acts(vec![Act::Say(bytes(&format!("{hints}{OK}")))]))
                .whole(200, "ok")
                .after(After::Closed)
        },
        // A switch that nobody asked for.
        answered(
            "9110 15.2.2",
            "101 that nobody asked for",
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        )
        .told([Told::Mesh(&[502])]),
        answered(
            "9110 15.2.2",
            "101 and bytes",
            format!("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n{MORE}"),
        )
        .told([Told::Mesh(&[502])]),
        answered("9110 15.2.2", "101 without Upgrade", format!("HTTP/1.1 101 Switching Protocols\r\n\r\n{MORE}"))
            .told([Told::Mesh(&[502])]),
        answered_to(
            "9110 15.2.2",
            "101 to a POST",
            "POST",
            format!("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n{MORE}"),
        )
        .told([Told::Mesh(&[502])]),
        // Bytes behind an answer: never the next one's.
        answered("6.3", "another answer behind an answer", format!("{OK}{MORE}")).whole(200, "ok"),
        answered(
            "6.3",
            "another answer behind chunks",
            format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n{MORE}"),
        )
        .whole(200, "ok"),
        answered("6.3", "junk behind an answer", format!("{OK}junk")).whole(200, "ok"),
        answered("6.3", "an empty line behind an answer", format!("{OK}\r\n")).whole(200, "ok"),
        answered("6.3", "half an answer behind an answer", format!("{OK}HTTP/1.1 200")).whole(200, "ok"),
        answered("6.3", "an interim answer behind an answer", format!("{OK}HTTP/1.1 100 Continue\r\n\r\n")).whole(200, "ok"),
        answered("6.3", "100 KB behind an answer", format!("{OK}{}", MORE.repeat(2000))).whole(200, "ok"),
        answered_to("6.3", "POST: another answer behind an answer", "POST", format!("{OK}{MORE}")).whole(200, "ok"),
        late(20),
        late(200),
        early("413 while the body comes, and no more is read", 413, Some(Act::Close)),
        early("413 while the body comes, and a reset", 413, Some(Act::Reset)),
        early("200 while the body comes", 200, None),
        early("413 while the body comes", 413, None),
        answered_to(
            "9.3",
            "an answer with Connection: close to a POST",
            "POST",
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
        )
        .act(Act::Close)
        .whole(200, "ok")
        .after(After::Open),
    ];
    let many = hints.repeat(1000);
    cases.push(Case {
        interim: (0..=1000).map(|n| vec![103; n]).collect(),
        ..first("1000 times 103 before an answer", &many).or(Told::Mesh(&[502]))
    });
    let endless = Case {
        interim: (0..=20_000).map(|n| vec![100; n]).collect(),
        ..answered("9110 15.2", "20000 times 100 and no answer", "HTTP/1.1 100 Continue\r\n\r\n".repeat(20_000)).act(Act::Close).broken()
    };
    cases.push(endless);
    cases
}

/// A second answer that comes when its request is long answered.
fn late(millis: u64) -> Case {
    let name = format!("another answer {millis} ms behind an answer");
    answered("6.3", name, OK).act(Act::Pause(millis)).act(Act::Say(MORE.into())).whole(200, "ok").then(Step::Pause(millis + 50))
}

/// An answer to a request of which the body is still coming.
fn early(name: &str, status: u16, end: Option<Act>) -> Case {
    let len = 2 << 20;
    let answer =
        format!("HTTP/1.1 {status} Early\r\ncontent-length: 2\r\n{}\r\nno", if end.is_some() { "connection: close\r\n" } else { "" });
    let acts = [Act::Say(answer.into()), Act::Pause(20)].into_iter().chain(end.clone());
    let case = passed("9.5", name, post(&format!("content-length: {len}\r\n"), &"x".repeat(len)), Seen::post("/case", "x".repeat(len)));
    let case = case
        .dyno(Dyno::Early(acts.collect()))
        .whole(status, "no")
        .after(After::Either)
        .reach(Reach::AtMost(vec![Seen::post("/case", "x".repeat(len))]));
    // A reset may overtake the answer.
    if matches!(end, Some(Act::Reset)) { case.or(Told::Mesh(&[502])).or(Told::Broken).or(Told::Closed) } else { case }
}
