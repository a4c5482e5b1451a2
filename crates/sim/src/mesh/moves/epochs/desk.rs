//! What one block's leader knows of the map, what its group has agreed on, and how the one follows from the other.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use dynomesh_core::app::Phase;
use dynomesh_core::balance::DynoShape;
use dynomesh_core::block::{BlockState, Command, Reply};
use dynomesh_core::id::{BlockName, DynoId, Epoch, Index, SlotId, Term};
use dynomesh_core::map::fact::{OwnedFact, ReleasedFact};
use dynomesh_core::map::{Fact, MapView, steps};
use dynomesh_core::time::Span;

use crate::engine::World;
use crate::mesh::block::Block;
use crate::mesh::moves::owners::Owners;
use crate::part::place_of;

/// Between two looks at whether slots have come free or a leader was elected.
pub(super) const LOOK: Span = Span::from_millis(5);

/// See the module's doc.
pub(super) struct Desk {
    name: BlockName,
    block: Rc<Block>,
    view: RefCell<MapView>,
    state: RefCell<BlockState>,
    log: Cell<u64>,
    /// Whether something was heard that is not acted on yet, since there was no leader.
    unheeded: Cell<bool>,
    watched: Cell<bool>,
}

/// The name of the block at a place.
pub(super) fn block_name(at: usize) -> BlockName {
    BlockName::new(&format!("b{at}")).expect("a letter and digits are a block's name")
}

impl Desk {
    pub(super) fn new(at: usize, block: &Rc<Block>) -> Self {
        Desk {
            name: block_name(at),
            block: block.clone(),
            view: RefCell::default(),
            state: RefCell::default(),
            log: Cell::new(0),
            unheeded: Cell::new(false),
            watched: Cell::new(false),
        }
    }

    pub(super) fn block(&self) -> &Block {
        &self.block
    }

    // === when to act ===

    /// Takes note of a fact; whether it is news about a dyno that this block has to do with.
    pub(super) fn hear(&self, fact: Fact) -> bool {
        let dyno = match &fact {
            Fact::Assigned(fact) => Some(fact.dyno.id.clone()),
            Fact::Owned(fact) => Some(fact.dyno.clone()),
            Fact::Released(fact) => Some(fact.dyno.clone()),
            _ => None,
        };
        let news = self.view.borrow_mut().absorb(fact) && dyno.is_some_and(|dyno| self.is_party(&dyno));
        self.unheeded.set(self.unheeded.get() || news);
        news
    }

    fn is_party(&self, dyno: &DynoId) -> bool {
        let (view, state) = (self.view.borrow(), self.state.borrow());
        let named = view.assignment(dyno).is_some_and(|assigned| {
            assigned.block.as_ref() == Some(&self.name) || assigned.after.iter().any(|earlier| earlier.block == self.name)
        });
        named || state.dyno(dyno).is_some() || state.promise(dyno).is_some()
    }

    /// Whether there is more to do as soon as there is a leader or slots are free.
    pub(super) fn waits(&self) -> bool {
        self.unheeded.get() || self.state.borrow().slots().len() > 0
    }

    /// Whether acting now may come to something; gives back the slots of draining dynos whose requests are over.
    pub(super) fn has_news(&self) -> bool {
        self.give_back() || self.unheeded.get()
    }

    /// Whether nobody watches this desk yet; from now on somebody does.
    pub(super) fn watch(&self) -> bool {
        !self.watched.replace(true)
    }

    pub(super) fn unwatch(&self) {
        self.watched.set(false);
    }

    // === acting ===

    /// Brings the state to what the view asks for, without a word to anybody; what is owned then. For the start of a world.
    pub(super) fn settle(&self) -> Vec<OwnedFact> {
        self.rounds(|command| self.apply(command.clone()) == Reply::Done);
        self.state.borrow().dynos().map(|dyno| self.owned(&dyno.spec.id, dyno.epoch)).collect()
    }

    /// Does all that the view asks for now; what the others must hear of it.
    pub(super) fn act(&self, world: &World, owners: &Owners) -> Vec<Fact> {
        let mut facts = Vec::new();
        self.give_back();
        self.rounds(|command| {
            let (changed, fact) = self.perform(world, owners, command);
            facts.extend(fact);
            changed
        });
        facts
    }

