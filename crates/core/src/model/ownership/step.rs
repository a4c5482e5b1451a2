//! What can happen next.

use super::{Instance, Mesh, Proposal, Word, World, app, dyno, group, slot};
use crate::app::Phase;
use crate::block::{self, Reply};
use crate::directory::{self, Place};
use crate::id::{Address, DynoId, SlotId};
use crate::map::{MapView, evicted_steps};
use crate::planted;
use crate::time::Span;

/// Something that happens.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// An operator speaks. The number is that of the block spoken of.
    Operator(directory::Command, Option<usize>),
    /// A proposal is applied.
    Land(Proposal),
    /// A proposal is put aside.
    Aside(Proposal),
    /// A proposal that was put aside is applied.
    Late(usize),
    /// A block sends a request to a dyno.
    Send(usize, DynoId),
    /// A request ends at its dyno.
    End(SlotId),
    /// A slot whose request is over is given back.
    Free(usize, SlotId),
    /// A block stops.
    Stop(usize),
    /// A stopped block comes back.
    Return(usize),
}

impl Mesh {
    /// Everything that can happen now.
    pub(super) fn steps(&self, world: &World) -> Vec<Step> {
        let mut steps = Vec::new();
        if world.rest.words > 0 {
            self.operator(world, &mut steps);
        }
        self.stops(world, &mut steps);
        for to in (0..=self.names.len()).filter(|to| !world.rest.stopped.contains(to)) {
            for proposal in self.proposals(world, to).iter() {
                steps.push(Step::Land(proposal.clone()));
                if world.rest.asides > 0 {
                    steps.push(Step::Aside(proposal.clone()));
                }
            }
        }
        let lands = |proposal: &Proposal| !matches!(proposal, Proposal::Block(nth, _) if world.rest.stopped.contains(nth));
        steps.extend((0..world.rest.late.len()).filter(|nth| lands(&world.rest.late[*nth])).map(Step::Late));
        self.requests(world, &mut steps);
        steps
    }

    fn operator(&self, world: &World, steps: &mut Vec<Step>) {
        let Instance { blocks, dynos, one_address, may, .. } = self.instance;
        let targets = 0..blocks.min(world.rest.named + 1);
        for nth in 0..dynos {
            let id = dyno(nth);
            let known = world.directory.dyno(&id).filter(|known| known.place != Place::Removed);
            for target in targets.clone() {
                let to = self.names[target].clone();
                let command = match known {
                    Some(known) if known.block() == Some(&to) => continue,
                    Some(_) => directory::Command::MoveDyno { id: id.clone(), to, why: String::new() },
                    None => {
                        let address = address(if one_address { 0 } else { nth });
                        directory::Command::AddDyno { id: Some(id.clone()), app: app().name, address, max_conns: Some(1), block: Some(to) }
                    }
                };
                steps.push(Step::Operator(command, Some(target)));
            }
            if known.is_some() && may.contains(&Word::Drain) {
                steps.push(Step::Operator(directory::Command::DrainDyno { id: id.clone(), cut: None }, None));
            }
            if known.is_some() && may.contains(&Word::Undrain) {
                steps.push(Step::Operator(directory::Command::UndrainDyno { id: id.clone() }, None));
            }
            if known.is_some() && may.contains(&Word::Remove) {
                steps.push(Step::Operator(directory::Command::RemoveDyno { id, force: true }, None));
            }
        }
    }

    /// A block stops, comes back, or is evicted, which is the operator's word that it dispatches nothing and that nothing of it runs.
    fn stops(&self, world: &World, steps: &mut Vec<Step>) {
        let may = |word| self.instance.may.contains(&word);
        if !may(Word::Evict) {
            return;
        }
        for (nth, name) in self.names.iter().enumerate() {
            let evicted = world.directory.block(name).is_some_and(|block| block.evicted);
            let stopped = world.rest.stopped.contains(&nth);
            let runs = world.rest.running.keys().any(|slot| slot.holder == super::slot(nth, 0).holder);
            let fenced = (stopped && !runs) || planted::EVICT_WITHOUT_FENCE;
            if !stopped && !evicted && world.rest.stopped.is_empty() && world.rest.returned.is_empty() {
                steps.push(Step::Stop(nth));
            }
            if stopped && (!evicted || may(Word::Return)) {
                steps.push(Step::Return(nth));
            }
            if fenced && !evicted && world.rest.words > 0 {
                let command = directory::Command::EvictBlock { name: name.clone(), proof: directory::Proof::Operator };
                steps.push(Step::Operator(command, None));
            }
        }
    }

