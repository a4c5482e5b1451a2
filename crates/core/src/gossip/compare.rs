//! The steps of a comparison, as `exchange` tells it.

use std::collections::BTreeMap;

use rand::RngExt;
use rand::rngs::StdRng;

use super::exchange::{LISTED_MAX, Range, SUMS, Scope, Sums};
use super::message::{Carried, Listed, Message};
use super::peers::{Nth, Peers};
use super::rumour::MESSAGE_LEN;
use super::spread::Spread;
use super::topic::Interest;
use super::wire::item_len;
use crate::time::Time;

/// Bytes of items that one answer brings; for more the asker compares again.
pub const ANSWER_LEN: usize = 48 * 1024;
/// Messages that answer one message of sums.
const FOLLOW_MAX: usize = 8;
/// Ids in one list message: with their hashes they fit an Ethernet frame.
const IDS_SENT: usize = MESSAGE_LEN / 16;

impl Spread {
    pub(super) fn roots(&self, nth: Nth, scopes: &[Scope]) -> Vec<(Scope, u64)> {
        let Some(shared) = self.shared(nth) else { return Vec::new() };
        let scopes = scopes.iter().filter(|scope| shared.has(**scope));
        scopes.map(|scope| (*scope, root(&self.store.sums(Range::ALL, *scope, &shared)))).collect()
    }

    pub(super) fn answer_summary(&mut self, nth: Nth, roots: &[(Scope, u64)]) {
        let Some(shared) = self.shared(nth) else { return };
        let mut same = true;
        for (scope, theirs) in roots {
            let sums = self.store.sums(Range::ALL, *scope, &shared);
            if root(&sums) != *theirs {
                same = false;
                self.send_to(nth, Message::Sums { scope: *scope, range: Range::ALL, sums });
            }
        }
        if same {
            self.send_to(nth, Message::Same);
        }
    }

    /// Compares once more, after an answer that was not all: with anybody where anybody can have the rest.
    pub(super) fn compare_on(&mut self, rng: &mut StdRng, scope: Scope, with: Nth) {
        let anybody = Peers::one(self.peers.live(), rng).filter(|_| scope == Scope::Mesh);
        let nth = anybody.unwrap_or(with);
        let roots = self.roots(nth, &[scope]);
        self.send_to(nth, Message::Summary { roots });
    }

    pub(super) fn answer_sums(&mut self, rng: &mut StdRng, nth: Option<Nth>, scope: Scope, range: Range, theirs: &Sums) {
        let Some((nth, shared)) = nth.and_then(|nth| Some((nth, self.shared(nth)?))) else { return };
        let ours = self.store.sums(range, scope, &shared);
        let (mut lists, mut ids, mut sent) = (Vec::new(), 0, 0);
        // From any part on: what does not fit this time will another time.
        let first = rng.random_range(0..SUMS);
        let differ = (0..SUMS).map(|part| (part + first) % SUMS).filter(|part| ours[*part] != theirs[*part]);
        for part in differ.filter_map(|part| range.narrow(part)) {
            if sent == FOLLOW_MAX {
                break;
            }
            let items: Vec<(u64, u64)> = self.listed(part, scope, &shared).take(LISTED_MAX + 1).collect();
            if items.len() > LISTED_MAX {
                let sums = self.store.sums(part, scope, &shared);
                self.send_to(nth, Message::Sums { scope, range: part, sums });
                sent += 1;
                continue;
            }
            ids += items.len() + 1;
            lists.push(Listed { range: part, items });
            if ids >= IDS_SENT {
                self.send_to(nth, Message::Lists { scope, lists: std::mem::take(&mut lists) });
                (ids, sent) = (0, sent + 1);
            }
        }
        if !lists.is_empty() {
            self.send_to(nth, Message::Lists { scope, lists });
        }
    }

    pub(super) fn answer_lists(&mut self, now: Time, rng: &mut StdRng, nth: Option<Nth>, scope: Scope, lists: &[Listed]) {
        let Some((nth, shared)) = nth.and_then(|nth| Some((nth, self.shared(nth)?))) else { return };
        let (mut give, mut want) = (Vec::new(), Vec::new());
        let first = if lists.is_empty() { 0 } else { rng.random_range(0..lists.len()) };
        for Listed { range, items } in lists[first..].iter().chain(&lists[..first]) {
            let theirs: BTreeMap<u64, u64> = items.iter().copied().collect();
            give.extend(self.listed(*range, scope, &shared).filter(|(id, hash)| theirs.get(id) != Some(hash)).map(|(id, _)| id));
            for (id, hash) in theirs {
                match self.store.get(id) {
                    None => want.push(id),
                    // Held under other topics, which the other does not share: it has an older word.
                    Some(held) if held.item.hash() != hash && !give.contains(&id) => give.push(id),
                    Some(_) => {}
                }
            }
        }
        if !want.is_empty() {
            for ids in want.chunks(IDS_SENT) {
                self.send_to(nth, Message::Want { ids: ids.to_vec() });
            }
        }
        self.give(now, nth, scope, &give);
    }

    pub(super) fn answer_want(&mut self, now: Time, nth: Option<Nth>, ids: &[u64]) {
        if let Some(nth) = nth {
            let scope = ids.iter().find_map(|id| self.store.get(*id)).map_or(Scope::Mesh, |entry| Scope::of(entry.item.topics()));
            self.give(now, nth, scope, ids);
        }
    }

    /// Sends items, as many as one answer may bring.
    fn give(&mut self, now: Time, nth: Nth, scope: Scope, ids: &[u64]) {
        let (mut items, mut len, mut more): (Vec<Carried>, usize, _) = (Vec::new(), 0, None);
        for entry in ids.iter().filter_map(|id| self.store.get(*id)) {
            if len > ANSWER_LEN {
                more = Some(scope);
                break;
            }
            len += item_len(&entry.item);
            items.push(self.carried(now, entry.item.clone()));
        }
        self.push(nth, items, more);
    }

    fn listed<'a>(&'a self, range: Range, scope: Scope, shared: &'a Interest) -> impl Iterator<Item = (u64, u64)> {
        self.store.shared(range, scope, shared).map(|entry| (entry.item.id(), entry.item.hash()))
    }

    fn shared(&self, nth: Nth) -> Option<Interest> {
        self.peers.get(nth).map(|peer| self.me.wants.shared(&peer.member().wants))
    }
}

fn root(sums: &Sums) -> u64 {
    sums.iter().fold(0, |root, sum| root.wrapping_mul(31).wrapping_add(*sum))
}
