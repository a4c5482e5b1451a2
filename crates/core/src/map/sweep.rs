//! A seed sweep over a directory, several blocks and a channel that loses, repeats, delays and reorders every fact.
//!
//! Leaders change and start with an empty view; proposals are lost or applied much later; facts of any age are told again, to anybody; states
//! are loaded from snapshots. Blocks appear, are drained, stop, come back, or are evicted and removed. Then the faults stop, and every dyno
//! must end where it belongs.

use std::cell::Cell;
use std::collections::BTreeMap;

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};

use fate::group;

use super::fact::{Fact, LeaderFact, OwnedFact, ReleasedFact, ReplicaFact};
use super::{MapView, directory_steps, evicted_steps, steps};
use crate::app::{AppSpec, Phase, Policy};
use crate::block::{self, BlockState};
use crate::directory::{self, DirectoryState, Place};
use crate::id::{Address, AppName, BlockName, DynoId, Epoch, GroupId, Holder, Host, Incarnation, Index, ReplicaId, SlotId, Term};
use crate::planted;
use crate::sweep::{draw, sweep};
use crate::time::Span;

mod fate;
mod heal;

const BLOCKS: usize = 5;
const DYNOS: u16 = 3;
/// Requests in flight that a dyno may have.
const MAX_CONNS: u32 = 2;
/// Stories told in every run of the tests; `DYNOMESH_SEEDS` asks for more.
const SEEDS: u64 = 2_000;
const STEPS: usize = 500;

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
    End,
    NewBlockLeader,
    NewDirectoryLeader,
    Reload,
    Stop,
    Return,
    Evict,
    Tend,
}

const ACTIONS: [(u32, Action); 16] = [
    (8, Action::Operate),
    (20, Action::Directory),
    (60, Action::Block),
    (15, Action::Deliver),
    (8, Action::Replay),
    (5, Action::LateProposal),
    (10, Action::Request),
    (15, Action::End),
    (15, Action::Free),
    (3, Action::NewBlockLeader),
    (1, Action::NewDirectoryLeader),
    (2, Action::Reload),
    (1, Action::Stop),
    (2, Action::Return),
    (1, Action::Evict),
    (3, Action::Tend),
];

/// Where a block's life stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    /// Not there yet.
    Unborn,
    Up,
    /// It does nothing, for now or for good.
    Stopped,
    /// It came back after its eviction: each of its leaders hears of that before it does anything.
    Returned,
}

struct Block {
    name: BlockName,
    state: BlockState,
    view: MapView,
    term: u64,
    life: Life,
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
    /// Slots whose requests run at their dynos.
    running: BTreeMap<SlotId, DynoId>,
    /// The highest epoch under which each dyno was ever owned.
    seen: BTreeMap<DynoId, Epoch>,
    /// How often what the sweep is after came about.
    adoptions: u64,
    evictions: u64,
}

#[test]
fn dynos_have_one_owner_and_end_where_they_belong() {
    let (adoptions, evictions) = (Cell::new(0), Cell::new(0));
    sweep("dynos_have_one_owner_and_end_where_they_belong", SEEDS, |rng| {
        let mut world = World::new();
        for _ in 0..STEPS {
            let action = draw(rng, &ACTIONS);
            world.act(rng, action);
            world.check();
        }
        world.heal();
        adoptions.set(adoptions.get() + world.adoptions);
        evictions.set(evictions.get() + world.evictions);
    });
    let told = (adoptions.get(), evictions.get());
    eprintln!("{} adoptions, {} evictions", told.0, told.1);
    assert!(told.0 > 0 && told.1 > 0, "{told:?} adoptions and evictions: what never happened was never tested");
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
            life: if nth < 3 { Life::Up } else { Life::Unborn },
            late: Vec::new(),
        };
        World {
            directory: DirectoryState::new(1),
            directory_view: MapView::new(),
            blocks: (0..BLOCKS).map(block).collect(),
            wire: Vec::new(),
            history: Vec::new(),
            clock: 0,
            running: BTreeMap::new(),
            seen: BTreeMap::new(),
            adoptions: 0,
            evictions: 0,
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
            Action::Block if self.acts(nth) => {
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
            Action::LateProposal if self.acts(nth) && !self.blocks[nth].late.is_empty() => {
                let late = rng.random_range(0..self.blocks[nth].late.len());
                let command = self.blocks[nth].late.swap_remove(late);
                self.apply(nth, command);
            }
            Action::Request if self.acts(nth) => self.request(rng, nth),
            // A request ends whatever became of its block; only a block that is there sees it and frees the slot.
            Action::End => self.running.retain(|_, _| rng.random_bool(0.7)),
            Action::Free if self.acts(nth) => {
                let over = |slot: &SlotId| !self.running.contains_key(slot);
                let slots: Vec<SlotId> = self.blocks[nth].state.slots().map(|(id, _)| id).filter(over).collect();
                self.apply(nth, block::Command::Free { slots });
            }
            Action::NewBlockLeader if self.acts(nth) => self.new_leader(nth),
            Action::NewDirectoryLeader => self.directory_view = MapView::new(),
            Action::Reload => self.reload(nth),
            Action::Stop => self.stop(nth),
            Action::Return => self.come_back(nth),
            Action::Evict => self.evict(nth),
            Action::Tend => self.tend(rng, nth),
            _ => {}
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
                directory::Command::AddDyno { id: Some(id), app: name, address, max_conns: Some(MAX_CONNS), block }
            }
            0 => directory::Command::DeleteApp { name },
            1 | 2 => create(name),
            3 | 4 => directory::Command::RemoveDyno { id, force: true },
            5 => directory::Command::DrainDyno { id, cut: None },
            6 => directory::Command::UndrainDyno { id },
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
        let mut commands = self.steps(nth);
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
            let holder = Holder { replica: ReplicaId(nth as u64), incarnation: Incarnation(1) };
            let slot = SlotId { holder, seq: self.tick() };
            let grant = block::Command::Grant { slot, dyno: dyno.clone(), epoch, span: Span::from_secs(60) };
            if self.apply(nth, grant) == block::Reply::Granted {
                self.running.insert(slot, dyno);
            }
        }
    }

    /// What the leader of a block publishes.
    fn block_facts(&mut self, nth: usize) -> Vec<Fact> {
        let seq = self.tick();
        let Block { name, state, term, .. } = &self.blocks[nth];
        let (block, term) = (name.clone(), Term(*term));
        let replica = ReplicaFact { id: ReplicaId(1), http: "10.0.0.2:80".parse().unwrap(), grpc: "10.0.0.2:81".parse().unwrap() };
        let group = group(nth);
        let leader = LeaderFact { block: block.clone(), group, term, seq, leader: replica.id, replicas: vec![replica], zone: None };
        let owned = state.dynos().map(|dyno| OwnedFact {
            dyno: dyno.spec.id.clone(),
            block: block.clone(),
            group: Some(group),
            epoch: dyno.epoch,
            term,
            seq,
            phase: dyno.phase,
            up: None,
            in_flight: dyno.used,
        });
        let released =
            state.released().map(|(dyno, epoch)| ReleasedFact { dyno: dyno.clone(), block: block.clone(), group: Some(group), epoch });
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
}
