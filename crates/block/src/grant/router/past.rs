//! What the leader before this one began, and whether it is over: what a request must know that may have run under it (P23).
//!
//! A leader that takes office has seen every grant of its predecessor that was ever used, so it knows at which dynos something may run on.
//! How their slots were freed since says too little: in time for the next request is not beyond all doubt, and a head that the lost leader
//! wrote last may still be on its way. So each of these dynos is asked once more whether it is idle, when nothing can be on its way any
//! more, and only if some request wants to know.
//!
//! Of a leader before that one it cannot tell: what came in between may have freed slots of dynos that are another block's now.

use tokio::sync::Notify;

use super::*;

/// What the leader before this one began.
#[derive(Default)]
pub(super) struct Past {
    /// The leader's term right before this one's, if it is known.
    before: Option<Term>,
    /// Dynos that may run what it began.
    dynos: BTreeMap<DynoId, AppName>,
    /// Apps of which some request wants to know.
    wanted: BTreeSet<AppName>,
    changed: Arc<Notify>,
}

/// Whether all that the leader before this one began for an app is over.
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
    /// The office ends, or says what it knows no more.
    pub(super) fn forget(&mut self) {
        *self = Past { changed: self.changed.clone(), ..Past::default() };
        self.look();
    }

    /// Has whoever waits look again.
    pub(super) fn look(&self) {
        self.changed.notify_waiters();
    }
}

// === impl Router ===

impl Router {
    /// Begins an office that follows the one of `before`; what is in flight is known.
    pub(super) fn inherit(&mut self, before: Option<Term>) {
        let leased = self.state.settings().slots == SlotsMode::Leased;
        let used: BTreeSet<&DynoId> = self.state.slots().map(|(_, record)| &record.dyno).collect();
        let may_run = self.state.dynos().filter(|record| leased || used.contains(&record.spec.id));
        let dynos = may_run.map(|record| (record.spec.id.clone(), record.spec.app.clone())).collect();
        self.past = Past { before, dynos, wanted: BTreeSet::new(), changed: self.past.changed.clone() };
    }

    /// Whether all that the leader of `term` began for `app` is over. From the first time that it is asked, the proof is sought.
    pub(crate) fn behind(&mut self, app: &AppName, term: Term) -> Behind {
        if self.past.before != Some(term) {
            return Behind::Unknown;
        }
        let mut open = self.past.dynos.iter().filter(|(_, other)| *other == app).map(|(dyno, _)| dyno).peekable();
        if open.peek().is_none() {
            return Behind::Over;
        }
        // One that is another block's by now is not asked from here, and one that takes several requests at once proves nothing.
        if open.any(|dyno| self.serial(dyno) != Some(true)) {
            return Behind::Unknown;
        }
        self.past.wanted.insert(app.clone());
        Behind::Running
    }

    /// Tells of every change of what [`Router::behind`] says.
    pub(crate) fn past_changes(&self) -> Arc<Notify> {
        self.past.changed.clone()
    }

    /// Dynos to be asked once more, when what their former leader wrote last has arrived or never will.
    pub(crate) fn unproven(&self, now: Time, on_its_way: Span) -> Vec<Doubt> {
        let Some(office) = self.office.as_ref().filter(|office| now >= office.since + on_its_way) else { return Vec::new() };
        let nobody = SlotId { holder: self.me, seq: u64::MAX };
        let open = self.past.dynos.iter().filter(|(_, app)| self.past.wanted.contains(*app));
        open.filter_map(|(dyno, _)| self.doubt(nobody, dyno, office.since + on_its_way, self.limits.slot_span)).collect()
    }

    /// A dyno was idle when nothing of the former leader could be on its way any more.
    pub(crate) fn proven(&mut self, dyno: &DynoId) {
        if self.past.dynos.remove(dyno).is_some() {
            self.past.look();
        }
    }
}
