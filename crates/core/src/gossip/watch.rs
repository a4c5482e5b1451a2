//! Who is there: how a node finds the others, and how it is noticed that one is silent.
//!
//! Every comparison asks for a sign of life. Who gives none is asked through three others, and if that brings none either its silence is
//! a rumour, until the node itself says otherwise. So each node is asked about twice a second by somebody, in a mesh of any size, and
//! what a node spends on it does not grow. Silence decides only who is told of news; it is no evidence of anything else (P16).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use rand::RngExt;
use rand::rngs::StdRng;

use super::Scope;
use super::item::{Content, Item, Member};
use super::message::{Carried, Message};
use super::peers::{Nth, Peers};
use super::rumour::Source;
use super::spread::{Output, Spread};
use super::topic::{Interest, Topic};
use crate::id::NodeName;
use crate::time::{Span, Time};

/// Rounds between two comparisons that a node begins.
const COMPARISON_ROUNDS: u64 = 5;
/// Rounds in which a node that has just started begins one each: what it needs most may have been lost on its way.
const EAGER_ROUNDS: u64 = 20;
/// Of so many comparisons one is with a node that shares what not all nodes share.
const PRIVATE_EVERY: u64 = 8;
/// Of so many one is with a node believed silent: after a partition both sides find each other again.
const SILENT_EVERY: u64 = 10;
/// Of so many one takes load into account.
const LOAD_EVERY: u64 = 10;
/// Comparisons between two greetings of a seed that is not heard.
const SEED_EVERY: u64 = 4;
/// How long a node may take to give a sign of life before others are asked about it ...
const DIRECT: Span = Span::from_secs(1);
/// ... and until it is called silent.
const SILENT: Span = Span::from_secs(3);
/// How many others are asked.
const ASKED: usize = 3;
/// Questions about others that are remembered.
const QUESTIONS_MAX: usize = 64;
/// A node whose own rounds were this late does not judge others by their delay.
const LATE: Span = Span::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct Watch {
    round: u64,
    comparisons: u64,
    ticked: Time,
    /// From whom a sign of life is awaited.
    waiting: BTreeMap<Nth, Wait>,
    /// Who asked about whom.
    questions: Vec<(NodeName, SocketAddr, Time)>,
    joined: bool,
}

#[derive(Debug, Clone, Copy)]
struct Wait {
    since: Time,
    asked: bool,
}

impl Spread {
    pub(super) fn round(&mut self, now: Time, rng: &mut StdRng, seeds: &[SocketAddr]) {
        if now.since(self.watch.ticked) > LATE {
            self.watch.waiting.clear();
        }
        self.watch.ticked = now;
        self.watch.round += 1;
        let alone = self.peers.live().is_empty();
        let eager = self.watch.round <= EAGER_ROUNDS;
        let due = eager || self.watch.round.is_multiple_of(COMPARISON_ROUNDS);
        self.watch.comparisons += u64::from(due);
        let nth = self.watch.comparisons;
        if alone || (due && nth.is_multiple_of(SEED_EVERY)) {
            self.greet_seed(rng, seeds);
        }
        if let Some(partner) = if due { self.partner(rng, nth) } else { None } {
            self.compare(now, partner, eager || nth.is_multiple_of(LOAD_EVERY));
        }
        self.judge(now, rng);
    }

    /// With whom to compare this time.
    fn partner(&self, rng: &mut StdRng, nth: u64) -> Option<Nth> {
        let silent = if self.peers.live().is_empty() || nth % SILENT_EVERY == 3 { self.peers.silent() } else { &[] };
        if let Some(one) = Peers::one(silent, rng) {
            return Some(one);
        }
        let private = match &self.me.wants {
            _ if nth % PRIVATE_EVERY != 7 => None,
            Interest::Everything => Peers::one(self.peers.everything(), rng),
            Interest::Topics(topics) => {
                let private: Vec<Topic> = topics.iter().filter(|topic| topic.scope() == Scope::Private).cloned().collect();
                if private.is_empty() { None } else { self.peers.some(&private, 1, rng).pop() }
            }
        };
        private.or_else(|| Peers::one(self.peers.live(), rng))
    }

    fn compare(&mut self, now: Time, nth: Nth, load: bool) {
        let scopes: &[Scope] = if load { &Scope::ALL } else { &[Scope::Mesh, Scope::Private] };
        let roots = self.roots(nth, scopes);
        self.send_to(nth, Message::Summary { roots });
        self.watch.waiting.entry(nth).or_insert(Wait { since: now, asked: false });
    }

    /// Says who this node is, to a seed that is not among those it hears.
    fn greet_seed(&mut self, rng: &mut StdRng, seeds: &[SocketAddr]) {
        let unheard = |seed: &&SocketAddr| **seed != self.me.address && !self.peers.listed().any(|peer| peer.address() == **seed);
        let unheard: Vec<SocketAddr> = seeds.iter().filter(unheard).copied().collect();
        if !unheard.is_empty() {
            self.hello(unheard[rng.random_range(0..unheard.len())], true);
        }
    }

