//! The watch on floods of HTTP/2 frames: the same count however the stream is cut, and the one that reading frame by frame comes to.

use dynomesh_core::http2::FloodWatch;

use crate::Outcome;
use crate::input::{Input, pieces};

/// Lengths of payloads that matter, the largest among them.
const LENGTHS: [u32; 8] = [0, 0, 1, 4, 8, 9, 300, (1 << 24) - 1];
const PREFACE_LEN: usize = 24;
const HEADER_LEN: usize = 9;

/// Two bytes say how the stream is cut, a third whether it is written in frames or comes as it is.
pub fn check(bytes: &[u8]) -> Outcome {
    let mut input = Input::new(bytes);
    let cuts = [input.byte() % 64, input.byte() % 8];
    let stream = if input.byte().is_multiple_of(4) { input.rest().to_vec() } else { frames(&mut input) };
    let (told, has_begun_well) = read(&stream);
    for cuts in [&[][..], &cuts, &[0]] {
        let (mut watch, mut idle) = (FloodWatch::default(), 0);
        for (nth, piece) in pieces(&stream, cuts).into_iter().enumerate() {
            watch.note(piece);
            // What is taken now and then comes to the same in the end.
            if nth % 3 == 0 {
                assert_eq!(watch.idle_frames(), watch.clone().take_idle_frames());
                idle += watch.take_idle_frames();
            }
        }
        assert_eq!(idle + watch.take_idle_frames(), told, "cut by {cuts:?}");
        assert_eq!(watch.take_idle_frames(), 0, "frames were counted twice");
        assert_eq!(watch.is_out_of_order(), !has_begun_well, "cut by {cuts:?}");
    }
    assert!(told as usize <= stream.len() / HEADER_LEN);
    Outcome::of(has_begun_well && told < 4)
}

/// A stream of frames: each is a type, flags and one of [`LENGTHS`]; the last may be cut short.
fn frames(input: &mut Input<'_>) -> Vec<u8> {
    let mut stream = vec![b'P'; PREFACE_LEN];
    while !input.is_over() {
        let (kind, flags, len) = (input.byte() % 12, input.byte(), input.one_of(&LENGTHS));
        let [_, len_bytes @ ..] = len.to_be_bytes();
        stream.extend(len_bytes);
        stream.extend([kind, flags, 0, 0, 0, 1]);
        // Payloads that look like headers of frames, the largest never whole.
        stream.extend(std::iter::repeat_n(4, len.min(1000) as usize));
    }
    let left_out = input.byte() as usize % HEADER_LEN;
    stream.truncate(stream.len() - left_out);
    stream
}

/// Frames that carry nothing, and whether the first is SETTINGS: by places in the whole stream.
fn read(stream: &[u8]) -> (u32, bool) {
    let (mut at, mut idle, mut is_first, mut has_begun_well) = (PREFACE_LEN, 0, true, true);
    while let Some(header) = stream.get(at..at + HEADER_LEN) {
        let len = usize::from(header[0]) * 65536 + usize::from(header[1]) * 256 + usize::from(header[2]);
        let (kind, flag) = (header[3], header[4] % 2 == 1);
        if is_first {
            has_begun_well = kind == 4 && !flag;
        }
        is_first = false;
        // DATA that ends its stream, HEADERS and WINDOW_UPDATE are of use however empty; PRIORITY, RST_STREAM, SETTINGS and PING never.
        let of_use = matches!((kind, flag), (0, true) | (1 | 8, _)) || (len > 0 && !matches!(kind, 2 | 3 | 4 | 6));
        idle += u32::from(!of_use);
        at += HEADER_LEN + len;
    }
    (idle, has_begun_well)
}
