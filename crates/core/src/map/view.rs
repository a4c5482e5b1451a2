//! What one process has seen of the map.
//!
//! A view only grows, by joining facts; it does not forget what it was once told. Copies are cheap and share what has not changed since,
//! so that a process can publish one to its readers after every datagram.
//!
//! Two groups may use one block's name (P5). Once it is known which of them the directory bound, the words of the other count for nothing
//! here: it is no leader of that block, owns nothing, and promises nothing for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::fact::{
    AppFact, AssignedFact, BoundFact, EvictedFact, Fact, LeaderFact, LoadFact, NodeFact, OwnedFact, PREDECESSORS_MAX, ReleasedFact,
    WishFact,
};
use super::join::Join;
use crate::app::check_max_conns;
use crate::id::{AppName, BlockName, DynoId, Epoch, GroupId, NodeName, Version};

/// Longest version that a process may give of its program, in bytes.
const VERSION_LEN_MAX: usize = 64;
/// Most gossip keys that a process may say it has.
const NODE_KEYS_MAX: usize = 8;

/// All facts seen, joined.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MapView {
    apps: Arc<BTreeMap<AppName, AppFact>>,
    assigned: Arc<BTreeMap<DynoId, AssignedFact>>,
    owned: Arc<BTreeMap<DynoId, OwnedFact>>,
    released: Arc<BTreeMap<(DynoId, BlockName), ReleasedFact>>,
    leaders: Arc<BTreeMap<BlockName, LeaderFact>>,
    /// Leaders of groups that are not believed under the name they use.
    strangers: Arc<BTreeMap<(BlockName, GroupId), LeaderFact>>,
    bound: Arc<BTreeMap<BlockName, BoundFact>>,
    loads: Arc<BTreeMap<AppName, BTreeMap<BlockName, LoadFact>>>,
    nodes: Arc<BTreeMap<NodeName, NodeFact>>,
    wishes: Arc<BTreeMap<NodeName, WishFact>>,
    evicted: Arc<BTreeMap<(BlockName, GroupId), EvictedFact>>,
    newest: u64,
}

impl MapView {
    /// A view that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Joins a fact into the view; tells whether that changed anything. A fact that contradicts itself is ignored.
    pub fn absorb(&mut self, fact: Fact) -> bool {
        if !is_sound(&fact) {
            return false;
        }
        self.newest = self.newest.max(stamp(&fact));
        match fact {
            Fact::App(f) => put(&mut self.apps, f.name.clone(), f),
            Fact::Assigned(f) => put(&mut self.assigned, f.dyno.id.clone(), f),
            Fact::Owned(f) => put(&mut self.owned, f.dyno.clone(), f),
            Fact::Released(f) => put(&mut self.released, (f.dyno.clone(), f.block.clone()), f),
            Fact::Leader(f) => self.hear_leader(f),
            Fact::Bound(f) => {
                let name = f.block.clone();
                let changed = put(&mut self.bound, name.clone(), f);
                self.believe(&name) | changed
            }
            Fact::Node(f) => put(&mut self.nodes, f.node.clone(), f),
            Fact::Wish(f) => put(&mut self.wishes, f.node.clone(), f),
            Fact::Evicted(f) => put(&mut self.evicted, (f.block.clone(), f.group), f),
            Fact::Load(f) => {
                let known = self.loads.get(&f.app).and_then(|blocks| blocks.get(&f.block));
                let joined = known.map_or(Some(f.clone()), |known| known.joined(&f));
                let changed = joined.is_some();
                if let Some(joined) = joined {
                    Arc::make_mut(&mut self.loads).entry(f.app).or_default().insert(f.block, joined);
                }
                changed
            }
        }
    }

    /// Apps by name, deleted ones (without a specification) included.
    pub fn apps(&self) -> impl ExactSizeIterator<Item = &AppFact> {
        self.apps.values()
    }

    /// One app.
    pub fn app(&self, name: &AppName) -> Option<&AppFact> {
        self.apps.get(name)
    }

    /// Assignments by dyno, those of removed dynos (to no block) included.
    pub fn assigned(&self) -> impl ExactSizeIterator<Item = &AssignedFact> {
        self.assigned.values()
    }

    /// The assignment of one dyno.
    pub fn assignment(&self, dyno: &DynoId) -> Option<&AssignedFact> {
        self.assigned.get(dyno)
    }

