//! Taking office, losing it, and what is counted at a takeover.

use super::*;

impl Router {
    /// The blank entry of a new leader's term was applied: all before it is known here.
    pub(crate) fn lead(&mut self, now: Time, term: Term, leader: ReplicaId) {
        self.stand_down(Refusal::NotLeader);
        let before = self.led.map(|(term, _)| term).filter(|before| *before < term);
        self.led = Some((term, leader));
        if leader != self.me.replica {
            return;
        }
        let ramps = self.state.slots().len() > 0;
        self.office = Some(Office { term, since: now, configured: None, ramps, leased: false, floors: BTreeMap::new() });
        let apps: Vec<AppName> = self.state.apps().map(|record| record.spec.name.clone()).collect();
        for app in &apps {
            self.sync_app(app);
        }
        let dynos: Vec<DynoId> = self.state.dynos().map(|record| record.spec.id.clone()).collect();
        for dyno in &dynos {
            self.sync_dyno(now, dyno);
        }
        self.take_over();
        self.inherit(before);
        self.configure(now);
        self.sync_settings();
    }

    /// Asks the group for this process's settings, again if they get lost. Not before every quarantine is over: a leader after this one that
    /// finds other settings would take what those of before left unlogged for over (P14).
    pub(super) fn configure(&mut self, now: Time) {
        let Some(office) = self.office.as_mut().filter(|_| self.state.settings() != self.wanted) else { return };
        let asked = office.configured.is_some_and(|asked| now.since(asked) < CONFIGURE_AGAIN);
        if !asked && !office.floors.values().flat_map(|floor| floor.ledger.dynos()).any(|dyno| dyno.quarantined) {
            office.configured = Some(now);
            self.proposer.settings(self.wanted);
        }
    }

    /// Counts what the state says is in flight, and everything where the state cannot know (P14).
    fn take_over(&mut self) {
        let unsure = self.state.settings().slots == SlotsMode::Leased && self.state.settings().leased_quarantine;
        let Some(office) = self.office.as_mut() else { return };
        for floor in office.floors.values_mut() {
            floor.ledger.assume_up();
        }
        // What of an earlier term is not in the state is proposed anew. Should it come all the same, the second one is refused.
        for (slot, own) in &mut self.own {
            own.logged = if self.state.slot(*slot).is_some() { Logged::Granted } else { Logged::Nothing };
            let app = self.state.dyno(&own.dyno).map(|dyno| &dyno.spec.app).filter(|_| own.logged == Logged::Nothing);
            if let Some(floor) = app.and_then(|app| office.floors.get_mut(app)) {
                let kind = if own.holding == Holding::Running { Occupied::Live } else { Occupied::Orphan };
                floor.ledger.occupy(*slot, &own.dyno, kind);
            }
        }
        for (slot, record) in self.state.slots() {
            let app = self.state.dyno(&record.dyno).map(|dyno| &dyno.spec.app);
            let Some(floor) = app.and_then(|app| office.floors.get_mut(app)) else { continue };
            let running = self.own.get(&slot).is_some_and(|own| own.holding == Holding::Running);
            let kind = if slot.holder == self.me && running { Occupied::Live } else { Occupied::Orphan };
            floor.ledger.occupy(slot, &record.dyno, kind);
        }
        if unsure {
            for record in self.state.dynos() {
                if let Some(floor) = office.floors.get_mut(&record.spec.app) {
                    floor.ledger.quarantine(&record.spec.id, true);
                }
            }
        }
    }

    /// This replica does not lead, or can no longer prove it: who waits is told at once (P6).
    pub(crate) fn stand_down(&mut self, reason: Refusal) {
        self.idle.close_all();
        self.past.forget();
        let Some(office) = self.office.take() else { return };
        for mut floor in office.floors.into_values() {
            for waiter in floor.queue.drain_all() {
                let _ = waiter.answer.send(Err(reason.clone()));
            }
        }
    }

    /// The lease lapsed while leading: whoever waits may go elsewhere, new requests are refused by the caller.
    pub(crate) fn turn_away(&mut self, reason: Refusal) {
        // Whoever grants these dynos next may find them busy with an idle connection.
        self.idle.close_all();
        self.past.look();
        for floor in self.office.iter_mut().flat_map(|office| office.floors.values_mut()) {
            for waiter in floor.queue.drain_all() {
                let _ = waiter.answer.send(Err(reason.clone()));
            }
        }
    }

    /// What keeps this leader from giving out slots. An evicted block stays evicted.
    pub(crate) fn set_right(&mut self, right: Right) {
        if self.right == right || self.right == Right::Evicted {
            return;
        }
        self.right = right;
        if matches!(right, Right::Stranger | Right::Evicted) {
            self.turn_away(Refusal::Evicted);
        }
    }

    pub(crate) fn right(&self) -> Right {
        self.right
    }

    /// A graceful stop began: nothing new is admitted.
    pub(crate) fn stop(&mut self) {
        self.stopping = true;
        self.turn_away(Refusal::Stopping);
    }
}
