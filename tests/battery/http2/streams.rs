//! The states of streams and their numbers (RFC 9113, section 5).

use super::frame::*;
use super::{Case, Step, Want, case, ends, fields_of, get, passed, post, seen};
use crate::case::{Act, Dyno, Reach, Seen};

const CLOSED: &[u32] = &[STREAM_CLOSED];
const WRONG: &[u32] = &[PROTOCOL];
const EITHER: &[u32] = &[PROTOCOL, STREAM_CLOSED];

pub(super) fn cases() -> Vec<Case> {
    let one = || Reach::AtMost(vec![seen()]);
    let answered = Step::Await(Want::Answer(1, &[200]));
    // The dyno takes its time, so that the stream is still half-closed when more comes.
    let slow = || Dyno::Acts(vec![Act::Pause(200), Act::Say(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_vec())]);
    let half_closed = |name: &str, more: Vec<u8>, codes| {
        ends("9113 5.1", format!("half-closed: {name}"), [get(1), more].concat(), codes).or(Want::Reset(1, codes)).reach(one()).dyno(slow())
    };
    let closed = |name: &str, more: Vec<u8>, codes| {
        Case {
            steps: vec![Step::Send(get(1)), answered.clone(), Step::Send(more)],
            ..ends("9113 5.1", format!("closed: {name}"), [], codes)
        }
        .or(Want::Reset(1, codes))
        .reach(Reach::These(vec![seen()]))
    };
    let after_reset = |name: &str, more: Vec<u8>| {
        // The sender of RST_STREAM has closed the stream; the edge may pass over what was on its way, and treats what is new as an error.
        ends("9113 5.1", format!("reset: {name}"), [post(1), reset(1, 8), more].concat(), EITHER)
            .or(Want::Reset(1, EITHER))
            .reach(Reach::Nothing)
    };
    let trailer = || super::hpack::field("x-t", "1");
    vec![
        ends("9113 5.1", "idle: DATA", data(1, END_STREAM, b"body"), WRONG),
        ends("9113 5.1", "idle: RST_STREAM", reset(3, 8), WRONG),
        ends("9113 5.1", "idle: WINDOW_UPDATE", window(1, 100), WRONG),
        ends("9113 5.1", "idle: CONTINUATION", frame(CONTINUATION, END_HEADERS, 1, trailer()), WRONG),
        half_closed("DATA", data(1, END_STREAM, b"body"), CLOSED),
        half_closed("HEADERS", get(1), EITHER),
        half_closed("trailers", headers(1, END_STREAM, trailer()), EITHER),
        half_closed("CONTINUATION", frame(CONTINUATION, END_HEADERS, 1, trailer()), EITHER),
        passed(
            "9113 5.1",
            "half-closed: WINDOW_UPDATE and PRIORITY",
            [get(1), window(1, 100), frame(PRIORITY, 0, 1, [0, 0, 0, 0, 1])].concat(),
            seen(),
        ),
        case("9113 5.1", "half-closed: RST_STREAM", [get(1), reset(1, 8), get(3)].concat(), vec![Want::Answer(3, &[200])])
            .reach(Reach::AtMost(vec![seen(), seen()])),
        closed("DATA", data(1, END_STREAM, b"body"), CLOSED),
        closed("HEADERS", get(1), EITHER),
        closed("CONTINUATION", frame(CONTINUATION, END_HEADERS, 1, trailer()), EITHER),
        after_reset("DATA", data(1, END_STREAM, b"body")),
        after_reset("HEADERS", get(1)),
        after_reset("CONTINUATION", frame(CONTINUATION, END_HEADERS, 1, trailer())),
        case("9113 5.1", "closed: WINDOW_UPDATE, PRIORITY and RST_STREAM a little later", get(1), vec![Want::Answer(3, &[200])])
            .then(answered.clone())
            .send([window(1, 1), frame(PRIORITY, 0, 1, [0, 0, 0, 0, 1]), reset(1, 8), get(3)].concat())
            .reach(Reach::These(vec![seen(), seen()])),
        ends("9113 5.1.1", "a stream of an even number", get(2), WRONG).reach(Reach::Nothing),
        ends("9113 5.1.1", "a stream of a smaller number", [get(5), get(3)].concat(), EITHER).reach(one()),
        ends("9113 5.1.1", "a stream of the same number", [get(3), get(3)].concat(), EITHER).or(Want::Reset(3, EITHER)).reach(one()),
        case("9113 5.1.1", "numbers may be left out", [get(1), get(99)].concat(), vec![Want::Answer(99, &[200])])
            .and(Want::Answer(1, &[200]))
            .reach(Reach::These(vec![seen(), seen()])),
        case(
            "9113 5.1.2",
            "5000 streams that do not end",
            (0..5000).flat_map(|n| post(2 * n + 1)).collect::<Vec<u8>>(),
            vec![Want::Gone(&[PROTOCOL, REFUSED, CALM])],
        )
        .or(Want::Reset(9999, &[PROTOCOL, REFUSED, CALM]))
        .reach(Reach::Nothing),
        passed(
            "9113 8.1",
            "a body in several frames",
            [post(1), data(1, 0, b"bo"), data(1, 0, b""), data(1, 0, b"dy"), data(1, END_STREAM, b"")].concat(),
            Seen::post("/case", "body"),
        ),
        passed(
            "9113 8.1",
            "a body with trailers",
            [post(1), data(1, 0, b"body"), headers(1, END_STREAM, trailer())].concat(),
            Seen::post("/case", "body").with("x-t", "1"),
        ),
        passed(
            "9113 8.1",
            "trailers and no body",
            [post(1), headers(1, END_STREAM, trailer())].concat(),
            Seen::post("/case", "").with("x-t", "1"),
        ),
        case(
            "9113 8.1",
            "twenty requests at once",
            (0..20).flat_map(|n| get(2 * n + 1)).collect::<Vec<u8>>(),
            vec![Want::Answer(39, &[200])],
        )
        .and(Want::Answer(1, &[200]))
        .and(Want::Answer(21, &[200]))
        .reach(Reach::These(vec![seen(); 20])),
        case("9113 8.1", "a HEAD", headers(1, END_STREAM, fields_of("HEAD", "/case", &[])), vec![Want::Whole(1, 200, Vec::new())])
            .reach(Reach::These(vec![Seen::of("HEAD", "/case")])),
    ]
}
