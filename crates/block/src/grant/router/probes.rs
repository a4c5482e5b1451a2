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
        let probe = app.policy.probe.clone();
        let office = self.office.as_mut()?;
        let (term, leased) = (office.term, office.leased);
        let slot = SlotId { holder: self.me, seq: self.seq };
        let place = office.floors.get_mut(&app.name)?.ledger.begin_probe(&dyno, slot, now)?;
        self.seq += 1;
        let place = match place {
            Place::Free => slot,
            Place::Held(held) => {
                if let Some(own) = self.own.get_mut(&held) {
                    own.is_probed = true;
                }
                held
            }
        };
        // A connect sends nothing and needs no grant; nor does a GET in the place of a request that ended and is still counted.
        let is_request = matches!(probe, Probe::Get(_)) && place == slot;
        let pick = is_request.then(|| self.register(now, &app.name, slot, dyno.clone(), self.limits.slot_span, term, leased));
        // An open connection accepts without being asked, and one more might be one too many.
        let is_open = probe == Probe::Connect && self.idle.proves_up(&dyno);
        Some(DueProbe { probing: Probing { app: app.name.clone(), dyno, place, term }, probe, address, pick, is_open })
    }

    /// A probe ended; `None`: it came to nothing, and says nothing about the dyno. Nor does one that was begun in another term, or that is
    /// not the last: what it knew is in another ledger, or its place has been another's since.
    pub(crate) fn probed(&mut self, now: Time, probing: &Probing, probed: Option<Probed>) {
        let Probing { app, dyno, place, term } = probing;
        if let Some(own) = self.own.get_mut(place) {
            own.is_probed = false;
        }
        let Some(office) = self.office.as_mut().filter(|office| office.term == *term) else { return };
        let Some(floor) = office.floors.get_mut(app) else { return };
        if floor.ledger.probing(dyno).is_some_and(|other| other != *place) {
            return;
        }
        let cleared = match probed {
            Some(probed) => floor.ledger.probed(dyno, probed, now),
            None => {
                floor.ledger.end_probe(dyno);
                Vec::new()
            }
        };
        for slot in cleared {
            self.settle(now, slot);
        }
        self.pump(now, app);
    }

    /// The question of a probe may run on at its dyno: nobody saw its end. In the place of a held slot, that slot is in doubt now.
    pub(crate) fn probe_lost(&mut self, now: Time, probing: &Probing) {
        self.end(now, probing.place, Outcome::Unknown);
    }
}
