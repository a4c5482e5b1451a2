//! What leaders before this one began, and whether it is over: what a request must know that may have run under one of them (P23).
//!
//! A leader that takes office has seen every grant of its predecessors that was ever used. It knows of each when it was freed, and
//! whether by proof; so it can say of its direct predecessor that nothing it began runs any more. Of one before that it cannot: what
//! came in between may have freed slots without proof.

use tokio::sync::Notify;

use super::*;

/// Slots of earlier leaders while this replica leads.
#[derive(Default)]
pub(super) struct Past {
    /// The leader's term right before this one's, if it is known.
    before: Option<Term>,
    /// Slots of this very run from here on are of this term.
    first: u64,
    /// What was in flight as this office began, and was not freed since.
    running: BTreeMap<SlotId, AppName>,
    /// Apps of which a slot was freed without proof.
    unproven: BTreeSet<AppName>,
    /// Whether the predecessors may have begun what no log tells of.
    blind: bool,
    changed: Arc<Notify>,
}

/// Whether all that an earlier leader began for an app is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behind {
    /// It is.
    Over,
    /// Some of it may still run; the end of it will be known.
    Running,
    /// That will never be known here.
    Unknown,
}

// === impl Past ===

impl Past {
    /// Wakes who waits for a change.
    pub(super) fn changed(&self) {
        self.changed.notify_waiters();
    }

    pub(super) fn add(&mut self, slot: SlotId, app: AppName) {
        self.running.insert(slot, app);
    }

    /// A slot was freed.
    pub(super) fn over(&mut self, slot: SlotId) {
        if self.running.remove(&slot).is_some() {
            self.changed();
        }
    }

    /// The office ends.
    pub(super) fn forget(&mut self) {
        *self = Past { changed: self.changed.clone(), ..Past::default() };
        self.changed();
    }
}

// === impl Router ===

impl Router {
    /// Begins an office that follows the one of `before`; what is in flight is known.
    pub(super) fn inherit(&mut self, before: Option<Term>) {
        let settings = self.state.settings();
        let app = |dyno: &DynoId| Some(self.state.dyno(dyno)?.spec.app.clone());
        let running = self.state.slots().filter_map(|(slot, record)| Some((slot, app(&record.dyno)?))).collect();
        self.past = Past {
            before,
            first: self.seq,
            running,
            unproven: BTreeSet::new(),
            blind: settings.slots == SlotsMode::Leased && !settings.leased_quarantine,
            changed: self.past.changed.clone(),
        };
    }

    /// Whether all that the leader of `term` began for `app` is over. Asks of this replica that it leads.
    pub(crate) fn behind(&self, app: &AppName, term: Term) -> Result<Behind, Refusal> {
        let office = self.office.as_ref().ok_or(Refusal::NotLeader)?;
        let past = &self.past;
        if term >= office.term || past.before != Some(term) || past.blind || past.unproven.contains(app) {
            return Ok(Behind::Unknown);
        }
        let unsure = office.floors.get(app).is_some_and(|floor| floor.ledger.dynos().any(|dyno| dyno.quarantined));
        let own = self.own.iter().any(|(slot, own)| slot.seq < past.first && own.app == *app);
        let running = past.running.values().any(|other| other == app);
        Ok(if unsure || own || running { Behind::Running } else { Behind::Over })
    }

    /// Tells of every change of what [`Router::behind`] says.
    pub(crate) fn past_changes(&self) -> Arc<Notify> {
        self.past.changed.clone()
    }

    /// A slot will be freed without a proof that what ran in it is over.
    pub(crate) fn unproven(&mut self, slot: SlotId) {
        if let Some(app) = self.past.running.get(&slot).cloned() {
            self.unproven_of(&app);
        }
    }

    pub(super) fn unproven_of(&mut self, app: &AppName) {
        self.past.unproven.insert(app.clone());
        self.past.changed();
    }
}
