//! Sealed datagrams: each that a key-holder sealed opens once and as it was, whatever came before it, and nothing else opens.

use std::collections::{BTreeMap, BTreeSet};

use dynomesh_runtime::gossip::seal::{MESSAGE_MAX, Opener, Plain, Sealer};
use dynomesh_runtime::gossip::{DropReason, Key};

use crate::Outcome;
use crate::input::Input;

/// Numbers behind the newest of a sender that are still told apart.
const WINDOW: u64 = 1024;
const DATAGRAM_MAX: usize = 65_507;
const NODES: [&str; 3] = ["a", "edge-1", "b"];

/// A datagram that was sealed, and what became of it.
struct Sent {
    bytes: Vec<u8>,
    /// Key, node and run.
    by: (u8, usize, u64),
    number: u64,
    message: Vec<u8>,
}

/// What the receiver should know of a node: its run, the newest number and all that were seen.
#[derive(Default)]
struct Known {
    run: u64,
    newest: u64,
    seen: BTreeSet<u64>,
}

/// The first byte says whether the rest is what is done, or bytes under a seal.
pub fn check(bytes: &[u8]) -> Outcome {
    let mut input = Input::new(bytes);
    if input.byte().is_multiple_of(4) { under_seal(input.rest()) } else { sent_and_heard(&mut input) }
}

/// Every reading of what was under a seal is the one from which it was written.
fn under_seal(bytes: &[u8]) -> Outcome {
    let Some(plain) = Plain::read(bytes) else { return Outcome::Refused };
    assert_eq!(plain.write(), bytes);
    assert_eq!(plain.node.len() + plain.message.len() + 17, bytes.len());
    Outcome::Taken
}

fn sent_and_heard(input: &mut Input<'_>) -> Outcome {
    let key = |nth: u8| Key::new([nth; 32]);
    let mut opener = Opener::new(&[key(1), key(2)], "c", Vec::new());
    let mut keys = BTreeSet::from([1, 2]);
    let mut sealers: BTreeMap<(u8, usize, u64), (Sealer, u64)> = BTreeMap::new();
    let mut sent: Vec<Sent> = Vec::new();
    let mut known: BTreeMap<usize, Known> = BTreeMap::new();
    let mut heard = 0;
    for _ in 0..60 {
        if input.is_over() {
            break;
        }
        match input.byte() % 8 {
            // One of three keys, the last of which is not known at first, seals for a node's run.
            0 | 1 => {
                let by = (input.byte() % 3 + 1, usize::from(input.byte() % 3), u64::from(input.byte() % 3));
                let (sealer, number) = sealers.entry(by).or_insert_with(|| (Sealer::new(&key(by.0), "c", NODES[by.1], by.2), 0));
                let skipped = if input.byte() % 64 == 15 { input.one_of(&[1, 5, WINDOW - 2, WINDOW - 1, WINDOW]) } else { 0 };
                (0..skipped).for_each(|_| drop(sealer.seal(b"").expect("short")));
                *number += skipped;
                let message = input.short().to_vec();
                let bytes = sealer.seal(&message).expect("short");
                assert!(bytes.len() <= message.len() + 150);
                sent.push(Sent { bytes, by, number: *number, message });
                *number += 1;
            }
            2 => {
                let many = if input.byte().is_multiple_of(2) { vec![1, 2] } else { vec![3, 2] };
                opener.set_keys(&many.iter().map(|nth| key(*nth)).collect::<Vec<_>>());
                keys = many.into_iter().collect();
            }
            3 => assert!(opener.open(input.short()).is_err(), "bytes that nobody sealed were opened"),
            // Changed on its way.
            4 if !sent.is_empty() => {
                let mut bytes = sent[usize::from(input.byte()) % sent.len()].bytes.clone();
                let at = usize::from(input.byte()) * 7 % bytes.len();
                match input.byte() % 3 {
                    0 => bytes.truncate(at),
                    1 => bytes.push(0),
                    _ => bytes[at] ^= input.byte() | 1,
                }
                assert!(opener.open(&bytes).is_err(), "a changed datagram was opened");
            }
            // Any of them, any number of times.
            5..=7 if !sent.is_empty() => {
                let sent = &sent[usize::from(input.byte()) % sent.len()];
                let wanted = hear(&keys, &mut known, sent);
                let told = opener.open(&sent.bytes).map(|opened| (opened.node.to_string(), opened.message));
                heard += u32::from(told.is_ok());
                assert_eq!(
                    told,
                    wanted.map(|()| (NODES[sent.by.1].to_owned(), sent.message.clone())),
                    "{:?} number {}",
                    sent.by,
                    sent.number
                );
            }
            _ => {}
        }
    }
    if let Some((sealer, _)) = sealers.values_mut().next().filter(|(_, number)| *number == 9) {
        assert!(sealer.seal(&[0; MESSAGE_MAX]).is_some_and(|bytes| bytes.len() <= DATAGRAM_MAX));
        assert!(sealer.seal(&[0; MESSAGE_MAX + 1]).is_none());
    }
    Outcome::of(heard > 0)
}

/// What should become of a datagram, with all numbers ever seen remembered.
fn hear(keys: &BTreeSet<u8>, known: &mut BTreeMap<usize, Known>, sent: &Sent) -> Result<(), DropReason> {
    let (key, node, run) = sent.by;
    if !keys.contains(&key) {
        return Err(DropReason::UnknownKey);
    }
    let known = known.entry(node).or_insert_with(|| Known { run, newest: sent.number, seen: BTreeSet::new() });
    if run < known.run {
        return Err(DropReason::Outrun);
    }
    if run > known.run {
        *known = Known { run, newest: sent.number, seen: BTreeSet::new() };
    }
    let is_old = known.newest.saturating_sub(sent.number) >= WINDOW;
    if is_old || !known.seen.insert(sent.number) {
        return Err(DropReason::Replayed);
    }
    known.newest = known.newest.max(sent.number);
    Ok(())
}
