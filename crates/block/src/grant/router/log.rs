//! What a committed command changes above the replicated state.

use std::cmp::Ordering;

use super::*;

impl Router {
    /// Applies one committed command: the replicated state first, then what this replica keeps above it.
    pub(crate) fn apply(&mut self, now: Time, at: Index, command: Command) -> Reply {
        let touched = Touched::by(&command);
        let owned = self.state.dynos().len();
        let reply = self.state.apply(at, command);
        match touched {
            Touched::Nothing => {}
            Touched::Dyno(dyno) => {
                self.note_ownership(now, &dyno, owned);
                self.sync_dyno(now, &dyno);
                self.past.look();
            }
            Touched::App(app) => {
                self.close_idle_of(&app);
                self.sync_app(&app);
                self.past.look();
            }
            Touched::Granted(slot, dyno) => match &reply {
                Reply::Granted => {
                    self.seen.insert(slot, now);
                    self.count_foreign(slot, &dyno);
                    self.note_log(slot, Logged::Granted);
                }
                Reply::Refused(dynomesh_core::block::Refusal::DuplicateSlot) => self.note_log(slot, Logged::Granted),
                // The state does not know of it after all. A leased slot runs nevertheless, and until it is over its dyno stays here.
                _ => self.note_log(slot, Logged::Nothing),
            },
            Touched::Renewed(slots) => {
                for slot in slots {
                    if let Some(seen) = self.seen.get_mut(&slot) {
                        *seen = now;
                    }
                    if let Some(own) = self.own.get_mut(&slot) {
                        own.counts_from = own.renewing.take().unwrap_or(own.counts_from);
                    }
                }
                if let Reply::Missing(gone) = &reply {
                    self.freed(now, gone);
                }
            }
            Touched::Freed(slots) => self.freed(now, &slots),
            Touched::Settings => self.sync_settings(),
        }
        reply
    }

    /// Counts drains from when this replica sees them (P10), and, as a leader, moves.
    fn note_ownership(&mut self, now: Time, dyno: &DynoId, owned: usize) {
        let drained = self.drains.see(now, dyno, self.state.dyno(dyno));
        if self.state.dyno(dyno).is_none() {
            self.leave_gone();
        }
        if self.office.is_none() {
            return;
        }
        match self.state.dynos().len().cmp(&owned) {
            Ordering::Greater => {
                self.metrics.adopted.inc();
            }
            Ordering::Less => {
                self.metrics.released.inc();
            }
            Ordering::Equal => {}
        }
        if let Some(took) = drained {
            self.metrics.drain_seconds.observe(took.as_secs_f64());
        }
    }

    /// Of dynos that were released nothing of this run is counted or in doubt any more: they were released only when it was known to be over.
    /// What still runs here, against all that, ends now.
    pub(super) fn leave_gone(&mut self) {
        let state = &self.state;
        self.own.retain(|_, own| {
            let stays = own.holding == Holding::Running || state.dyno(&own.dyno).is_some();
            if state.dyno(&own.dyno).is_none() {
                own.cut.cut();
            }
            stays
        });
    }

    fn note_log(&mut self, slot: SlotId, logged: Logged) {
        if let Some(own) = self.own.get_mut(&slot) {
            own.logged = logged;
        }
    }

    fn count_foreign(&mut self, slot: SlotId, dyno: &DynoId) {
        if slot.holder == self.me {
            return;
        }
        let app = self.state.dyno(dyno).map(|record| record.spec.app.clone());
        if let Some(floor) = app.and_then(|app| self.office.as_mut()?.floors.get_mut(&app)) {
            floor.ledger.occupy(slot, dyno, Occupied::Orphan);
        }
    }

    fn freed(&mut self, now: Time, slots: &[SlotId]) {
        let mut apps = Vec::new();
        for slot in slots {
            self.seen.remove(slot);
            if let Some(own) = self.own.remove(slot) {
                // Freed by another while it ran: what still streams must stop.
                own.cut.cut();
            }
            for (app, floor) in self.office.iter_mut().flat_map(|office| office.floors.iter_mut()) {
                if floor.ledger.release(*slot).is_some() && !apps.contains(app) {
                    apps.push(app.clone());
                }
            }
        }
        for app in apps {
            self.pump(now, &app);
        }
    }

    /// How its dynos are spoken to may have changed.
    fn close_idle_of(&mut self, app: &AppName) {
        for record in self.state.dynos().filter(|record| record.spec.app == *app) {
            self.idle.close(&record.spec.id);
        }
    }

