//! The items a node has, and sums over them by which two nodes find out where they differ.
//!
//! Items lie in the order of their ids, which are hashes. A range of ids has 128 parts by its next seven bits, and each part has a sum
//! over all (id, hash) in it: equal sums, equal items. Sums of the whole are kept up to date, those of smaller ranges are counted when
//! asked for, so that what two nodes send to compare themselves does not grow with what they have.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use super::exchange::{Range, SUMS, Scope, Sums};
use super::item::{Item, mix};
use super::topic::{Interest, Topic};
use crate::directory::{BLOCKS_MAX, TOMBSTONES_MAX};
use crate::id::Version;
use crate::time::Time;

/// Most items; new ones past it are refused, and counted.
pub const ITEMS_MAX: usize = 500_000;

/// Most items that stand for ever, the newest: as many evictions as a directory says at once. Older ones expire like all else, and what
/// is held for ever stays below a megabyte.
pub const LASTING_MAX: usize = BLOCKS_MAX + TOMBSTONES_MAX;

/// One item as it is held here.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) item: Arc<Item>,
    /// When its publisher last said that it stands, by this node's clock.
    pub(super) born: Time,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Store {
    entries: BTreeMap<u64, Entry>,
    scopes: BTreeMap<Scope, Box<Sums>>,
    parts: BTreeMap<(Scope, Topic), Box<Sums>>,
    /// What is held of what may stand for ever, oldest first.
    lasting: BTreeSet<(Version, u64)>,
}

impl Store {
    pub(super) fn get(&self, id: u64) -> Option<&Entry> {
        self.entries.get(&id)
    }

    pub(super) fn items(&self) -> impl Iterator<Item = &Arc<Item>> {
        self.entries.values().map(|entry| &entry.item)
    }

    /// Holds `item`, instead of what was held under its key; tells whether there was room.
    pub(super) fn put(&mut self, item: Arc<Item>, born: Time) -> bool {
        if self.entries.len() >= ITEMS_MAX && !self.entries.contains_key(&item.id()) {
            return false;
        }
        self.count(&item, u64::wrapping_add);
        let rank = item.lasting();
        if let Some(before) = self.entries.insert(item.id(), Entry { item, born }) {
            self.discount(&before.item);
        }
        self.lasting.extend(rank);
        true
    }

    /// Whether an item, held or not, stands until newer ones of its kind crowd it out, however long nobody has said so.
    pub(super) fn lasts(&self, item: &Item) -> bool {
        let newer = |rank: (Version, u64)| self.lasting.range((Bound::Excluded(rank), Bound::Unbounded));
        item.lasting().is_some_and(|rank| newer(rank).take(LASTING_MAX).count() < LASTING_MAX)
    }

