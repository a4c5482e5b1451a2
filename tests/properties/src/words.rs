//! Words in heads: what is taken out of one that passes through, and the mesh's own words, which read back as they were written.

use std::fmt::{Debug, Display};
use std::net::IpAddr;
use std::str::FromStr;

use dynomesh_core::id::{Address, ReplicaId, Term};
use dynomesh_runtime::http::headers::{self, Leader, Length, Load, MESH_PREFIX};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::Outcome;
use crate::fields::{fields, listed, plain};
use crate::input::Input;

/// Fields that concern one connection, whatever `Connection` lists.
const HOP_BY_HOP: [&str; 6] = ["connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"];

/// The first byte says what the rest is.
pub fn check(bytes: &[u8]) -> Outcome {
    let mut input = Input::new(bytes);
    match input.byte() % 4 {
        0 => strips_mesh(&fields(&mut input, 100)),
        1 => strips_hop_by_hop(&fields(&mut input, 100)),
        2 => finds_single_words(&fields(&mut input, 100)),
        _ => reads_words(&mut input),
    }
}

/// No field of the mesh's name is left or announced, and no other is touched.
fn strips_mesh(before: &HeaderMap) -> Outcome {
    let is_ours = |name: &str| name.starts_with(MESH_PREFIX);
    let mut after = before.clone();
    headers::strip_mesh(&mut after);
    let others = |fields: &HeaderMap| {
        plain(fields).into_iter().filter(|(name, _)| !is_ours(name) && name != header::TRAILER.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(sorted(others(&after)), sorted(others(before)));
    assert!(!after.keys().any(|name| is_ours(name.as_str())), "{after:?}");
    let announced = |fields: &HeaderMap| {
        let names = fields.get_all(header::TRAILER).iter().flat_map(|value| listed(value.as_bytes()));
        names.filter(|name| !name.is_empty()).collect::<Vec<_>>()
    };
    let mut wanted = announced(before);
    wanted.retain(|name| !is_ours(name));
    assert_eq!(announced(&after), wanted);
    Outcome::of(after.len() < before.len())
}

/// What `Connection` lists goes, but for what the next peer must hear; all others stay.
fn strips_hop_by_hop(before: &HeaderMap) -> Outcome {
    let mut after = before.clone();
    headers::strip_hop_by_hop(&mut after);
    let named: Vec<String> = before.get_all(header::CONNECTION).iter().flat_map(|value| listed(value.as_bytes())).collect();
    let goes = |name: &String| {
        HOP_BY_HOP.contains(&name.as_str()) || (named.contains(name) && !["host", "content-length"].contains(&name.as_str()))
    };
    let mut wanted = plain(before);
    wanted.retain(|(name, _)| !goes(name));
    assert_eq!(sorted(plain(&after)), sorted(wanted));
    let once = after.clone();
    headers::strip_hop_by_hop(&mut after);
    assert_eq!(after, once);
    Outcome::of(after.len() < before.len())
}

/// A word is there once, in visible characters, or not at all.
fn finds_single_words(head: &HeaderMap) -> Outcome {
    let mut found = 0;
    for name in head.keys() {
        let all: Vec<&[u8]> = head.get_all(name).iter().map(HeaderValue::as_bytes).collect();
        let visible = |value: &[u8]| value.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~'));
        let wanted = if let [one] = all[..] { Some(one).filter(|one| visible(one)) } else { None };
        assert_eq!(headers::text(head, name).map(str::as_bytes), wanted, "{name}");
        let number = wanted.and_then(|text| std::str::from_utf8(text).ok()?.parse::<u64>().ok());
        assert_eq!(headers::parsed::<u64>(head, name), number, "{name}");
        found += usize::from(number.is_some());
    }
    assert_eq!(headers::text(head, &HeaderName::from_static("x-never-there")), None);
    Outcome::of(found > 0)
}

/// Words that were written read back the same; of what reads at all the written form reads back the same.
fn reads_words(input: &mut Input<'_>) -> Outcome {
    let small = |input: &mut Input<'_>| u32::from(input.byte()) << (input.byte() % 25);
    let load = Load { used: small(input), slots: small(input), queued: small(input) };
    reads_back(load);
    let port = u16::from(input.byte()) + 1;
    let ip = if input.byte().is_multiple_of(2) { IpAddr::from([192, 0, 2, 7]) } else { IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 7]) };
    if let Ok(http) = Address::new((ip, port).into()) {
        reads_back(Leader { term: Term(input.number()), replica: ReplicaId(input.number()), http });
    }
    for length in [Length::None, Length::Chunked, Length::Known(input.number())] {
        reads_back(length);
    }
    let Ok(text) = std::str::from_utf8(input.rest()) else { return Outcome::Refused };
    let read = [
        text.parse::<Load>().map(reads_back).is_ok(),
        text.parse::<Leader>().map(reads_back).is_ok(),
        text.parse::<Length>().map(reads_back).is_ok(),
    ];
    if read[0] {
        assert_eq!(text.matches('/').count(), 2, "{text}");
    }
    Outcome::of(read.contains(&true))
}

fn reads_back<T: Display + FromStr + PartialEq + Debug>(word: T)
where
    T::Err: Debug,
{
    let value = headers::value(&word);
    let mut head = HeaderMap::new();
    head.insert(headers::LOAD, value);
    assert_eq!(headers::parsed::<T>(&head, &headers::LOAD), Some(word));
}

fn sorted(mut fields: Vec<(String, Vec<u8>)>) -> Vec<(String, Vec<u8>)> {
    fields.sort_by(|one, other| one.0.cmp(&other.0));
    fields
}
