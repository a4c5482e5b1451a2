//! HPACK (RFC 7541): an encoder that uses no table, so that every byte is the case's own, and a decoder for the answers.
//!
//! The decoder keeps no dynamic table: these clients allow a table of no bytes, so that an edge that refers to one is wrong.

/// A field without any table or coding, longer than 127 bytes or not.
pub(crate) fn field(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Vec<u8> {
    [vec![0], string(name.as_ref()), string(value.as_ref())].concat()
}

/// Fields one after the other.
pub(crate) fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| field(one_to_one(name), one_to_one(value))).collect()
}

/// Characters as the bytes of their numbers.
fn one_to_one(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(u32::from(c)).expect("a character that stands for a byte")).collect()
}

/// A string that is not Huffman-coded.
pub(crate) fn string(bytes: &[u8]) -> Vec<u8> {
    let mut out = integer(7, 0, bytes.len());
    out.extend_from_slice(bytes);
    out
}

/// A string that is Huffman-coded.
pub(crate) fn huffman(bytes: &[u8]) -> Vec<u8> {
    let codes = codes();
    let (mut out, mut held, mut bits) = (Vec::new(), 0u64, 0u32);
    for byte in bytes {
        let (code, len) = codes[usize::from(*byte)];
        held = held << len | u64::from(code);
        bits += len;
        while bits >= 8 {
            bits -= 8;
            out.push((held >> bits & 0xff) as u8);
        }
    }
    if bits > 0 {
        out.push((held << (8 - bits) & 0xff) as u8 | 0xffu8 >> bits);
    }
    [integer(7, 0x80, out.len()), out].concat()
}

/// An integer with a prefix of so many bits, and what stands before them.
pub(crate) fn integer(prefix: u32, before: u8, value: usize) -> Vec<u8> {
    let most = (1 << prefix) - 1;
    let byte = |value: usize| u8::try_from(value & 0xff).unwrap_or_default();
    if value < most {
        return vec![before | byte(value)];
    }
    let (mut out, mut rest) = (vec![before | byte(most)], value - most);
    while rest >= 0x80 {
        out.push(byte(rest & 0x7f) | 0x80);
        rest >>= 7;
    }
    out.push(byte(rest));
    out
}

/// The fields of a block, or what is wrong with it.
pub(crate) fn decode(mut block: &[u8]) -> Result<Vec<(String, String)>, &'static str> {
    let mut fields = Vec::new();
    while let Some(first) = block.first().copied() {
        let (prefix, named) = match first {
            0x80.. => (7, false),
            0x40.. => (6, true),
            0x20.. => (5, false),
            _ => (4, true),
        };
        let index = take_integer(&mut block, prefix)?;
        if (0x20..0x40).contains(&first) {
            if index > 0 {
                return Err("a table larger than was allowed");
            }
        } else if named {
            let name = if index == 0 { take_string(&mut block)? } else { entry(index)?.0.into() };
            fields.push((name, take_string(&mut block)?));
        } else {
            let (name, value) = entry(index)?;
            fields.push((name.into(), value.into()));
        }
    }
    Ok(fields)
}

fn entry(index: usize) -> Result<(&'static str, &'static str), &'static str> {
    index.checked_sub(1).and_then(|place| STATIC.get(place)).copied().ok_or("an index that there is not")
}

fn take_integer(block: &mut &[u8], prefix: u32) -> Result<usize, &'static str> {
    let mut take = || {
        let (first, rest) = block.split_first().ok_or("a block that ends too early")?;
        *block = rest;
        Ok::<usize, &'static str>(usize::from(*first))
    };
    let most = (1 << prefix) - 1;
    let mut value = take()? & most;
    if value < most {
        return Ok(value);
    }
    for shift in (0..28).step_by(7) {
        let byte = take()?;
        value += (byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err("an integer that is too long")
}

fn take_string(block: &mut &[u8]) -> Result<String, &'static str> {
    let coded = block.first().is_some_and(|first| *first >= 0x80);
    let len = take_integer(block, 7)?;
    let (bytes, rest) = block.split_at_checked(len).ok_or("a string that ends too late")?;
    *block = rest;
    let bytes = if coded { uncode(bytes)? } else { bytes.to_vec() };
    Ok(bytes.into_iter().map(char::from).collect())
}

