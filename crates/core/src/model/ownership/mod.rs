//! The directory, blocks, dynos and requests, explored.
//!
//! The adversary is stronger than any network. Every fact that was ever true stays on the wire for ever, and every time a leader looks at
//! the map it may have heard any of them and not the others: facts are lost, late, repeated and out of order, and leaders crash
//! and forget at every step, all in one. Proposals may be put aside and land much later, or never. A request may run as long as it
//! likes; its slot is given back only after its end, be it by its holder or by a proof that the dyno is idle.
//!
//! A view is not enumerated fact by fact: for each subject it holds at most the largest fact that was heard (`map/tests.rs` holds the
//! join to that), so every view is reached by choosing for each subject one fact or none.

mod check;
mod heal;
mod instances;
mod step;
mod views;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use serde::Serialize;

use super::explore::Model;
use super::part::{Part, Print, print_of};
use crate::app::{AppSpec, Phase, Policy};
use crate::block::{self, BlockState};
use crate::directory::{self, DirectoryState};
use crate::id::{AppName, BlockName, DynoId, Epoch, GroupId, Holder, Host, Incarnation, Index, ReplicaId, SlotId, Term, Version};
use crate::map::Fact;
use crate::map::fact::{OwnedFact, ReleasedFact};
use step::Step;

/// Epochs follow the directory's own count, and nothing else counts log entries.
const ENTRY: Index = Index(1);

/// A small mesh and what may happen to it.
#[derive(Debug, Clone, Copy)]
struct Instance {
    /// Blocks, all known to the directory from the start.
    blocks: usize,
    /// Dynos that may be added, each at its own address.
    dynos: usize,
    /// Whether all dynos have one address, so that each must be gone before the next comes.
    one_address: bool,
    /// Words of the operator.
    words: u8,
    /// Which they may be, beyond adding and moving.
    may: &'static [Word],
    /// Requests.
    requests: u8,
    /// Proposals put aside, to land later or never.
    asides: u8,
}

/// What an operator may say beyond adding a dyno and moving it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Drain,
    Undrain,
    Remove,
    /// Once its block is stopped for good, which one block may be.
    Evict,
    /// An evicted block may come back with all it knew.
    Return,
}

/// A state of the mesh.
#[derive(Debug, Clone)]
struct World {
    directory: Part<DirectoryState>,
    blocks: Vec<Part<BlockState>>,
    wire: Wire,
    rest: Rest,
}

/// Every fact that was ever true, by its written form.
#[derive(Debug, Clone, Default)]
struct Wire {
    facts: Arc<BTreeMap<Arc<str>, Arc<Fact>>>,
    /// The sum of the prints of all facts.
    print: Print,
}

/// What is not replicated.
#[derive(Debug, Clone, Serialize)]
struct Rest {
    /// Proposals put aside.
    late: Vec<Proposal>,
    /// Slots whose requests run at their dynos.
    running: BTreeMap<SlotId, DynoId>,
    /// The highest epoch that each dyno was sent a request under.
    sent: BTreeMap<DynoId, Epoch>,
    /// A request that was sent under an epoch below that.
    went_back: Option<(DynoId, Epoch)>,
    /// Blocks that do nothing, be it that they come back one day.
    stopped: BTreeSet<usize>,
    /// Blocks that came back after they were evicted: their leaders hear of that before they do anything.
    returned: BTreeSet<usize>,
    /// Blocks that were spoken of. The next one may stand for all others, unless the directory chooses among them by name.
    named: usize,
    words: u8,
    requests: u8,
    asides: u8,
}

/// A command on its way into a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
enum Proposal {
    Directory(directory::Command),
    Block(usize, block::Command),
}

/// Who proposes: a block or, under the number after them, the directory; whether it came back from an eviction; its state and the wire.
type Asked = (usize, bool, Print, Print);

/// An instance and what was found out about it so far.
struct Mesh {
    instance: Instance,
    names: Vec<BlockName>,
    /// What can be proposed.
    proposals: RefCell<BTreeMap<Asked, Rc<Vec<Proposal>>>>,
    /// States known to heal, by what they had heard before.
    healed: RefCell<BTreeSet<(bool, Print)>>,
}

/// The identity of a block.
fn group(nth: usize) -> GroupId {
    GroupId(nth as u128)
}

fn dyno(nth: usize) -> DynoId {
    DynoId::new(&format!("d{nth}")).unwrap()
}

fn app() -> AppSpec {
    let name = AppName::new("shop").unwrap();
    AppSpec { name, hosts: vec![Host::new("shop.test").unwrap()], policy: Policy::default() }
}

