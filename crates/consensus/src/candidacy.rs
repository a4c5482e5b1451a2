//! Whether this replica stands for election.
//!
//! It does not while it may have promised a lease that it forgot (P4), after its group removed it, and while it was told to abstain.
//! An abstaining replica votes and replicates as ever. It must not leave the group mute: where nobody led for [`MUTE_PARTS`] election
//! timeouts, be it that the others are behind or abstain too, it stands after all, and hands over as soon as another can lead.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use dynomesh_core::time::{Span, Time};
use dynomesh_runtime::clock::Clock;
use tokio::sync::watch;

/// So many of the longest election timeouts without a leader, and an abstaining replica stands.
pub(crate) const MUTE_PARTS: u64 = 4;

/// What keeps a replica from standing, and the switch it is told by.
pub(crate) struct Candidacy {
    state: Mutex<State>,
    /// Turns elections by this replica on and off.
    switch: Box<dyn Fn(bool) + Send + Sync>,
    abstains: watch::Sender<bool>,
    clock: Clock,
    /// When a leader was heard last, or this replica led; nanoseconds.
    heard: AtomicU64,
    mute_after: Span,
}

#[derive(Debug, Clone, Copy)]
struct State {
    muzzled: bool,
    removed: bool,
    abstains: bool,
    /// The group is mute without it.
    needed: bool,
}

impl State {
    fn stands(self) -> bool {
        !self.muzzled && !self.removed && (!self.abstains || self.needed)
    }
}

// === impl Candidacy ===

impl Candidacy {
    /// `switch` is called at once and at every change.
    pub(crate) fn new(
        muzzled: bool,
        removed: bool,
        election_max: Span,
        clock: Clock,
        switch: impl Fn(bool) + Send + Sync + 'static,
    ) -> Self {
        let state = State { muzzled, removed, abstains: false, needed: false };
        switch(state.stands());
        let heard = AtomicU64::new(clock.now().as_nanos());
        let mute_after = election_max.times(MUTE_PARTS);
        Candidacy { state: Mutex::new(state), switch: Box::new(switch), abstains: watch::channel(false).0, clock, heard, mute_after }
    }

    /// The lease it may have promised has passed.
    pub(crate) fn unmuzzle(&self) {
        self.update(|state| state.muzzled = false);
    }

    /// Its group removed it.
    pub(crate) fn remove(&self) {
        self.update(|state| state.removed = true);
    }

    pub(crate) fn is_removed(&self) -> bool {
        self.lock().removed
    }

    pub(crate) fn abstain(&self, abstain: bool) {
        self.hear();
        self.update(|state| (state.abstains, state.needed) = (abstain, false));
        self.abstains.send_replace(abstain);
    }

    pub(crate) fn abstains(&self) -> bool {
        *self.abstains.borrow()
    }

    pub(crate) fn abstaining(&self) -> watch::Receiver<bool> {
        self.abstains.subscribe()
    }

    /// A leader was heard, or this replica leads.
    pub(crate) fn hear(&self) {
        self.heard.store(self.clock.now().as_nanos(), Ordering::Relaxed);
    }

    /// Stands in spite of abstaining if the group is mute, until it is not.
    pub(crate) fn relent(&self) {
        let heard = Time::from_nanos(self.heard.load(Ordering::Relaxed));
        let mute = self.clock.now().since(heard) >= self.mute_after;
        if mute == self.lock().needed {
            return;
        }
        match mute {
            true => tracing::warn!("nobody leads: this replica stands for election although it abstains"),
            false => tracing::info!("somebody leads: this replica abstains again"),
        }
        self.update(|state| state.needed = mute);
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        (self.switch)(state.stands());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds the candidacy")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use super::*;

    fn candidacy(muzzled: bool) -> (Candidacy, Arc<AtomicBool>) {
        let stands = Arc::new(AtomicBool::new(false));
        let switch = stands.clone();
        let clock = Clock::system();
        let it = Candidacy::new(muzzled, false, Span::from_nanos(0), clock, move |on| switch.store(on, Ordering::Relaxed));
        (it, stands)
    }

    #[test]
    fn it_stands_only_if_nothing_at_all_speaks_against_it() {
        let (candidacy, stands) = candidacy(true);
        let stands = || stands.load(Ordering::Relaxed);
        assert!(!stands());
        candidacy.abstain(true);
        candidacy.unmuzzle();
        assert!(!stands(), "it abstains still");
        candidacy.abstain(false);
        assert!(stands());
        candidacy.remove();
        candidacy.abstain(true);
        candidacy.abstain(false);
        assert!(!stands(), "it was removed for good");
    }

    #[test]
    fn a_mute_group_brings_an_abstaining_replica_back_but_not_a_removed_one() {
        let (candidacy, stands) = candidacy(false);
        let stands = || stands.load(Ordering::Relaxed);
        candidacy.abstain(true);
        assert!(!stands());
        candidacy.relent();
        assert!(stands(), "nobody was heard for as long as it takes");
        candidacy.remove();
        candidacy.relent();
        assert!(!stands());
    }
}
