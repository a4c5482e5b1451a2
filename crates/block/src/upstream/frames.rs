//! Where in the bytes a client writes by HTTP/2 a request begins.

/// Length of what a client says first (RFC 9113, section 3.4).
const PREFACE_LEN: usize = 24;
/// Length of a frame's header (RFC 9113, section 4.1).
const HEADER_LEN: u8 = 9;
/// Where in it the type stands, behind the payload's length.
const TYPE_AT: u8 = 3;
/// The type of the frame that begins a request (RFC 9113, section 6.2).
const HEADERS: u8 = 1;

/// Follows what is written, frame by frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frames {
    /// Bytes of preface or payload still to come.
    skip: usize,
    /// Bytes of a frame's header seen so far.
    seen: u8,
    payload: usize,
}

impl Frames {
    /// At the start of a connection.
    pub(super) fn new() -> Self {
        Frames { skip: PREFACE_LEN, seen: 0, payload: 0 }
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
            match self.seen {
                0..TYPE_AT => self.payload = self.payload << 8 | usize::from(*byte),
                TYPE_AT => begins |= *byte == HEADERS,
                _ => {}
            }
            self.seen += 1;
            if self.seen == HEADER_LEN {
                *self = Frames { skip: self.payload, seen: 0, payload: 0 };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: usize) -> Vec<u8> {
        let len = u32::try_from(payload).unwrap().to_be_bytes();
        let mut bytes = vec![len[1], len[2], len[3], kind, 0, 0, 0, 0, 1];
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
}
