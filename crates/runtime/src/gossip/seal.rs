//! Seals gossip datagrams and opens them: chitchat itself believes whoever sends to its port.
//!
//! A message is cut into parts that fit a datagram, since sealing adds bytes to messages that chitchat fills to the brim, and its
//! list of nodes has no limit at all. A part is
//!
//! ```text
//! version 1 | key id 4 | nonce 24 | sealed: name length 1, name, run 8, number 8, part 1, parts 1, bytes | tag 16
//! ```
//!
//! Sealed with XChaCha20-Poly1305 under a random nonce; version, key id and the cluster's name are authenticated with it. The sender
//! numbers its parts, and a receiver takes each (sender, run, number) once (P20). No reason for a refusal is ever answered.

use std::collections::BTreeMap;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use dynomesh_core::id::NAME_LEN_MAX;

use super::counts::DropReason;
use super::key::Key;
use super::window::Window;

/// Version of the format.
const VERSION: u8 = 1;
const KEY_ID_LEN: usize = 4;
const NONCE_LEN: usize = 24;
const HEAD_LEN: usize = 1 + KEY_ID_LEN;
/// Bytes of a message in one part; with all that is around them they fit a datagram.
pub(super) const PART_MAX: usize = 60_000;
/// Parts of a message; a larger one is not sent. Enough for the list of some ten thousand nodes.
pub(super) const PARTS_MAX: usize = 16;
/// Senders remembered; datagrams of further ones are dropped.
const SENDERS_MAX: usize = 16_384;

type KeyId = [u8; KEY_ID_LEN];

/// Seals what one run of one node sends.
pub(super) struct Sealer {
    cipher: XChaCha20Poly1305,
    key: KeyId,
    cluster: String,
    node: String,
    run: u64,
    number: u64,
}

/// Opens what other nodes send.
pub(super) struct Opener {
    ciphers: Vec<(KeyId, XChaCha20Poly1305)>,
    cluster: String,
    senders: BTreeMap<String, Sender>,
    muted: Vec<String>,
}

struct Sender {
    run: u64,
    window: Window,
    /// The newest message of which only some parts have come.
    partial: Option<Partial>,
}

struct Partial {
    first: u64,
    parts: Vec<Option<Vec<u8>>>,
}

struct Part<'a> {
    node: &'a str,
    run: u64,
    number: u64,
    part: u8,
    parts: u8,
    bytes: &'a [u8],
}

// === impl Sealer ===

impl Sealer {
    pub(super) fn new(key: &Key, cluster: &str, node: &str, run: u64) -> Self {
        let cipher = XChaCha20Poly1305::new(key.bytes().into());
        Sealer { key: key_id(&cipher), cipher, cluster: cluster.into(), node: node.into(), run, number: 0 }
    }

    /// The datagrams of a message, in order; `None` where it is longer than may be sent.
    pub(super) fn seal(&mut self, message: &[u8]) -> Option<Vec<Vec<u8>>> {
        let count = message.len().div_ceil(PART_MAX).max(1);
        if count > PARTS_MAX {
            return None;
        }
        let parts = u8::try_from(count).expect("at most PARTS_MAX");
        let mut chunks = message.chunks(PART_MAX);
        Some((0..parts).map(|part| self.seal_part(part, parts, chunks.next().unwrap_or_default())).collect())
    }

    fn seal_part(&mut self, part: u8, parts: u8, bytes: &[u8]) -> Vec<u8> {
        let mut plain = Vec::with_capacity(bytes.len() + 128);
        plain.push(u8::try_from(self.node.len()).expect("a node name has at most 63 bytes"));
        plain.extend_from_slice(self.node.as_bytes());
        plain.extend_from_slice(&self.run.to_be_bytes());
        plain.extend_from_slice(&self.number.to_be_bytes());
        plain.extend_from_slice(&[part, parts]);
        plain.extend_from_slice(bytes);
        self.number += 1;

        let nonce: [u8; NONCE_LEN] = rand::random();
        let mut datagram = vec![VERSION];
        datagram.extend_from_slice(&self.key);
        let aad = authenticated(&datagram, &self.cluster);
        let sealed = self.cipher.encrypt(XNonce::from_slice(&nonce), Payload { msg: &plain, aad: &aad });
        datagram.extend_from_slice(&nonce);
        datagram.extend_from_slice(&sealed.expect("a datagram is far from the cipher's limit"));
        datagram
    }
}

// === impl Opener ===

