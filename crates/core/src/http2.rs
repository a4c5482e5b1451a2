//! Floods of HTTP/2 frames that cost their sender nothing and carry nothing: counted while they arrive.
//!
//! The protocol lets a client send SETTINGS, PING, PRIORITY, RST_STREAM and empty frames without end (RFC 9113, section 10.5). What they
//! cost us is processor time, so what is limited is their rate: so many per second, whatever the number of requests. Frames that move
//! data on, WINDOW_UPDATE among them, are free.

/// The connection preface (RFC 9113, section 3.4) that comes before the first frame.
const PREFACE_LEN: u32 = 24;
/// Length of a frame's header (section 4.1).
const HEADER_LEN: usize = 9;
/// Types and the flag that ends a stream (section 6).
const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const PRIORITY: u8 = 0x2;
const RST_STREAM: u8 = 0x3;
const SETTINGS: u8 = 0x4;
const PING: u8 = 0x6;
const WINDOW_UPDATE: u8 = 0x8;
const END_STREAM: u8 = 0x1;
const ACK: u8 = 0x1;

/// Watches what a client sends, from its first byte.
#[derive(Debug, Clone)]
pub struct FloodWatch {
    /// Bytes of the preface or of a frame's payload still to come.
    skip: u32,
    header: [u8; HEADER_LEN],
    /// Bytes of the header that have come.
    have: usize,
    idle_frames: u32,
    frames: u64,
    is_out_of_order: bool,
}

impl Default for FloodWatch {
    fn default() -> Self {
        FloodWatch { skip: PREFACE_LEN, header: [0; HEADER_LEN], have: 0, idle_frames: 0, frames: 0, is_out_of_order: false }
    }
}

impl FloodWatch {
    /// Takes note of bytes that arrived; any split of the stream comes to the same.
    pub fn note(&mut self, mut bytes: &[u8]) {
        loop {
            let skipped = bytes.len().min(self.skip as usize);
            self.skip -= u32::try_from(skipped).expect("at most what is to be skipped");
            bytes = &bytes[skipped..];
            if bytes.is_empty() {
                return;
            }
            let taken = bytes.len().min(HEADER_LEN - self.have);
            self.header[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            self.have += taken;
            bytes = &bytes[taken..];
            if self.have == HEADER_LEN {
                self.have = 0;
                self.frame();
            }
        }
    }

    fn frame(&mut self) {
        let [a, b, c, kind, flags, ..] = self.header;
        self.skip = u32::from_be_bytes([0, a, b, c]);
        self.is_out_of_order |= self.frames == 0 && (kind != SETTINGS || flags & ACK != 0);
        self.frames += 1;
        let carries = match kind {
            DATA => self.skip > 0 || flags & END_STREAM != 0,
            HEADERS | WINDOW_UPDATE => true,
            PRIORITY | RST_STREAM | SETTINGS | PING => false,
            // CONTINUATION, and whatever is not known: as good as what it carries.
            _ => self.skip > 0,
        };
        self.idle_frames += u32::from(!carries);
    }

    /// Frames without use since the count last began, which begins anew.
    pub fn take_idle_frames(&mut self) -> u32 {
        std::mem::take(&mut self.idle_frames)
    }

    /// Whether the first frame was other than SETTINGS (section 3.4).
    pub fn is_out_of_order(&self) -> bool {
        self.is_out_of_order
    }

    /// Frames without use since the count last began.
    pub fn idle_frames(&self) -> u32 {
        self.idle_frames
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).unwrap().to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags, 0, 0, 0, 1];
        frame.resize(HEADER_LEN + payload, 0xff);
        frame
    }

    fn counted(frames: &[Vec<u8>], pieces: usize) -> u32 {
        let mut stream = vec![b'P'; PREFACE_LEN as usize];
        stream.extend(frames.concat());
        let mut watch = FloodWatch::default();
        stream.chunks(pieces).for_each(|piece| watch.note(piece));
        watch.take_idle_frames()
    }

    #[test]
    fn only_frames_that_carry_nothing_count() {
        for (kind, flags, payload, idle) in [
            (DATA, 0, 5, 0),
            (DATA, END_STREAM, 0, 0),
            (DATA, 0, 0, 1),
            (HEADERS, 0x4, 30, 0),
            (PRIORITY, 0, 5, 1),
            (RST_STREAM, 0, 4, 1),
            (SETTINGS, 0, 0, 1),
            (SETTINGS, 1, 0, 1),
            (PING, 0, 8, 1),
            (WINDOW_UPDATE, 0, 4, 0),
            (0x9, 0, 0, 1),
            (0x9, 0, 9, 0),
        ] {
            assert_eq!(counted(&[frame(kind, flags, payload)], 1000), idle, "type {kind} with {payload} bytes");
        }
    }

    #[test]
    fn the_preface_is_followed_by_settings() {
        for (kind, flags, wrong) in [(SETTINGS, 0, false), (SETTINGS, ACK, true), (PING, 0, true), (HEADERS, 5, true)] {
            let mut watch = FloodWatch::default();
            watch.note(&[vec![b'P'; PREFACE_LEN as usize], frame(kind, flags, 0), frame(PING, 0, 8)].concat());
            assert_eq!(watch.is_out_of_order(), wrong, "type {kind} with flags {flags}");
        }
    }

    #[test]
    fn any_split_of_the_stream_counts_the_same() {
        for seed in 0..300 {
            let mut rng = StdRng::seed_from_u64(seed);
            let count = rng.random_range(0..40);
            let frames: Vec<_> =
                (0..count).map(|_| frame(rng.random_range(0..12), rng.random_range(0..2), rng.random_range(0..300))).collect();
            let pieces = rng.random_range(1..50);
            assert_eq!(counted(&frames, pieces), counted(&frames, usize::MAX), "seed {seed}");
        }
    }

    #[test]
    fn no_bytes_make_it_fail() {
        for seed in 0..300 {
            let mut rng = StdRng::seed_from_u64(seed);
            let bytes: Vec<u8> = (0..rng.random_range(0..2000)).map(|_| rng.random()).collect();
            let mut watch = FloodWatch::default();
            watch.note(&bytes);
            assert!(watch.take_idle_frames() as usize <= bytes.len() / HEADER_LEN, "seed {seed}");
        }
    }
}
