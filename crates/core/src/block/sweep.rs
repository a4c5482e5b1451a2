//! A seed sweep of the block state against a shadow that counts by looking through everything and never forgets a promise.

use std::collections::BTreeMap;

use rand::RngExt;
use rand::rngs::StdRng;

use super::tests::{app, slot, spec};
use super::{AdoptDyno, BlockSettings, BlockState, Command, Refusal, Reply, SlotsMode};
use crate::app::Phase;
use crate::id::{AppName, DynoId, Epoch, Index, SlotId, Version};
use crate::sweep::{draw, sweep};
use crate::time::Span;

#[derive(Debug, Clone, Copy)]
enum Action {
    Adopt,
    Drain,
    Release,
    Forget,
    SetApp,
    RemoveApp,
    Grant,
    Free,
    Renew,
    Learn,
    Configure,
    Reload,
}

const ACTIONS: [(u32, Action); 12] = [
    (8, Action::Adopt),
    (3, Action::Drain),
    (5, Action::Release),
    (3, Action::Forget),
    (2, Action::SetApp),
    (1, Action::RemoveApp),
    (40, Action::Grant),
    (20, Action::Free),
    (4, Action::Renew),
    (2, Action::Learn),
    (1, Action::Configure),
    (1, Action::Reload),
];

/// What the state should hold, kept as simply as can be.
#[derive(Default)]
struct Shadow {
    apps: BTreeMap<AppName, Version>,
    owned: BTreeMap<DynoId, Owned>,
    slots: BTreeMap<SlotId, (DynoId, Epoch)>,
    /// Every promise ever made.
    promised: BTreeMap<DynoId, Epoch>,
}

#[derive(Clone, Copy)]
struct Owned {
    epoch: Epoch,
    active: bool,
    max_conns: u32,
}

#[test]
fn block_state_agrees_with_its_shadow() {
    sweep("block_state_agrees_with_its_shadow", 200, |rng| {
        let mut state = BlockState::new();
        let mut replica = BlockState::new();
        let mut shadow = Shadow::default();
        for at in 1..=300u64 {
            let action = draw(rng, &ACTIONS);
            if matches!(action, Action::Reload) {
                let bytes = postcard::to_stdvec(&state).unwrap();
                replica = postcard::from_bytes(&bytes).unwrap();
                assert_eq!(replica, state, "a snapshot lost something");
                continue;
            }
            let command = invent(rng, action, at, &shadow);
            let before = state.clone();
            let reply = state.apply(Index(at), command.clone());
            state.check_invariants();
            shadow.judge(&command, &reply);
            shadow.compare(&state);
            if matches!(reply, Reply::Refused(_) | Reply::Unchanged) {
                replica.apply(Index(at), command);
                assert_eq!(BlockState { applied: before.applied, ..state.clone() }, before, "{reply:?} but something changed");
            } else {
                // A replica that reads the command from its log comes to the same state.
                let bytes = postcard::to_stdvec(&command).unwrap();
                assert_eq!(replica.apply(Index(at), postcard::from_bytes(&bytes).unwrap()), reply);
            }
            assert_eq!(replica, state, "two replicas differ");
        }
    });
}

/// A command that is likely, but far from sure, to be accepted.
fn invent(rng: &mut StdRng, action: Action, at: u64, shadow: &Shadow) -> Command {
    let id = spec(rng.random_range(0..4), 1).id;
    let known = shadow.owned.get(&id).map(|owned| owned.epoch);
    let near = Epoch(known.unwrap_or(Epoch(at)).0.saturating_add_signed(rng.random_range(-1..=1)));
    let epoch = if rng.random_bool(0.8) { known.unwrap_or(near) } else { near };
    let span = Span::from_millis(rng.random_range(1..100));
    let some_slots = |rng: &mut StdRng| {
        let mut slots: Vec<SlotId> = shadow.slots.keys().copied().filter(|_| rng.random_bool(0.2)).collect();
        slots.extend((0..rng.random_range(0..2)).map(|_| slot(9, rng.random_range(0..at))));
        slots
    };
    match action {
        Action::Adopt => {
            let nth = rng.random_range(0..4);
            let spec = spec(nth, rng.random_range(1..=3));
            let epoch = Epoch(rng.random_range(at.saturating_sub(60)..=at + 5));
            Command::Adopt(AdoptDyno { spec, epoch, drain: rng.random_bool(0.1), cut: crate::map::fact::CUT_DEFAULT })
        }
        Action::Drain => Command::Drain { dyno: id, epoch, cut: crate::map::fact::CUT_DEFAULT },
        Action::Release => Command::Release { dyno: id, epoch: Epoch(epoch.0 + rng.random_range(0..3)) },
        Action::Forget => {
            let promise = shadow.promised.get(&id).copied().unwrap_or(epoch);
            Command::Forget { dyno: id, epoch: Epoch(promise.0.saturating_add_signed(rng.random_range(-1..=1))) }
        }
        Action::SetApp => Command::SetApp { spec: Box::new(app(rng.random_range(0..2))), version: Version(rng.random_range(0..=at)) },
        Action::RemoveApp => Command::RemoveApp { name: app(rng.random_range(0..2)).name, version: Version(at) },
        Action::Grant => {
            let seq = if rng.random_bool(0.95) { at } else { rng.random_range(0..at) };
            Command::Grant { slot: slot(rng.random_range(1..3), seq), dyno: id, epoch, span }
        }
        Action::Free => Command::Free { slots: some_slots(rng) },
        Action::Renew => Command::Renew { slots: some_slots(rng), span },
        Action::Learn => Command::Learn { dyno: id, epoch, serial: rng.random() },
        Action::Configure | Action::Reload => {
            Command::Configure(BlockSettings { slots: SlotsMode::Leased, leased_quarantine: rng.random() })
        }
    }
}