    /// Proposes what the production rules say until they say nothing that changes anything.
    fn rounds(&self, mut propose: impl FnMut(&Command) -> bool) {
        self.unheeded.set(false);
        loop {
            let commands = steps(&self.view.borrow(), &self.name, &self.state.borrow());
            let mut changed = false;
            for command in &commands {
                changed |= propose(command);
            }
            if !changed {
                return;
            }
        }
    }

    fn perform(&self, world: &World, owners: &Owners, command: &Command) -> (bool, Option<Fact>) {
        let of = |dyno: &DynoId| self.state.borrow().dyno(dyno).map(|own| (own.epoch, own.phase, own.spec.max_conns));
        let (now, before) = (world.now(), subject(command).and_then(of));
        let was_draining = u32::from(before.is_some_and(|(_, phase, _)| phase == Phase::Draining));
        if let (Command::Drain { dyno, .. }, Some((epoch, ..))) = (command, before) {
            self.count_slots(dyno, epoch);
        }
        if self.apply(command.clone()) != Reply::Done {
            return (false, None);
        }
        let fact = match command {
            Command::Drain { dyno, epoch, .. } => {
                let max_conns = before.map_or(0, |(.., max_conns)| max_conns);
                owners.change(now, place_of(dyno), |dyno| dyno.draining += 1);
                self.block.admit(world, place_of(dyno), DynoShape { max_conns, epoch: *epoch, phase: Phase::Draining });
                None
            }
            Command::Release { dyno, epoch } => {
                if before.is_some() {
                    owners
                        .change(now, place_of(dyno), |dyno| (dyno.owners, dyno.draining) = (dyno.owners - 1, dyno.draining - was_draining));
                    self.block.dismiss(place_of(dyno));
                }
                let epoch = self.state.borrow().promise(dyno).unwrap_or(*epoch);
                Some(Fact::Released(ReleasedFact { dyno: dyno.clone(), block: self.name.clone(), group: None, epoch }))
            }
            Command::Adopt(adopt) => {
                let (spec, epoch, new) = (&adopt.spec, adopt.epoch, u32::from(before.is_none()));
                owners.change(now, place_of(&spec.id), |dyno| {
                    (dyno.owners, dyno.draining) = (dyno.owners + new, dyno.draining - was_draining)
                });
                self.block.admit(world, place_of(&spec.id), DynoShape { max_conns: spec.max_conns, epoch, phase: Phase::Active });
                Some(Fact::Owned(self.owned(&spec.id, epoch)))
            }
            _ => None,
        };
        (true, fact)
    }

    /// Writes the slots that a dyno has in the ledger into the state.
    fn count_slots(&self, dyno: &DynoId, epoch: Epoch) {
        for slot in self.block.slots_at(place_of(dyno)) {
            self.apply(Command::Grant { slot, dyno: dyno.clone(), epoch, span: Span::from_secs(60) });
        }
    }

    /// Frees what is free in the ledger; whether anything was.
    fn give_back(&self) -> bool {
        let gone = |slot: &SlotId| !self.block.has_slot(*slot);
        let slots: Vec<SlotId> = self.state.borrow().slots().map(|(slot, _)| slot).filter(gone).collect();
        let any = !slots.is_empty();
        if any {
            self.apply(Command::Free { slots });
        }
        any
    }

    fn apply(&self, command: Command) -> Reply {
        self.log.set(self.log.get() + 1);
        self.state.borrow_mut().apply(Index(self.log.get()), command)
    }

    fn owned(&self, dyno: &DynoId, epoch: Epoch) -> OwnedFact {
        let (dyno, block, term, phase) = (dyno.clone(), self.name.clone(), Term(1), Phase::Active);
        OwnedFact { dyno, block, group: None, epoch, term, seq: self.log.get(), phase, up: None, in_flight: 0 }
    }
}

/// The dyno that a command is about.
fn subject(command: &Command) -> Option<&DynoId> {
    match command {
        Command::Adopt(adopt) => Some(&adopt.spec.id),
        Command::Drain { dyno, .. } | Command::Release { dyno, .. } | Command::Forget { dyno, .. } => Some(dyno),
        _ => None,
    }
}