impl Opener {
    /// Opens with any of `keys` and drops what nodes send whose name begins with one of `muted`.
    pub(super) fn new(keys: &[Key], cluster: &str, muted: Vec<String>) -> Self {
        let ciphers = keys.iter().map(|key| XChaCha20Poly1305::new(key.bytes().into())).map(|cipher| (key_id(&cipher), cipher));
        Opener { ciphers: ciphers.collect(), cluster: cluster.into(), senders: BTreeMap::new(), muted }
    }

    /// The message that `datagram` completes; `None` where parts of it are still to come.
    pub(super) fn open(&mut self, datagram: &[u8]) -> Result<Option<Vec<u8>>, DropReason> {
        let plain = self.unseal(datagram)?;
        let part = read(&plain).ok_or(DropReason::Malformed)?;
        if self.muted.iter().any(|prefix| part.node.starts_with(prefix.as_str())) {
            return Err(DropReason::Muted);
        }
        self.admit(&part)?;
        if part.parts == 1 {
            return Ok(Some(part.bytes.to_vec()));
        }
        let sender = self.senders.get_mut(part.node).expect("a sender that was admitted is known");
        Ok(sender.complete(&part))
    }

    fn unseal(&self, datagram: &[u8]) -> Result<Vec<u8>, DropReason> {
        let (head, rest) = datagram.split_at_checked(HEAD_LEN).ok_or(DropReason::Foreign)?;
        let (nonce, sealed) = rest.split_at_checked(NONCE_LEN).ok_or(DropReason::Foreign)?;
        if head[0] != VERSION {
            return Err(DropReason::Foreign);
        }
        let (_, cipher) = self.ciphers.iter().find(|(id, _)| id == &head[1..]).ok_or(DropReason::UnknownKey)?;
        let aad = authenticated(head, &self.cluster);
        cipher.decrypt(XNonce::from_slice(nonce), Payload { msg: sealed, aad: &aad }).map_err(|_| DropReason::Forged)
    }

    fn admit(&mut self, part: &Part<'_>) -> Result<(), DropReason> {
        let fresh = || Sender { run: part.run, window: Window::new(part.number), partial: None };
        let crowded = self.senders.len() >= SENDERS_MAX;
        match self.senders.get_mut(part.node) {
            None if crowded => Err(DropReason::Crowded),
            None => {
                self.senders.insert(part.node.into(), fresh());
                Ok(())
            }
            Some(sender) if part.run < sender.run => Err(DropReason::Outrun),
            Some(sender) if part.run > sender.run => {
                *sender = fresh();
                Ok(())
            }
            Some(sender) => sender.window.admit(part.number).then_some(()).ok_or(DropReason::Replayed),
        }
    }
}

impl Sender {
    fn complete(&mut self, part: &Part<'_>) -> Option<Vec<u8>> {
        let first = part.number - u64::from(part.part);
        let newest = self.partial.as_ref().map(|partial| partial.first);
        if newest.is_some_and(|newest| newest > first) {
            // Gossip repeats itself: an old message that lost a part is not worth its memory.
            return None;
        }
        if newest != Some(first) {
            self.partial = Some(Partial { first, parts: vec![None; usize::from(part.parts)] });
        }
        let partial = self.partial.as_mut()?;
        *partial.parts.get_mut(usize::from(part.part))? = Some(part.bytes.to_vec());
        if partial.parts.iter().any(Option::is_none) {
            return None;
        }
        self.partial.take().map(|whole| whole.parts.into_iter().flatten().flatten().collect())
    }
}

fn read(plain: &[u8]) -> Option<Part<'_>> {
    let (&[len], rest) = plain.split_first_chunk()?;
    let (name, rest) = rest.split_at_checked(usize::from(len))?;
    let (run, rest) = rest.split_first_chunk()?;
    let (number, rest) = rest.split_first_chunk()?;
    let (&[part, parts], bytes) = rest.split_first_chunk()?;
    let number = u64::from_be_bytes(*number);
    let sound = !name.is_empty() && name.len() <= NAME_LEN_MAX && part < parts && usize::from(parts) <= PARTS_MAX;
    let sound = sound && number >= u64::from(part);
    let node = std::str::from_utf8(name).ok().filter(|_| sound)?;
    Some(Part { node, run: u64::from_be_bytes(*run), number, part, parts, bytes })
}

/// What is authenticated though it is not secret.
fn authenticated(head: &[u8], cluster: &str) -> Vec<u8> {
    [head, cluster.as_bytes()].concat()
}

