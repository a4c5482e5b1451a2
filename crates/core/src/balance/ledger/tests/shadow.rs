//! The ledger against a shadow that knows nothing but a list of slots and a list of dynos, under random stories.

use std::collections::BTreeMap;

use rand::RngExt;

use super::*;
use crate::sweep::{draw, sweep};

const DYNOS: usize = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    Held { until: Time },
    Kept,
}

#[derive(Debug, Clone, Copy)]
struct Member {
    shape: DynoShape,
    standing: Standing,
    quarantined: bool,
}

#[derive(Debug, Clone, Copy)]
enum Action {
    Upsert,
    Remove,
    Quarantine,
    AssumeUp,
    Pick,
    Take,
    Occupy,
    End,
    Release,
    Lapse,
    BeginProbe,
    Probed,
    EndProbe,
}

const ACTIONS: &[(u32, Action)] = &[
    (6, Action::Upsert),
    (2, Action::Remove),
    (2, Action::Quarantine),
    (1, Action::AssumeUp),
    (40, Action::Pick),
    (4, Action::Take),
    (3, Action::Occupy),
    (25, Action::End),
    (6, Action::Release),
    (8, Action::Lapse),
    (8, Action::BeginProbe),
    (7, Action::Probed),
    (1, Action::EndProbe),
];

#[derive(Default)]
struct Shadow {
    members: BTreeMap<DynoId, Member>,
    slots: BTreeMap<SlotId, (DynoId, State)>,
    /// The slot each running probe uses.
    probes: BTreeMap<DynoId, SlotId>,
}

impl Shadow {
    fn taken(&self, id: &DynoId) -> u32 {
        u32::try_from(self.slots.values().filter(|(at, _)| at == id).count()).unwrap()
    }

    fn open(&self, id: &DynoId, member: &Member) -> bool {
        member.shape.phase == Phase::Active && !member.quarantined && self.taken(id) < member.shape.max_conns
    }

    /// The dynos any of which may be picked.
    fn best(&self, exclude: &[DynoId]) -> Vec<DynoId> {
        let active = || self.members.iter().filter(|(_, member)| member.shape.phase == Phase::Active);
        let hope = active().any(|(_, member)| member.standing != Standing::Down);
        let mut open: Vec<_> = active()
            .filter(|(id, member)| self.open(id, member) && !exclude.contains(id))
            .filter(|(_, member)| !hope || member.standing != Standing::Down)
            .map(|(id, member)| ((member.standing, self.taken(id)), id.clone()))
            .collect();
        open.sort();
        let best = open.first().map(|(order, _)| *order);
        open.into_iter().filter(|(order, _)| Some(*order) == best).map(|(_, id)| id).collect()
    }

    fn lapsing(&self, now: Time) -> Vec<SlotId> {
        let ridden = |slot: &SlotId| self.probes.values().any(|probe| probe == slot);
        let ended = |state: &State| matches!(state, State::Held { until } if *until <= now);
        self.slots.iter().filter(|(slot, (_, state))| ended(state) && !ridden(slot)).map(|(slot, _)| *slot).collect()
    }

    fn drop_slot(&mut self, slot: SlotId) -> Option<DynoId> {
        self.probes.retain(|_, probe| *probe != slot);
        self.slots.remove(&slot).map(|(id, _)| id)
    }

    fn end_probe(&mut self, id: &DynoId) {
        if let Some(slot) = self.probes.remove(id)
            && self.slots[&slot].1 == State::Running
        {
            self.slots.remove(&slot);
        }
    }

    fn agrees_with(&self, ledger: &Ledger) {
        assert_eq!(ledger.counts().all() as usize, self.slots.len());
        let active = || self.members.iter().filter(|(_, member)| member.shape.phase == Phase::Active);
        assert_eq!(ledger.slots(), active().map(|(_, member)| member.shape.max_conns).sum::<u32>());
        assert_eq!(ledger.dynos().count(), self.members.len());
        for view in ledger.dynos() {
            let member = &self.members[view.id];
            assert_eq!((view.standing, view.quarantined), (member.standing, member.quarantined), "{}", view.id);
            assert_eq!(view.counts.all(), self.taken(view.id), "{}", view.id);
            let held = self.slots.values().filter(|(id, state)| id == view.id && matches!(state, State::Held { .. })).count();
            let kept = self.slots.values().filter(|(id, state)| id == view.id && *state == State::Kept).count();
            assert_eq!((view.counts.held as usize, view.counts.kept as usize), (held, kept), "{}", view.id);
        }
        let load = ledger.load();
        assert!(load.used <= load.slots && load.slots <= ledger.slots());
    }
}

