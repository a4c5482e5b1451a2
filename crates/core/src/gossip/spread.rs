//! One node's part in the gossip, as a state machine: messages and the clock's ticks in, messages and news out.
//!
//! A change is a *rumour*: whoever hears it first hands it on, at once, to a few of those who want it. What a rumour missed is found by
//! *comparison* with one node at a time, in messages whose size depends neither on the number of nodes nor on that of facts. Nodes are
//! learned of like facts. An item stands for [`EXPIRY`] after its publisher last said so, and then vanishes from the gossip, not from
//! any view: absence is no evidence (P18). Evictions stand for as long as any node holds them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use rand::rngs::StdRng;

use super::exchange::{Range, SUMS};
use super::item::{Content, Item, Member};
use super::message::{Carried, Message};
use super::peers::{Nth, Peer, Peers};
use super::rumour::{Rumour, Source};
use super::store::{Entry, Store};
use super::topic::Interest;
use super::watch::Watch;
use crate::id::NodeName;
use crate::time::{Span, Time};

/// How long an item stands after its publisher last said so, unless it is an eviction. As long as an hour, so that it outlives any restart
/// of a publisher.
pub const EXPIRY: Span = Span::from_secs(60 * 60);
/// How often a publisher says that an item still stands.
pub const REFRESH: Span = Span::from_secs(20 * 60);
/// Parts of what is held that are looked through in one second for what has expired, of 128.
const SWEPT: usize = 2;

/// What a node is and wants when it starts.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its name.
    pub node: NodeName,
    /// The number of this run.
    pub run: u64,
    /// Where others send.
    pub address: SocketAddr,
    /// What it wants.
    pub wants: Interest,
    /// Names of the keys it can open, the one it seals with first.
    pub keys: Vec<String>,
}

/// What the caller is to do.
#[derive(Debug)]
pub enum Output {
    /// Send a message.
    Send {
        /// Where to.
        to: SocketAddr,
        /// The message.
        message: Message,
    },
    /// A fact is news here.
    News(Arc<Item>),
    /// [`Spread::peers`] has changed.
    Peers,
}

/// What was refused, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Refused {
    /// Items that could not be read.
    pub unreadable: u64,
    /// Items and nodes for which there was no room.
    pub full: u64,
    /// Items that nobody here wants.
    pub unwanted: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Spread {
    pub(super) me: Member,
    pub(super) store: Store,
    pub(super) peers: Peers,
    /// What this node publishes, by id.
    pub(super) own: BTreeMap<u64, Arc<Item>>,
    pub(super) rumours: Vec<Rumour>,
    pub(super) watch: Watch,
    pub(super) outputs: Vec<Output>,
    pub(super) refused: Refused,
    refreshed: u64,
    swept: usize,
    second: Time,
}

impl Spread {
    /// A node that knows nobody yet.
    pub fn new(settings: Settings, now: Time) -> Self {
        let Settings { node, run, address, wants, keys } = settings;
        let mut spread = Spread {
            me: Member { node, run, seq: 0, address, wants, keys, silent: false },
            store: Store::default(),
            peers: Peers::default(),
            own: BTreeMap::new(),
            rumours: Vec::new(),
            watch: Watch::default(),
            outputs: Vec::new(),
            refused: Refused::default(),
            refreshed: 0,
            swept: 0,
            second: now,
        };
        spread.announce(now);
        spread
    }

    /// What this node says of itself now.
    pub fn me(&self) -> &Member {
        &self.me
    }

    /// Other nodes believed to be alive, by name.
    pub fn peers(&self) -> impl Iterator<Item = &Member> {
        self.peers.listed().map(Peer::member)
    }

    /// What was refused so far.
    pub fn refused(&self) -> Refused {
        self.refused
    }

    /// What this node holds: all facts that it wants or publishes, and all nodes.
    pub fn items(&self) -> impl Iterator<Item = &Arc<Item>> {
        self.store.items()
    }

    /// One of them.
    pub fn item(&self, id: u64) -> Option<&Arc<Item>> {
        self.store.get(id).map(|entry| &entry.item)
    }

    /// Names the keys anew that this node can open, the one it seals with first.
    pub fn set_keys(&mut self, now: Time, keys: Vec<String>) {
        self.me.keys = keys;
        self.announce(now);
    }

    /// Publishes exactly these items from now on.
    pub fn publish(&mut self, now: Time, items: impl IntoIterator<Item = Arc<Item>>) {
        let own: BTreeMap<u64, Arc<Item>> = items.into_iter().map(|item| (item.id(), item)).collect();
        let before = std::mem::take(&mut self.own);
        let changed = own.values().filter(|item| before.get(&item.id()).is_none_or(|before| before.hash() != item.hash()));
        for item in changed {
            self.absorb(now, Carried { item: item.clone(), age: 0, hops: 0 }, Source::Own);
        }
        self.own = own;
    }

