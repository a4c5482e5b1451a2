//! How long this replica may still believe that it leads.
//!
//! Commit proves the past, the lease proves the present: before a byte goes to a dyno the writer asks `valid(now)`, on any
//! thread, at the price of one atomic load (P7). The lease runs from the moment the newest request was *sent* that a quorum
//! acknowledged, for as long as every one of them promised to grant no other vote, less a margin of 20 % for clocks that run
//! unevenly (P4). All times are CLOCK_BOOTTIME, which goes on while the machine sleeps.
//!
//! Once a transfer has begun or another candidate got this replica's vote, the lease never comes back in that term. While a transfer may
//! still end another term than the one it was begun in, no term has a lease.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use dynomesh_core::id::Term;
use dynomesh_core::time::{Span, Time};

/// Part of the promised time that is not relied upon: one fifth.
const MARGIN_PARTS: u64 = 5;

/// A leader's lease.
#[derive(Debug, Default)]
pub struct Lease {
    /// Nanoseconds of the end; 0 = none.
    end: AtomicU64,
    /// The term that `end` belongs to.
    term: AtomicU64,
    withheld: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Set while this replica leads.
    leading: Option<Leading>,
    /// Terms up to this one never have a lease again.
    renounced: u64,
    /// Votes being considered; while there is one the lease is suspended.
    considering: u32,
    /// Handovers that may still act, in whatever term; while there is one the lease is suspended.
    handing_over: u32,
}

/// Suspends a lease for as long as it lives.
#[derive(Debug)]
pub(crate) struct Suspension<'a>(&'a Lease);

#[derive(Debug)]
struct Leading {
    term: u64,
    me: u64,
    /// A joint membership has two; the lease needs a quorum of each.
    configs: Vec<BTreeSet<u64>>,
    /// Until when each peer keeps its promise, margin taken off.
    promised: BTreeMap<u64, Time>,
    /// When what each peer acknowledged last was sent.
    sent: BTreeMap<u64, Time>,
}

impl Lease {
    /// Whether this replica leads at `now`, for certain. Sample the clock anew for every call.
    pub fn valid(&self, now: Time) -> bool {
        now.as_nanos() < self.end.load(Ordering::Acquire)
    }

    /// Whether this replica leads `term` at `now`, for certain: for what was granted in that term and must not be dispatched in
    /// a later one, when others may have freed and granted it again in between.
    pub fn valid_in(&self, term: Term, now: Time) -> bool {
        // Terms only grow and an end is stored after its term, so an end read between two equal readings belongs to that term.
        let before = self.term.load(Ordering::Acquire);
        let valid = self.valid(now);
        let after = self.term.load(Ordering::Acquire);
        valid && before == term.0 && after == term.0
    }

    /// When the lease ends if it is not renewed; [`Time::ZERO`] if there is none, [`Time::FAR`] in a group of one.
    pub fn end(&self) -> Time {
        Time::from_nanos(self.end.load(Ordering::Acquire))
    }

    /// Stops renewals while `withhold` is set, for a leader whose data path is wedged although its consensus thread lives
    /// (P6). What was granted already runs out by itself.
    pub fn withhold(&self, withhold: bool) {
        self.withheld.store(withhold, Ordering::Release);
    }

    /// This replica leads `term`, with these voters.
    pub(crate) fn lead(&self, term: u64, me: u64, configs: Vec<BTreeSet<u64>>) {
        let mut state = self.lock();
        match &mut state.leading {
            Some(leading) if leading.term == term => leading.configs = configs,
            leading => {
                self.end.store(0, Ordering::Release);
                self.term.store(term, Ordering::Release);
                *leading = Some(Leading { term, me, configs, promised: BTreeMap::new(), sent: BTreeMap::new() });
            }
        }
        self.publish(&state);
    }

    /// This replica leads no longer.
    pub(crate) fn follow(&self) {
        let mut state = self.lock();
        state.leading = None;
        self.publish(&state);
    }