    pub(super) fn sync_dyno(&mut self, now: Time, dyno: &DynoId) {
        // Whatever changed, no connection made before it rests any longer.
        self.idle.close(dyno);
        let Some(office) = self.office.as_mut() else { return };
        let record = self.state.dyno(dyno);
        for (app, floor) in &mut office.floors {
            match record {
                Some(record) if record.spec.app == *app => {
                    let shape = DynoShape { max_conns: record.spec.max_conns, epoch: record.epoch, phase: record.phase };
                    floor.ledger.upsert(dyno.clone(), shape);
                }
                _ => floor.ledger.remove(dyno),
            }
        }
        if let Some(app) = record.map(|record| record.spec.app.clone()) {
            // The queue is as long as the app has slots here, unless the app says otherwise.
            self.sync_app(&app);
            self.pump(now, &app);
        }
    }

    pub(super) fn sync_app(&mut self, app: &AppName) {
        let hold = self.limits.hold;
        let slots = self.slots_of(app);
        let Some(office) = self.office.as_mut() else { return };
        match self.state.app(app) {
            Some(record) => {
                let settings = QueueSettings::for_slots(slots, record.spec.policy.queue_len, record.spec.policy.queue_wait);
                let ledger = LedgerSettings { hold, ..LedgerSettings::default() };
                let floor = office.floors.entry(app.clone()).or_insert_with(|| Floor::new(ledger, settings));
                floor.queue.set(settings);
            }
            None => {
                for waiter in office.floors.remove(app).map(|mut floor| floor.queue.drain_all()).unwrap_or_default() {
                    let _ = waiter.answer.send(Err(Refusal::UnknownApp));
                }
            }
        }
    }

    fn slots_of(&self, app: &AppName) -> u32 {
        let of_app = self.state.dynos().filter(|record| record.spec.app == *app && record.phase == Phase::Active);
        of_app.map(|record| record.spec.max_conns).fold(0, u32::saturating_add)
    }

    pub(super) fn sync_settings(&mut self) {
        let leased = self.state.settings() == self.wanted && self.wanted.slots == SlotsMode::Leased;
        if let Some(office) = self.office.as_mut() {
            office.leased = leased;
        }
    }

    /// Before a change of a dyno's ownership is proposed: nothing is picked there any more that the change forbids, and what was picked is in
    /// the log first (P14), where it would be refused behind the change: the grants to be proposed before it. None if the change must wait,
    /// because slots may run that the state does not know of.
    pub(crate) fn prepare(&mut self, now: Time, command: &Command) -> Option<Vec<Command>> {
        let (dyno, drains, releases, most) = match command {
            Command::Drain { dyno, .. } => (dyno, true, false, u32::MAX),
            Command::Release { dyno, .. } => (dyno, true, true, u32::MAX),
            Command::Adopt(adopt) => (&adopt.spec.id, adopt.drain, false, adopt.spec.max_conns),
            _ => return Some(Vec::new()),
        };
        let Some(record) = self.state.dyno(dyno) else { return Some(Vec::new()) };
        let phase = if drains { Phase::Draining } else { record.phase };
        let shape = DynoShape { max_conns: record.spec.max_conns.min(most), epoch: record.epoch, phase };
        let floor = self.office.as_mut()?.floors.get_mut(&record.spec.app)?;
        floor.ledger.upsert(dyno.clone(), shape);
        self.idle.close(dyno);
        let unsure = floor.ledger.dyno(dyno).is_some_and(|view| view.quarantined);
        // Whatever the log knows of them: what was proposed may be lost.
        let runs = self.own.values().any(|own| own.dyno == *dyno);
        if releases && (unsure || runs) { None } else { Some(self.checkpoint(now)) }
    }
}

/// What a command can change above the replicated state.
enum Touched {
    Nothing,
    Dyno(DynoId),
    App(AppName),
    Granted(SlotId, DynoId),
    Renewed(Vec<SlotId>),
    Freed(Vec<SlotId>),
    Settings,
}

impl Touched {
    fn by(command: &Command) -> Self {
        match command {
            Command::Adopt(adopt) => Touched::Dyno(adopt.spec.id.clone()),
            Command::Drain { dyno, .. } | Command::Release { dyno, .. } | Command::Forget { dyno, .. } => Touched::Dyno(dyno.clone()),
            Command::SetApp { spec, .. } => Touched::App(spec.name.clone()),
            Command::RemoveApp { name, .. } => Touched::App(name.clone()),
            Command::Grant { slot, dyno, .. } => Touched::Granted(*slot, dyno.clone()),
            Command::Renew { slots, .. } => Touched::Renewed(slots.clone()),
            Command::Free { slots } => Touched::Freed(slots.clone()),
            Command::Learn { .. } => Touched::Nothing,
            Command::Configure(_) => Touched::Settings,
        }
    }
}
