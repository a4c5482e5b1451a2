//! The line before a chunk.

use super::octet::is_text;
use super::{CHUNK_DIGITS_MAX, Violation};

/// Size of the chunk that `line` (without its end) announces; its extensions are looked at only as far as the line's end could hide there.
pub(super) fn size(line: &[u8], extension_max: usize) -> Result<u64, Violation> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    if !(1..=CHUNK_DIGITS_MAX).contains(&digits) {
        return Err(Violation::ChunkSize);
    }
    let (digits, extension) = line.split_at(digits);
    check_extension(extension, extension_max)?;
    // 16 digits of 4 bits each fit.
    Ok(digits.iter().fold(0, |size, &digit| size << 4 | u64::from(value(digit))))
}

fn check_extension(extension: &[u8], max: usize) -> Result<(), Violation> {
    if extension.is_empty() {
        return Ok(());
    }
    let blank = extension.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    if extension.get(blank) != Some(&b';') {
        return Err(Violation::ChunkSize);
    }
    if extension.len() > max || !is_text(extension) { Err(Violation::ChunkExtension) } else { Ok(()) }
}

fn value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}
