//! A seed sweep over a directory, several blocks and a channel that loses, repeats, delays and reorders every fact.
//!
//! Leaders change and start with an empty view; proposals are lost or applied much later; facts of any age are told again, to anybody. Then
//! the faults stop, and every dyno must end where it belongs.

use std::cell::Cell;
use std::collections::BTreeMap;

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};

use super::fact::{Fact, LeaderFact, OwnedFact, ReleasedFact, ReplicaFact};
use super::{MapView, directory_steps, steps};
use crate::app::{AppSpec, Phase, Policy};
use crate::block::{self, BlockState};
use crate::directory::{self, DirectoryState, Place};
use crate::id::{Address, AppName, BlockName, DynoId, Epoch, GroupId, Holder, Host, Incarnation, Index, ReplicaId, SlotId, Term};
use crate::sweep::{draw, sweep};
use crate::time::Span;

const BLOCKS: usize = 4;
const DYNOS: u16 = 3;

#[derive(Debug, Clone, Copy)]
enum Action {
    Operate,
    Directory,
    Block,
    Deliver,
    Replay,
    LateProposal,
    Request,
    Free,
    NewBlockLeader,
    NewDirectoryLeader,
}

const ACTIONS: [(u32, Action); 10] = [
    (8, Action::Operate),
    (20, Action::Directory),
    (60, Action::Block),
    (15, Action::Deliver),
    (8, Action::Replay),
    (5, Action::LateProposal),
    (10, Action::Request),
    (15, Action::Free),
    (3, Action::NewBlockLeader),
    (1, Action::NewDirectoryLeader),
];

struct Block {
    name: BlockName,
    state: BlockState,
    view: MapView,
    term: u64,
    /// Proposals that were neither applied nor lost yet.
    late: Vec<block::Command>,
}

struct World {
    directory: DirectoryState,
    directory_view: MapView,
    blocks: Vec<Block>,
    /// Facts under way; the receiver is a block, or the directory by the number after them.
    wire: Vec<(usize, Fact)>,
    /// Every fact that was ever published.
    history: Vec<Fact>,
    /// Counts log entries, slots and words.
    clock: u64,
    /// The highest epoch under which each dyno was ever owned.
    seen: BTreeMap<DynoId, Epoch>,
    /// How often what the sweep is after came about.
    adoptions: u64,
}

#[test]
fn dynos_have_one_owner_and_end_where_they_belong() {
    let adoptions = Cell::new(0);
    sweep("dynos_have_one_owner_and_end_where_they_belong", 160, |rng| {
        let mut world = World::new();
        for _ in 0..600 {
            let action = draw(rng, &ACTIONS);
            world.act(rng, action);
            world.check();
        }
        world.heal();
        adoptions.set(adoptions.get() + world.adoptions);
    });
    assert!(adoptions.get() > 0, "nothing was ever adopted, so nothing was ever tested");
}

fn create(name: AppName) -> directory::Command {
    let hosts = vec![Host::new(&format!("{name}.test")).unwrap()];
    directory::Command::CreateApp { spec: Box::new(AppSpec { name, hosts, policy: Policy::default() }) }
}

impl World {
    fn new() -> Self {
        let block = |nth| Block {
            name: BlockName::new(&format!("b{nth}")).unwrap(),
            state: BlockState::new(),
            view: MapView::new(),
            term: 1,
            late: Vec::new(),
        };
        World {
            directory: DirectoryState::new(1),
            directory_view: MapView::new(),
            blocks: (0..BLOCKS).map(block).collect(),
            wire: Vec::new(),
            history: Vec::new(),
            clock: 0,
            seen: BTreeMap::new(),
            adoptions: 0,
        }
    }

    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    fn act(&mut self, rng: &mut StdRng, action: Action) {
        let nth = rng.random_range(0..BLOCKS);
        match action {
            Action::Operate => self.operate(rng),
            Action::Directory => {
                for command in directory_steps(&self.directory_view, &self.directory) {
                    if rng.random_bool(0.8) {
                        self.decide(command);
                    }
                }
                self.publish(rng, self.directory.facts());
            }
            Action::Block => {
                self.step_block(rng, nth);
                let facts = self.block_facts(nth);
                self.publish(rng, facts);
            }
            Action::Deliver => {
                for _ in 0..self.wire.len().min(8) {
                    let nth = rng.random_range(0..self.wire.len());
                    let (to, fact) = if rng.random_bool(0.2) { self.wire[nth].clone() } else { self.wire.swap_remove(nth) };
                    self.tell(to, fact);
                }
            }
            Action::Replay => {
                if let Some(fact) = self.history.choose(rng).cloned() {
                    self.tell(rng.random_range(0..=BLOCKS), fact);
                }
            }
            Action::LateProposal if !self.blocks[nth].late.is_empty() => {
                let late = rng.random_range(0..self.blocks[nth].late.len());
                let command = self.blocks[nth].late.swap_remove(late);
                self.apply(nth, command);
            }
            Action::Request => self.request(rng, nth),
            Action::Free => {
                let slots: Vec<SlotId> = self.blocks[nth].state.slots().map(|(id, _)| id).filter(|_| rng.random_bool(0.5)).collect();
                self.apply(nth, block::Command::Free { slots });
            }
            Action::NewBlockLeader => {
                self.blocks[nth].term += 1;
                self.blocks[nth].view = MapView::new();
            }
            Action::NewDirectoryLeader => self.directory_view = MapView::new(),
            Action::LateProposal => {}
        }
    }