    /// Assignments to one block.
    pub fn assigned_to<'a>(&'a self, block: &'a BlockName) -> impl Iterator<Item = &'a AssignedFact> {
        self.assigned.values().filter(move |fact| fact.block.as_ref() == Some(block))
    }

    /// Owners by dyno, as they last said themselves; one that has released its dyno since is still listed.
    pub fn owned(&self) -> impl ExactSizeIterator<Item = &OwnedFact> {
        self.owned.values()
    }

    /// The owner of one dyno, as it last said itself, unless it is known to speak for another block than its own.
    pub fn owner(&self, dyno: &DynoId) -> Option<&OwnedFact> {
        self.owned.get(dyno).filter(|fact| self.speaks_for(&fact.block, fact.group))
    }

    /// The epoch up to which a block promised never to own a dyno.
    pub fn released(&self, dyno: &DynoId, block: &BlockName) -> Option<Epoch> {
        self.promise(dyno, block).filter(|fact| self.speaks_for(block, fact.group)).map(|fact| fact.epoch)
    }

    /// The promise about a dyno under a block's name, whichever group made it.
    pub fn promise(&self, dyno: &DynoId, block: &BlockName) -> Option<&ReleasedFact> {
        self.released.get(&(dyno.clone(), block.clone()))
    }

    /// Which group a block is, if the directory was heard to say so.
    pub fn bound(&self, block: &BlockName) -> Option<&BoundFact> {
        self.bound.get(block)
    }

    /// All that is known of which group a block is, by name.
    pub fn bindings(&self) -> impl ExactSizeIterator<Item = &BoundFact> {
        self.bound.values()
    }

    /// Whether a group uses a name that is known to be bound to another.
    pub fn is_stranger(&self, block: &BlockName, group: GroupId) -> bool {
        self.bound(block).is_some_and(|bound| bound.group != group)
    }

    /// Whether the words of a group under a block's name count: not if another is known to be that block. One that does not say which
    /// group it is, is taken for it.
    pub fn speaks_for(&self, block: &BlockName, group: Option<GroupId>) -> bool {
        group.is_none_or(|group| !self.is_stranger(block, group))
    }

    /// Leaders by block.
    pub fn leaders(&self) -> impl ExactSizeIterator<Item = &LeaderFact> {
        self.leaders.values()
    }

    /// The leader of one block.
    pub fn leader(&self, block: &BlockName) -> Option<&LeaderFact> {
        self.leaders.get(block)
    }

    /// Leaders of all groups that were ever heard to use a block's name, the believed one first.
    pub fn leaders_under<'a>(&'a self, block: &'a BlockName) -> impl Iterator<Item = &'a LeaderFact> {
        let strangers = self.strangers.iter().filter(move |((name, _), _)| name == block).map(|(_, leader)| leader);
        self.leader(block).into_iter().chain(strangers)
    }

    /// The load of an app in each block that ever told it.
    pub fn loads(&self, app: &AppName) -> impl Iterator<Item = &LoadFact> {
        self.loads.get(app).into_iter().flat_map(BTreeMap::values)
    }

    /// Wishes about processes, by name.
    pub fn wishes(&self) -> impl ExactSizeIterator<Item = &WishFact> {
        self.wishes.values()
    }

    /// Blocks that were evicted.
    pub fn evicted(&self) -> impl ExactSizeIterator<Item = &EvictedFact> {
        self.evicted.values()
    }

    /// Promises of blocks, by dyno and block.
    pub fn promises(&self) -> impl ExactSizeIterator<Item = &ReleasedFact> {
        self.released.values()
    }

