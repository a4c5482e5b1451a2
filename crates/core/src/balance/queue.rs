//! Requests of one app that wait in a block for a slot: first come, first served, bound to a dyno only when one has room.
//!
//! The queue refuses what it cannot serve in time rather than keep it until its deadline: a request that waited in vain is worse than
//! one sent elsewhere at once. Under overload length alone does not tell, so arrivals are then measured against the service rate (P25).

use std::collections::{BTreeMap, BTreeSet};

use crate::time::{Span, Time};

#[cfg(test)]
mod tests;

/// Limits of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueSettings {
    /// Requests that may wait; the next is refused, and its edge finds a block with room.
    pub len_max: usize,
    /// Requests that may wait where the next one has nowhere else to go (P25): more than `len_max`, since what bounds these is the rule
    /// that nobody waits in vain.
    pub must_len_max: usize,
    /// Longest wait; past it a request is dropped. Its own deadline may be nearer.
    pub wait_max: Span,
}

/// Why an arrival was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// As many wait as may.
    Length,
    /// As many wait as there are slots, in proportion, whose end will be seen: of the others nobody knows when they come free. Never said of
    /// what must queue.
    Doubt,
    /// The oldest has waited over half of what this one can, and at the rate at which requests were served meanwhile it would wait in vain.
    Overload,
}

/// What [`Queue::pop`] took out.
#[derive(Debug, PartialEq, Eq)]
pub struct Popped<T> {
    /// The oldest request whose time has not passed.
    pub item: Option<T>,
    /// Those before it whose time has: to be answered, never dispatched.
    pub expired: Vec<T>,
}

#[derive(Debug)]
struct Waiting<T> {
    key: u64,
    item: T,
    arrived: Time,
    expires: Time,
    /// Requests served before this one arrived.
    served_before: u64,
}

/// A bounded queue of waiting requests.
#[derive(Debug)]
pub struct Queue<T> {
    settings: QueueSettings,
    /// By place: arrivals are numbered.
    line: BTreeMap<u64, Waiting<T>>,
    places: BTreeMap<u64, u64>,
    expiries: BTreeSet<(Time, u64)>,
    arrivals: u64,
    served: u64,
}

/// Requests per slot that may wait in a block when no other has room: at 100 ms each they wait 3 s, well within the usual limit.
const MUST_QUEUE_FACTOR: u32 = 32;

// === impl QueueSettings ===

impl QueueSettings {
    /// The limits for an app with so many slots in a block: as many may wait as it has slots, unless it says otherwise.
    pub fn for_slots(slots: u32, len: Option<u32>, wait_max: Span) -> Self {
        let count = |len: u32| usize::try_from(len).unwrap_or(usize::MAX);
        let must = slots.max(1).saturating_mul(MUST_QUEUE_FACTOR);
        QueueSettings { len_max: count(len.unwrap_or(slots.max(1))), must_len_max: count(len.unwrap_or(must)), wait_max }
    }
}

// === impl Queue ===

impl<T> Queue<T> {
    /// An empty queue.
    pub fn new(settings: QueueSettings) -> Self {
        Queue { settings, line: BTreeMap::new(), places: BTreeMap::new(), expiries: BTreeSet::new(), arrivals: 0, served: 0 }
    }

    /// Changes the limits for arrivals from now on; nobody who waits is sent away.
    pub fn set(&mut self, settings: QueueSettings) {
        self.settings = settings;
    }

    /// Lets a request wait until `deadline` at most. `key` names it for [`Queue::remove`] and is the caller's to keep unique.
    pub fn push(&mut self, now: Time, key: u64, item: T, deadline: Time) -> Result<(), (Full, T)> {
        self.push_within(self.settings.len_max, now, key, item, deadline)
    }

    /// As [`Queue::push`], for a request that full blocks have sent away often enough (P25): it may wait where no first-comer may, up to
    /// `must_len_max`. What cannot be served in time is refused all the same.
    pub fn push_must(&mut self, now: Time, key: u64, item: T, deadline: Time) -> Result<(), (Full, T)> {
        self.push_within(self.settings.must_len_max, now, key, item, deadline)
    }

