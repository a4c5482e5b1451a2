//! Seals gossip datagrams and opens them.
//!
//! ```text
//! version 1 | key id 4 | nonce 24 | sealed: name length 1, name, run 8, number 8, message | tag 16
//! ```
//!
//! Sealed with XChaCha20-Poly1305 under a random nonce; version, key id and the cluster's name are authenticated with it. The sender
//! numbers its datagrams, and a receiver takes each (sender, run, number) once (P20). No reason for a refusal is ever answered. A
//! message is one datagram: nothing is kept of a part that waits for others.

use std::collections::BTreeMap;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use dynomesh_core::id::NodeName;

use super::counts::DropReason;
use super::key::Key;
use super::window::Window;

/// Version of the format.
const VERSION: u8 = 2;
const KEY_ID_LEN: usize = 4;
const NONCE_LEN: usize = 24;
const HEAD_LEN: usize = 1 + KEY_ID_LEN;
/// Longest message; with all that is around it it fits a datagram. None that is sent comes near it.
pub const MESSAGE_MAX: usize = 60_000;
/// Senders remembered; datagrams of further ones are dropped.
const SENDERS_MAX: usize = 16_384;

type KeyId = [u8; KEY_ID_LEN];

/// Seals what one run of one node sends.
pub struct Sealer {
    cipher: XChaCha20Poly1305,
    key: KeyId,
    cluster: String,
    node: String,
    run: u64,
    number: u64,
}

/// Opens what other nodes send.
pub struct Opener {
    ciphers: Vec<(KeyId, XChaCha20Poly1305)>,
    cluster: String,
    senders: BTreeMap<String, Sender>,
    muted: Vec<String>,
}

struct Sender {
    run: u64,
    window: Window,
}

/// A message that was opened.
#[derive(Debug, PartialEq, Eq)]
pub struct Opened {
    /// Who sent it.
    pub node: NodeName,
    /// What it says.
    pub message: Vec<u8>,
}

/// What is under the seal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plain<'a> {
    /// The sender, whose name may be none.
    pub node: &'a str,
    /// Which run of it.
    pub run: u64,
    /// Which of that run's datagrams.
    pub number: u64,
    /// What it says.
    pub message: &'a [u8],
}

// === impl Sealer ===

impl Sealer {
    /// What run `run` of `node` sends, under this key.
    pub fn new(key: &Key, cluster: &str, node: &str, run: u64) -> Self {
        let cipher = XChaCha20Poly1305::new(key.bytes().into());
        Sealer { key: key_id(&cipher), cipher, cluster: cluster.into(), node: node.into(), run, number: 0 }
    }

    /// Seals with another key from now on; numbers go on.
    pub fn set_key(&mut self, key: &Key) {
        self.cipher = XChaCha20Poly1305::new(key.bytes().into());
        self.key = key_id(&self.cipher);
    }

    /// The datagram of a message; `None` where it is longer than may be sent.
    pub fn seal(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        if message.len() > MESSAGE_MAX {
            return None;
        }
        let plain = Plain { node: &self.node, run: self.run, number: self.number, message }.write();
        self.number += 1;

        let nonce: [u8; NONCE_LEN] = rand::random();
        let mut datagram = vec![VERSION];
        datagram.extend_from_slice(&self.key);
        let aad = authenticated(&datagram, &self.cluster);
        let sealed = self.cipher.encrypt(XNonce::from_slice(&nonce), Payload { msg: &plain, aad: &aad });
        datagram.extend_from_slice(&nonce);
        datagram.extend_from_slice(&sealed.expect("a datagram is far from the cipher's limit"));
        Some(datagram)
    }
}

// === impl Opener ===

impl Opener {
    /// Opens with any of `keys` and drops what nodes send whose name begins with one of `muted`.
    pub fn new(keys: &[Key], cluster: &str, muted: Vec<String>) -> Self {
        Opener { ciphers: ciphers(keys), cluster: cluster.into(), senders: BTreeMap::new(), muted }
    }

    /// Opens with these keys from now on. What was seen of each sender stays known: a replay is one under any key.
    pub fn set_keys(&mut self, keys: &[Key]) {
        self.ciphers = ciphers(keys);
    }

    /// Does not hear nodes whose name begins with one of these from now on.
    #[cfg(test)]
    pub(super) fn mute(&mut self, muted: Vec<String>) {
        self.muted = muted;
    }

    /// The message of a datagram.
    pub fn open(&mut self, datagram: &[u8]) -> Result<Opened, DropReason> {
        let plain = self.unseal(datagram)?;
        let plain = Plain::read(&plain).ok_or(DropReason::Malformed)?;
        if self.muted.iter().any(|prefix| plain.node.starts_with(prefix.as_str())) {
            return Err(DropReason::Muted);
        }
        let node = NodeName::new(plain.node).map_err(|_| DropReason::Malformed)?;
        self.admit(&plain)?;
        Ok(Opened { node, message: plain.message.to_vec() })
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

    fn admit(&mut self, plain: &Plain<'_>) -> Result<(), DropReason> {
        let fresh = || Sender { run: plain.run, window: Window::new(plain.number) };
        let crowded = self.senders.len() >= SENDERS_MAX;
        match self.senders.get_mut(plain.node) {
            None if crowded => Err(DropReason::Crowded),
            None => {
                self.senders.insert(plain.node.into(), fresh());
                Ok(())
            }
            Some(sender) if plain.run < sender.run => Err(DropReason::Outrun),
            Some(sender) if plain.run > sender.run => {
                *sender = fresh();
                Ok(())
            }
            Some(sender) => sender.window.admit(plain.number).then_some(()).ok_or(DropReason::Replayed),
        }
    }
}

// === impl Plain ===

impl<'a> Plain<'a> {
    /// Reads what was under a seal; nothing where it is cut short or the name is no text.
    pub fn read(plain: &'a [u8]) -> Option<Self> {
        let (&[len], rest) = plain.split_first_chunk()?;
        let (name, rest) = rest.split_at_checked(usize::from(len))?;
        let (run, rest) = rest.split_first_chunk()?;
        let (number, message) = rest.split_first_chunk()?;
        let node = std::str::from_utf8(name).ok()?;
        Some(Plain { node, run: u64::from_be_bytes(*run), number: u64::from_be_bytes(*number), message })
    }