fn uncode(bytes: &[u8]) -> Result<Vec<u8>, &'static str> {
    let codes = codes();
    let (mut out, mut code, mut len) = (Vec::new(), 0u32, 0u32);
    for bit in bytes.iter().flat_map(|byte| (0..8).rev().map(move |place| byte >> place & 1)) {
        (code, len) = (code << 1 | u32::from(bit), len + 1);
        if let Some(byte) = (0..=255u8).find(|byte| codes[usize::from(*byte)] == (code, len)) {
            out.push(byte);
            (code, len) = (0, 0);
        }
        if len > 30 {
            return Err("a code that there is not");
        }
    }
    let padded = len < 8 && code == (1 << len) - 1;
    if padded { Ok(out) } else { Err("a padding that is none") }
}

/// The codes of all bytes and their lengths: a canonical code, so the lengths tell all (RFC 7541, section 5.2).
fn codes() -> [(u32, u32); 257] {
    let mut order: Vec<usize> = (0..257).collect();
    order.sort_by_key(|symbol| (LENGTHS[*symbol], *symbol));
    let (mut codes, mut code, mut last) = ([(0, 0); 257], 0u32, 0u32);
    for symbol in order {
        let len = u32::from(LENGTHS[symbol]);
        if last > 0 {
            code = (code + 1) << (len - last);
        }
        codes[symbol] = (code, len);
        last = len;
    }
    codes
}

/// Lengths of the Huffman codes (RFC 7541, appendix B); the last one is the end of a string, which no string may hold.
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

/// The static table (RFC 7541, appendix A).
#[rustfmt::skip]
const STATIC: [(&str, &str); 61] = [
    (":authority", ""), (":method", "GET"), (":method", "POST"), (":path", "/"), (":path", "/index.html"), (":scheme", "http"),
    (":scheme", "https"), (":status", "200"), (":status", "204"), (":status", "206"), (":status", "304"), (":status", "400"),
    (":status", "404"), (":status", "500"), ("accept-charset", ""), ("accept-encoding", "gzip, deflate"), ("accept-language", ""),
    ("accept-ranges", ""), ("accept", ""), ("access-control-allow-origin", ""), ("age", ""), ("allow", ""), ("authorization", ""),
    ("cache-control", ""), ("content-disposition", ""), ("content-encoding", ""), ("content-language", ""), ("content-length", ""),
    ("content-location", ""), ("content-range", ""), ("content-type", ""), ("cookie", ""), ("date", ""), ("etag", ""),
    ("expect", ""), ("expires", ""), ("from", ""), ("host", ""), ("if-match", ""), ("if-modified-since", ""), ("if-none-match", ""),
    ("if-range", ""), ("if-unmodified-since", ""), ("last-modified", ""), ("link", ""), ("location", ""), ("max-forwards", ""),
    ("proxy-authenticate", ""), ("proxy-authorization", ""), ("range", ""), ("referer", ""), ("refresh", ""), ("retry-after", ""),
    ("server", ""), ("set-cookie", ""), ("strict-transport-security", ""), ("transfer-encoding", ""), ("user-agent", ""),
    ("vary", ""), ("via", ""), ("www-authenticate", ""),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_rfc_are_read() {
        // RFC 7541, appendices C.1, C.4.1 and C.2.1.
        assert_eq!(integer(5, 0, 1337), [31, 154, 10]);
        assert_eq!(huffman(b"www.example.com"), [0x8c, 0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff]);
        let block = [&[0x82, 0x86, 0x84, 0x41][..], &huffman(b"www.example.com")].concat();
        let read = decode(&block).unwrap();
        assert_eq!(read[3], (":authority".to_owned(), "www.example.com".to_owned()));
        assert_eq!((read[0].1.as_str(), read[1].1.as_str(), read[2].1.as_str()), ("GET", "http", "/"));
    }

    #[test]
    fn a_block_that_is_none_is_not_read() {
        for block in [&[0x80][..], &[0xff, 0x80], &[0xbe], &[0x00, 0x05, b'a'], &[0x3f, 0x01], &[0x00, 0x81, 0x00, 0x00]] {
            assert!(decode(block).is_err(), "{block:?}");
        }
    }

    #[test]
    fn what_was_written_is_read() {
        let long = "x".repeat(300);
        let block = fields(&[(":status", "200"), ("x-long", &long)]);
        assert_eq!(decode(&block).unwrap(), [(":status".to_owned(), "200".to_owned()), ("x-long".to_owned(), long)]);
    }
}
