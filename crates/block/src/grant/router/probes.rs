//! Probes, each in a place of its dyno, and what may be learned of a dyno.

use super::*;

impl Router {
    /// Probes that are due, each with a place taken so that it never adds to a full dyno (P9).
    pub(crate) fn probes_due(&mut self, now: Time) -> Vec<DueProbe> {
        let mut due = Vec::new();
        // A probe may be a request, and a dyno that may be another block's by now takes none from here.
        if self.right != Right::Full {
            return due;
        }
        let apps: Vec<AppName> = self.office.iter().flat_map(|office| office.floors.keys().cloned()).collect();
        for app in apps {
            let Some(spec) = self.state.app(&app).map(|record| record.spec.clone()) else { continue };
            let Some(floor) = self.office.as_mut().and_then(|office| office.floors.get_mut(&app)) else { continue };
            for dyno in floor.ledger.probe_due(now) {
                due.extend(self.begin_probe(now, &spec, dyno));
            }
        }
        due
    }

    fn begin_probe(&mut self, now: Time, app: &AppSpec, dyno: DynoId) -> Option<DueProbe> {
        let address = self.state.dyno(&dyno)?.spec.address;
        let office = self.office.as_mut()?;
        let (term, leased) = (office.term, office.leased);
        let slot = SlotId { holder: self.me, seq: self.seq };
        let place = office.floors.get_mut(&app.name)?.ledger.begin_probe(&dyno, slot, now)?;
        self.seq += 1;
        // A connect sends nothing and needs no grant; nor does a GET in the place of a request that ended and is still counted.
        let is_request = matches!(app.policy.probe, Probe::Get(_)) && place == Place::Free;
        let pick = is_request.then(|| self.register(now, &app.name, slot, dyno.clone(), self.limits.slot_span, term, leased));
        // An open connection accepts without being asked, and one more might be one too many.
        let is_open = app.policy.probe == Probe::Connect && self.idle.proves_up(&dyno);
        Some(DueProbe { app: app.clone(), dyno, address, term, pick, is_open })
    }

    /// A probe came to nothing: it says nothing about the dyno.
    pub(crate) fn unprobed(&mut self, app: &AppName, dyno: &DynoId) {
        if let Some(floor) = self.office.as_mut().and_then(|office| office.floors.get_mut(app)) {
            floor.ledger.end_probe(dyno);
        }
    }

    /// A probe ended.
    pub(crate) fn probed(&mut self, now: Time, app: &AppName, dyno: &DynoId, probed: Probed) {
        let Some(floor) = self.office.as_mut().and_then(|office| office.floors.get_mut(app)) else { return };
        for slot in floor.ledger.probed(dyno, probed, now) {
            self.settle(now, slot);
        }
        self.pump(now, app);
    }
}
