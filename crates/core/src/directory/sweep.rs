//! A seed sweep of the directory against a shadow that remembers every assignment it ever made.

use std::collections::{BTreeMap, BTreeSet};

use rand::RngExt;
use rand::rngs::StdRng;

use super::tests::{address, bind, block, create, dyno};
use super::{BlockRecord, Command, DirectoryState, Kind, Place, Proof, Reply};
use crate::id::{AppName, BlockName, DynoId, Epoch, Index};
use crate::map::fact::{Fact, PREDECESSORS_MAX};
use crate::sweep::{draw, sweep};

#[derive(Debug, Clone, Copy)]
enum Action {
    Create,
    Delete,
    Add,
    Drain,
    Remove,
    Move,
    Bind,
    Release,
    ReleaseAny,
    Reload,
    Undrain,
    Update,
    DrainBlock,
    UndrainBlock,
    Evict,
    RemoveBlock,
}

const ACTIONS: [(u32, Action); 16] = [
    (4, Action::Create),
    (2, Action::Delete),
    (20, Action::Add),
    (5, Action::Drain),
    (8, Action::Remove),
    (20, Action::Move),
    (2, Action::Bind),
    (15, Action::Release),
    (3, Action::ReleaseAny),
    (2, Action::Reload),
    (3, Action::Undrain),
    (2, Action::Update),
    (2, Action::DrainBlock),
    (3, Action::UndrainBlock),
    (1, Action::Evict),
    (2, Action::RemoveBlock),
];

/// What was ever assigned to whom, and what was promised since.
#[derive(Default)]
struct Shadow {
    assigned: BTreeMap<(DynoId, BlockName), Epoch>,
    promised: BTreeMap<(DynoId, BlockName), Epoch>,
    /// Every stamp that a fact ever carried, with what it was about.
    stamps: BTreeMap<u64, String>,
}

#[test]
fn the_directory_agrees_with_its_shadow() {
    sweep("the_directory_agrees_with_its_shadow", 150, |rng| {
        let mut state = DirectoryState::new(rng.random_range(0..3));
        let mut shadow = Shadow::default();
        let mut at = 0;
        for _ in 0..200 {
            at += rng.random_range(0..3);
            let action = draw(rng, &ACTIONS);
            if matches!(action, Action::Reload) {
                let bytes = postcard::to_stdvec(&state).unwrap();
                assert_eq!(postcard::from_bytes::<DirectoryState>(&bytes).unwrap(), state, "a snapshot lost something");
                continue;
            }
            let command = invent(rng, action, &state, &shadow);
            let before = state.clone();
            let reply = state.apply(Index(at), command.clone());
            state.check_invariants();
            let changed = changed(&reply);
            assert_eq!(changed, state != before, "{command:?} got {reply:?}");
            if changed {
                shadow.end(&command);
            }
            shadow.follow(&state, &command);
            if changed {
                assert_eq!(
                    state.facts().len(),
                    BTreeSet::from_iter(state.facts().iter().map(Fact::key)).len(),
                    "two words about one subject"
                );
                place_is_best(&before, &state, &command);
            }
        }
    });
}

fn invent(rng: &mut StdRng, action: Action, state: &DirectoryState, shadow: &Shadow) -> Command {
    let app = ["shop", "blog"][rng.random_range(0..2)];
    let nth = rng.random_range(0..8u16);
    let id = dyno(&format!("d{nth}"));
    let to = rng.random_range(0..6u8);
    match action {
        Action::Create => create(app),
        Action::Delete => Command::DeleteApp { name: AppName::new(app).unwrap() },
        Action::Add => Command::AddDyno {
            id: rng.random_bool(0.9).then_some(id),
            app: AppName::new(app).unwrap(),
            address: address(1 + (nth + rng.random_range(0..2)) % 8),
            max_conns: rng.random_bool(0.5).then(|| rng.random_range(0..4)),
            block: rng.random_bool(0.3).then(|| block(&format!("b{to}"))),
        },
        Action::Drain => Command::DrainDyno { id, cut: None },
        Action::Remove => Command::RemoveDyno { id, force: rng.random_bool(0.7) },
        Action::Move => Command::MoveDyno { id, to: block(&format!("b{to}")), why: String::new() },
        // A block that was removed comes back as another group.
        Action::Bind => bind(&format!("b{to}"), u128::from(to) + 100 * rng.random_range(0..4u128) + u128::from(rng.random_bool(0.1))),
        Action::Undrain => Command::UndrainDyno { id },
        Action::Update => {
            let mut spec = super::tests::app(app);
            spec.policy.max_conns = rng.random_range(1..4);
            Command::UpdateApp { spec: Box::new(spec) }
        }
        Action::DrainBlock => Command::DrainBlock { name: block(&format!("b{to}")) },
        Action::UndrainBlock => Command::UndrainBlock { name: block(&format!("b{to}")) },
        Action::Evict => Command::EvictBlock { name: block(&format!("b{to}")), proof: Proof::Operator },
        Action::RemoveBlock => Command::RemoveBlock { name: block(&format!("b{to}")) },
        Action::Release => {
            // A predecessor of some dyno, if there is one, keeps its promise.
            let all: Vec<_> = state.dynos().flat_map(|dyno| dyno.after.iter().map(|earlier| (&dyno.spec.id, earlier))).collect();
            match all.get(rng.random_range(0..all.len().max(1))) {
                Some((dyno, earlier)) => {
                    // Blocks promise up to epochs they were told of.
                    let epoch = Epoch(earlier.epoch.0.saturating_add_signed(rng.random_range(-1..3)).min(state.last_stamp()));
                    Command::Released { dyno: (*dyno).clone(), block: earlier.block.clone(), epoch }
                }
                None => Command::RemoveDyno { id, force: true },
            }
        }
        Action::ReleaseAny | Action::Reload => {
            let block = block(&format!("b{to}"));
            let epoch = shadow.assigned.get(&(id.clone(), block.clone())).copied().unwrap_or_default();
            Command::Released { dyno: id, block, epoch }
        }
    }
}