    pub(super) fn hello(&mut self, to: SocketAddr, answer: bool) {
        let item = Carried { item: self.own_item(), age: 0, hops: 0 };
        self.send(to, Message::Hello { item, answer });
    }

    /// A node has said who it is.
    pub(super) fn met(&mut self, now: Time, from: SocketAddr, item: Carried, answer: bool) {
        let Some(Content::Member(member)) = item.item.content().cloned() else {
            self.refused.unreadable += 1;
            return;
        };
        self.absorb(now, item, Source::Stranger);
        if answer {
            self.hello(from, false);
        }
        let known = self.peers.find(&member.node);
        if let (Some(nth), false) = (known, self.watch.joined) {
            self.watch.joined = true;
            self.compare(now, nth, true);
        }
    }

    /// Notes a sign of life.
    pub(super) fn hear(&mut self, now: Time, node: &NodeName) -> Option<Nth> {
        let nth = self.peers.find(node)?;
        self.watch.waiting.remove(&nth);
        if self.peers.hear(nth, now) {
            self.outputs.push(Output::Peers);
            // It shall know that it was called silent, and say otherwise.
            if let Some(item) = self.peers.get(nth).map(|peer| peer.item().clone()) {
                let carried = self.carried(now, item);
                self.push(nth, vec![carried], None);
            }
        }
        let (told, left) = std::mem::take(&mut self.watch.questions).into_iter().partition(|(about, ..)| about == node);
        self.watch.questions = left;
        let told: Vec<(NodeName, SocketAddr, Time)> = told;
        told.into_iter().for_each(|(node, asker, _)| self.send(asker, Message::Heard { node }));
        Some(nth)
    }

    /// Another node heard of one that this one waits for.
    pub(super) fn vouched(&mut self, node: &NodeName) {
        if let Some(nth) = self.peers.find(node) {
            self.watch.waiting.remove(&nth);
        }
    }

    /// Another node asks about a third.
    pub(super) fn asked(&mut self, now: Time, from: SocketAddr, node: &NodeName) {
        let Some(nth) = self.peers.find(node) else { return };
        let recently = self.peers.get(nth).and_then(|peer| peer.heard).is_some_and(|heard| now.since(heard) < DIRECT);
        if recently {
            return self.send(from, Message::Heard { node: node.clone() });
        }
        self.watch.questions.retain(|(_, _, at)| now.since(*at) < SILENT);
        if self.watch.questions.len() < QUESTIONS_MAX {
            self.watch.questions.push((node.clone(), from, now));
            self.send_to(nth, Message::Summary { roots: Vec::new() });
        }
    }

    /// Asks others about nodes that took too long, and calls silent whom nobody heard.
    fn judge(&mut self, now: Time, rng: &mut StdRng) {
        let late: Vec<(Nth, Wait)> =
            self.watch.waiting.iter().filter(|(_, wait)| now.since(wait.since) >= DIRECT).map(|(nth, wait)| (*nth, *wait)).collect();
        for (nth, wait) in late {
            let Some(member) = self.peers.get(nth).map(|peer| peer.member().clone()) else {
                self.watch.waiting.remove(&nth);
                continue;
            };
            if now.since(wait.since) >= SILENT {
                self.watch.waiting.remove(&nth);
                self.call_silent(now, member);
            } else if !wait.asked {
                self.watch.waiting.insert(nth, Wait { asked: true, ..wait });
                for _ in 0..ASKED {
                    if let Some(other) = Peers::one(self.peers.live(), rng).filter(|other| *other != nth) {
                        self.send_to(other, Message::Ask { node: member.node.clone() });
                    }
                }
            }
        }
    }

    fn call_silent(&mut self, now: Time, member: Member) {
        if !member.silent {
            let held = self.peers.find(&member.node).and_then(|nth| self.peers.get(nth)).map(|peer| peer.item().clone());
            let age = held.map_or(0, |item| self.carried(now, item).age);
            let item = Arc::new(Item::member(Member { silent: true, ..member }));
            self.absorb(now, Carried { item, age, hops: 0 }, Source::Own);
        }
    }

    /// Takes in a word about a node; false where it is about this one, and wrong.
    pub(super) fn take_member(&mut self, now: Time, item: &Arc<Item>) -> bool {
        let Some(Content::Member(member)) = item.content() else { return true };
        if member.node == self.me.node {
            let wrong = member.run == self.me.run && member.rank() > self.me.rank();
            if wrong {
                self.me.seq = member.seq;
                self.announce(now);
            }
            return !wrong;
        }
        let heard = self.peers.find(&member.node).and_then(|nth| self.peers.get(nth)?.heard);
        let live = !member.silent || heard.is_some_and(|heard| now.since(heard) < DIRECT);
        let taken = self.peers.set(item.clone(), live).is_some();
        if taken {
            self.outputs.push(Output::Peers)
        } else {
            self.refused.full += 1
        }
        taken
    }

    pub(super) fn forget(&mut self, node: &NodeName) {
        if let Some(nth) = self.peers.find(node) {
            self.watch.waiting.remove(&nth);
            self.peers.remove(node);
            self.outputs.push(Output::Peers);
        }
    }
}
