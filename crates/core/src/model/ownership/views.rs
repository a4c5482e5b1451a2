//! What a leader may propose, whatever it has heard.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::super::part::Print;
use super::{Mesh, Proposal, World, group};
use crate::block;
use crate::id::{BlockName, DynoId};
use crate::map::fact::AssignedFact;
use crate::map::{Fact, MapView, directory_steps, evicted_steps, steps};

/// A choice of facts about one subject, or about several.
type Heard<'a> = Vec<&'a Fact>;

impl Mesh {
    /// What can be proposed to a block or, under the number after them, the directory: by every leader with every view.
    pub(super) fn proposals(&self, world: &World, to: usize) -> Rc<Vec<Proposal>> {
        let state: Print = world.blocks.get(to).map_or(world.directory.print(), |block| block.print());
        let returned = world.rest.returned.contains(&to);
        let key = (to, returned, state, world.wire.print);
        if let Some(known) = self.proposals.borrow().get(&key) {
            return known.clone();
        }
        let mut all: Vec<Proposal> = Vec::new();
        for mut view in self.views(world, to) {
            if returned {
                self.hear_evicted(world, &mut view);
            }
            let proposed: Vec<Proposal> = match world.blocks.get(to) {
                Some(_) => self.block_steps(&view, world, to).into_iter().map(|command| Proposal::Block(to, command)).collect(),
                None => directory_steps(&view, &world.directory).into_iter().map(Proposal::Directory).collect(),
            };
            for proposal in proposed {
                if !all.contains(&proposal) {
                    all.push(proposal);
                }
            }
        }
        let all = Rc::new(all);
        self.proposals.borrow_mut().insert(key, all.clone());
        all
    }

    /// What a block's leader proposes with this view: nothing else before it has given up what it lost by an eviction.
    pub(super) fn block_steps(&self, view: &MapView, world: &World, nth: usize) -> Vec<block::Command> {
        let (name, state) = (&self.names[nth], &world.blocks[nth]);
        let first = evicted_steps(view, name, group(nth), state);
        if first.is_empty() { steps(view, name, state) } else { first }
    }

    pub(super) fn hear_evicted(&self, world: &World, view: &mut MapView) {
        for fact in world.wire.facts().filter(|fact| matches!(fact, Fact::Evicted(_))) {
            view.absorb(fact.clone());
        }
    }

    /// Every view that differs in what the receiver's rules read: for the directory promises, for a block all but its own promises.
    fn views(&self, world: &World, to: usize) -> Vec<MapView> {
        let mut subjects: BTreeMap<&DynoId, About<'_>> = BTreeMap::new();
        for fact in world.wire.facts() {
            match fact {
                Fact::Assigned(about) => subjects.entry(&about.dyno.id).or_default().assigned.push((fact, about)),
                Fact::Owned(about) => subjects.entry(&about.dyno).or_default().owned.push(fact),
                Fact::Released(about) => subjects.entry(&about.dyno).or_default().released.entry(&about.block).or_default().push(fact),
                _ => {}
            }
        }
        let mut heard: Vec<Heard<'_>> = vec![Vec::new()];
        for about in subjects.into_values() {
            heard = times(&heard, &if to < self.names.len() { about.to_block() } else { about.to_directory() });
        }
        heard.into_iter().map(joined).collect()
    }
}

/// All facts about one dyno.
#[derive(Default)]
struct About<'a> {
    assigned: Vec<(&'a Fact, &'a AssignedFact)>,
    owned: Vec<&'a Fact>,
    released: BTreeMap<&'a BlockName, Vec<&'a Fact>>,
}

impl<'a> About<'a> {
    fn to_directory(&self) -> Vec<Heard<'a>> {
        self.released.values().fold(vec![Vec::new()], |heard, facts| times(&heard, &one_or_none(facts)))
    }

    /// Promises are read only of blocks that the assignment waits for.
    fn to_block(&self) -> Vec<Heard<'a>> {
        let mut all = Vec::new();
        for (fact, assigned) in &self.assigned {
            let mut heard = times(&[vec![*fact]], &one_or_none(&self.owned));
            for earlier in &assigned.after {
                let promises = self.released.get(&earlier.block).map(Vec::as_slice).unwrap_or_default();
                heard = times(&heard, &one_or_none(promises));
            }
            all.extend(heard);
        }
        all.extend(one_or_none(&self.owned));
        all
    }
}

fn one_or_none<'a>(facts: &[&'a Fact]) -> Vec<Heard<'a>> {
    facts.iter().map(|fact| vec![*fact]).chain([Vec::new()]).collect()
}

fn times<'a>(some: &[Heard<'a>], others: &[Heard<'a>]) -> Vec<Heard<'a>> {
    some.iter().flat_map(|one| others.iter().map(move |other| [one.as_slice(), other].concat())).collect()
}

fn joined(heard: Heard<'_>) -> MapView {
    let mut view = MapView::new();
    for fact in heard {
        view.absorb(fact.clone());
    }
    view
}
