//! What lapses, must be freed or renewed, and what is in doubt.

use super::*;

impl Router {
    /// Lets holds lapse, waits expire and long slots be renewed; frees what the log still counts and this run does not (P11).
    pub(crate) fn sweep(&mut self, now: Time) {
        let over = |own: &Own| matches!(own.holding, Holding::Held(until) if until <= now) && !own.is_probed;
        let lapsed: Vec<SlotId> = self.own.iter().filter(|(_, own)| over(own)).map(|(slot, _)| *slot).collect();
        for slot in lapsed {
            self.settle(now, slot);
        }
        self.configure(now);
        self.cut_drained(now);
        self.idle.reap(now);
        let apps: Vec<AppName> = self.office.iter().flat_map(|office| office.floors.keys().cloned()).collect();
        for app in &apps {
            if let Some(floor) = self.office.as_mut().and_then(|office| office.floors.get_mut(app)) {
                let lapsed = floor.ledger.lapse(now);
                for waiter in floor.queue.expire(now) {
                    let _ = waiter.answer.send(Err(Refusal::QueueTimeout));
                }
                for slot in lapsed {
                    self.settle(now, slot);
                }
            }
            self.pump(now, app);
        }
    }

    /// Cuts what this run still has at dynos whose time to drain is up, whoever leads. Their slots stay (P12).
    fn cut_drained(&mut self, now: Time) {
        if self.drains.is_empty() {
            return;
        }
        let running = self.own.values().filter(|own| own.holding == Holding::Running && !own.cut.is_cut());
        for own in running.filter(|own| self.drains.is_over(now, &own.dyno)) {
            // Counted first: who sees the connection end finds it counted.
            self.metrics.drain_cuts.inc();
            own.cut.cut();
        }
    }

    /// Frees a slot of this run whose doubt or hold is over.
    pub(crate) fn settle(&mut self, now: Time, slot: SlotId) {
        let Some(own) = self.own.remove(&slot) else { return };
        if let Some(floor) = self.office.as_mut().and_then(|office| office.floors.get_mut(&own.app)) {
            floor.ledger.release(slot);
        }
        if own.logged != Logged::Nothing {
            self.free_in_log(vec![slot]);
        }
        self.pump(now, &own.app);
    }

    /// Slots that the log counts for this run and the run does not: to be freed through whoever leads (P11).
    pub(crate) fn unowned(&self) -> Vec<SlotId> {
        let mine = self.state.slots_of(self.me).map(|(slot, _)| slot);
        mine.filter(|slot| !self.own.contains_key(slot)).take(SWEEP_MAX).collect()
    }

    /// Running slots past half their span, by that span, which others must count as well: to be renewed. Past the whole of it they are cut
    /// (P10). Of one that the log may not know, others know only that its leader granted it, and so it lasts no longer than the quarantine
    /// of its dyno would (P14).
    pub(crate) fn renewals(&mut self, now: Time) -> BTreeMap<Span, Vec<SlotId>> {
        let mut due: BTreeMap<Span, Vec<SlotId>> = BTreeMap::new();
        let unlogged = self.limits.slot_span;
        for (slot, own) in &mut self.own {
            if own.holding != Holding::Running {
                continue;
            }
            let age = now.since(own.counts_from.min(now));
            let span = if own.logged == Logged::Granted { own.span } else { own.span.min(unlogged) };
            if age >= span {
                own.cut.cut();
            } else if own.logged == Logged::Granted && age >= span.over(2) {
                own.renewing.get_or_insert(now);
                due.entry(own.span).or_default().push(*slot);
            }
        }
        due
    }

    /// Leased slots that still run and are not in the log yet (P14). All of them are to be proposed.
    #[must_use]
    pub(crate) fn checkpoint(&mut self, now: Time) -> Vec<Command> {
        let mut grants = Vec::new();
        if self.office.is_none() {
            return grants;
        }
        for (slot, own) in &mut self.own {
            let due = match own.logged {
                Logged::Nothing => true,
                Logged::Proposed(then) => now.since(then) >= GRANT_AGAIN,
                Logged::Granted => false,
            };
            if let Some(record) = self.state.dyno(&own.dyno).filter(|_| due) {
                own.logged = Logged::Proposed(now);
                grants.push(Command::Grant { slot: *slot, dyno: own.dyno.clone(), epoch: record.epoch, span: own.span });
            }
        }
        grants
    }

    /// Slots in doubt: those of other holders while leading, and this run's own that were cut with unknown outcome, whether the state knows of
    /// them or not.
    pub(crate) fn doubts(&self) -> Vec<Doubt> {
        let led_since = self.office.as_ref().map(|office| office.since);
        let others = self.state.slots().filter(|(slot, _)| slot.holder != self.me);
        let others = others.filter_map(|(slot, record)| self.doubt(slot, &record.dyno, led_since?, record.span));
        let own = self.own.iter().filter_map(|(slot, own)| match own.holding {
            Holding::Doubted(cut) => self.doubt(*slot, &own.dyno, cut, own.span),
            Holding::Running | Holding::Held(_) => None,
        });
        others.chain(own).collect()
    }

    /// Whether a dyno takes one request at a time, as far as is known.
    pub(super) fn serial(&self, dyno: &DynoId) -> Option<bool> {
        let record = self.state.dyno(dyno)?;
        match self.state.app(&record.spec.app)?.spec.policy.serial {
            Serial::Yes => Some(true),
            Serial::No => Some(false),
            Serial::Auto => record.serial,
        }
    }

    pub(super) fn doubt(&self, slot: SlotId, dyno: &DynoId, since: Time, span: Span) -> Option<Doubt> {
        let record = self.state.dyno(dyno)?;
        let app = self.state.app(&record.spec.app)?.spec.clone();
        let serial = self.serial(dyno);
        let picked = self.own.get(&slot).map_or(Time::ZERO, |own| own.since);
        let seen = self.seen.get(&slot).copied().unwrap_or(picked);
        let (own, orphans) = (slot.holder == self.me, app.policy.orphans);
        let facts = doubt::Doubt { own, serial, orphans, since, seen, span };
        Some(Doubt { slot, dyno: dyno.clone(), address: record.spec.address, app, facts })
    }

    /// Dynos in quarantine after a leased takeover.
    pub(crate) fn quarantined(&self) -> Vec<Doubt> {
        let Some(office) = self.office.as_ref() else { return Vec::new() };
        let nobody = SlotId { holder: self.me, seq: u64::MAX };
        let mut found = Vec::new();
        for floor in office.floors.values() {
            for dyno in floor.ledger.dynos().filter(|dyno| dyno.quarantined) {
                if let Some(mut doubt) = self.doubt(nobody, dyno.id, office.since, self.limits.slot_span) {
                    doubt.facts.seen = office.since;
                    found.push(doubt);
                }
            }
        }
        found
    }

    /// The quarantine of a dyno ends.
    pub(crate) fn clear_quarantine(&mut self, now: Time, app: &AppName, dyno: &DynoId) {
        if let Some(floor) = self.office.as_mut().and_then(|office| office.floors.get_mut(app)) {
            floor.ledger.quarantine(dyno, false);
        }
        self.pump(now, app);
    }
}
