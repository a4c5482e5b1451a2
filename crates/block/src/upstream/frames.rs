//! Where in the bytes a client writes by HTTP/2 a request begins, and its head ends.

/// Length of what a client says first (RFC 9113, section 3.4).
const PREFACE_LEN: usize = 24;
/// Length of a frame's header (RFC 9113, section 4.1).
const HEADER_LEN: u8 = 9;
/// Where in it the type stands, behind the payload's length.
const TYPE_AT: u8 = 3;
/// Where the flags stand.
const FLAGS_AT: u8 = 4;
/// The type of the frame that begins a request (RFC 9113, section 6.2), and of those that go on with its head (6.10).
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
/// The flag of the last frame of a head.
const END_HEADERS: u8 = 4;

/// Follows what is written, frame by frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frames {
    /// Bytes of preface or payload still to come.
    skip: usize,
    /// Bytes of a frame's header seen so far.
    seen: u8,
    payload: usize,
    kind: u8,
    block: Block,
}

/// Where a head is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Block {
    Over,
    /// Another frame of it follows.
    GoesOn,
    /// It ends with this frame.
    Ends,
}

impl Frames {
    /// At the start of a connection.
    pub(super) fn new() -> Self {
        Frames { skip: PREFACE_LEN, seen: 0, payload: 0, kind: 0, block: Block::Over }
    }

    /// Whether a head has begun and not ended.
    pub(super) fn is_in_head(&self) -> bool {
        match self.block {
            Block::Over => false,
            Block::GoesOn => true,
            Block::Ends => self.seen > 0 || self.skip > 0,
        }
    }

    /// Goes on by `bytes`; whether the type of a HEADERS frame was among them.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> bool {
        let mut begins = false;
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            let Some((byte, rest)) = bytes.split_first() else { return begins };
            bytes = rest;
            if self.seen == 0 && self.block == Block::Ends {
                self.block = Block::Over;
            }
            match self.seen {
                0..TYPE_AT => self.payload = self.payload << 8 | usize::from(*byte),
                TYPE_AT => {
                    self.kind = *byte;
                    if *byte == HEADERS {
                        begins = true;
                        self.block = Block::GoesOn;
                    }
                }
                FLAGS_AT if matches!(self.kind, HEADERS | CONTINUATION) => {
                    self.block = if byte & END_HEADERS == 0 { Block::GoesOn } else { Block::Ends }
                }
                _ => {}
            }
            self.seen += 1;
            if self.seen == HEADER_LEN {
                *self = Frames { skip: self.payload, seen: 0, payload: 0, ..*self };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: usize) -> Vec<u8> {
        flagged(kind, END_HEADERS, payload)
    }

    fn flagged(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let len = u32::try_from(payload).unwrap().to_be_bytes();
        let mut bytes = vec![len[1], len[2], len[3], kind, flags, 0, 0, 0, 1];
        // A payload that looks like frames of the wanted type.
        bytes.resize(9 + payload, HEADERS);
        bytes
    }

    #[test]
    fn a_request_is_found_however_the_writes_are_cut() {
        let before = [vec![HEADERS; PREFACE_LEN], frame(4, 18), frame(8, 4), frame(0, 300), frame(4, 0)].concat();
        let whole = [before.clone(), frame(HEADERS, 70_000), frame(0, 1)].concat();
        for size in [1, 2, 7, 9, 100, 1000, whole.len()] {
            let mut frames = Frames::new();
            let mut at = 0;
            let found: Vec<std::ops::Range<usize>> = whole
                .chunks(size)
                .filter_map(|chunk| {
                    let from = at;
                    at += chunk.len();
                    frames.feed(chunk).then_some(from..at)
                })
                .collect();
            assert_eq!(found.len(), 1, "in writes of {size}");
            assert!(found[0].contains(&(before.len() + 3)), "in writes of {size}");
        }
    }

    /// Fails when a head counts as written before the last of its frames is.
    #[test]
    fn a_head_goes_on_until_the_end_of_its_last_frame() {
        let before = [vec![0; PREFACE_LEN], frame(4, 18)].concat();
        let head = [flagged(HEADERS, 0, 400), flagged(CONTINUATION, 0, 300), flagged(CONTINUATION, END_HEADERS, 20)].concat();
        for (head, body) in [(head, frame(0, 5)), (frame(HEADERS, 10), frame(8, 4)), (frame(HEADERS, 0), Vec::new())] {
            let mut frames = Frames::new();
            let whole = [&before[..], &head, &body].concat();
            for (at, byte) in whole.iter().enumerate() {
                frames.feed(&[*byte]);
                // From its type on, which is what tells it.
                let is_in_head = (before.len() + 3..before.len() + head.len() - 1).contains(&at);
                assert_eq!(frames.is_in_head(), is_in_head, "behind byte {at}");
            }
        }
    }
}
