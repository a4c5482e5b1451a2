//! News, and how it is handed on.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::rngs::StdRng;

use super::item::{Content, Item, Joined};
use super::message::{Age, Carried, Message};
use super::peers::Nth;
use super::spread::{EXPIRY, Output, REFRESH, Spread};
use super::topic::{Interest, Topic};
use super::wire::{ITEMS_MAX, item_len};
use crate::time::{Span, Time};

/// Nodes by which an item is handed on, at most; what comes by comparison is not handed on at all.
pub const HOPS_MAX: u8 = 16;
/// Bytes of items in one message: with what is around them they fit an Ethernet frame, unless one item alone is longer.
pub const MESSAGE_LEN: usize = 1300;
/// Nodes that a publisher itself tells of a change. Where there are no more, all hear of it from the publisher.
const FIRST_TOLD: usize = 64;
/// Nodes that each of them tells then, in case a datagram was lost; and all who are told of what can wait.
const AGAIN_TOLD: usize = 3;

/// An item that is to be handed on.
#[derive(Debug)]
pub(super) struct Rumour {
    item: Arc<Item>,
    /// To whom: the topics of the item and of the word that it replaces.
    audience: Vec<Topic>,
    hops: u8,
    from: Source,
    soft: bool,
}

/// From whom an item came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// This node itself.
    Own,
    /// A node that is known here.
    Peer(Nth),
    /// One that is not known yet.
    Stranger,
}

impl From<Option<Nth>> for Source {
    fn from(known: Option<Nth>) -> Self {
        known.map_or(Source::Stranger, Source::Peer)
    }
}

impl Rumour {
    /// That an item still stands.
    pub(super) fn again(item: Arc<Item>, hops: u8) -> Self {
        Rumour { audience: item.topics().to_vec(), item, hops, from: Source::Own, soft: true }
    }
}

/// To how many of so many a rumour is handed on. When each of n hands it on to ln n + c, all hear of it but e^-c of one (and what they
/// miss, comparison finds).
fn fanout(audience: usize, soft: bool, first: bool) -> usize {
    match audience {
        _ if soft => AGAIN_TOLD,
        _ if first => FIRST_TOLD,
        few if few <= FIRST_TOLD => AGAIN_TOLD,
        many => many.ilog2() as usize + 1,
    }
}

impl Spread {
    /// Takes an item in, from this node itself or from a peer.
    pub(super) fn absorb(&mut self, now: Time, carried: Carried, from: Source) {
        let Carried { item, age, hops } = carried;
        let (age, held) = (Span::from_secs(age.into()), self.store.get(item.id()));
        if age >= EXPIRY && !self.store.lasts(&item) {
            return;
        }
        let born = now - age;
        let Some(held) = held else {
            let wanted = from == Source::Own || self.wants(&item);
            match item.content() {
                None => self.refused.unreadable += 1,
                Some(_) if !wanted => self.refused.unwanted += 1,
                Some(_) => self.take(now, item, born, hops, from, Vec::new()),
            }
            return;
        };
        if held.item.hash() == item.hash() {
            // What this node itself says again, it says when it is due: a new leader has all that the old one said to say again.
            if from != Source::Own && born >= held.born + REFRESH.over(2) {
                self.store.touch(item.id(), born);
                if hops < HOPS_MAX {
                    self.rumours.push(Rumour { from, ..Rumour::again(item, hops + 1) });
                }
            }
            return;
        }
        if item.content().is_none() {
            self.refused.unreadable += 1;
            return;
        }
        let (held, before) = (held.clone(), held.item.topics().to_vec());
        match held.item.joined(&item) {
            Joined::Same => {}
            Joined::Second => self.take(now, item, born, hops, from, before),
            Joined::First => self.correct(now, from, &held.item, hops),
            Joined::Both(both) => {
                self.take(now, both.clone(), born.max(held.born), hops, from, before);
                self.correct(now, from, &both, hops);
            }
        }
    }

    fn wants(&self, item: &Item) -> bool {
        self.me.wants == Interest::Everything || item.topics().iter().any(|topic| self.me.wants.wants(topic))
    }

    /// Gives a peer the newer word. Where the older one was on its way through many hands, its sender has most likely heard by now.
    fn correct(&mut self, now: Time, from: Source, item: &Arc<Item>, hops: u8) {
        if let (Source::Peer(nth), false) = (from, item.is_soft() && hops < HOPS_MAX) {
            let carried = self.carried(now, item.clone());
            self.send_to(nth, Message::Push { items: vec![carried], more: None });
        }
    }

    /// Holds what is news.
    fn take(&mut self, now: Time, item: Arc<Item>, born: Time, hops: u8, from: Source, before: Vec<Topic>) {
        if !self.take_member(now, &item) {
            return;
        }
        if !self.store.put(item.clone(), born) {
            self.refused.full += 1;
            return;
        }
        if from != Source::Own && matches!(item.content(), Some(Content::Fact(_))) {
            self.outputs.push(Output::News(item.clone()));
        }
        if hops < HOPS_MAX {
            let mut audience = [item.topics(), &before].concat();
            audience.sort();
            audience.dedup();
            let soft = item.is_soft();
            self.rumours.push(Rumour { item, audience, hops: if from == Source::Own { 0 } else { hops + 1 }, from, soft });
        }
    }

    /// Hands rumours on, to the same few those that have the same audience. What can wait is handed on in rounds.
    pub(super) fn hand_on(&mut self, now: Time, rng: &mut StdRng, round: bool) {
        let (now_due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.rumours).into_iter().partition(|rumour| round || !rumour.soft);
        self.rumours = later;
        let mut alike: BTreeMap<(Vec<Topic>, bool, bool), Vec<Rumour>> = BTreeMap::new();
        for mut rumour in now_due {
            let first = rumour.from == Source::Own;
            alike.entry((std::mem::take(&mut rumour.audience), rumour.soft, first)).or_default().push(rumour);
        }
        for ((audience, soft, first), rumours) in alike {
            let count = fanout(self.peers.audience(&audience), soft, first);
            for nth in self.peers.some(&audience, count, rng) {
                let theirs = rumours.iter().filter(|rumour| rumour.from != Source::Peer(nth));
                let items = theirs.map(|rumour| Carried { hops: rumour.hops, ..self.carried(now, rumour.item.clone()) }).collect();
                self.push(nth, items, None);
            }
        }
    }

    /// Sends items in as many messages as they need.
    pub(super) fn push(&mut self, nth: Nth, items: Vec<Carried>, more: Option<super::Scope>) {
        let (mut message, mut len) = (Vec::new(), 0);
        for carried in items {
            let next = item_len(&carried.item);
            if !message.is_empty() && (len + next > MESSAGE_LEN || message.len() >= ITEMS_MAX) {
                self.send_to(nth, Message::Push { items: std::mem::take(&mut message), more: None });
                len = 0;
            }
            len += next;
            message.push(carried);
        }
        if !message.is_empty() || more.is_some() {
            self.send_to(nth, Message::Push { items: message, more });
        }
    }

    /// An item as it is handed over now, not to be handed on.
    pub(super) fn carried(&self, now: Time, item: Arc<Item>) -> Carried {
        let lasts = self.store.lasts(&item);
        let born = self.store.get(item.id()).filter(|_| !lasts).map_or(now, |entry| entry.born);
        // Rounded up, so that an item grows older with every hand it goes through and none lives for ever but those that shall.
        let age = now.since(born).as_nanos().div_ceil(1_000_000_000);
        Carried { item, age: Age::try_from(age).unwrap_or(Age::MAX), hops: HOPS_MAX }
    }
}
