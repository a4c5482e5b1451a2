//! Where the frames of a WebSocket end, so that a word can be said between two of them.
//!
//! Who must cut a WebSocket says so first, by a close frame (P12). It may stand between any two frames, those of one message too, but not
//! within one (RFC 6455, sections 5.4 and 5.5). So lengths are followed here and nothing else: what the frames mean, and whether they are
//! as they should be, is for client and server.

/// Bytes of a header before a longer length and the masking key (RFC 6455, section 5.2).
const HEADER_LEN: u8 = 2;
/// In a header's first byte: what the frame is.
const OPCODE: u8 = 0x0f;
const CLOSE: u8 = 0x8;
const FINAL: u8 = 0x80;
/// In its second byte: whether a masking key follows, and the length or how long that is.
const MASKED: u8 = 0x80;
const LENGTH: u8 = 0x7f;
const LENGTH_OF_2: u8 = 126;
const LENGTH_OF_8: u8 = 127;
/// Why a server goes that is about to stop (RFC 6455, section 7.4.1).
const GOING_AWAY: [u8; 2] = 1001u16.to_be_bytes();

/// Follows one direction of a WebSocket from its first byte.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frames {
    /// Bytes of payload still to come.
    payload: u64,
    /// Bytes of a header that have come.
    have: u8,
    /// Bytes that the header ends and its length ends with, once known.
    header_end: u8,
    length_end: u8,
    length: u64,
    is_closed: bool,
}

impl Frames {
    /// Goes on by `bytes`; any split of the stream comes to the same.
    pub fn note(&mut self, mut bytes: &[u8]) {
        loop {
            let skipped = usize::try_from(self.payload).map_or(bytes.len(), |payload| payload.min(bytes.len()));
            self.payload -= skipped as u64;
            let Some((byte, rest)) = bytes[skipped..].split_first() else { return };
            self.header(*byte);
            bytes = rest;
        }
    }

    fn header(&mut self, byte: u8) {
        match self.have {
            0 => self.is_closed |= byte & OPCODE == CLOSE,
            1 => {
                let (length, more) = match byte & LENGTH {
                    LENGTH_OF_2 => (0, 2),
                    LENGTH_OF_8 => (0, 8),
                    length => (length, 0),
                };
                self.length = length.into();
                self.length_end = HEADER_LEN + more;
                self.header_end = self.length_end + if byte & MASKED == 0 { 0 } else { 4 };
            }
            have if have < self.length_end => self.length = self.length << 8 | u64::from(byte),
            _ => {}
        }
        self.have += 1;
        if self.have >= HEADER_LEN && self.have == self.header_end {
            (self.have, self.payload) = (0, self.length);
        }
    }

    /// Whether another frame may follow here: the last one is whole, and was not the one behind which nothing may come.
    pub fn may_follow(&self) -> bool {
        self.payload == 0 && self.have == 0 && !self.is_closed
    }
}

/// A close frame that says "going away", as servers say it, or with a masking key as clients must.
pub fn going_away(mask: Option<[u8; 4]>) -> Vec<u8> {
    let [first, second] = GOING_AWAY;
    match mask {
        None => vec![FINAL | CLOSE, 2, first, second],
        Some([a, b, c, d]) => vec![FINAL | CLOSE, MASKED | 2, a, b, c, d, first ^ a, second ^ b],
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    /// A frame whose payload looks like close frames.
    fn frame(opcode: u8, payload: usize, is_masked: bool) -> Vec<u8> {
        let masked = if is_masked { MASKED } else { 0 };
        let mut frame = match payload {
            0..=125 => vec![opcode, masked | u8::try_from(payload).unwrap()],
            126..=0xffff => [&[opcode, masked | LENGTH_OF_2][..], &u16::try_from(payload).unwrap().to_be_bytes()].concat(),
            _ => [&[opcode, masked | LENGTH_OF_8][..], &(payload as u64).to_be_bytes()].concat(),
        };
        frame.resize(frame.len() + payload + if is_masked { 4 } else { 0 }, FINAL | CLOSE);
        frame
    }

    /// The ends of frames, by a look at each byte.
    fn ends(stream: &[u8]) -> Vec<usize> {
        let mut frames = Frames::default();
        let ends = stream.iter().enumerate().filter_map(|(at, byte)| {
            frames.note(std::slice::from_ref(byte));
            frames.may_follow().then_some(at + 1)
        });
        ends.collect()
    }

    #[test]
    fn the_end_of_each_frame_is_found_and_no_other_place() {
        for is_masked in [false, true] {
            let mut stream = Vec::new();
            let mut wanted = Vec::new();
            for payload in [0, 1, 125, 126, 127, 300, 0xffff, 0x1_0000, 70_000, 0] {
                stream.extend(frame(0x82, payload, is_masked));
                wanted.push(stream.len());
            }
            assert_eq!(ends(&stream), wanted, "masked: {is_masked}");
        }
    }

    #[test]
    fn however_the_stream_is_cut_the_same_is_known_of_it() {
        for seed in 0..200 {
            let mut rng = StdRng::seed_from_u64(seed);
            let opcodes = [0x01, 0x80, 0x82, 0x89, 0x8a];
            let stream: Vec<u8> = (0..rng.random_range(1..20))
                .flat_map(|_| frame(opcodes[rng.random_range(0..opcodes.len())], rng.random_range(0..400), rng.random()))
                .collect();
            let (mut whole, mut pieces) = (Frames::default(), Frames::default());
            let end = rng.random_range(0..=stream.len());
            whole.note(&stream[..end]);
            let mut rest = &stream[..end];
            while !rest.is_empty() {
                let (piece, more) = rest.split_at(rng.random_range(1..=rest.len()));
                pieces.note(piece);
                rest = more;
            }
            assert_eq!(whole, pieces, "seed {seed}");
        }
    }

    #[test]
    fn nothing_follows_a_close_frame_and_a_ping_between_fragments_changes_nothing() {
        let mut frames = Frames::default();
        for between in [frame(0x01, 5, true), frame(0x89, 3, true), frame(0x80, 5, true)] {
            frames.note(&between);
            assert!(frames.may_follow());
        }
        frames.note(&going_away(Some([1, 2, 3, 4])));
        assert!(!frames.may_follow());
    }

    #[test]
    fn a_length_that_nobody_can_send_never_ends() {
        let mut frames = Frames::default();
        frames.note(&[0x82, LENGTH_OF_8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
        frames.note(&[0; 1000]);
        assert!(!frames.may_follow());
    }

    #[test]
    fn going_away_is_said_with_its_code() {
        assert_eq!(going_away(None), [0x88, 2, 0x03, 0xe9]);
        assert_eq!(going_away(Some([1, 2, 4, 8])), [0x88, 0x82, 1, 2, 4, 8, 0x02, 0xeb]);
    }
}
