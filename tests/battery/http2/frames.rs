//! Prefaces, frames and settings (RFC 9113, sections 3, 4 and 6).

use super::frame::*;
use super::{Case, Want, case, ends, fields_of, get, passed, post, resets, seen};
use crate::case::{Reach, Seen};

/// Codes of a frame of a wrong size.
const SIZE: &[u32] = &[FRAME_SIZE];
const WRONG: &[u32] = &[PROTOCOL];

pub(super) fn cases() -> Vec<Case> {
    let block = || fields_of("GET", "/case", &[]);
    let body = || Seen::post("/case", "body");
    let padded = |len: u8, bytes: &[u8], padding: usize| [&[len][..], bytes, &vec![0; padding]].concat();
    let start = |bytes: &[u8]| [PREFACE, bytes].concat();
    // A setting beside a request that shows whether the connection went on.
    let with_settings = |id, value| [settings(&[(id, value)]), get(1)].concat();
    let whole = || Reach::AtMost(vec![seen()]);
    vec![
        passed("9113 3.4", "a request by prior knowledge", get(1), seen()),
        case("9113 3.4", "settings are acknowledged", settings(&[]), vec![Want::Acknowledged(2)]),
        ends("9113 3.4", "a preface that goes wrong", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", WRONG).raw().reach(Reach::Nothing),
        ends("9113 3.4", "a preface that goes wrong early", b"PRI * HTTP/2.1\r\n\r\nSM\r\n\r\n", WRONG).raw().reach(Reach::Nothing),
        ends("9113 3.4", "a preface with an HTTP/1 method", b"GET * HTTP/2.0\r\n\r\nSM\r\n\r\n", WRONG).raw().reach(Reach::Nothing),
        ends("9113 3.4", "a preface with fields", b"PRI * HTTP/2.0\r\nhost: lane-X.test\r\n\r\nSM\r\n\r\n", WRONG)
            .raw()
            .reach(Reach::Nothing),
        ends("9113 3.4", "no settings behind the preface", start(&get(1)), WRONG).raw().reach(Reach::Nothing),
        ends("9113 3.4", "a PING behind the preface", start(&frame(PING, 0, 0, [0; 8])), WRONG).raw().reach(Reach::Nothing),
        ends("9113 3.4", "settings on a stream behind the preface", start(&frame(SETTINGS, 0, 1, [])), WRONG).raw().reach(Reach::Nothing),
        ends("9113 3.4", "a second preface", [PREFACE, &get(1)].concat(), &[PROTOCOL, FRAME_SIZE]).reach(Reach::Nothing),
        case(
            "9113 3.4",
            "HTTP/1 behind the preface",
            start(b"GET /case HTTP/1.1\r\nhost: lane-X.test\r\n\r\n"),
            vec![Want::Gone(&[PROTOCOL, FRAME_SIZE])],
        )
        .raw(),
        // Frames.
        passed("9113 4.1", "a frame of an unknown type is passed over", [frame(0xfb, 0xff, 0, b"abc"), get(1)].concat(), seen()),
        passed(
            "9113 5.5",
            "an unknown frame on a stream that is open",
            [post(1), frame(0xfb, 0, 1, b"abc"), data(1, END_STREAM, b"body")].concat(),
            body(),
        ),
        case("9113 4.1", "undefined flags are passed over", frame(PING, 0xf6, 0, b"12345678"), vec![Want::Pong(*b"12345678")]),
        case("9113 4.1", "the reserved bit is passed over", frame(PING, 0, 0x8000_0000, b"12345678"), vec![Want::Pong(*b"12345678")]),
        passed(
            "9113 4.2",
            "a frame of the largest size",
            [post(1), data(1, END_STREAM, vec![b'x'; 16_384])].concat(),
            Seen::post("/case", vec![b'x'; 16_384]),
        ),
        ends("9113 4.2", "a frame that is too large", [post(1), data(1, END_STREAM, vec![0; 16_385])].concat(), SIZE)
            .or(Want::Reset(1, SIZE))
            .reach(Reach::Nothing),
        ends("9113 4.2", "headers that are too large", headers(1, END_STREAM, vec![0; 16_385]), SIZE).reach(Reach::Nothing),
        ends(
            "9113 4.2",
            "a length that nothing follows",
            [&[0xff, 0xff, 0xff, DATA, 0, 0, 0, 0, 1][..], &[0; 64]].concat(),
            &[FRAME_SIZE, PROTOCOL],
        )
        .reach(Reach::Nothing),
        // DATA and HEADERS.
        ends("9113 6.1", "DATA on stream 0", data(0, 0, b"body"), WRONG),
        passed("9113 6.1", "padded DATA", [post(1), frame(DATA, END_STREAM | PADDED, 1, padded(5, b"body", 5))].concat(), body()),
        passed(
            "9113 6.1",
            "DATA of padding alone",
            [post(1), frame(DATA, PADDED, 1, padded(5, b"", 5)), data(1, END_STREAM, b"body")].concat(),
            body(),
        ),
        ends(
            "9113 6.1",
            "DATA with more padding than there is",
            [post(1), frame(DATA, END_STREAM | PADDED, 1, padded(5, b"body", 0))].concat(),
            WRONG,
        )
        .reach(Reach::Nothing),
        ends("9113 6.1", "padded DATA of no bytes", [post(1), frame(DATA, END_STREAM | PADDED, 1, [])].concat(), &[PROTOCOL, FRAME_SIZE])
            .reach(Reach::Nothing),
        ends("9113 6.2", "HEADERS on stream 0", headers(0, END_STREAM, block()), WRONG),
        passed("9113 6.2", "padded HEADERS", frame(HEADERS, END_STREAM | END_HEADERS | PADDED, 1, padded(5, &block(), 5)), seen()),
        passed(
            "9113 6.2",
            "HEADERS with a priority",
            headers(1, END_STREAM | PRIORITIZED, [&[0, 0, 0, 0, 15][..], &block()].concat()),
            seen(),
        ),
        passed(
            "9113 6.2",
            "padded HEADERS with a priority",
            headers(1, END_STREAM | PRIORITIZED | PADDED, padded(3, &[&[0, 0, 0, 0, 15][..], &block()].concat(), 3)),
            seen(),
        ),
        ends("9113 6.2", "HEADERS with more padding than there is", headers(1, END_STREAM | PADDED, padded(255, &block(), 0)), WRONG)
            .reach(Reach::Nothing),
        ends("9113 6.2", "HEADERS too short for their priority", headers(1, END_STREAM | PRIORITIZED, [0; 3]), &[PROTOCOL, FRAME_SIZE]),
        // PRIORITY.
        passed("9113 6.3", "PRIORITY of an idle stream", [frame(PRIORITY, 0, 1, [0, 0, 0, 0, 15]), get(1)].concat(), seen()),
        passed("9113 6.3", "PRIORITY of a closed stream", [get(1), frame(PRIORITY, 0, 1, [0, 0, 0, 0, 15])].concat(), seen()),
        ends("9113 6.3", "PRIORITY on stream 0", frame(PRIORITY, 0, 0, [0, 0, 0, 0, 15]), WRONG),
        resets("9113 6.3", "PRIORITY of four bytes", [post(1), frame(PRIORITY, 0, 1, [0; 4])].concat(), SIZE),
        // RST_STREAM.
        ends("9113 6.4", "RST_STREAM on stream 0", reset(0, 8), WRONG),
        ends("9113 6.4", "RST_STREAM of an idle stream", reset(1, 8), WRONG),
        ends("9113 6.4", "RST_STREAM of three bytes", [post(1), frame(RST_STREAM, 0, 1, [0; 3])].concat(), SIZE).reach(Reach::Nothing),
        case(
            "9113 6.4",
            "a stream that is reset leaves the others",
            [post(1), reset(1, 8), get(3)].concat(),
            vec![Want::Answer(3, &[200])],
        )
        .reach(Reach::These(vec![seen()])),
        case(
            "9113 6.4",
            "a body that is reset is not run",
            [post(1), data(1, 0, b"bo"), reset(1, 8), get(3)].concat(),
            vec![Want::Answer(3, &[200])],
        )
        .reach(Reach::These(vec![seen()])),
        // SETTINGS.
        ends("9113 6.5", "SETTINGS on a stream", frame(SETTINGS, 0, 1, []), WRONG),
        ends("9113 6.5", "SETTINGS of five bytes", frame(SETTINGS, 0, 0, [0; 5]), SIZE),
        ends("9113 6.5", "acknowledged SETTINGS with a payload", frame(SETTINGS, ACK, 0, [0; 6]), SIZE),
        passed("9113 6.5.2", "an unknown setting is passed over", with_settings(0xfafa, 7), seen()),
        passed("9113 6.5.2", "no push", with_settings(2, 0), seen()),
        ends("9113 6.5.2", "ENABLE_PUSH of 2", with_settings(2, 2), WRONG).reach(whole()),
        ends("9113 6.5.2", "INITIAL_WINDOW_SIZE of 2^31", with_settings(4, 1 << 31), &[FLOW_CONTROL]).reach(whole()),
        ends("9113 6.5.2", "MAX_FRAME_SIZE of 16383", with_settings(5, 16_383), WRONG).reach(whole()),
        ends("9113 6.5.2", "MAX_FRAME_SIZE of 2^24", with_settings(5, 1 << 24), WRONG).reach(whole()),
        passed("9113 6.5.2", "MAX_CONCURRENT_STREAMS of 0 concerns pushes", with_settings(3, 0), seen()),
        passed("9113 6.5.3", "the last of one setting counts", [settings(&[(4, 0), (4, 65_535)]), get(1)].concat(), seen()),
        case("9113 6.5.3", "each SETTINGS is acknowledged", settings(&[(3, 100)]).repeat(3), vec![Want::Acknowledged(4)]),
        // PUSH_PROMISE, PING, GOAWAY.
        ends(
            "9113 6.6",
            "PUSH_PROMISE of a client",
            [post(1), frame(PUSH_PROMISE, END_HEADERS, 1, [&[0, 0, 0, 2][..], &block()].concat())].concat(),
            WRONG,
        )
        .reach(Reach::Nothing),
        case("9113 6.7", "a PING is answered", frame(PING, 0, 0, b"abcdefgh"), vec![Want::Pong(*b"abcdefgh")]),
        passed("9113 6.7", "an answer to no PING", [frame(PING, ACK, 0, b"abcdefgh"), get(1)].concat(), seen()),
        ends("9113 6.7", "a PING on a stream", frame(PING, 0, 1, [0; 8]), WRONG),
        ends("9113 6.7", "a PING of six bytes", frame(PING, 0, 0, [0; 6]), SIZE),
        ends("9113 6.8", "GOAWAY on a stream", frame(GOAWAY, 0, 1, [0; 8]), WRONG),
        ends("9113 6.8", "GOAWAY of four bytes", frame(GOAWAY, 0, 0, [0; 4]), SIZE),
        case(
            "9113 6.8",
            "what runs is answered behind a GOAWAY",
            [get(1), frame(GOAWAY, 0, 0, [0; 8])].concat(),
            vec![Want::Answer(1, &[200])],
        )
        .reach(Reach::These(vec![seen()]))
        .last(),
        // CONTINUATION.
        passed("9113 6.10", "a block in three frames", split(&block(), true), seen()),
        passed(
            "9113 6.10",
            "a block in frames, some of them empty",
            {
                let block = block();
                [
                    frame(HEADERS, END_STREAM, 1, []),
                    frame(CONTINUATION, 0, 1, &block[..7]),
                    frame(CONTINUATION, 0, 1, []),
                    frame(CONTINUATION, END_HEADERS, 1, &block[7..]),
                ]
                .concat()
            },
            seen(),
        ),
        ends(
            "9113 6.10",
            "CONTINUATION on stream 0",
            [frame(HEADERS, END_STREAM, 1, block()), frame(CONTINUATION, END_HEADERS, 0, [])].concat(),
            WRONG,
        )
        .reach(Reach::Nothing),
        ends("9113 6.10", "CONTINUATION behind nothing", frame(CONTINUATION, END_HEADERS, 1, block()), WRONG).reach(Reach::Nothing),
        ends(
            "9113 6.10",
            "CONTINUATION behind a whole block",
            [get(1), frame(CONTINUATION, END_HEADERS, 1, block())].concat(),
            &[PROTOCOL, STREAM_CLOSED],
        )
        .reach(whole()),
        ends(
            "9113 6.10",
            "CONTINUATION behind DATA",
            [post(1), data(1, 0, b"body"), frame(CONTINUATION, END_HEADERS, 1, [])].concat(),
            WRONG,
        )
        .reach(Reach::Nothing),
        ends(
            "9113 6.10",
            "CONTINUATION of another stream",
            [frame(HEADERS, END_STREAM, 1, block()), frame(CONTINUATION, END_HEADERS, 3, [])].concat(),
            WRONG,
        )
        .reach(Reach::Nothing),
        ends("9113 4.3", "DATA within a block", [frame(HEADERS, 0, 1, block()), data(1, END_STREAM, b"body")].concat(), WRONG)
            .reach(Reach::Nothing),
        ends("9113 4.3", "HEADERS within a block", [frame(HEADERS, END_STREAM, 1, block()), get(3)].concat(), WRONG).reach(Reach::Nothing),
        ends("9113 4.3", "a PING within a block", [frame(HEADERS, END_STREAM, 1, block()), frame(PING, 0, 0, [0; 8])].concat(), WRONG)
            .reach(Reach::Nothing),
        ends(
            "9113 5.5",
            "an unknown frame within a block",
            [frame(HEADERS, END_STREAM, 1, block()), frame(0xfb, 0, 1, [])].concat(),
            WRONG,
        )
        .reach(Reach::Nothing),
    ]
}

/// A block in three frames on stream 1.
fn split(block: &[u8], end: bool) -> Vec<u8> {
    let flags = if end { END_STREAM } else { 0 };
    [frame(HEADERS, flags, 1, &block[..5]), frame(CONTINUATION, 0, 1, &block[5..20]), frame(CONTINUATION, END_HEADERS, 1, &block[20..])]
        .concat()
}