/// Names a key without telling anything about it: the tag of an empty message, under a nonce that no datagram ever draws but by a
/// chance of 2^-192.
fn key_id(cipher: &XChaCha20Poly1305) -> KeyId {
    let named = Payload { msg: &[], aad: b"dynomesh key id" };
    let tag = cipher.encrypt(XNonce::from_slice(&[0xff; NONCE_LEN]), named).expect("an empty message can be sealed");
    *tag.first_chunk().expect("a tag has 16 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> Key {
        Key::new([byte; 32])
    }

    fn sealer(key_byte: u8, node: &str, run: u64) -> Sealer {
        Sealer::new(&key(key_byte), "c", node, run)
    }

    fn one(sealer: &mut Sealer, message: &[u8]) -> Vec<u8> {
        sealer.seal(message).unwrap().pop().unwrap()
    }

    #[test]
    fn what_is_sealed_opens_once() {
        let mut opener = Opener::new(&[key(1)], "c", vec![]);
        let datagram = one(&mut sealer(1, "edge-1", 7), b"hello");
        assert!(!datagram.windows(5).any(|bytes| bytes == b"hello"));
        assert_eq!(opener.open(&datagram), Ok(Some(b"hello".to_vec())));
        assert_eq!(opener.open(&datagram), Err(DropReason::Replayed));
    }

    #[test]
    fn old_and_new_keys_open_and_others_do_not() {
        let mut opener = Opener::new(&[key(2), key(1)], "c", vec![]);
        assert!(opener.open(&one(&mut sealer(1, "old", 1), b"x")).is_ok());
        assert!(opener.open(&one(&mut sealer(2, "new", 1), b"x")).is_ok());
        assert_eq!(opener.open(&one(&mut sealer(3, "other", 1), b"x")), Err(DropReason::UnknownKey));
        let mut foreign = Sealer::new(&key(1), "other cluster", "n", 1);
        assert_eq!(opener.open(&one(&mut foreign, b"x")), Err(DropReason::Forged));
    }

    #[test]
    fn no_changed_bit_and_no_cut_opens() {
        let mut opener = Opener::new(&[key(1)], "c", vec![]);
        let datagram = one(&mut sealer(1, "edge-1", 1), b"hello");
        for at in 0..datagram.len() {
            let mut changed = datagram.clone();
            changed[at] ^= 1;
            assert!(opener.open(&changed).is_err(), "byte {at}");
            assert!(opener.open(&datagram[..at]).is_err(), "cut at {at}");
        }
        assert!(opener.open(b"plain chitchat, as anybody could send it, long enough to look like more").is_err());
        assert!(opener.open(&datagram).is_ok());
    }

    #[test]
    fn a_new_run_silences_the_old_one() {
        let mut opener = Opener::new(&[key(1)], "c", vec![]);
        let (mut old, mut new) = (sealer(1, "n", 5), sealer(1, "n", 6));
        assert!(opener.open(&one(&mut old, b"1")).is_ok());
        assert!(opener.open(&one(&mut new, b"2")).is_ok());
        assert_eq!(opener.open(&one(&mut old, b"3")), Err(DropReason::Outrun));
    }

    #[test]
    fn long_messages_come_in_parts_in_any_order() {
        let mut opener = Opener::new(&[key(1)], "c", vec![]);
        let mut sealer = sealer(1, "n", 1);
        let message: Vec<u8> = (0..=250).cycle().take(PART_MAX * 2 + 5).collect();
        let mut parts = sealer.seal(&message).unwrap();
        assert_eq!(parts.len(), 3);
        assert!(parts.iter().all(|part| part.len() <= 65_507));
        parts.swap(0, 2);
        assert_eq!(opener.open(&parts[0]), Ok(None));
        assert_eq!(opener.open(&parts[1]), Ok(None));
        assert_eq!(opener.open(&parts[2]), Ok(Some(message.clone())));

        let lost = sealer.seal(&message).unwrap();
        assert_eq!(opener.open(&lost[0]), Ok(None));
        let next = sealer.seal(&message).unwrap();
        assert_eq!(opener.open(&next[0]), Ok(None));
        assert_eq!(opener.open(&lost[1]), Ok(None));
        assert_eq!(opener.open(&next[1]), Ok(None));
        assert_eq!(opener.open(&next[2]), Ok(Some(message)));
        assert!(sealer.seal(&vec![0; PART_MAX * PARTS_MAX + 1]).is_none());
    }

    #[test]
    fn muted_senders_are_not_heard() {
        let mut opener = Opener::new(&[key(1)], "c", vec!["control".into()]);
        assert_eq!(opener.open(&one(&mut sealer(1, "control-1", 1), b"x")), Err(DropReason::Muted));
        assert!(opener.open(&one(&mut sealer(1, "edge-1", 1), b"x")).is_ok());
    }
}
