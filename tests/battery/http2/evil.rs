//! Answers of an evil dyno as a client of HTTP/2 sees them: whole, or a stream that is reset.

use super::frame::*;
use super::{Case, Step, Want, case, fields_of, get, post, seen};
use crate::case::{Act, Dyno, Reach, Seen};

const OF_CONNECTION: &str = "content-length: 2\r\nconnection: x-a, keep-alive\r\nx-a: b\r\nkeep-alive: timeout=5\r\n\
    proxy-connection: close\r\nupgrade: h2c\r\n";
const TRAILED: &str = "2\r\nok\r\n0\r\nx-t: 1\r\n\r\n";
const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n";
const MORE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nsmuggled";
const LARGE: &str = "HTTP/1.1 413 Large\r\nconnection: close\r\ncontent-length: 2\r\n\r\nno";

fn says(answer: &str) -> Dyno {
    Dyno::Acts(vec![Act::Say(answer.into())])
}

fn closes(answer: &str, end: Act) -> Dyno {
    Dyno::Acts(vec![Act::Say(answer.into()), Act::Pause(20), end])
}

pub(super) fn cases() -> Vec<Case> {
    let ok = |fields: &str, body: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n{body}");
    let one = |name: &str, dyno: Dyno, want: Want| Case {
        repeats: true,
        ..case("9113 8.1", format!("an answer {name}"), get(1), vec![want]).dyno(dyno).reach(Reach::These(vec![seen()]))
    };
    let whole = |name: &str, answer: &str| one(name, says(answer), Want::Whole(1, 200, b"ok".to_vec()));
    let cut = |name: &str, answer: &str, end: Act| one(name, closes(answer, end), Want::Cut(1));
    let post_cut = |name: &str, answer: &str| {
        let bytes = [post(1), data(1, END_STREAM, b"body")].concat();
        case("9113 8.1", format!("POST: an answer {name}"), bytes, vec![Want::Cut(1)])
            .dyno(closes(answer, Act::Close))
            .reach(Reach::These(vec![Seen::post("/case", "body")]))
    };
    let big = "x".repeat(40_000);
    let large = 200 << 10;
    vec![
        whole("of a length", &ok("content-length: 2\r\n", "ok")),
        whole("in chunks", &ok("transfer-encoding: chunked\r\n", "2\r\nok\r\n0\r\n\r\n")),
        whole("with connection fields", &ok(OF_CONNECTION, "ok")).without("x-a"),
        one("that ends with its connection", closes(&ok("", "ok"), Act::Close), Want::Whole(1, 200, b"ok".to_vec())),
        one("with a trailer", says(&ok("transfer-encoding: chunked\r\n", TRAILED)), Want::Trailer(1, "x-t", "1")),
        one("with a field", says(&ok("content-length: 2\r\nX-Own: B\r\n", "ok")), Want::Field(1, "x-own", "B")),
        one("of no length", says(&ok("content-length: 0\r\n", "")), Want::Whole(1, 200, Vec::new())),
        one("of 204", says("HTTP/1.1 204 No Content\r\n\r\n"), Want::Whole(1, 204, Vec::new())),
        one("of 204 with a body", says("HTTP/1.1 204 No Content\r\ncontent-length: 2\r\n\r\nok"), Want::Whole(1, 204, Vec::new())),
        one("of 304 with a body", says("HTTP/1.1 304 Not Modified\r\ncontent-length: 2\r\n\r\nok"), Want::Whole(1, 304, Vec::new())),
        one("behind 103", says(&format!("{HINTS}{}", ok("content-length: 2\r\n", "ok"))), Want::Whole(1, 200, b"ok".to_vec())),
        one("of 101 that nobody asked for", says(SWITCH), Want::Answer(1, &[502])),
        one("with another behind it", says(&ok("content-length: 2\r\n", &format!("ok{MORE}"))), Want::Whole(1, 200, b"ok".to_vec())),
        one("with two lengths", says(&ok("content-length: 2\r\ncontent-length: 40\r\n", "ok")), Want::Answer(1, &[502])),
        one("with a bad length", says(&ok("content-length: +2\r\n", "ok")), Want::Answer(1, &[502])),
        cut("cut within its length", &ok("content-length: 100\r\n", "only this"), Act::Close),
        cut("cut within its length by a reset", &ok("content-length: 100\r\n", "only this"), Act::Reset),
        cut("cut within 40 KB", &ok("content-length: 100000\r\n", &big), Act::Close),
        cut("cut before its last chunk", &ok("transfer-encoding: chunked\r\n", "4\r\nonly\r\n"), Act::Close),
        cut("cut within a chunk", &ok("transfer-encoding: chunked\r\n", "9\r\nonly"), Act::Close),
        cut("cut within its last chunk", &ok("transfer-encoding: chunked\r\n", "4\r\nonly\r\n0\r\n"), Act::Close),
        cut("with a bad chunk", &ok("transfer-encoding: chunked\r\n", "4\r\nonly\r\nzz\r\n"), Act::Close),
        cut("without a length, cut by a reset", &ok("", "only this"), Act::Reset),
        cut("cut within its head", "HTTP/1.1 200 OK\r\ncontent-le", Act::Close),
        cut("of nothing", "", Act::Close),
        post_cut("cut within its length", &ok("content-length: 100\r\n", "only this")),
        post_cut("cut before its last chunk", &ok("transfer-encoding: chunked\r\n", "4\r\nonly\r\n")),
        post_cut("of nothing", ""),
        case(
            "9113 8.1",
            "HEAD: an answer with a body",
            headers(1, END_STREAM, fields_of("HEAD", "/case", &[])),
            vec![Want::Whole(1, 200, Vec::new())],
        )
        .dyno(says(&ok("content-length: 2\r\n", "ok")))
        .reach(Reach::AtMost(vec![Seen::of("HEAD", "/case")])),
        // The answer comes while the body is on its way: it is told, and the rest of the body is not wanted.
        case(
            "9113 8.1",
            "an answer before the body ends",
            [post(1), data(1, 0, vec![b'x'; 16_000])].concat(),
            vec![Want::Whole(1, 413, b"no".to_vec())],
        )
        .dyno(Dyno::Early(vec![Act::Say(LARGE.into()), Act::Pause(50), Act::Close]))
        .send([data(1, 0, vec![b'x'; 16_000]), data(1, 0, vec![b'x'; 16_000]), data(1, 0, vec![b'x'; 16_000])].concat())
        .then(Step::Await(Want::Acknowledged(1)))
        .then(Step::Pause(100))
        .send([data(1, 0, vec![b'x'; 16_000]), data(1, END_STREAM, vec![b'x'; 16_000])].concat())
        .reach(Reach::Any),
        case(
            "9113 8.1",
            "a client that resets its upload without an error",
            [post(1), data(1, 0, b"half")].concat(),
            vec![Want::Answer(3, &[200])],
        )
        .then(Step::Pause(20))
        .send([reset(1, 0), headers(3, END_STREAM, fields_of("GET", "/case", &[]))].concat())
        .reach(Reach::These(vec![seen()])),
        case(
            "9113 8.1",
            "a client that resets its long upload without an error",
            [vec![post(1)], vec![data(1, 0, vec![b'x'; 16_000]); 6]].concat().concat(),
            vec![Want::Answer(3, &[200])],
        )
        .then(Step::Pause(100))
        .send([reset(1, 0), headers(3, END_STREAM, fields_of("GET", "/case", &[]))].concat())
        .reach(Reach::These(vec![seen()])),
        case(
            "9113 8.1",
            "a client that resets while the answer comes",
            [window(0, 1 << 20), get(1)].concat(),
            vec![Want::Answer(3, &[200])],
        )
        .dyno(Dyno::Acts(vec![Act::Say(ok(&format!("content-length: {large}\r\n"), &"x".repeat(large)).into())]))
        .then(Step::Await(Want::Head(1)))
        .send([reset(1, 8), headers(3, END_STREAM, fields_of("HEAD", "/case", &[]))].concat())
        .reach(Reach::Any),
    ]
}