    /// The publisher of an item said at `born` that it still stands.
    pub(super) fn touch(&mut self, id: u64, born: Time) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.born = entry.born.max(born);
        }
    }

    pub(super) fn remove(&mut self, id: u64) {
        if let Some(entry) = self.entries.remove(&id) {
            self.discount(&entry.item);
        }
    }

    fn discount(&mut self, item: &Item) {
        self.count(item, u64::wrapping_sub);
        if let Some(rank) = item.lasting() {
            self.lasting.remove(&rank);
        }
    }

    /// The items within a range.
    pub(super) fn range(&self, range: Range) -> impl Iterator<Item = &Entry> {
        let (first, last) = range.ends();
        self.entries.range(first..=last).map(|(_, entry)| entry)
    }

    /// The items within a range that are of this scope and shared.
    pub(super) fn shared<'a>(&'a self, range: Range, scope: Scope, wanted: &'a Interest) -> impl Iterator<Item = &'a Entry> {
        self.range(range).filter(move |entry| weight(&entry.item, scope, wanted) > 0)
    }

    /// The sums of a range over the items of this scope that are shared. One that is shared for several topics counts several times.
    pub(super) fn sums(&self, range: Range, scope: Scope, wanted: &Interest) -> Box<Sums> {
        if range == Range::ALL {
            return self.kept(scope, wanted);
        }
        let mut sums = empty();
        for entry in self.range(range) {
            let weight = weight(&entry.item, scope, wanted);
            let sum = &mut sums[range.part(entry.item.id())];
            *sum = sum.wrapping_add(token(&entry.item).wrapping_mul(weight));
        }
        sums
    }

    fn kept(&self, scope: Scope, wanted: &Interest) -> Box<Sums> {
        let of = |sums: Option<&Box<Sums>>| sums.cloned().unwrap_or_else(empty);
        match wanted {
            Interest::Topics(topics) if !wanted.has_all(scope) => {
                let mut all = empty();
                for sums in topics.iter().filter_map(|topic| self.parts.get(&(scope, topic.clone()))) {
                    all.iter_mut().zip(sums.iter()).for_each(|(all, sum)| *all = all.wrapping_add(*sum));
                }
                all
            }
            _ => of(self.scopes.get(&scope)),
        }
    }

    fn count(&mut self, item: &Item, change: fn(u64, u64) -> u64) {
        let (part, token, scope) = (Range::ALL.part(item.id()), token(item), Scope::of(item.topics()));
        let sums = self.scopes.entry(scope).or_insert_with(empty);
        sums[part] = change(sums[part], token);
        for topic in item.topics() {
            let sums = self.parts.entry((scope, topic.clone())).or_insert_with(empty);
            sums[part] = change(sums[part], token);
        }
    }

    /// Panics where the sums are not those of the items.
    #[cfg(test)]
    pub(super) fn check_invariants(&self) {
        let mut again = Store::default();
        for entry in self.entries.values() {
            assert!(entry.item.content().is_some(), "an unreadable item is held");
            again.put(entry.item.clone(), entry.born);
        }
        assert_eq!(again.lasting, self.lasting);
        for (scope, sums) in &self.scopes {
            assert_eq!(again.kept(*scope, &Interest::Everything), *sums, "{scope:?}");
        }
        for (part, sums) in &self.parts {
            assert_eq!(*again.parts.get(part).unwrap_or(&empty()), *sums, "{part:?}");
        }
    }
}

/// How often an item is counted between two nodes that both want `wanted`.
fn weight(item: &Item, scope: Scope, wanted: &Interest) -> u64 {
    match wanted {
        _ if Scope::of(item.topics()) != scope => 0,
        Interest::Topics(topics) if !wanted.has_all(scope) => item.topics().iter().filter(|topic| topics.contains(*topic)).count() as u64,
        _ => 1,
    }
}

fn token(item: &Item) -> u64 {
    mix(item.id() ^ item.hash().rotate_left(32))
}

fn empty() -> Box<Sums> {
    Box::new([0; SUMS])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{BlockName, GroupId};
    use crate::map::Fact;
    use crate::map::fact::EvictedFact;

    #[test]
    fn of_more_evictions_than_a_directory_says_the_newest_stand() {
        let block = BlockName::new("b1").unwrap();
        let evicted = |nth: usize| {
            let (group, version) = (GroupId(nth as u128), Version(nth as u64));
            let fact = Fact::Evicted(EvictedFact { block: block.clone(), group, version });
            Arc::new(Item::fact(&fact, vec![Topic::mesh()]).unwrap())
        };
        let items: Vec<_> = (0..LASTING_MAX + 2).map(evicted).collect();
        let mut store = Store::default();
        for item in &items[..LASTING_MAX] {
            assert!(store.put(item.clone(), Time::ZERO));
        }
        assert!(store.lasts(&items[0]) && store.lasts(&items[LASTING_MAX]), "there is room, or it is newer");
        for item in &items[LASTING_MAX..] {
            assert!(store.put(item.clone(), Time::ZERO));
        }
        assert!(!store.lasts(&items[0]) && !store.lasts(&items[1]) && store.lasts(&items[2]));
        store.check_invariants();
        store.remove(items[0].id());
        store.remove(items[1].id());
        assert!(!store.lasts(&items[1]), "it would be taken back and crowded out again");
        store.check_invariants();
    }
}
