//! Trailers between the tiers: what is packed comes out as it went in, and whatever is unpacked frames, routes and forges nothing.

use dynomesh_runtime::http::headers::{MESH_PREFIX, TRAILERS};
use dynomesh_runtime::http::trailers::{pack, unpack};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http_body::Frame;

use crate::Outcome;
use crate::fields::{fields, plain};
use crate::input::Input;

/// The limit, said once more.
const PACKED_MAX: usize = 12 * 1024;

/// The first byte says whether the rest are trailers that go, or bytes that came.
pub fn check(bytes: &[u8]) -> Outcome {
    let mut input = Input::new(bytes);
    if input.byte().is_multiple_of(2) { goes(&fields(&mut input, 200)) } else { comes(input.rest()) }
}

/// All but what no trailer may say arrives, unless it is too much: then nothing does.
fn goes(trailers: &HeaderMap) -> Outcome {
    let mut wanted = trailers.clone();
    let forbidden: Vec<_> = trailers.keys().filter(|name| is_forbidden(name.as_str())).cloned().collect();
    forbidden.into_iter().for_each(|name| drop(wanted.remove(name)));
    let packed = pack(Frame::<()>::trailers(trailers.clone())).into_trailers().expect("trailers stay trailers");
    assert!(packed.keys().all(|name| name == TRAILERS) && packed.len() <= 1, "{packed:?}");
    let escaped = |plain: &[u8]| plain.iter().map(|byte| if b"%&".contains(byte) { 3 } else { 1 }).sum::<usize>();
    let pair = |(name, value): (&HeaderName, &HeaderValue)| escaped(name.as_str().as_bytes()) + escaped(value.as_bytes()) + 2;
    let len = wanted.iter().map(pair).sum::<usize>().saturating_sub(1);
    let packed_len = packed.get(TRAILERS).map_or(0, HeaderValue::len);
    assert_eq!(packed_len, if len <= PACKED_MAX { len } else { 0 });
    let unpacked = unpack(Frame::<()>::trailers(packed)).into_trailers().expect("trailers stay trailers");
    if len <= PACKED_MAX {
        assert_eq!(unpacked, wanted);
    } else {
        assert!(unpacked.is_empty());
    }
    Outcome::of(!unpacked.is_empty())
}

/// What is read of any bytes is what a plainer reading finds in them, and goes on unchanged.
fn comes(packed: &[u8]) -> Outcome {
    let Ok(value) = HeaderValue::from_bytes(packed) else { return Outcome::Refused };
    let mut came = HeaderMap::new();
    // What came beside it was not the other tier's word.
    came.insert("x-beside", value.clone());
    came.insert(TRAILERS, value);
    let unpacked = unpack(Frame::<()>::trailers(came)).into_trailers().expect("trailers stay trailers");
    let mut wanted: Vec<(String, Vec<u8>)> = plainly(packed);
    let mut found = plain(&unpacked);
    // The order of values under one name counts, that of names does not.
    wanted.sort_by(|one, other| one.0.cmp(&other.0));
    found.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(found, wanted);
    if packed.len() <= PACKED_MAX / 3 {
        let again = unpack(pack(Frame::<()>::trailers(unpacked.clone()))).into_trailers().expect("trailers stay trailers");
        assert_eq!(again, unpacked);
    }
    Outcome::of(!unpacked.is_empty())
}

fn plainly(packed: &[u8]) -> Vec<(String, Vec<u8>)> {
    // One character per byte.
    let text: String = packed.iter().map(|byte| char::from(*byte)).collect();
    let pair = |pair: &str| {
        let (name, value) = pair.split_once(':')?;
        let unescaped = |text: &str| text.split("%25").map(|part| part.replace("%26", "&")).collect::<Vec<_>>().join("%");
        let (name, value) = (unescaped(name), unescaped(value));
        let is_token = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c));
        let name = name.to_ascii_lowercase();
        let value: Vec<u8> = value.chars().map(|c| u8::try_from(u32::from(c)).expect("made from a byte")).collect();
        (is_token && !is_forbidden(&name)).then_some((name, value))
    };
    text.split('&').filter_map(pair).collect()
}

fn is_forbidden(name: &str) -> bool {
    ["content-length", "transfer-encoding", "host", "trailer", "connection"].contains(&name) || name.starts_with(MESH_PREFIX)
}