    fn requests(&self, world: &World, steps: &mut Vec<Step>) {
        steps.extend(world.rest.running.keys().map(|slot| Step::End(*slot)));
        for (nth, block) in world.blocks.iter().enumerate().filter(|(nth, _)| !world.rest.stopped.contains(nth)) {
            for record in block.dynos().filter(|record| world.rest.requests > 0 && record.phase == Phase::Active) {
                steps.push(Step::Send(nth, record.spec.id.clone()));
                if world.rest.asides > 0 {
                    steps.push(Step::Aside(grant(world, nth, &record.spec.id)));
                }
            }
            let over = block.slots().map(|(slot, _)| slot).filter(|slot| !world.rest.running.contains_key(slot));
            steps.extend(over.map(|slot| Step::Free(nth, slot)));
        }
    }

    /// The world after a step.
    pub(super) fn take(&self, world: &World, step: Step) -> (Step, World) {
        let mut next = world.clone();
        match step.clone() {
            Step::Operator(command, named) => {
                next.rest.words -= 1;
                next.rest.named = next.rest.named.max(named.map_or(0, |nth| nth + 1));
                self.decide(&mut next, command);
            }
            Step::Land(proposal) => drop(self.land(&mut next, proposal)),
            Step::Aside(proposal) => {
                next.rest.asides -= 1;
                if matches!(proposal, Proposal::Block(_, block::Command::Grant { .. })) {
                    next.rest.requests -= 1;
                }
                next.rest.late.push(proposal);
            }
            Step::Late(nth) => {
                // Its proposer has given up on it: a slot that is granted now is never used.
                let proposal = next.rest.late.remove(nth);
                self.land(&mut next, proposal);
            }
            Step::Send(nth, id) => self.send(&mut next, nth, id),
            Step::End(slot) => drop(next.rest.running.remove(&slot)),
            Step::Stop(nth) => drop(next.rest.stopped.insert(nth)),
            Step::Return(nth) => self.come_back(&mut next, nth),
            Step::Free(nth, slot) => drop(self.apply(&mut next, nth, block::Command::Free { slots: vec![slot] })),
        }
        (step, next)
    }

    /// A block goes on where it stopped; one that was evicted hears of that first.
    fn come_back(&self, world: &mut World, nth: usize) {
        world.rest.stopped.remove(&nth);
        if world.directory.block(&self.names[nth]).is_some_and(|block| block.evicted) {
            world.rest.returned.insert(nth);
            let mut view = MapView::new();
            self.hear_evicted(world, &mut view);
            for command in evicted_steps(&view, &self.names[nth], group(nth), &world.blocks[nth]) {
                self.apply(world, nth, command);
            }
        }
    }

    fn land(&self, world: &mut World, proposal: Proposal) -> Option<Reply> {
        match proposal {
            Proposal::Directory(command) => {
                self.decide(world, command);
                None
            }
            Proposal::Block(nth, command) => Some(self.apply(world, nth, command)),
        }
    }

    fn send(&self, world: &mut World, nth: usize, id: DynoId) {
        let proposal = grant(world, nth, &id);
        let Proposal::Block(_, block::Command::Grant { slot, epoch, .. }) = proposal else { unreachable!("a grant is one") };
        world.rest.requests -= 1;
        if self.land(world, proposal) == Some(Reply::Granted) {
            let sent = world.rest.sent.entry(id.clone()).or_insert(epoch);
            if *sent > epoch {
                world.rest.went_back = Some((id.clone(), epoch));
            }
            *sent = epoch;
            world.rest.running.insert(slot, id);
        }
    }
}

/// The next grant that the leader of a block would propose.
fn grant(world: &World, nth: usize, id: &DynoId) -> Proposal {
    let epoch = world.blocks[nth].dyno(id).map_or_else(Default::default, |record| record.epoch);
    let slot = slot(nth, world.rest.requests);
    Proposal::Block(nth, block::Command::Grant { slot, dyno: id.clone(), epoch, span: Span::from_secs(60) })
}

pub(super) fn address(nth: usize) -> Address {
    format!("10.0.0.1:{}", 3000 + nth).parse().unwrap()
}