    /// One word of an operator: mostly about a dyno that is there.
    fn operate(&mut self, rng: &mut StdRng) {
        let name = AppName::new(["shop", "blog"][rng.random_range(0..2)]).unwrap();
        let nth = rng.random_range(0..DYNOS);
        let id = DynoId::new(&format!("d{nth}")).unwrap();
        let to = self.blocks[rng.random_range(0..BLOCKS)].name.clone();
        let absent = self.directory.dyno(&id).is_none_or(|dyno| dyno.place == Place::Removed);
        let command = match rng.random_range(0..20) {
            _ if absent && self.directory.app(&name).is_some() => {
                // A removed dyno's address is soon wanted by another.
                let address: Address = format!("10.0.0.1:{}", 3000 + (nth + rng.random_range(0..2)) % DYNOS).parse().unwrap();
                let block = rng.random_bool(0.5).then_some(to);
                directory::Command::AddDyno { id: Some(id), app: name, address, max_conns: Some(2), block }
            }
            0 => directory::Command::DeleteApp { name },
            1 | 2 => create(name),
            3 | 4 => directory::Command::RemoveDyno { id, force: true },
            5 => directory::Command::DrainDyno { id, cut: None },
            _ => directory::Command::MoveDyno { id, to, why: String::new() },
        };
        self.decide(command);
    }

    fn decide(&mut self, command: directory::Command) -> directory::Reply {
        let at = Index(self.tick());
        self.directory.apply(at, command)
    }

    fn apply(&mut self, nth: usize, command: block::Command) -> block::Reply {
        let at = Index(self.tick());
        let adopts = matches!(command, block::Command::Adopt(_));
        let reply = self.blocks[nth].state.apply(at, command);
        self.adoptions += u64::from(adopts && reply == block::Reply::Done);
        reply
    }

    fn step_block(&mut self, rng: &mut StdRng, nth: usize) {
        let block = &self.blocks[nth];
        let mut commands = steps(&block.view, &block.name, &block.state);
        if rng.random_bool(0.3) {
            commands.shuffle(rng);
        }
        for command in commands {
            match rng.random_range(0..10) {
                0 => {}
                1 => self.blocks[nth].late.push(command),
                _ => {
                    self.apply(nth, command);
                }
            }
        }
    }

    /// A request that the block sends to one of its dynos.
    fn request(&mut self, rng: &mut StdRng, nth: usize) {
        let dynos: Vec<_> = self.blocks[nth].state.dynos().map(|dyno| (dyno.spec.id.clone(), dyno.epoch)).collect();
        if let Some((dyno, epoch)) = dynos.choose(rng).cloned() {
            let holder = Holder { replica: ReplicaId(1), incarnation: Incarnation(1) };
            let slot = SlotId { holder, seq: self.tick() };
            self.apply(nth, block::Command::Grant { slot, dyno, epoch, span: Span::from_secs(60) });
        }
    }

    /// What the leader of a block publishes.
    fn block_facts(&mut self, nth: usize) -> Vec<Fact> {
        let seq = self.tick();
        let Block { name, state, term, .. } = &self.blocks[nth];
        let (block, term) = (name.clone(), Term(*term));
        let replica = ReplicaFact { id: ReplicaId(1), http: "10.0.0.2:80".parse().unwrap(), grpc: "10.0.0.2:81".parse().unwrap() };
        let group = GroupId(nth as u128);
        let leader = LeaderFact { block: block.clone(), group, term, seq, leader: replica.id, replicas: vec![replica], zone: None };
        let owned = state.dynos().map(|dyno| OwnedFact {
            dyno: dyno.spec.id.clone(),
            block: block.clone(),
            epoch: dyno.epoch,
            term,
            seq,
            phase: dyno.phase,
            up: None,
            in_flight: dyno.used,
        });
        let released = state.released().map(|(dyno, epoch)| ReleasedFact { dyno: dyno.clone(), block: block.clone(), epoch });
        let facts = owned.map(Fact::Owned).chain(released.map(Fact::Released));
        facts.chain([Fact::Leader(leader)]).collect()
    }