struct Story<'a> {
    rng: &'a mut StdRng,
    ledger: Ledger,
    shadow: Shadow,
    now: Time,
    seq: u64,
}

impl Story<'_> {
    fn fresh(&mut self) -> SlotId {
        self.seq += 1;
        slot(self.seq)
    }

    fn some_dyno(&mut self) -> DynoId {
        dyno(["a", "b", "c", "d", "e"][self.rng.random_range(0..DYNOS)])
    }

    fn some_slot(&mut self) -> SlotId {
        let known = self.shadow.slots.len();
        match self.rng.random_range(0..=known) {
            nth if nth < known => *self.shadow.slots.keys().nth(nth).unwrap(),
            _ => slot(self.rng.random_range(0..=self.seq)),
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Upsert => self.upsert(),
            Action::Remove => {
                let id = self.some_dyno();
                self.ledger.remove(&id);
                self.shadow.members.remove(&id);
            }
            Action::Quarantine => {
                let (id, quarantined) = (self.some_dyno(), self.rng.random());
                if let Some(member) = self.shadow.members.get_mut(&id) {
                    member.quarantined = quarantined;
                    self.ledger.quarantine(&id, quarantined);
                }
            }
            Action::AssumeUp => {
                self.ledger.assume_up();
                let unproven = self.shadow.members.values_mut().filter(|member| member.standing == Standing::Unproven);
                unproven.for_each(|member| member.standing = Standing::Up);
            }
            Action::Pick => self.pick(),
            Action::Take => {
                let (slot, id) = (self.fresh(), self.some_dyno());
                let open = self.shadow.members.get(&id).is_some_and(|member| self.shadow.open(&id, member));
                assert_eq!(self.ledger.take(slot, &id), open, "take at {id}");
                if open {
                    self.shadow.slots.insert(slot, (id, State::Running));
                }
            }
            Action::Occupy => {
                let (slot, id) = (self.fresh(), self.some_dyno());
                let occupied = if self.rng.random() { Occupied::Live } else { Occupied::Orphan };
                self.ledger.occupy(slot, &id, occupied);
                self.shadow.slots.insert(slot, (id, State::Running));
            }
            Action::End => self.end(),
            Action::Release => {
                let slot = self.some_slot();
                assert_eq!(self.ledger.release(slot), self.shadow.drop_slot(slot));
            }
            Action::Lapse => {
                let expected = self.shadow.lapsing(self.now);
                let mut lapsed = self.ledger.lapse(self.now);
                lapsed.sort();
                assert_eq!(lapsed, expected);
                lapsed.into_iter().for_each(|slot| drop(self.shadow.drop_slot(slot)));
            }
            Action::BeginProbe => self.begin_probe(),
            Action::Probed => self.probed(),
            Action::EndProbe => {
                let id = self.some_dyno();
                self.ledger.end_probe(&id);
                self.shadow.end_probe(&id);
            }
        }
    }

    fn upsert(&mut self) {
        let id = self.some_dyno();
        let phase = draw(self.rng, &[(8, Phase::Active), (2, Phase::Draining), (1, Phase::Released)]);
        let shape = DynoShape { max_conns: self.rng.random_range(0..4), epoch: Epoch(self.seq), phase };
        self.ledger.upsert(id.clone(), shape);
        let new = Member { shape, standing: Standing::Unproven, quarantined: false };
        self.shadow.members.entry(id).or_insert(new).shape = shape;
    }

    fn pick(&mut self) {
        let slot = self.fresh();
        let exclude: Vec<DynoId> = (0..draw(self.rng, &[(6, 0), (2, 1), (1, 3)])).map(|_| self.some_dyno()).collect();
        let best = self.shadow.best(&exclude);
        let picked = self.ledger.pick(self.rng, slot, &exclude);
        match picked {
            Some(id) => {
                assert!(best.contains(&id), "picked {id}, best are {best:?}");
                self.shadow.slots.insert(slot, (id, State::Running));
            }
            None => assert!(best.is_empty(), "picked none of {best:?}"),
        }
    }

    fn end(&mut self) {
        let slot = self.some_slot();
        let outcome = draw(self.rng, &[(6, Outcome::Done), (3, Outcome::Error), (1, Outcome::Unknown)]);
        let until = self.now + self.ledger.settings.hold;
        let ended = self.ledger.end(slot, outcome, self.now);
        let Some((_, state)) = self.shadow.slots.get_mut(&slot) else { return assert_eq!(ended, Ended::NotHere) };
        let expected = match (outcome, *state) {
            (Outcome::Unknown, _) => {
                *state = State::Kept;
                Ended::Kept
            }
            (_, State::Held { until }) => Ended::HeldUntil(until),
            (Outcome::Error, _) => {
                *state = State::Held { until };
                Ended::HeldUntil(until)
            }
            (Outcome::Done, _) => {
                self.shadow.drop_slot(slot);
                Ended::Freed
            }
        };
        assert_eq!(ended, expected, "{slot} with {outcome:?}");
    }

    fn begin_probe(&mut self) {
        let (slot, id) = (self.fresh(), self.some_dyno());
        let running = self.shadow.slots.values().filter(|(at, state)| *at == id && !matches!(state, State::Held { .. })).count();
        let due = self.ledger.probe_due(Time::FAR).contains(&id);
        let place = self.ledger.begin_probe(&id, slot, self.now);
        assert_eq!(place.is_some(), due, "what is due at some time can begin, and nothing else");
        let Some(place) = place else { return };
        assert!(running < self.shadow.members[&id].shape.max_conns as usize, "a probe joined {running} running requests");
        let used = match place {
            Place::Held(held) => {
                assert!(matches!(self.shadow.slots[&held], (ref at, State::Held { .. }) if *at == id));
                held
            }
            Place::Free => {
                self.shadow.slots.insert(slot, (id.clone(), State::Running));
                slot
            }
        };
        assert_eq!(self.shadow.probes.insert(id, used), None, "two probes at once");
    }

    fn probed(&mut self) {
        let id = self.some_dyno();
        let result = if self.rng.random() { Probed::Passed } else { Probed::Failed };
        let cleared = self.ledger.probed(&id, result, self.now);
        self.shadow.end_probe(&id);
        if let Some(member) = self.shadow.members.get_mut(&id) {
            member.standing = if result == Probed::Passed { Standing::Up } else { Standing::Down };
        }
        assert!(result == Probed::Passed || cleared.is_empty(), "a failed probe ended holds");
        for slot in cleared {
            assert!(matches!(self.shadow.slots[&slot], (ref at, State::Held { .. }) if *at == id), "{slot} was not held at {id}");
            self.shadow.drop_slot(slot);
        }
    }

    /// Nothing more goes wrong: every slot ends in the end, and every dyno has its room again.
    fn recover(&mut self) {
        for (slot, (_, state)) in self.shadow.slots.clone() {
            match state {
                State::Running => drop(self.ledger.end(slot, Outcome::Done, self.now)),
                State::Kept => drop(self.ledger.release(slot)),
                State::Held { .. } => {}
            }
        }
        for id in self.shadow.members.keys() {
            self.ledger.quarantine(id, false);
            self.ledger.end_probe(id);
        }
        // The probes of removed dynos have ended with their slots, except those in held places.
        for id in self.shadow.probes.keys() {
            self.ledger.end_probe(id);
        }
        if let Some(last) = self.ledger.holds.iter().map(|(until, ..)| until).max() {
            self.ledger.lapse(last);
        }
        self.ledger.check_invariants();
        assert_eq!(self.ledger.counts(), Counts::default(), "a slot leaked");
        assert_eq!(self.ledger.keys.len(), self.shadow.members.len(), "a dyno leaked");
    }
}

#[test]
fn the_ledger_agrees_with_its_shadow() {
    sweep("the_ledger_agrees_with_its_shadow", 400, |rng| {
        let ledger = Ledger::new(LedgerSettings::default());
        let mut story = Story { rng, ledger, shadow: Shadow::default(), now: at(0), seq: 0 };
        for _ in 0..200 {
            story.now += Span::from_millis(story.rng.random_range(0..200));
            let action = draw(story.rng, ACTIONS);
            story.act(action);
            story.ledger.check_invariants();
            story.shadow.agrees_with(&story.ledger);
        }
        story.recover();
    });
}
