//! The body that `x-demo-bytes` asks for: every byte follows from its place, so that a lost, repeated or swapped piece shows.

use bytes::Bytes;

/// The byte at `offset`. Its neighbourhood differs from every other within many gigabytes: each eight bytes spell a mixed number of
/// their place, so a piece that was moved, even by a whole buffer, is found.
pub fn byte_at(offset: u64) -> u8 {
    word(offset / 8)[(offset % 8) as usize]
}

/// The `len` bytes that start at `offset`.
pub fn piece(offset: u64, len: usize) -> Bytes {
    let mut bytes = Vec::with_capacity(len + 16);
    let skip = (offset % 8) as usize;
    let mut index = offset / 8;
    while bytes.len() < len + skip {
        bytes.extend_from_slice(&word(index));
        index += 1;
    }
    Bytes::from(bytes).slice(skip..skip + len)
}

/// The first place where `bytes`, received from `offset` on, is not what was sent.
pub fn first_difference(offset: u64, bytes: &[u8]) -> Option<u64> {
    let sent = piece(offset, bytes.len());
    let place = sent.iter().zip(bytes).position(|(sent, got)| sent != got)?;
    Some(offset + place as u64)
}

/// Eight bytes that look like chance (the finalizer of splitmix64) and belong to `index` alone: the mixing loses nothing.
fn word(index: u64) -> [u8; 8] {
    let mut mixed = index.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (mixed ^ (mixed >> 31)).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_agree_with_single_bytes_wherever_they_start() {
        for offset in [0, 1, 7, 8, 4095] {
            let bytes = piece(offset, 100);
            assert!(bytes.iter().enumerate().all(|(i, byte)| *byte == byte_at(offset + i as u64)));
            assert_eq!(first_difference(offset, &bytes), None);
        }
    }

    #[test]
    fn a_moved_or_damaged_piece_is_found() {
        assert!(first_difference(0, &piece(65536, 64)).is_some());
        let mut bytes = piece(0, 64).to_vec();
        bytes[50] ^= 1;
        assert_eq!(first_difference(0, &bytes), Some(50));
    }
}
