//! Trailers on their way between the tiers.
//!
//! HTTP/1.1 carries trailers whose names its head announced, and a dyno that speaks gRPC announces none. So edge and block announce one
//! of their own ([`TRAILERS`]) and put the others into it: `name:value` pairs joined by `&`, with `%` and `&` of both written as `%25` and
//! `%26`.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http_body::Frame;

use super::headers::{MESH_PREFIX, TRAILERS};

/// Most bytes of packed trailers; hyper reads 16 KiB of a trailer section.
const PACKED_MAX: usize = 12 * 1024;

/// Says in a head that packed trailers may follow its body.
pub fn announce(headers: &mut HeaderMap) {
    headers.append(header::TRAILER, HeaderValue::from_static("x-dynomesh-trailers"));
}

/// A frame as it goes to the other tier. Trailers that are too large for it are left out, as RFC 9110, section 6.5.1 allows.
pub fn pack<T>(frame: Frame<T>) -> Frame<T> {
    match frame.into_trailers() {
        Ok(trailers) => {
            let mut packed = HeaderMap::new();
            if let Some(value) = packed_value(&trailers) {
                packed.insert(TRAILERS, value);
            }
            Frame::trailers(packed)
        }
        Err(frame) => frame,
    }
}

/// A frame as the other tier meant it: whatever did not come packed was not its word.
pub fn unpack<T>(frame: Frame<T>) -> Frame<T> {
    match frame.into_trailers() {
        Ok(packed) => Frame::trailers(packed.get(TRAILERS).map(|value| unpacked(value.as_bytes())).unwrap_or_default()),
        Err(frame) => frame,
    }
}

fn packed_value(trailers: &HeaderMap) -> Option<HeaderValue> {
    let mut packed = Vec::new();
    for (name, value) in trailers.iter().filter(|(name, _)| passes(name)) {
        if !packed.is_empty() {
            packed.push(b'&');
        }
        // Names may have both characters too.
        escape(&mut packed, name.as_str().as_bytes());
        packed.push(b':');
        escape(&mut packed, value.as_bytes());
    }
    if packed.len() > PACKED_MAX { None } else { HeaderValue::from_bytes(&packed).ok() }
}

/// Reads what can be read; a pair that is none is left out.
fn unpacked(packed: &[u8]) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    for pair in packed.split(|byte| *byte == b'&') {
        let Some(colon) = pair.iter().position(|byte| *byte == b':') else { continue };
        let name = HeaderName::from_bytes(&unescaped(&pair[..colon])).ok().filter(passes);
        let value = HeaderValue::from_bytes(&unescaped(&pair[colon + 1..])).ok();
        if let (Some(name), Some(value)) = (name, value) {
            trailers.append(name, value);
        }
    }
    trailers
}

/// Trailers frame nothing, route nothing and say nothing in the mesh's name (RFC 9110, section 6.5.1).
fn passes(name: &HeaderName) -> bool {
    let framing = [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::HOST, header::TRAILER, header::CONNECTION];
    !framing.contains(name) && !name.as_str().starts_with(MESH_PREFIX)
}

fn escape(into: &mut Vec<u8>, plain: &[u8]) {
    for byte in plain {
        match byte {
            b'%' => into.extend_from_slice(b"%25"),
            b'&' => into.extend_from_slice(b"%26"),
            byte => into.push(*byte),
        }
    }
}

fn unescaped(escaped: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some(at) = rest.iter().position(|byte| *byte == b'%') {
        plain.extend_from_slice(&rest[..at]);
        let (byte, length) = match rest.get(at + 1..at + 3) {
            Some(b"25") => (b'%', 3),
            Some(b"26") => (b'&', 3),
            _ => (b'%', 1),
        };
        plain.push(byte);
        rest = &rest[at + length..];
    }
    plain.extend_from_slice(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &[u8])]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::try_from(*name).unwrap(), HeaderValue::from_bytes(value).unwrap())).collect()
    }

    fn through(trailers: HeaderMap) -> HeaderMap {
        unpack(pack(Frame::<()>::trailers(trailers))).into_trailers().unwrap()
    }

    #[test]
    fn trailers_come_out_as_they_went_in() {
        for trailers in [
            map(&[]),
            map(&[("grpc-status", b"0"), ("grpc-message", b"")]),
            map(&[("grpc-message", b"50%25 & more: %26\xff\t."), ("x", b"&&"), ("x", b"%")]),
            // A name that must not become two, the second with a word of its own.
            map(&[("x&grpc-status", b"0"), ("%26", b"1"), ("&", b"2")]),
        ] {
            assert_eq!(through(trailers.clone()), trailers);
        }
    }

    #[test]
    fn what_no_trailer_may_say_is_left_out() {
        let bad = map(&[("x-dynomesh-verdict", b"answered"), ("content-length", b"5"), ("host", b"h"), ("x-sum", b"1")]);
        assert_eq!(through(bad), map(&[("x-sum", b"1")]));
        let unasked = Frame::<()>::trailers(map(&[("x-sum", b"1")]));
        assert!(unpack(unasked).into_trailers().unwrap().is_empty());
        assert!(through(map(&[("x-long", &[b'x'; 20_000])])).is_empty());
    }

    #[test]
    fn what_was_not_packed_by_us_is_read_as_far_as_it_goes() {
        for (packed, read) in [
            ("no-colon&a:1", map(&[("a", b"1")])),
            ("&&:x&a:%2&b:%", map(&[("a", b"%2"), ("b", b"%")])),
            ("transfer-encoding:chunked&bad name:1", map(&[])),
        ] {
            assert_eq!(unpacked(packed.as_bytes()), read, "{packed}");
        }
    }
}
