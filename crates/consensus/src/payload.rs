//! How a log entry's content is encoded, on disk and between replicas alike: a version byte, a kind byte, the rest.
//!
//! Commands are encoded once, by whoever proposes them; disk and peers get the same bytes. On the proposer the entry also
//! carries the commands themselves and whom to answer, which never leaves the process.

use std::any::Any;
use std::fmt;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::engine::{Entry, LogId, Membership, Place};

/// Version of every encoding in this file.
pub(crate) const VERSION: u8 = 1;

const BLANK: u8 = 0;
const MEMBERSHIP: u8 = 1;
const LEAD: u8 = 2;
const BATCH: u8 = 3;
const RETIRE: u8 = 4;

/// What a new leader or the batcher appends.
#[derive(Clone)]
pub(crate) struct Payload {
    encoded: Bytes,
    local: Option<Arc<dyn Any + Send + Sync>>,
}

/// A decoded payload.
pub(crate) enum Content<C> {
    /// The first entry a leader proposes; names the leader, which openraft's own blank entry does not.
    Lead(u64),
    /// Commands in order.
    Batch(Vec<C>),
    /// A member leaves and never comes back under its id; another takes its place, or 0.
    Retire { replica: u64, successor: u64 },
}

impl Payload {
    pub(crate) fn lead(replica: u64) -> Self {
        let mut encoded = vec![VERSION, LEAD];
        encoded.extend_from_slice(&replica.to_le_bytes());
        Payload { encoded: encoded.into(), local: None }
    }

    pub(crate) fn retire(replica: u64, successor: u64) -> Self {
        let mut encoded = vec![VERSION, RETIRE];
        encoded.extend_from_slice(&replica.to_le_bytes());
        encoded.extend_from_slice(&successor.to_le_bytes());
        Payload { encoded: encoded.into(), local: None }
    }

    pub(crate) fn local(&self) -> Option<&Arc<dyn Any + Send + Sync>> {
        self.local.as_ref()
    }

    pub(crate) fn decode<C: DeserializeOwned>(&self) -> io::Result<Content<C>> {
        let rest = &self.encoded[2..];
        match self.encoded[1] {
            LEAD => {
                let replica = rest.try_into().map_err(|_| invalid("a leader's first entry has a wrong length".into()))?;
                Ok(Content::Lead(u64::from_le_bytes(replica)))
            }
            RETIRE => {
                let ids: [u8; 16] = rest.try_into().map_err(|_| invalid("a retirement has a wrong length".into()))?;
                let [replica, successor] = [0, 8].map(|at| u64::from_le_bytes(ids[at..at + 8].try_into().expect("8 bytes of 16")));
                Ok(Content::Retire { replica, successor })
            }
            _ => {
                let unreadable = |e: postcard::Error| invalid(format!("a batch of commands cannot be read: {e}"));
                let (count, mut rest) = rest.split_first_chunk().ok_or_else(|| invalid("a batch of commands is cut short".into()))?;
                let mut commands = Vec::new();
                for _ in 0..u32::from_le_bytes(*count) {
                    let (command, left) = postcard::take_from_bytes(rest).map_err(unreadable)?;
                    commands.push(command);
                    rest = left;
                }
                Ok(Content::Batch(commands))
            }
        }
    }
}

/// A batch under construction: encodes command by command.
pub(crate) struct BatchEncoder {
    encoded: Vec<u8>,
    count: u32,
}

/// Version, kind and the number of commands.
const BATCH_HEAD_LEN: usize = 2 + 4;

