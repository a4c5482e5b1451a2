//! The nodes that take part, as far as this one knows, and a choice of some by what they want.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use rand::RngExt;
use rand::rngs::StdRng;

use super::item::{Content, Item, Member};
use super::topic::{Interest, Topic};
use crate::id::NodeName;
use crate::time::Time;

/// Most nodes that are known; further ones are not taken in.
pub const NODES_MAX: usize = 16_384;

/// A node's number here.
pub(super) type Nth = u32;

#[derive(Debug)]
pub(super) struct Peer {
    item: Arc<Item>,
    /// When something last came from it directly.
    pub(super) heard: Option<Time>,
    /// It is told what it wants; a silent one is only asked, now and then.
    pub(super) live: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Peers {
    peers: Vec<Option<Peer>>,
    by_name: BTreeMap<NodeName, Nth>,
    live: Vec<Nth>,
    silent: Vec<Nth>,
    everything: Vec<Nth>,
    by_topic: BTreeMap<Topic, Vec<Nth>>,
}

impl Peer {
    pub(super) fn member(&self) -> &Member {
        match self.item.content() {
            Some(Content::Member(member)) => member,
            _ => unreachable!("only members are made peers"),
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.member().address
    }

    pub(super) fn item(&self) -> &Arc<Item> {
        &self.item
    }
}

impl Peers {
    pub(super) fn find(&self, node: &NodeName) -> Option<Nth> {
        self.by_name.get(node).copied()
    }

    pub(super) fn get(&self, nth: Nth) -> Option<&Peer> {
        self.peers.get(nth as usize)?.as_ref()
    }

    pub(super) fn live(&self) -> &[Nth] {
        &self.live
    }

    pub(super) fn silent(&self) -> &[Nth] {
        &self.silent
    }

    pub(super) fn everything(&self) -> &[Nth] {
        &self.everything
    }

    /// Live peers by name.
    pub(super) fn listed(&self) -> impl Iterator<Item = &Peer> {
        self.by_name.values().filter_map(|nth| self.get(*nth)).filter(|peer| peer.live)
    }

    /// Takes in what is said of a node; tells its number, unless there are too many.
    pub(super) fn set(&mut self, item: Arc<Item>, live: bool) -> Option<Nth> {
        let Some(Content::Member(member)) = item.content() else { return None };
        let known = self.find(&member.node);
        let nth = match known {
            Some(nth) => nth,
            None if self.by_name.len() >= NODES_MAX => return None,
            None => {
                // Nobody is looked for among thousands where none is missing.
                let gaps = self.peers.len() > self.by_name.len();
                let free = if gaps { self.peers.iter().position(Option::is_none) } else { None };
                let nth = free.unwrap_or(self.peers.len());
                if nth == self.peers.len() {
                    self.peers.push(None);
                }
                let nth = Nth::try_from(nth).expect("at most NODES_MAX");
                self.by_name.insert(member.node.clone(), nth);
                nth
            }
        };
        self.unlist(nth);
        let heard = self.get(nth).and_then(|peer| peer.heard);
        self.peers[nth as usize] = Some(Peer { item, heard, live });
        self.list(nth);
        Some(nth)
    }

    pub(super) fn remove(&mut self, node: &NodeName) {
        if let Some(nth) = self.by_name.remove(node) {
            self.unlist(nth);
            self.peers[nth as usize] = None;
        }
    }

    /// Notes that something came from a peer; tells whether it was believed silent.
    pub(super) fn hear(&mut self, nth: Nth, now: Time) -> bool {
        let Some(peer) = self.peers.get_mut(nth as usize).and_then(Option::as_mut) else { return false };
        peer.heard = Some(now);
        if peer.live {
            return false;
        }
        let item = peer.item.clone();
        self.set(item, true);
        true
    }

    /// One of `among`, by chance.
    pub(super) fn one(among: &[Nth], rng: &mut StdRng) -> Option<Nth> {
        (!among.is_empty()).then(|| among[rng.random_range(0..among.len())])
    }

    /// How many live peers want something under these topics, those that want it for two of them counted twice.
    pub(super) fn audience(&self, topics: &[Topic]) -> usize {
        self.lists(topics).map(<[Nth]>::len).sum()
    }

    /// Some of the live peers that want something under these topics, by chance, each once.
    pub(super) fn some(&self, topics: &[Topic], count: usize, rng: &mut StdRng) -> Vec<Nth> {
        let mut chosen = Vec::with_capacity(count);
        let all = self.audience(topics);
        if all <= count * 2 {
            let mut left: Vec<Nth> = self.lists(topics).flatten().copied().collect();
            left.sort_unstable();
            left.dedup();
            while chosen.len() < count && !left.is_empty() {
                chosen.push(left.swap_remove(rng.random_range(0..left.len())));
            }
            return chosen;
        }
        // Twice as many tries as needed: those who share several topics are drawn more often, and some are drawn twice.
        for _ in 0..count * 2 {
            let mut at = rng.random_range(0..all);
            for list in self.lists(topics) {
                match list.get(at) {
                    Some(nth) if chosen.contains(nth) => {}
                    Some(nth) => chosen.push(*nth),
                    None => {
                        at -= list.len();
                        continue;
                    }
                }
                break;
            }
            if chosen.len() == count {
                break;
            }
        }
        chosen
    }

    fn lists(&self, topics: &[Topic]) -> impl Iterator<Item = &[Nth]> {
        let named = topics.iter().filter_map(|topic| self.by_topic.get(topic));
        named.chain([&self.everything]).map(Vec::as_slice)
    }

    fn list(&mut self, nth: Nth) {
        let Some(peer) = self.peers[nth as usize].as_ref() else { return };
        if !peer.live {
            self.silent.push(nth);
            return;
        }
        self.live.push(nth);
        match peer.member().wants.clone() {
            Interest::Everything => self.everything.push(nth),
            Interest::Topics(topics) => topics.into_iter().for_each(|topic| self.by_topic.entry(topic).or_default().push(nth)),
        }
    }

    fn unlist(&mut self, nth: Nth) {
        let Some(peer) = self.peers[nth as usize].as_ref() else { return };
        if !peer.live {
            return drop_from(&mut self.silent, nth);
        }
        let wants = peer.member().wants.clone();
        drop_from(&mut self.live, nth);
        match wants {
            Interest::Everything => drop_from(&mut self.everything, nth),
            Interest::Topics(topics) => {
                for topic in topics {
                    if let Some(list) = self.by_topic.get_mut(&topic) {
                        drop_from(list, nth);
                        if list.is_empty() {
                            self.by_topic.remove(&topic);
                        }
                    }
                }
            }
        }
    }
}

fn drop_from(list: &mut Vec<Nth>, nth: Nth) {
    if let Some(at) = list.iter().position(|listed| *listed == nth) {
        list.swap_remove(at);
    }
}
