//! How loaded each app is in each block, as this edge sees it.
//!
//! Two sources are joined: what the block last told (on every response, else by the map) and what this edge itself has in flight
//! there; how is [`estimate`]'s to say.
//!
//! The counters are atomics behind a sharded map that all data threads share. Requests hold an [`InFlight`] guard and never a lock of
//! that map across an `await`: routes keep the counters themselves, found once per change of the map.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use dashmap::DashMap;
use dynomesh_core::dispatch::estimate;
use dynomesh_core::id::{AppName, BlockName, Term};
use dynomesh_core::time::{Span, Time};
use dynomesh_runtime::http::headers::Load as Word;

/// A response's word about load outranks the map's for this long: gossip brings words that are older than what a response just told.
const MAP_WORD_AFTER: Span = Span::from_millis(100);

/// Load of one app in one block.
#[derive(Debug, Default)]
pub(crate) struct Load {
    used: AtomicU32,
    slots: AtomicU32,
    queued: AtomicU32,
    /// Requests this edge has in flight there.
    own: AtomicU32,
    /// `own` when the block's last word came.
    own_then: AtomicU32,
    /// When a response last told, in nanoseconds of the clock; 0 = never.
    told_at: AtomicU64,
    /// Term and count of the map's last word, so that its repetition does not pass for news.
    map_word: Mutex<(Term, u64)>,
}

/// The loads of all apps in all blocks.
#[derive(Debug, Default)]
pub(crate) struct Loads {
    entries: DashMap<(BlockName, AppName), Arc<Load>>,
}

/// Counts one request of ours as in flight until it is dropped.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<Load>);

// === impl Load ===

impl Load {
    /// Takes the word that came with a response.
    pub(crate) fn told(&self, word: Word, now: Time) {
        self.told_at.store(now.as_nanos().max(1), Relaxed);
        self.set(word);
    }

    /// Takes the map's word, said in a term under a count, if it is news; but not over what a response told more recently.
    pub(crate) fn told_by_map(&self, said: (Term, u64), word: Word, now: Time) {
        let mut last = self.map_word.lock().unwrap_or_else(PoisonError::into_inner);
        if said <= *last {
            return;
        }
        *last = said;
        let told_at = Time::from_nanos(self.told_at.load(Relaxed));
        if told_at == Time::ZERO || now.since(told_at) > MAP_WORD_AFTER {
            self.set(word);
        } else {
            self.slots.store(word.slots, Relaxed);
        }
    }

    fn set(&self, word: Word) {
        self.used.store(word.used, Relaxed);
        self.slots.store(word.slots, Relaxed);
        self.queued.store(word.queued, Relaxed);
        self.own_then.store(self.own.load(Relaxed), Relaxed);
    }

    /// Slots the app has there.
    pub(crate) fn slots(&self) -> u32 {
        self.slots.load(Relaxed)
    }

    /// Requests of this edge in flight there.
    pub(crate) fn own(&self) -> u32 {
        self.own.load(Relaxed)
    }

    /// Requests in service or waiting there, by the block's last word and our own requests since.
    pub(crate) fn estimate(&self) -> u32 {
        let told = self.used.load(Relaxed).saturating_add(self.queued.load(Relaxed));
        estimate(told, self.own.load(Relaxed), self.own_then.load(Relaxed))
    }

    /// Counts one more request of ours until the guard is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> InFlight {
        self.own.fetch_add(1, Relaxed);
        InFlight(self.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let before = self.0.own.fetch_sub(1, Relaxed);
        debug_assert!(before > 0, "a request ended that was not in flight");
    }
}

// === impl Loads ===

impl Loads {
    /// The counters of `app` in `block`, made on first use.
    pub(crate) fn of(&self, block: &BlockName, app: &AppName) -> Arc<Load> {
        self.entries.entry((block.clone(), app.clone())).or_default().clone()
    }

    /// Requests of this edge in flight in all blocks.
    pub(crate) fn own_total(&self) -> u64 {
        self.entries.iter().map(|entry| u64::from(entry.own())).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Time {
        Time::ZERO + Span::from_millis(n)
    }

    fn word(used: u32, slots: u32, queued: u32) -> Word {
        Word { used, slots, queued }
    }

    #[test]
    fn own_requests_are_not_counted_twice() {
        let load = Arc::new(Load::default());
        let first = load.begin();
        let second = load.begin();
        assert_eq!(load.estimate(), 2, "before the block speaks our own count is all we know");
        load.told(word(5, 8, 1), ms(1));
        assert_eq!(load.estimate(), 6, "the block's word already holds our two");
        let third = load.begin();
        assert_eq!(load.estimate(), 7);
        drop((first, second, third));
        assert_eq!(load.estimate(), 4, "three of ours ended, two of them were in the word");
        assert_eq!(load.own(), 0);
    }

    #[test]
    fn a_recent_response_outranks_the_map() {
        let load = Load::default();
        load.told_by_map((Term(1), 1), word(1, 4, 0), ms(1));
        assert_eq!(load.estimate(), 1);
        load.told(word(3, 4, 0), ms(2));
        load.told_by_map((Term(1), 2), word(0, 6, 0), ms(50));
        assert_eq!((load.estimate(), load.slots()), (3, 6), "an old count, but the newest number of slots");
        load.told_by_map((Term(1), 2), word(0, 6, 0), ms(200));
        assert_eq!(load.estimate(), 3, "said again is not said anew");
        load.told_by_map((Term(2), 1), word(0, 6, 0), ms(200));
        assert_eq!(load.estimate(), 0);
    }

    #[test]
    fn all_threads_count_in_the_same_place() {
        let loads = Loads::default();
        let (block, app) = (BlockName::new("b1").unwrap(), AppName::new("shop").unwrap());
        let guards = [loads.of(&block, &app).begin(), loads.of(&block, &app).begin()];
        assert_eq!((loads.of(&block, &app).own(), loads.own_total()), (2, 2));
        drop(guards);
        assert_eq!(loads.own_total(), 0);
    }
}