impl BatchEncoder {
    pub(crate) fn new() -> Self {
        let mut encoded = vec![0; BATCH_HEAD_LEN];
        encoded[..2].copy_from_slice(&[VERSION, BATCH]);
        BatchEncoder { encoded, count: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.encoded.len()
    }

    /// Adds a command; `false`, and nothing added, if it cannot be encoded or is longer than `len_max`.
    pub(crate) fn push<C: Serialize>(&mut self, command: &C, len_max: usize) -> bool {
        let start = self.encoded.len();
        let encoded = std::mem::take(&mut self.encoded);
        match postcard::to_extend(command, encoded) {
            Ok(encoded) => self.encoded = encoded,
            // The buffer went with the error, and the commands before it: nobody's command is unencodable but by a bug.
            Err(error) => panic!("a command cannot be encoded: {error}"),
        }
        if self.encoded.len() - start > len_max {
            self.encoded.truncate(start);
            return false;
        }
        self.count += 1;
        true
    }

    /// The payload; `local` is handed to whoever applies the entry in this process.
    pub(crate) fn finish(mut self, local: Arc<dyn Any + Send + Sync>) -> Payload {
        self.encoded[2..BATCH_HEAD_LEN].copy_from_slice(&self.count.to_le_bytes());
        Payload { encoded: self.encoded.into(), local: Some(local) }
    }
}

/// A single value with a version byte, as commands and replies are forwarded.
pub(crate) fn encode_one<T: Serialize>(value: &T) -> Bytes {
    postcard::to_extend(value, vec![VERSION]).expect("a vector takes any length").into()
}

/// Reads what [`encode_one`] wrote; refuses other versions.
pub(crate) fn decode_one<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    match bytes {
        [VERSION, rest @ ..] => postcard::from_bytes(rest).map_err(|e| invalid(format!("a forwarded value cannot be read: {e}"))),
        [version, ..] => Err(invalid(format!("a forwarded value has version {version}; this program knows version {VERSION}"))),
        [] => Err(invalid("a forwarded value is empty".into())),
    }
}

/// The content of an entry as bytes; costs no copy for batches.
pub(crate) fn encode(entry: &Entry) -> Bytes {
    match &entry.payload {
        openraft::EntryPayload::Blank => Bytes::from_static(&[VERSION, BLANK]),
        openraft::EntryPayload::Normal(payload) => payload.encoded.clone(),
        openraft::EntryPayload::Membership(membership) => {
            let record = MembershipRecord::from(membership);
            postcard::to_extend(&record, vec![VERSION, MEMBERSHIP]).expect("a vector takes any length").into()
        }
    }
}

/// An entry from its bytes; refuses a version or kind it does not know.
pub(crate) fn decode(id: LogId, encoded: Bytes) -> io::Result<Entry> {
    let (version, kind) = match encoded[..] {
        [version, kind, ..] => (version, kind),
        _ => return Err(invalid(format!("log entry {id} is cut short"))),
    };
    if version != VERSION {
        return Err(invalid(format!("log entry {id} has version {version}; this program knows version {VERSION}")));
    }
    let payload = match kind {
        BLANK => openraft::EntryPayload::Blank,
        MEMBERSHIP => openraft::EntryPayload::Membership(decode_membership(&encoded[2..])?),
        LEAD | BATCH | RETIRE => openraft::EntryPayload::Normal(Payload { encoded, local: None }),
        kind => return Err(invalid(format!("log entry {id} has the unknown kind {kind}"))),
    };
    Ok(openraft::entry::RaftEntry::new(id, payload))
}

fn decode_membership(bytes: &[u8]) -> io::Result<Membership> {
    let record: MembershipRecord = postcard::from_bytes(bytes).map_err(|e| invalid(format!("a membership cannot be read: {e}")))?;
    record.into_membership()
}

/// A membership as it is stored: independent of how openraft lays out its own.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct MembershipRecord {
    configs: Vec<Vec<u64>>,
    nodes: Vec<(u64, Place)>,
}

impl From<&Membership> for MembershipRecord {
    fn from(membership: &Membership) -> Self {
        MembershipRecord {
            configs: membership.get_joint_config().iter().map(|c| c.iter().copied().collect()).collect(),
            nodes: membership.nodes().map(|(id, place)| (*id, place.clone())).collect(),
        }
    }
}

impl MembershipRecord {
    pub(crate) fn into_membership(self) -> io::Result<Membership> {
        if self.configs.is_empty() && self.nodes.is_empty() {
            return Ok(Membership::default());
        }
        let configs = self.configs.into_iter().map(|c| c.into_iter().collect()).collect();
        let nodes: std::collections::BTreeMap<u64, Place> = self.nodes.into_iter().collect();
        Membership::new(configs, nodes).map_err(|e| invalid(format!("a stored membership makes no sense: {e}")))
    }
}

pub(crate) fn invalid(problem: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.encoded.len())
    }
}

// openraft asks for these; nothing of ours calls them.
impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.encoded)
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let encoded = Vec::<u8>::deserialize(deserializer)?;
        Ok(Payload { encoded: encoded.into(), local: None })
    }
}
