//! What a body was, in a few bytes: its length and a checksum of all of it.
//!
//! CRC-32, as the log uses it: several gigabytes per second on any machine, so that nobody who counts bytes becomes the bottleneck of a
//! test, and it is in the program already. Nobody forges bodies here. What is looked for are lost, repeated, swapped and foreign pieces,
//! of which it misses one in four thousand million.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A body in short. Written as `LENGTH-CHECKSUM`, the latter in eight hexadecimal digits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest {
    len: u64,
    crc: u32,
}

/// What is not written as a [`Digest`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no digest: it must be LENGTH-CHECKSUM")]
pub struct NoDigest(String);

impl Digest {
    /// That of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let mut digest = Self::default();
        digest.add(bytes);
        digest
    }

    /// Goes on with the bytes that follow.
    pub fn add(&mut self, bytes: &[u8]) {
        let mut hasher = crc32fast::Hasher::new_with_initial_len(self.crc, self.len);
        hasher.update(bytes);
        self.crc = hasher.finalize();
        self.len += bytes.len() as u64;
    }

    /// How long the body was.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there was no byte.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:08x}", self.len, self.crc)
    }
}

impl FromStr for Digest {
    type Err = NoDigest;
    fn from_str(text: &str) -> Result<Self, NoDigest> {
        let read = || {
            let (len, crc) = text.split_once('-')?;
            Some(Digest { len: len.parse().ok()?, crc: u32::from_str_radix(crc, 16).ok().filter(|_| crc.len() == 8)? })
        };
        read().ok_or_else(|| NoDigest(text.chars().take(80).collect()))
    }
}

impl TryFrom<String> for Digest {
    type Error = NoDigest;
    fn try_from(text: String) -> Result<Self, NoDigest> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_add_up_to_the_whole_and_a_lost_or_swapped_one_shows() {
        let whole = Digest::of(b"one two three");
        let mut pieces = Digest::default();
        [&b"one"[..], b"", b" two three"].iter().for_each(|piece| pieces.add(piece));
        assert_eq!(pieces, whole);
        assert_ne!(Digest::of(b"two one three"), whole);
        assert_ne!(Digest::of(b"one two thre"), whole);
        assert!(Digest::default().is_empty() && !whole.is_empty());
    }

    #[test]
    fn it_is_read_as_it_is_written() {
        let digest = Digest::of(b"123456789");
        // The check value of this checksum, as its catalogues give it.
        assert_eq!(digest.to_string(), "9-cbf43926");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        for bad in ["", "9", "9-", "9-cbf4392", "x-cbf43926", "9-cbf43926-1"] {
            assert!(bad.parse::<Digest>().is_err(), "{bad:?} passed");
        }
    }
}