fn changed(reply: &Reply) -> bool {
    match reply {
        Reply::Refused(refusal) => {
            assert!(!refusal.sentence.is_empty() && refusal.kind != Kind::Invalid { field: String::new() });
            false
        }
        reply => reply.changed(),
    }
}

impl Shadow {
    /// An eviction stands in for every promise of the block (P16).
    fn end(&mut self, command: &Command) {
        if let Command::EvictBlock { name, .. } = command {
            let lost = self.assigned.iter().filter(|((_, block), _)| block == name);
            self.promised.extend(lost.map(|(key, epoch)| (key.clone(), *epoch)).collect::<Vec<_>>());
        }
    }

    fn follow(&mut self, state: &DirectoryState, command: &Command) {
        if let Command::Released { dyno, block, epoch } = command {
            let promise = self.promised.entry((dyno.clone(), block.clone())).or_default();
            *promise = (*promise).max(*epoch);
        }
        for dyno in state.dynos() {
            if let Some(block) = dyno.block() {
                let newest = self.assigned.entry((dyno.spec.id.clone(), block.clone())).or_default();
                assert!(*newest <= dyno.epoch, "{} was assigned under a later epoch before", dyno.spec.id);
                *newest = dyno.epoch;
            }
        }
        self.check_predecessors(state);
        self.check_stamps(state);
    }

    /// Who was ever assigned a dyno and has not promised since is its block, or its predecessor under that epoch, and nobody else is.
    fn check_predecessors(&self, state: &DirectoryState) {
        for ((id, block), epoch) in &self.assigned {
            let promised = self.promised.get(&(id.clone(), block.clone())).copied().unwrap_or_default();
            let dyno = state.dyno(id);
            let current = dyno.is_some_and(|dyno| dyno.block() == Some(block));
            let named = dyno.and_then(|dyno| dyno.after.iter().find(|earlier| earlier.block == *block)).map(|earlier| earlier.epoch);
            if !current {
                assert_eq!(named, (promised < *epoch).then_some(*epoch), "{block} as a predecessor of {id}, promised up to {promised}");
            }
            assert!(!current || promised < *epoch, "{id} is assigned to {block} under {epoch}, which promised up to {promised}");
        }
        assert!(state.dynos().all(|dyno| dyno.after.len() <= PREDECESSORS_MAX));
    }

    /// A stamp speaks of one subject for ever, and what it says changes in its predecessors only.
    fn check_stamps(&mut self, state: &DirectoryState) {
        for fact in state.facts() {
            let (stamp, word) = match fact {
                Fact::App(f) => (f.version.0, format!("{:?}", f)),
                Fact::Assigned(f) => (f.epoch.0, format!("{:?} {:?} {}", f.dyno, f.block, f.drain)),
                Fact::Evicted(f) => (f.version.0, format!("{f:?}")),
                // Under the stamp of whatever was last said of the block.
                Fact::Bound(_) => continue,
                other => panic!("the directory has no business to publish {other:?}"),
            };
            let known = self.stamps.entry(stamp).or_insert_with(|| word.clone());
            assert_eq!(*known, word, "stamp {stamp} was given to two words");
        }
    }
}

/// A dyno that was just added without a wish for a block went to the best one, counted anew.
fn place_is_best(before: &DirectoryState, after: &DirectoryState, command: &Command) {
    let Command::AddDyno { address, block: None, .. } = command else { return };
    let added = after.dynos().find(|dyno| dyno.spec.address == *address).unwrap();
    let score = |block: &BlockName| {
        let here = || before.dynos().filter(|dyno| dyno.block() == Some(block));
        let slots: u32 = here().filter(|dyno| dyno.spec.app == added.spec.app && !dyno.drain).map(|dyno| dyno.spec.max_conns).sum();
        (slots, here().count(), block.clone())
    };
    match added.block() {
        Some(block) => assert!(
            before.blocks().filter(|other| other.takes_dynos()).all(|other| score(block) <= score(&other.name)),
            "{} went to {block}",
            added.spec.id
        ),
        None => assert!(added.place == Place::Waiting && !before.blocks().any(BlockRecord::takes_dynos)),
    }
}