/// A slot of a block's leader.
fn slot(block: usize, seq: u8) -> SlotId {
    SlotId { holder: Holder { replica: ReplicaId(block as u64 + 1), incarnation: Incarnation(1) }, seq: u64::from(seq) }
}

impl Mesh {
    fn new(instance: Instance) -> Self {
        let names = (0..instance.blocks).map(|nth| BlockName::new(&format!("b{nth}")).unwrap()).collect();
        Mesh { instance, names, proposals: RefCell::default(), healed: RefCell::default() }
    }

    /// Applies a command of the directory and publishes what it says then.
    fn decide(&self, world: &mut World, command: directory::Command) -> directory::Reply {
        let before = world.directory.print();
        let reply = world.directory.edit(|state| {
            let reply = state.apply(Index(0), command);
            state.forget_log();
            reply
        });
        if world.directory.print() != before {
            let facts = world.directory.facts().into_iter().filter(|fact| matches!(fact, Fact::Assigned(_) | Fact::Evicted(_)));
            facts.for_each(|fact| world.wire.add(fact));
        }
        reply
    }

    /// Applies a command of a block and publishes what it says then.
    fn apply(&self, world: &mut World, nth: usize, command: block::Command) -> block::Reply {
        let before = world.blocks[nth].print();
        let reply = world.blocks[nth].edit(|state| state.apply(ENTRY, command));
        if world.blocks[nth].print() != before {
            self.facts_of(&world.blocks[nth], nth).into_iter().for_each(|fact| world.wire.add(fact));
        }
        reply
    }

    /// What the leader of a block says, but for what no rule reads: load, health and the order of words under one epoch.
    fn facts_of(&self, state: &BlockState, nth: usize) -> Vec<Fact> {
        let block = &self.names[nth];
        let owned = state.dynos().map(|dyno| OwnedFact {
            dyno: dyno.spec.id.clone(),
            block: block.clone(),
            group: Some(group(nth)),
            epoch: dyno.epoch,
            term: Term(1),
            seq: 1,
            phase: Phase::Active,
            up: None,
            in_flight: 0,
        });
        let released =
            state.released().map(|(dyno, epoch)| ReleasedFact { dyno: dyno.clone(), block: block.clone(), group: Some(group(nth)), epoch });
        owned.map(Fact::Owned).chain(released.map(Fact::Released)).collect()
    }
}

impl Wire {
    fn add(&mut self, fact: Fact) {
        let text = fact.write().unwrap();
        if !self.facts.contains_key(text.as_str()) {
            self.print = self.print.wrapping_add(print_of(&text));
            Arc::make_mut(&mut self.facts).insert(text.into(), Arc::new(fact));
        }
    }

    fn facts(&self) -> impl Iterator<Item = &Fact> {
        self.facts.values().map(Arc::as_ref)
    }
}

impl Model for Mesh {
    type State = World;
    type Step = Step;

    /// Blocks are bound and know the app; there is no dyno yet.
    fn start(&self) -> World {
        let mut directory = DirectoryState::new(0);
        directory.apply(Index(0), directory::Command::CreateApp { spec: Box::new(app()) });
        for (nth, name) in self.names.iter().enumerate() {
            directory.apply(Index(0), directory::Command::BindBlock { name: name.clone(), group: group(nth) });
        }
        directory.forget_log();
        let mut block = BlockState::new();
        block.apply(ENTRY, block::Command::SetApp { spec: Box::new(app()), version: Version(1) });
        let Instance { blocks, words, may, requests, asides, .. } = self.instance;
        World {
            directory: Part::new(directory),
            blocks: vec![Part::new(block); blocks],
            wire: Wire::default(),
            rest: Rest {
                late: Vec::new(),
                running: BTreeMap::new(),
                sent: BTreeMap::new(),
                went_back: None,
                stopped: BTreeSet::new(),
                returned: BTreeSet::new(),
                named: if may.contains(&Word::Evict) { blocks } else { 0 },
                words,
                requests,
                asides,
            },
        }
    }

    fn next(&self, world: &World) -> Vec<(Step, World)> {
        self.steps(world).into_iter().map(|step| self.take(world, step)).collect()
    }

    fn print(&self, world: &World) -> Print {
        print_of(&(self.replicated(world), world.rest.clone()))
    }

    fn check(&self, world: &World) -> Result<(), String> {
        self.check_now(world)?;
        self.check_end(world)?;
        self.sound(world)
    }
}

impl Mesh {
    /// The print of what is replicated, of the wire, and of who is there.
    fn replicated(&self, world: &World) -> Print {
        let blocks: Vec<Print> = world.blocks.iter().map(Part::print).collect();
        print_of(&(world.directory.print(), blocks, world.wire.print, &world.rest.stopped, &world.rest.returned))
    }
}
