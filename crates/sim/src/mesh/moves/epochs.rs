//! Moves with epochs, decided by the production rules: the directory's state machine assigns, the blocks' state machines drain, release
//! and adopt as [`dynomesh_core::map::steps`] tells them. All that is modelled here is that every fact reaches every process late, each
//! for itself.
//!
//! A block's slots are counted by its ledger. Its state machine learns of those of a dyno when that dyno begins to drain, since only from
//! then on do they matter to it: a release is refused while there is one.

mod desk;

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

use dynomesh_core::app::{AppSpec, Policy};
use dynomesh_core::directory::{Command, DirectoryState, Reply};
use dynomesh_core::id::{Address, AppName, DynoId, GroupId, Host, Index};
use dynomesh_core::map::{Fact, MapView, directory_steps};
use dynomesh_core::time::Span;

use super::owners::Owners;
use crate::engine::World;
use crate::mesh::block::Block;
use crate::part::dyno_id;
use crate::scenario::Setup;
use crate::workload::Draw;

use desk::{Desk, block_name};

/// Everything that is replicated, and the map between its parts.
pub(super) struct Register {
    directory: RefCell<Directory>,
    desks: Box<[Desk]>,
    delay: Draw,
    owners: Rc<Owners>,
}

/// The directory's leader.
struct Directory {
    state: DirectoryState,
    view: MapView,
    log: u64,
}

// === impl Register ===

impl Register {
    /// All dynos are owned by the blocks at `homes`, and everybody knows it.
    pub(super) fn new(setup: &Setup, blocks: &Rc<[Rc<Block>]>, homes: &[usize], owners: &Rc<Owners>) -> Rc<Self> {
        let directory = Directory::new(setup, homes, blocks.len());
        let desks: Box<[Desk]> = blocks.iter().enumerate().map(|(at, block)| Desk::new(at, block)).collect();
        let tell_all = |facts: Vec<Fact>| {
            for desk in &desks {
                facts.iter().for_each(|fact| _ = desk.hear(fact.clone()));
            }
        };
        tell_all(directory.state.facts());
        tell_all(desks.iter().flat_map(Desk::settle).map(Fact::Owned).collect());
        Rc::new(Register { directory: RefCell::new(directory), desks, delay: setup.map_delay, owners: owners.clone() })
    }

    /// The directory assigns a dyno to another block; false if it refuses.
    pub(super) fn assign(self: &Rc<Self>, world: &World, dyno: usize, to: usize) -> bool {
        let fact = self.directory.borrow_mut().assign(dyno_id(dyno), to);
        let assigned = fact.is_some();
        self.tell(world, fact);
        assigned
    }

    /// Sends facts to everybody.
    fn tell(self: &Rc<Self>, world: &World, facts: impl IntoIterator<Item = Fact>) {
        for fact in facts {
            for at in 0..self.desks.len() {
                let (register, clock, delay, fact) = (self.clone(), world.clone(), self.late(world), fact.clone());
                world.spawn(async move {
                    clock.sleep(delay).await;
                    if register.desks[at].hear(fact) {
                        register.act(&clock, at);
                    }
                });
            }
            if let Fact::Released(_) = fact {
                let (register, clock, delay) = (self.clone(), world.clone(), self.late(world));
                world.spawn(async move {
                    clock.sleep(delay).await;
                    let noted = register.directory.borrow_mut().hear(fact);
                    register.tell(&clock, noted);
                });
            }
        }
    }

    fn late(&self, world: &World) -> Span {
        world.chance(|rng| self.delay.draw(rng))
    }

    /// Lets a block do what it should; what it cannot do yet it tries again a little later.
    fn act(self: &Rc<Self>, world: &World, at: usize) {
        let desk = &self.desks[at];
        if desk.block().is_led() {
            let facts = desk.act(world, &self.owners);
            self.tell(world, facts);
        }
        if desk.waits() && desk.watch() {
            let (register, world) = (self.clone(), world.clone());
            world.clone().spawn(async move {
                let desk = &register.desks[at];
                while desk.waits() {
                    world.sleep(desk::LOOK).await;
                    if desk.block().is_led() && desk.has_news() {
                        let facts = desk.act(&world, &register.owners);
                        register.tell(&world, facts);
                    }
                }
                desk.unwatch();
            });
        }
    }
}

// === impl Directory ===

impl Directory {
    fn new(setup: &Setup, homes: &[usize], blocks: usize) -> Self {
        let mut directory = Directory { state: DirectoryState::new(0), view: MapView::new(), log: 0 };
        let name = AppName::new("app").expect("three letters are an app's name");
        let host = Host::new("*").expect("a star is any host");
        let spec = AppSpec { name: name.clone(), hosts: vec![host], policy: Policy { max_conns: setup.max_conns, ..Policy::default() } };
        directory.apply(Command::CreateApp { spec: Box::new(spec) });
        for block in 0..blocks {
            directory.apply(Command::BindBlock { name: block_name(block), group: GroupId(block as u128) });
        }
        for (place, home) in homes.iter().enumerate() {
            let (id, block) = (Some(dyno_id(place)), Some(block_name(*home)));
            directory.apply(Command::AddDyno { id, app: name.clone(), address: address(place), max_conns: None, block });
        }
        directory
    }

    fn apply(&mut self, command: Command) -> Reply {
        self.log += 1;
        self.state.apply(Index(self.log), command)
    }

    fn assign(&mut self, id: DynoId, to: usize) -> Option<Fact> {
        match self.apply(Command::MoveDyno { id, to: block_name(to), why: String::new() }) {
            Reply::Dyno { changed: true, dyno } => dyno.fact().map(Fact::Assigned),
            _ => None,
        }
    }

    /// What is to be told once a fact is heard.
    fn hear(&mut self, fact: Fact) -> Vec<Fact> {
        self.view.absorb(fact);
        let mut facts = Vec::new();
        for command in directory_steps(&self.view, &self.state) {
            let about = match &command {
                Command::Released { dyno, .. } => dyno.clone(),
                _ => continue,
            };
            if let Reply::Done { changed: true, .. } = self.apply(command) {
                facts.extend(self.state.dyno(&about).and_then(|dyno| dyno.fact()).map(Fact::Assigned));
            }
        }
        facts
    }
}

fn address(place: usize) -> Address {
    let number = 0x0a00_0001 + u32::try_from(place).expect("far fewer than 2^32 dynos");
    Address::new(SocketAddr::from((Ipv4Addr::from(number), 3000))).expect("an address in 10.0.0.0/8 with a port is one")
}
