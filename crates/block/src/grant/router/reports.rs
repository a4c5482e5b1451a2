//! What edges and operators are told.

use dynomesh_core::dispatch::told_used;

use super::*;

impl Router {
    /// Load of an app as edges are told: what cannot be used counts as used, and a new leader ramps up for a second (P25).
    pub(crate) fn load(&self, now: Time, app: &AppName) -> Load {
        let Some(office) = self.office.as_ref() else { return Load::default() };
        let Some(floor) = office.floors.get(app) else { return Load::default() };
        let load = floor.ledger.load();
        let used = if office.ramps { told_used(load.used, load.slots, now.since(office.since)) } else { load.used };
        let dynos = u32::try_from(floor.ledger.dynos().count()).unwrap_or(u32::MAX);
        Load { used, slots: load.slots, queued: u32::try_from(floor.queue.len()).unwrap_or(u32::MAX), dynos }
    }

    /// Slots of an app that are held after an error, and those that wait for a proof of their end.
    pub(crate) fn doubtful(&self, app: &AppName) -> (u32, u32) {
        let floor = self.office.as_ref().and_then(|office| office.floors.get(app));
        let counts = floor.map(|floor| floor.ledger.counts()).unwrap_or_default();
        (counts.held, counts.orphans + counts.kept)
    }

    /// Every app this leader serves, with its load.
    pub(crate) fn loads(&self, now: Time) -> Vec<(AppName, Load)> {
        let apps = self.office.iter().flat_map(|office| office.floors.keys());
        apps.map(|app| (app.clone(), self.load(now, app))).collect()
    }

    /// Every dyno of the state.
    pub(crate) fn dynos(&self) -> Vec<DynoReport> {
        let report = |record: &DynoRecord| {
            let id = &record.spec.id;
            let view = self.office.as_ref().and_then(|office| office.floors.get(&record.spec.app)?.ledger.dyno(id));
            let up = |view: DynoView<'_>| match view.standing {
                Standing::Up => Some(true),
                Standing::Unproven => None,
                Standing::Down => Some(false),
            };
            DynoReport { id: id.clone(), epoch: record.epoch, phase: record.phase, up: view.and_then(up), in_flight: record.used }
        };
        self.state.dynos().map(report).collect()
    }

    /// Slots of this run that are running now.
    pub(crate) fn running(&self) -> usize {
        self.own.values().filter(|own| own.holding == Holding::Running).count()
    }

    /// A dyno yet to be learned, not in `busy`, that runs a request now: a question sent now that comes back late tells (P9).
    pub(crate) fn to_learn(&self, now: Time, busy: &BTreeSet<DynoId>) -> Option<(DynoId, Epoch, Address, SlotId)> {
        self.office.as_ref()?;
        let ripe = |own: &&Own| own.holding == Holding::Running && now.since(own.since) >= Span::from_millis(5);
        for (slot, own) in self.own.iter().filter(|(_, own)| ripe(own)) {
            let Some(record) = self.state.dyno(&own.dyno) else { continue };
            let auto = self.state.app(&own.app).is_some_and(|app| app.spec.policy.serial == Serial::Auto);
            if auto && record.serial.is_none() && record.spec.max_conns == 1 && !busy.contains(&own.dyno) {
                return Some((own.dyno.clone(), record.epoch, record.spec.address, *slot));
            }
        }
        None
    }

    /// Whether a slot of this run still runs.
    pub(crate) fn still_running(&self, slot: SlotId) -> bool {
        self.own.get(&slot).is_some_and(|own| own.holding == Holding::Running)
    }

    /// Replaces the replicated state by a snapshot. Only who has fallen behind gets one, and so does not lead.
    pub(crate) fn load_state(&mut self, now: Time, state: BlockState) {
        self.stand_down(Refusal::NotLeader);
        self.state = state;
        for (slot, own) in &mut self.own {
            if self.state.slot(*slot).is_some() {
                own.logged = Logged::Granted;
            }
        }
        self.leave_gone();
        self.drains.see_all(now, &self.state);
        self.seen = self.state.slots().map(|(slot, _)| (slot, now)).collect();
        // Who led since the last entry that was applied here is not known.
        self.led = None;
        self.past.forget();
        self.metrics.snapshots_loaded.inc();
    }
}