    /// Processes, by name, as they last said themselves; one that died since is still listed.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = &NodeFact> {
        self.nodes.values()
    }

    /// One process, as it last said itself.
    pub fn node(&self, name: &NodeName) -> Option<&NodeFact> {
        self.nodes.get(name)
    }

    /// Whether the directory wants a process drained.
    pub fn wants_drained(&self, name: &NodeName) -> bool {
        self.wishes.get(name).is_some_and(|wish| wish.drain)
    }

    /// Blocks that were evicted.
    pub fn evictions(&self) -> impl ExactSizeIterator<Item = &EvictedFact> {
        self.evicted.values()
    }

    /// Whether a block's group was evicted.
    pub fn is_evicted(&self, block: &BlockName, group: GroupId) -> bool {
        self.evicted.contains_key(&(block.clone(), group))
    }

    /// When a block of this name was last evicted, whichever group it was.
    pub fn evicted_at(&self, block: &BlockName) -> Option<Version> {
        let of_name = self.evicted.iter().filter(|((name, _), _)| name == block);
        of_name.map(|(_, fact)| fact.version).max()
    }

    /// The highest stamp of the directory in any word seen: a directory that never gave it out was restored from an older state.
    pub fn newest_stamp(&self) -> u64 {
        self.newest
    }

    /// The load of all apps in all blocks.
    pub fn all_loads(&self) -> impl Iterator<Item = &LoadFact> {
        self.loads.values().flat_map(BTreeMap::values)
    }

    /// Joins a leader's word with those of its group; tells whether that changed anything but for a group that is not believed.
    fn hear_leader(&mut self, fact: LeaderFact) -> bool {
        let first = self.leaders.get(&fact.block).is_none_or(|known| known.group == fact.group);
        if first && !self.is_stranger(&fact.block, fact.group) {
            return put(&mut self.leaders, fact.block.clone(), fact);
        }
        let name = fact.block.clone();
        put(&mut self.strangers, (name.clone(), fact.group), fact);
        self.believe(&name)
    }

    /// Believes the group that a name is bound to, and no other; tells whether that is another than before.
    fn believe(&mut self, block: &BlockName) -> bool {
        let Some(group) = self.bound.get(block).map(|bound| bound.group) else { return false };
        if self.leaders.get(block).is_some_and(|leader| leader.group == group) {
            return false;
        }
        let before = Arc::make_mut(&mut self.leaders).remove(block);
        let now = Arc::make_mut(&mut self.strangers).remove(&(block.clone(), group));
        let changed = before.is_some() || now.is_some();
        if let Some(before) = before {
            Arc::make_mut(&mut self.strangers).insert((block.clone(), before.group), before);
        }
        if let Some(now) = now {
            Arc::make_mut(&mut self.leaders).insert(block.clone(), now);
        }
        changed
    }
}

fn put<K: Ord + Clone, F: Join + Clone>(facts: &mut Arc<BTreeMap<K, F>>, key: K, fact: F) -> bool {
    let joined = match facts.get(&key) {
        None => Some(fact),
        Some(known) => known.joined(&fact),
    };
    let changed = joined.is_some();
    if let Some(joined) = joined {
        Arc::make_mut(facts).insert(key, joined);
    }
    changed
}

/// The stamp of the directory in a word: on its own, and in what blocks say of those they obeyed; 0 where there is none.
fn stamp(fact: &Fact) -> u64 {
    match fact {
        Fact::App(f) => f.version.0,
        Fact::Assigned(f) => f.epoch.0,
        Fact::Wish(f) => f.version.0,
        Fact::Evicted(f) => f.version.0,
        Fact::Bound(f) => f.version.0,
        Fact::Owned(f) => f.epoch.0,
        Fact::Released(f) => f.epoch.0,
        Fact::Leader(_) | Fact::Load(_) | Fact::Node(_) => 0,
    }
}

/// Whether a fact could have been meant: facts come from the network, whoever sealed them.
fn is_sound(fact: &Fact) -> bool {
    match fact {
        Fact::App(f) => f.spec.as_ref().is_none_or(|spec| spec.name == f.name && spec.check().is_ok()),
        Fact::Assigned(f) => {
            let own = |block: &BlockName| f.block.as_ref() == Some(block);
            f.after.len() <= PREDECESSORS_MAX
                && f.after.iter().all(|earlier| earlier.epoch < f.epoch && !own(&earlier.block))
                && check_max_conns(f.dyno.max_conns).is_ok()
        }
        Fact::Leader(f) => f.replicas.iter().any(|replica| replica.id == f.leader),
        Fact::Node(f) => f.version.len() <= VERSION_LEN_MAX && f.keys.len() <= NODE_KEYS_MAX,
        Fact::Owned(_) | Fact::Released(_) | Fact::Load(_) | Fact::Wish(_) | Fact::Evicted(_) | Fact::Bound(_) => true,
    }
}