    /// As it is put under a seal.
    pub fn write(&self) -> Vec<u8> {
        let mut plain = Vec::with_capacity(self.message.len() + 128);
        plain.push(u8::try_from(self.node.len()).expect("a node name has at most 63 bytes"));
        plain.extend_from_slice(self.node.as_bytes());
        plain.extend_from_slice(&self.run.to_be_bytes());
        plain.extend_from_slice(&self.number.to_be_bytes());
        plain.extend_from_slice(self.message);
        plain
    }
}

fn ciphers(keys: &[Key]) -> Vec<(KeyId, XChaCha20Poly1305)> {
    keys.iter().map(|key| XChaCha20Poly1305::new(key.bytes().into())).map(|cipher| (key_id(&cipher), cipher)).collect()
}

/// Names keys as nodes tell each other which they have: the name says nothing about the key.
pub(super) fn key_names(keys: &[Key]) -> Vec<String> {
    ciphers(keys).iter().map(|(id, _)| id.iter().map(|byte| format!("{byte:02x}")).collect()).collect()
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
    use rand::{RngExt, SeedableRng};

    use super::*;

    fn key(byte: u8) -> Key {
        Key::new([byte; 32])
    }

    fn sealer(key_byte: u8, node: &str, run: u64) -> Sealer {
        Sealer::new(&key(key_byte), "c", node, run)
    }

    fn one(sealer: &mut Sealer, message: &[u8]) -> Vec<u8> {
        sealer.seal(message).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_once() {
        let mut opener = Opener::new(&[key(1)], "c", vec![]);
        let datagram = one(&mut sealer(1, "edge-1", 7), b"hello");
        assert!(!datagram.windows(5).any(|bytes| bytes == b"hello"));
        let opened = opener.open(&datagram).unwrap();
        assert_eq!((opened.node.as_str(), opened.message.as_slice()), ("edge-1", &b"hello"[..]));
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
        assert!(opener.open(b"a message in clear, as anybody could send it, long enough to look like more").is_err());
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
    fn what_was_seen_stays_seen_when_keys_change_and_a_dropped_key_opens_nothing() {
        let mut opener = Opener::new(&[key(1)], "c", vec![]);
        let mut sealer = sealer(1, "n", 1);
        let (first, second) = (one(&mut sealer, b"1"), one(&mut sealer, b"2"));
        assert!(opener.open(&first).is_ok());
        opener.set_keys(&[key(1), key(2)]);
        assert_eq!(opener.open(&first), Err(DropReason::Replayed));
        sealer.set_key(&key(2));
        assert!(opener.open(&one(&mut sealer, b"3")).is_ok());
        opener.set_keys(&[key(2)]);
        assert_eq!(opener.open(&second), Err(DropReason::UnknownKey));
        assert!(opener.open(&one(&mut sealer, b"4")).is_ok());
    }

    #[test]
    fn messages_have_a_limit() {
        let mut sealer = sealer(1, "n", 1);
        assert!(sealer.seal(&vec![0; MESSAGE_MAX]).unwrap().len() <= 65_507);
        assert!(sealer.seal(&vec![0; MESSAGE_MAX + 1]).is_none());
    }

    #[test]
    fn random_bytes_open_nothing_and_are_not_remembered() {
        let mut rng = rand::rngs::StdRng::seed_from_u64(3);
        let mut opener = Opener::new(&[key(1)], "c", vec![]);
        let good = one(&mut sealer(1, "n", 1), b"hello");
        for _ in 0..20_000 {
            let mut bytes: Vec<u8> = good.clone();
            for _ in 0..rng.random_range(1..4) {
                let at = rng.random_range(0..bytes.len());
                bytes[at] = bytes[at].wrapping_add(rng.random_range(1..=255));
            }
            bytes.truncate(rng.random_range(0..=bytes.len()));
            let bytes: Vec<u8> = if rng.random_bool(0.5) { bytes } else { (0..rng.random_range(0..300)).map(|_| rng.random()).collect() };
            assert!(bytes == good || opener.open(&bytes).is_err());
        }
        assert!(opener.senders.is_empty());
    }

    #[test]
    fn muted_senders_are_not_heard() {
        let mut opener = Opener::new(&[key(1)], "c", vec!["control".into()]);
        assert_eq!(opener.open(&one(&mut sealer(1, "control-1", 1), b"x")), Err(DropReason::Muted));
        assert!(opener.open(&one(&mut sealer(1, "edge-1", 1), b"x")).is_ok());
    }
}
