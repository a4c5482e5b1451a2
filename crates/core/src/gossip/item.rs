//! What travels: a fact or a node's word about itself, as it is written, with its topics.
//!
//! An item is identified by the hash of its key, and told from another word under that key by the hash of what is written. It is read
//! only when its hashes are news, and shared, never copied.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use super::topic::{Interest, TOPICS_MAX, Topic, is_soft, lasting};
use crate::id::{NodeName, Version};
use crate::map::fact::FACT_LEN_MAX;
use crate::map::{Fact, join};

/// How a written member begins; no fact does.
const MEMBER_HEAD: &str = "{\"member\":";
/// Most keys that a node says it can open.
const KEYS_TOLD_MAX: usize = 8;

/// A word that travels.
#[derive(Debug)]
pub struct Item {
    id: u64,
    hash: u64,
    topics: Box<[Topic]>,
    body: Box<str>,
    content: OnceLock<Option<Content>>,
}

/// What is written in an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A fact of the map.
    Fact(Fact),
    /// A node's word about itself, or another's that it is silent.
    Member(Member),
}

/// A node that takes part. Joined by (run, seq), and a silent one outweighs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its name.
    pub node: NodeName,
    /// The number of this run of it.
    pub run: u64,
    /// Counts its words about itself.
    pub seq: u64,
    /// Where it gossips.
    pub address: SocketAddr,
    /// What it wants.
    pub wants: Interest,
    /// The keys it can open, by their public names, and first of them the one it seals with (P20).
    pub keys: Vec<String>,
    /// Somebody found that it does not answer. The node itself says otherwise under a higher `seq`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub silent: bool,
}

#[derive(Serialize, Deserialize)]
struct Written {
    member: Member,
}

/// What became of two words under one key.
#[derive(Debug)]
pub(super) enum Joined {
    /// They are the same.
    Same,
    /// The first says it all.
    First,
    /// The second says it all.
    Second,
    /// Neither does.
    Both(Arc<Item>),
}

impl Item {
    /// An item of a fact; `None` where it is longer than may travel.
    pub fn fact(fact: &Fact, topics: Vec<Topic>) -> Option<Self> {
        let body = fact.write().ok()?;
        Some(Item::made(Content::Fact(fact.clone()), body, topics))
    }

    /// An item of a node's word.
    pub fn member(member: Member) -> Self {
        let body = serde_json::to_string(&Written { member: member.clone() }).expect("names and numbers can be written");
        Item::made(Content::Member(member), body, vec![Topic::mesh()])
    }

    /// An item as it came; it is read when it is asked for.
    pub(super) fn received(id: u64, topics: Vec<Topic>, body: &str) -> Option<Self> {
        let sound = topics.len() <= TOPICS_MAX && body.len() <= FACT_LEN_MAX && topics.is_sorted();
        sound.then(|| Item { id, hash: hash(body, &topics), topics: topics.into(), body: body.into(), content: OnceLock::new() })
    }

    fn made(content: Content, body: String, topics: Vec<Topic>) -> Self {
        let (id, hash) = (content.id(), hash(&body, &topics));
        Item { id, hash, topics: topics.into(), body: body.into(), content: OnceLock::from(Some(content)) }
    }

    /// Names the key.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Tells this word from others under its key.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Under what it travels.
    pub fn topics(&self) -> &[Topic] {
        &self.topics
    }

    /// As it is written.
    pub fn body(&self) -> &str {
        &self.body
    }

    /// What it says; `None` where that cannot be read, or is not what the key says.
    pub fn content(&self) -> Option<&Content> {
        let read = || Content::read(&self.body).filter(|content| content.id() == self.id);
        self.content.get_or_init(read).as_ref()
    }

    /// See [`is_soft`].
    pub(super) fn is_soft(&self) -> bool {
        matches!(self.content(), Some(Content::Fact(fact)) if is_soft(fact))
    }

    /// Its rank among what may stand for ever, if it is of that kind; see [`lasting`].
    pub(super) fn lasting(&self) -> Option<(Version, u64)> {
        match self.content() {
            Some(Content::Fact(fact)) => lasting(fact).map(|version| (version, self.id)),
            _ => None,
        }
    }

    /// This word and another under the same key, both readable.
    pub(super) fn joined(&self, other: &Item) -> Joined {
        if self.hash == other.hash {
            return Joined::Same;
        }
        match (self.content(), other.content()) {
            (Some(Content::Member(one)), Some(Content::Member(two))) if one.rank() != two.rank() => pick(one.rank() > two.rank()),
            (Some(Content::Fact(one)), Some(Content::Fact(two))) if one != two => match join::join(one, two) {
                Some(both) if both == *one => Joined::First,
                Some(both) if both == *two => Joined::Second,
                Some(both) => Item::fact(&both, self.all_topics(other)).map_or(Joined::First, |item| Joined::Both(Arc::new(item))),
                None => Joined::First,
            },
            // One word, told to others, or written with what this process cannot read: the longer text of all topics.
            (Some(_), Some(_)) => self.united(other),
            (None, _) => Joined::Second,
            (_, None) => Joined::First,
        }
    }

    fn united(&self, other: &Item) -> Joined {
        let topics = self.all_topics(other);
        let body = self.body.as_ref().max(&other.body);
        let is = |item: &Item| *item.topics == *topics && *item.body == *body;
        match () {
            () if is(self) => Joined::First,
            () if is(other) => Joined::Second,
            () => Item::received(self.id, topics, body).map_or(Joined::First, |item| Joined::Both(Arc::new(item))),
        }
    }

    fn all_topics(&self, other: &Item) -> Vec<Topic> {
        let all: BTreeSet<_> = self.topics.iter().chain(&other.topics).cloned().collect();
        all.into_iter().take(TOPICS_MAX).collect()
    }
}

impl Content {
    fn read(body: &str) -> Option<Content> {
        if !body.starts_with(MEMBER_HEAD) {
            return Fact::read(body).ok().map(Content::Fact);
        }
        let member = serde_json::from_str::<Written>(body).ok()?.member;
        (member.keys.len() <= KEYS_TOLD_MAX).then_some(Content::Member(member))
    }

    fn id(&self) -> u64 {
        match self {
            // Words of two groups under one block's name are not joined, and both must travel (P5).
            Content::Fact(Fact::Leader(f)) => hash_of(format!("leader/{}/{}", f.block, f.group).as_bytes()),
            Content::Fact(fact) => hash_of(fact.key().as_bytes()),
            Content::Member(member) => member_id(&member.node),
        }
    }
}

impl Member {
    /// What a later word is known by.
    pub(super) fn rank(&self) -> (u64, u64, bool) {
        (self.run, self.seq, self.silent)
    }
}

pub(super) fn member_id(node: &NodeName) -> u64 {
    hash_of(format!("member/{node}").as_bytes())
}

fn pick(first: bool) -> Joined {
    if first { Joined::First } else { Joined::Second }
}

fn hash(body: &str, topics: &[Topic]) -> u64 {
    let parts = topics.iter().flat_map(|topic| [topic.as_str().as_bytes(), b" "]);
    mix(parts.chain([body.as_bytes()]).fold(SEED, fold))
}

fn hash_of(bytes: &[u8]) -> u64 {
    mix(fold(SEED, bytes))
}

const SEED: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a: the same everywhere and for ever, which a hash that travels must be. Whoever could make two words collide on purpose holds
/// the cluster's key, and would only hide a word of its own.
fn fold(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// Spreads a hash over all its bits.
pub(super) fn mix(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}