    /// Takes a message that `node` sent from `from`.
    pub fn receive(&mut self, now: Time, rng: &mut StdRng, from: SocketAddr, node: &NodeName, message: Message) {
        if *node == self.me.node {
            return;
        }
        let nth = self.hear(now, node);
        match message {
            Message::Hello { item, answer } => self.met(now, from, item, answer),
            Message::Push { items, more } => {
                for carried in items {
                    self.absorb(now, carried, nth.into());
                }
                if let (Some(scope), Some(nth)) = (more, nth) {
                    self.compare_on(rng, scope, nth);
                }
            }
            Message::Same => {}
            Message::Heard { node } => self.vouched(&node),
            Message::Ask { node } => self.asked(now, from, &node),
            Message::Summary { roots } => match nth {
                Some(nth) => self.answer_summary(nth, &roots),
                None => self.hello(from, true),
            },
            Message::Sums { scope, range, sums } => self.answer_sums(rng, nth, scope, range, &sums),
            Message::Lists { scope, lists } => self.answer_lists(now, rng, nth, scope, &lists),
            Message::Want { ids } => self.answer_want(now, nth, &ids),
        }
    }

    /// One round. To be called at the gossip interval.
    pub fn tick(&mut self, now: Time, rng: &mut StdRng, seeds: &[SocketAddr]) {
        self.round(now, rng, seeds);
        if now.since(self.second) >= Span::from_secs(1) {
            self.second = now;
            self.refresh(now);
            self.sweep(now);
        }
    }

    /// What is to be done after any of the above; rumours that wait for the next round stay until `round` says that it is one.
    pub fn outputs(&mut self, now: Time, rng: &mut StdRng, round: bool) -> Vec<Output> {
        self.hand_on(now, rng, round);
        std::mem::take(&mut self.outputs)
    }

    /// Says anew who this node is.
    pub(super) fn announce(&mut self, now: Time) {
        // At the last number this node is outbid for the rest of its run; only a holder of the cluster's key could have it said there.
        self.me.seq = self.me.seq.saturating_add(1);
        self.me.silent = false;
        let item = Arc::new(Item::member(self.me.clone()));
        self.absorb(now, Carried { item, age: 0, hops: 0 }, Source::Own);
    }

    pub(super) fn own_item(&self) -> Arc<Item> {
        Arc::new(Item::member(self.me.clone()))
    }

    pub(super) fn send(&mut self, to: SocketAddr, message: Message) {
        self.outputs.push(Output::Send { to, message });
    }

    pub(super) fn send_to(&mut self, nth: Nth, message: Message) {
        if let Some(peer) = self.peers.get(nth) {
            let to = peer.address();
            self.send(to, message);
        }
    }

    /// Says of some own items that they still stand, if nobody has lately: a few at a time, so that they do not go out all at once.
    fn refresh(&mut self, now: Time) {
        let me = self.own_item();
        let after = self.own.range(self.refreshed..).map(|(id, item)| (*id, item.clone()));
        let mut due: Vec<_> = after.take(self.own.len() / 256 + 1).collect();
        self.refreshed = due.last().map_or(0, |(id, _)| id.saturating_add(1));
        due.push((me.id(), me));
        for (id, item) in due {
            let stands = |held: &Entry| held.item.hash() == item.hash() && now.since(held.born) >= REFRESH;
            if self.store.get(id).is_some_and(stands) {
                self.store.touch(id, now);
                self.rumours.push(Rumour::again(item, 0));
            } else if self.store.get(id).is_none() {
                self.absorb(now, Carried { item, age: 0, hops: 0 }, Source::Own);
            }
        }
    }

    /// Forgets what has expired, a part of it all at a time.
    fn sweep(&mut self, now: Time) {
        for _ in 0..SWEPT {
            let part = Range::ALL.narrow(self.swept % SUMS).expect("the whole has parts");
            self.swept += 1;
            let old = self.store.range(part).filter(|entry| now.since(entry.born) >= EXPIRY && !self.own.contains_key(&entry.item.id()));
            let old = old.filter(|entry| !self.store.lasts(&entry.item));
            let old: Vec<Arc<Item>> = old.map(|entry| entry.item.clone()).collect();
            for item in old {
                self.store.remove(item.id());
                if let Some(Content::Member(member)) = item.content() {
                    self.forget(&member.node);
                }
            }
        }
    }

    /// Panics where something held contradicts something else.
    #[cfg(test)]
    pub(super) fn check_invariants(&self) {
        self.store.check_invariants();
        for peer in self.peers.listed() {
            assert!(self.store.get(peer.item().id()).is_some(), "a node is known of which nothing is held");
        }
    }
}