impl Shadow {
    fn in_flight(&self, dyno: &DynoId) -> u32 {
        u32::try_from(self.slots.values().filter(|(of, _)| of == dyno).count()).unwrap()
    }

    /// Says what the reply should have been, and follows.
    fn judge(&mut self, command: &Command, reply: &Reply) {
        let promised = |dyno| self.promised.get(dyno).copied().unwrap_or_default();
        match command {
            Command::Grant { slot, dyno, epoch, .. } => {
                let owned = self.owned.get(dyno).copied();
                let free = owned.is_some_and(|owned| owned.active && owned.epoch == *epoch && self.in_flight(dyno) < owned.max_conns);
                let right = free && !self.slots.contains_key(slot);
                assert_eq!(*reply == Reply::Granted, right, "{command:?} got {reply:?}");
                if right {
                    self.slots.insert(*slot, (dyno.clone(), *epoch));
                }
            }
            Command::Free { slots } => {
                assert_eq!(*reply, Reply::Done);
                self.slots.retain(|slot, _| !slots.contains(slot));
            }
            Command::Renew { slots, .. } => {
                let gone: Vec<_> = slots.iter().copied().filter(|slot| !self.slots.contains_key(slot)).collect();
                assert_eq!(*reply, if gone.is_empty() { Reply::Done } else { Reply::Missing(gone) });
            }
            Command::Adopt(adopt) => self.judge_adopt(adopt, reply),
            Command::Release { dyno, epoch } => {
                match self.owned.get(dyno) {
                    Some(owned) => {
                        let right = !owned.active && owned.epoch <= *epoch && self.in_flight(dyno) == 0;
                        assert_eq!(*reply == Reply::Done, right, "{command:?} got {reply:?}");
                        if right {
                            self.owned.remove(dyno);
                        }
                    }
                    None => assert!(matches!(reply, Reply::Done | Reply::Unchanged)),
                }
                if !self.owned.contains_key(dyno) {
                    let promise = promised(dyno).max(*epoch);
                    self.promised.insert(dyno.clone(), promise);
                }
            }
            Command::Drain { dyno, epoch, .. } => {
                let owned = self.owned.get_mut(dyno).filter(|owned| owned.epoch == *epoch);
                let right = owned.as_ref().is_some_and(|owned| owned.active);
                assert_eq!(*reply == Reply::Done, right, "{command:?} got {reply:?}");
                if let Some(owned) = owned {
                    owned.active = false;
                }
            }
            Command::SetApp { spec, version } => {
                let right = self.apps.get(&spec.name).is_none_or(|known| known < version);
                assert_eq!(*reply == Reply::Done, right, "{command:?} got {reply:?}");
                if right {
                    self.apps.insert(spec.name.clone(), *version);
                }
            }
            Command::RemoveApp { name, .. } => {
                if *reply == Reply::Done {
                    self.apps.remove(name);
                }
            }
            Command::Forget { .. } | Command::Learn { .. } | Command::Configure(_) => {}
        }
    }

    fn judge_adopt(&mut self, adopt: &AdoptDyno, reply: &Reply) {
        let id = &adopt.spec.id;
        let highest = self.promised.values().copied().max().unwrap_or_default();
        let known = self.apps.contains_key(&adopt.spec.app);
        let newer = self.owned.get(id).is_none_or(|owned| owned.epoch < adopt.epoch);
        match reply {
            Reply::Done => {
                assert!(known && newer, "{adopt:?} was adopted");
                let promised = self.promised.get(id).copied().unwrap_or_default();
                assert!(promised < adopt.epoch, "{id} was adopted under {}, promised up to {promised}", adopt.epoch);
                let owned = Owned { epoch: adopt.epoch, active: !adopt.drain, max_conns: adopt.spec.max_conns };
                self.owned.insert(id.clone(), owned);
            }
            // The floor may refuse more than the promise does, but nothing above all promises.
            Reply::Refused(Refusal::Epoch { has }) => {
                assert!(!newer || (*has <= highest && *has >= adopt.epoch), "{adopt:?} was refused");
            }
            _ => assert!(!known || !newer, "{adopt:?} got {reply:?}"),
        }
    }

    fn compare(&self, state: &BlockState) {
        let slots: Vec<_> = state.slots().map(|(id, record)| (id, (record.dyno.clone(), record.epoch))).collect();
        assert_eq!(slots, self.slots.clone().into_iter().collect::<Vec<_>>());
        assert_eq!(state.dynos().len(), self.owned.len());
        for dyno in state.dynos() {
            let owned = self.owned[&dyno.spec.id];
            assert_eq!((dyno.epoch, dyno.phase == Phase::Active, dyno.spec.max_conns), (owned.epoch, owned.active, owned.max_conns));
            assert_eq!(dyno.used, self.in_flight(&dyno.spec.id));
        }
        for (dyno, promised) in &self.promised {
            assert!(self.owned.contains_key(dyno) || state.promised(dyno) >= *promised, "the promise about {dyno} was lost");
        }
        assert!(state.apps().map(|app| (&app.spec.name, &app.version)).eq(self.apps.iter()));
    }
}
