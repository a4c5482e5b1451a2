//! Flow control (RFC 9113, sections 5.2 and 6.9).

use super::frame::*;
use super::{Case, Step, Want, case, ends, fields_of, get, passed, post, resets, seen};
use crate::case::{Act, Dyno, Reach, Seen};

const FLOW: &[u32] = &[FLOW_CONTROL];

/// An answer with a body of so many bytes.
fn long(len: usize) -> Dyno {
    let mut answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {len}\r\n\r\n").into_bytes();
    answer.resize(answer.len() + len, b'x');
    Dyno::Acts(vec![Act::Say(answer)])
}

pub(super) fn cases() -> Vec<Case> {
    let one = || Reach::These(vec![seen()]);
    let body = |len: usize| vec![b'x'; len];
    let many: Vec<u8> = std::iter::once(post(1)).chain((0..300).map(|_| data(1, 0, vec![b'x'; 16_384]))).flatten().collect();
    vec![
        ends("9113 6.9", "WINDOW_UPDATE of the connection by nothing", window(0, 0), &[PROTOCOL]),
        resets("9113 6.9", "WINDOW_UPDATE of a stream by nothing", [post(1), window(1, 0)].concat(), &[PROTOCOL]),
        ends("9113 6.9", "WINDOW_UPDATE of three bytes", frame(WINDOW_UPDATE, 0, 0, [0; 3]), &[FRAME_SIZE]),
        ends("9113 6.9.1", "a window of the connection past 2^31 - 1", window(0, 0x7fff_ffff).repeat(2), FLOW),
        resets(
            "9113 6.9.1",
            "a window of a stream past 2^31 - 1",
            [post(1), window(1, 0x7fff_ffff), window(1, 0x7fff_ffff)].concat(),
            FLOW,
        ),
        passed("9113 6.9", "the reserved bit of an increment is passed over", [window(0, 0x8000_0001), get(1)].concat(), seen()),
        case("9113 6.9.2", "a window of nothing: a head and no body", get(1), vec![Want::Bytes(1, 0)])
            .settings(&[(4, 0)])
            .reach(one())
            .and(Want::Head(1))
            .last(),
        case("9113 6.9.1", "a window of one byte: one byte", get(1), vec![Want::Bytes(1, 1)])
            .settings(&[(4, 1)])
            .reach(one())
            .and(Want::Head(1))
            .last(),
        case("9113 6.9.1", "a window that is opened byte by byte", get(1), vec![Want::Answer(1, &[200])])
            .settings(&[(4, 1)])
            .then(Step::Await(Want::Bytes(1, 1)))
            .send(window(1, 1))
            .then(Step::Await(Want::Bytes(1, 2)))
            .send(window(1, 1))
            .then(Step::Await(Want::Bytes(1, 3)))
            .send(window(1, 1000))
            .reach(one())
            .last(),
        case("9113 6.9.2", "a window that is opened by SETTINGS", get(1), vec![Want::Answer(1, &[200])])
            .settings(&[(4, 0)])
            .then(Step::Pause(50))
            .send(settings(&[(4, 1000)]))
            .reach(one()),
        case(
            "9113 6.9.2",
            "a window that SETTINGS make negative",
            [window(0, 1 << 20), get(1)].concat(),
            vec![Want::Whole(1, 200, body(100_000))],
        )
        .dyno(long(100_000))
        .then(Step::Await(Want::Bytes(1, 65_535)))
        .send(settings(&[(4, 1000)]))
        .send(window(1, 64_534))
        .then(Step::Pause(50))
        .send(window(1, 100_000))
        .reach(one()),
        case(
            "9113 6.9.2",
            "SETTINGS that open a window too far",
            [get(1), window(1, 0x7fff_0000), settings(&[(4, 0x7fff_ffff)])].concat(),
            vec![Want::Gone(FLOW)],
        )
        .settings(&[(4, 0)])
        .reach(Reach::AtMost(vec![seen()])),
        case("9113 5.2.1", "the connection's window is not passed", get(1), vec![Want::Bytes(1, 65_535)])
            .settings(&[(4, 1 << 20)])
            .dyno(long(200_000))
            .reach(one())
            .last(),
        case("9113 5.2.1", "a stream's window is not passed", [window(0, 1 << 20), get(1)].concat(), vec![Want::Bytes(1, 65_535)])
            .dyno(long(200_000))
            .reach(one())
            .last(),
        case(
            "9113 5.2.1",
            "a stream without a window leaves the others",
            [get(1), headers(3, END_STREAM, fields_of("GET", "/case", &[])), window(3, 1000)].concat(),
            vec![Want::Answer(3, &[200])],
        )
        .settings(&[(4, 0)])
        .reach(Reach::These(vec![seen(), seen()]))
        .last(),
        // More than any window: an error, or as much as the dyno took in time.
        case("9113 6.9.1", "a body beyond its window", many, vec![Want::Gone(FLOW), Want::Reset(1, FLOW), Want::Refused(1)])
            .reach(Reach::Nothing)
            .last(),
        passed(
            "9113 6.9",
            "a body of 60000 bytes within its window",
            [post(1), data(1, 0, body(16_384)), data(1, 0, body(16_384)), data(1, 0, body(16_384)), data(1, END_STREAM, body(10_848))]
                .concat(),
            Seen::post("/case", body(60_000)),
        ),
    ]
}