    /// `peer` acknowledged what was sent at `sent` by the leader of `term`, and promised `lease` from when it came in.
    pub(crate) fn acknowledged(&self, term: u64, peer: u64, sent: Time, lease: Span) {
        let mut state = self.lock();
        let Some(leading) = state.leading.as_mut().filter(|l| l.term == term) else { return };
        let relied = Span::from_nanos(lease.as_nanos() - lease.as_nanos() / MARGIN_PARTS);
        let until = sent + relied;
        let promised = leading.promised.entry(peer).or_insert(until);
        *promised = until.max(*promised);
        let last = leading.sent.entry(peer).or_insert(sent);
        *last = sent.max(*last);
        self.publish(&state);
    }

    /// Whether `peer` has acknowledged something that still counts.
    pub(crate) fn alive(&self, peer: u64, now: Time) -> bool {
        self.lock().leading.as_ref().is_some_and(|l| l.promised.get(&peer).is_some_and(|until| now < *until))
    }

    /// Whether `peer` has acknowledged something that was sent at `since` or later: it lived then, whatever it did before.
    pub(crate) fn answered(&self, peer: u64, since: Time) -> bool {
        self.lock().leading.as_ref().is_some_and(|l| l.sent.get(&peer).is_some_and(|sent| *sent >= since))
    }

    /// Ends the lease of `term` and of all before it for good, before leadership is handed over.
    pub(crate) fn renounce(&self, term: Term) {
        let mut state = self.lock();
        state.renounced = state.renounced.max(term.0);
        self.publish(&state);
    }

    /// Whether `term` never has a lease again.
    pub(crate) fn is_renounced(&self, term: Term) -> bool {
        term.0 <= self.lock().renounced
    }

    /// Suspends the lease of whatever term this replica leads or comes to lead, until what it returns is dropped: openraft hands over the
    /// term that it leads when it comes to it.
    pub(crate) fn suspend(&self) -> Suspension<'_> {
        let mut state = self.lock();
        state.handing_over += 1;
        self.publish(&state);
        Suspension(self)
    }

    /// Suspends the lease while a vote for another candidate is considered: between granting it and learning that we no
    /// longer lead, nothing may be dispatched. Refused, with no effect, while the lease is valid: a quorum follows us.
    pub(crate) fn consider(&self, now: Time) -> bool {
        let mut state = self.lock();
        if self.valid(now) {
            return false;
        }
        state.considering += 1;
        self.publish(&state);
        true
    }

    /// The vote was granted or not.
    pub(crate) fn considered(&self, granted: bool) {
        let mut state = self.lock();
        state.considering -= 1;
        if let (true, Some(term)) = (granted, state.leading.as_ref().map(|l| l.term)) {
            state.renounced = state.renounced.max(term);
        }
        self.publish(&state);
    }

    fn publish(&self, state: &State) {
        let end = state.end();
        let now = self.end.load(Ordering::Relaxed);
        // Withholding stops renewals but takes nothing back.
        let end = if self.withheld.load(Ordering::Acquire) { end.min(now) } else { end };
        self.end.store(end, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds the lease")
    }
}

impl Drop for Suspension<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.handing_over -= 1;
        self.0.publish(&state);
    }
}

impl State {
    fn end(&self) -> u64 {
        let Some(leading) = &self.leading else { return 0 };
        if leading.term <= self.renounced || self.considering > 0 || self.handing_over > 0 {
            return 0;
        }
        leading.configs.iter().map(|voters| leading.quorum_until(voters)).min().unwrap_or(0)
    }
}

impl Leading {
    /// Until when a quorum of `voters`, this replica included, stands by it.
    fn quorum_until(&self, voters: &BTreeSet<u64>) -> u64 {
        let until = |voter: &u64| match *voter == self.me {
            true => u64::MAX,
            false => self.promised.get(voter).map_or(0, |until| until.as_nanos()),
        };
        let mut ends: Vec<u64> = voters.iter().map(until).collect();
        ends.sort_unstable_by(|a, b| b.cmp(a));
        ends.get(voters.len() / 2).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests;