    fn push_within(&mut self, len_max: usize, now: Time, key: u64, item: T, deadline: Time) -> Result<(), (Full, T)> {
        if self.line.len() >= len_max {
            return Err((Full::Length, item));
        }
        if self.overloaded(now, deadline) {
            return Err((Full::Overload, item));
        }
        let place = self.arrivals;
        self.arrivals += 1;
        let expires = deadline.min(now + self.settings.wait_max);
        let known = self.places.insert(key, place);
        assert!(known.is_none(), "request {key} waits already");
        self.expiries.insert((expires, place));
        self.line.insert(place, Waiting { key, item, arrived: now, expires, served_before: self.served });
        Ok(())
    }

    /// Takes the oldest request that can still be served.
    pub fn pop(&mut self, now: Time) -> Popped<T> {
        let mut expired = Vec::new();
        while let Some(waiting) = self.take_first() {
            if waiting.expires > now {
                return Popped { item: Some(waiting.item), expired };
            }
            expired.push(waiting.item);
        }
        Popped { item: None, expired }
    }

    /// Takes out a request whose client left.
    pub fn remove(&mut self, key: u64) -> Option<T> {
        let place = *self.places.get(&key)?;
        self.take(place).map(|waiting| waiting.item)
    }

    /// Takes out all requests whose time has passed, wherever they stand.
    pub fn expire(&mut self, now: Time) -> Vec<T> {
        let mut expired = Vec::new();
        while let Some((_, place)) = self.expiries.first().filter(|(expires, _)| *expires <= now).copied() {
            expired.extend(self.take(place).map(|waiting| waiting.item));
        }
        expired
    }

    /// Takes out everything, oldest first: on losing leadership all are answered at once (P6).
    pub fn drain_all(&mut self) -> Vec<T> {
        self.places.clear();
        self.expiries.clear();
        std::mem::take(&mut self.line).into_values().map(|waiting| waiting.item).collect()
    }

    /// Tells that a request got a slot. Count every one, not only those that waited: it is the rate at which slots come free.
    pub fn served(&mut self) {
        self.served += 1;
    }

    /// How many may wait, of those who have somewhere else to go.
    pub fn len_max(&self) -> usize {
        self.settings.len_max
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.line.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.line.is_empty()
    }

    /// How long the oldest has waited; zero if nobody waits.
    pub fn oldest_wait(&self, now: Time) -> Span {
        self.line.first_key_value().map_or(Span::ZERO, |(_, oldest)| now.since(oldest.arrived))
    }

    /// When the next request's time passes, unless it is taken out before.
    pub fn next_expiry(&self) -> Option<Time> {
        self.expiries.first().map(|(expires, _)| *expires)
    }

    /// Whether an arrival would wait in vain. While the oldest has waited less than half of what the arrival can, nothing is wrong. After
    /// that, the wait of the oldest is the measure: what was served in it tells how many will be served in the time that the arrival has.
    fn overloaded(&self, now: Time, deadline: Time) -> bool {
        let Some((_, oldest)) = self.line.first_key_value() else { return false };
        let waited = now.since(oldest.arrived);
        let remaining = now.until(deadline).min(self.settings.wait_max);
        if waited <= remaining.over(2) {
            return false;
        }
        let served = self.served - oldest.served_before;
        let (ahead, waited) = (self.line.len() as u128, u128::from(waited.as_nanos()));
        ahead * waited >= u128::from(served) * u128::from(remaining.as_nanos())
    }

    fn take_first(&mut self) -> Option<Waiting<T>> {
        let place = *self.line.first_key_value()?.0;
        self.take(place)
    }

    fn take(&mut self, place: u64) -> Option<Waiting<T>> {
        let waiting = self.line.remove(&place)?;
        self.places.remove(&waiting.key);
        self.expiries.remove(&(waiting.expires, place));
        Some(waiting)
    }

    /// Stops the process if the queue contradicts itself. For tests and simulations, after each change.
    pub fn check_invariants(&self) {
        assert_eq!(self.line.len(), self.places.len(), "places and line differ");
        assert_eq!(self.line.len(), self.expiries.len(), "expiries and line differ");
        for (place, waiting) in &self.line {
            assert_eq!(self.places.get(&waiting.key), Some(place), "request {} stands elsewhere", waiting.key);
            assert!(self.expiries.contains(&(waiting.expires, *place)), "request {} would never expire", waiting.key);
            assert!(waiting.served_before <= self.served && *place < self.arrivals, "request {} is from the future", waiting.key);
        }
        let arrived: Vec<Time> = self.line.values().map(|waiting| waiting.arrived).collect();
        assert!(arrived.is_sorted(), "the line is not in the order of arrival");
    }
}