    /// Each receiver hears each fact at once, late or not at all.
    fn publish(&mut self, rng: &mut StdRng, facts: Vec<Fact>) {
        for fact in facts {
            for to in 0..=BLOCKS {
                match rng.random_range(0..10) {
                    0..5 => self.tell(to, fact.clone()),
                    5..8 => self.wire.push((to, fact.clone())),
                    _ => {}
                }
            }
            self.history.push(Fact::read(&fact.write().unwrap()).unwrap());
        }
    }

    fn tell(&mut self, to: usize, fact: Fact) {
        let view = if to < BLOCKS { &mut self.blocks[to].view } else { &mut self.directory_view };
        view.absorb(fact);
    }

    fn check(&mut self) {
        self.directory.check_invariants();
        let mut owners: BTreeMap<&DynoId, &BlockName> = BTreeMap::new();
        let mut addresses: BTreeMap<Address, &DynoId> = BTreeMap::new();
        for block in &self.blocks {
            block.state.check_invariants();
            for dyno in block.state.dynos() {
                let id = &dyno.spec.id;
                if let Some(other) = owners.insert(id, &block.name) {
                    panic!("one-owner: {id} is owned by {other} and {} at once", block.name);
                }
                if let Some(other) = addresses.insert(dyno.spec.address, id) {
                    panic!("{id} and {other} are owned at one address, {}", dyno.spec.address);
                }
                let seen = self.seen.entry(id.clone()).or_default();
                assert!(*seen <= dyno.epoch, "one-owner: {id} goes back from epoch {seen} to {}", dyno.epoch);
                *seen = dyno.epoch;
            }
        }
    }

    /// No more faults: everybody hears everything, and requests end.
    fn heal(&mut self) {
        self.wire.clear();
        for _ in 0..20 {
            let mut facts = self.directory.facts();
            facts.extend((0..BLOCKS).flat_map(|nth| self.block_facts(nth)));
            for to in 0..=BLOCKS {
                facts.iter().for_each(|fact| self.tell(to, fact.clone()));
            }
            for command in directory_steps(&self.directory_view, &self.directory) {
                self.decide(command);
            }
            for nth in 0..BLOCKS {
                let slots: Vec<SlotId> = self.blocks[nth].state.slots().map(|(id, _)| id).collect();
                self.apply(nth, block::Command::Free { slots });
                for command in steps(&self.blocks[nth].view, &self.blocks[nth].name, &self.blocks[nth].state) {
                    let reply = self.apply(nth, command.clone());
                    assert!(matches!(reply, block::Reply::Done), "{command:?} got {reply:?} when nothing was in its way");
                }
                self.check();
            }
        }
        self.check_healed();
    }

    fn check_healed(&self) {
        for dyno in self.directory.dynos() {
            let id = &dyno.spec.id;
            assert!(dyno.after.is_empty(), "{id} still waits for {:?}", dyno.after);
            let Place::At(belongs) = &dyno.place else { panic!("{id} is still {:?}", dyno.place) };
            for block in &self.blocks {
                let owned = block.state.dyno(id);
                assert_eq!(owned.is_some(), block.name == *belongs, "conserved: {id} belongs to {belongs}, look at {}", block.name);
                if let Some(owned) = owned {
                    assert_eq!(owned.epoch, dyno.epoch, "conserved: {id} is owned under another epoch");
                    assert_eq!(owned.phase == Phase::Draining, dyno.drain, "{id} is {:?}", owned.phase);
                }
            }
        }
        for block in &self.blocks {
            assert_eq!(self.directory.block(&block.name).map(|known| known.dynos as usize), Some(block.state.dynos().len()));
            let kept: Vec<_> = block.state.released().map(|(dyno, epoch)| (epoch, block.view.assignment(dyno))).collect();
            assert!(kept.is_empty(), "{} keeps promises that nobody waits for: {kept:?}", block.name);
            for app in block.state.apps() {
                assert!(self.directory.app(&app.spec.name).is_some(), "{} keeps a deleted app", block.name);
            }
        }
    }
}
