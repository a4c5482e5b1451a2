//! Who wants what: a fact travels under topics, and a node says which topics it wants.
//!
//! What every node needs is under `mesh`. Load is under `load`, for edges and control, and under `load/NAME` of its block, for the replicas
//! of that block: two nodes compare what both want, so an edge can learn a load from those alone whom it concerns, without control and
//! without a second edge. What concerns one dyno is under the blocks it concerns, so that a hundred thousand dynos are not told to
//! everybody. Nothing that is right depends on the topics being exact: control wants everything and hands on what it has, and whoever
//! holds an older word of a fact is given the newer one, whatever its topics.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::exchange::Scope;
use crate::id::{BlockName, DynoId, Version};
use crate::map::{Fact, MapView};
use crate::time::Span;

/// Most topics of one fact: an assignment has its block and at most four predecessors, a dyno's other facts one more.
pub const TOPICS_MAX: usize = 8;
/// Longest topic, in bytes.
pub const TOPIC_LEN_MAX: usize = 80;
/// Most topics that a node may want.
pub const WANTED_MAX: usize = 16;
/// How the interest in everything is written.
const EVERYTHING: &str = "*";
/// How the load of one block begins.
const LOAD_OF: &str = "load/";

/// One topic: `mesh`, `load`, `load/NAME`, or `block/NAME`. Others may come with later versions and are as good as a block's.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Topic(Arc<str>);

impl Topic {
    /// What every node wants.
    pub fn mesh() -> Self {
        Topic("mesh".into())
    }

    /// Load, for those who choose by it.
    pub fn load() -> Self {
        Topic("load".into())
    }

    /// The load of one block, for its replicas.
    pub fn load_of(name: &BlockName) -> Self {
        Topic(format!("{LOAD_OF}{name}").into())
    }

    /// What concerns the dynos of one block.
    pub fn block(name: &BlockName) -> Self {
        Topic(format!("block/{name}").into())
    }

    /// Reads a topic, from whomever.
    pub fn read(text: &str) -> Option<Self> {
        let sound =
            !text.is_empty() && text.len() <= TOPIC_LEN_MAX && text != EVERYTHING && text.bytes().all(|byte| byte.is_ascii_graphic());
        sound.then(|| Topic(text.into()))
    }

    /// The topic as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn scope(&self) -> Scope {
        match &*self.0 {
            "mesh" => Scope::Mesh,
            "load" => Scope::Load,
            part if part.starts_with(LOAD_OF) => Scope::Load,
            _ => Scope::Private,
        }
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The topics a node wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub enum Interest {
    /// Every fact there is: control, and whoever is in doubt.
    Everything,
    /// Facts under one of these.
    Topics(BTreeSet<Topic>),
}

impl Interest {
    /// What an edge routes by: apps, leaders and load, but nothing about single dynos.
    pub fn edge() -> Self {
        Interest::Topics([Topic::mesh(), Topic::load()].into())
    }

    /// What a replica of `block` acts upon: apps, leaders, and the dynos that concern the block; and its load, for others to learn from it.
    pub fn block(block: &BlockName) -> Self {
        Interest::Topics([Topic::mesh(), Topic::block(block), Topic::load_of(block)].into())
    }

    /// Whether facts under `topic` are wanted.
    pub fn wants(&self, topic: &Topic) -> bool {
        match self {
            Interest::Everything => true,
            Interest::Topics(topics) => topics.contains(topic),
        }
    }

    /// What both want.
    pub(super) fn shared(&self, other: &Interest) -> Interest {
        match (self, other) {
            (Interest::Everything, wanted) | (wanted, Interest::Everything) => wanted.clone(),
            (Interest::Topics(one), Interest::Topics(two)) => {
                let within = |part: &&Topic, whole: &BTreeSet<Topic>| part.scope() == Scope::Load && whole.contains(&Topic::load());
                let of_one = one.iter().filter(|topic| two.contains(*topic) || within(topic, two));
                let of_two = two.iter().filter(|topic| within(topic, one));
                Interest::Topics(of_one.chain(of_two).cloned().collect())
            }
        }
    }

    /// Whether all of `scope` is wanted, not only a part of it.
    pub(super) fn has_all(&self, scope: Scope) -> bool {
        match (self, scope) {
            (Interest::Everything, _) => true,
            (Interest::Topics(topics), Scope::Mesh) => topics.contains(&Topic::mesh()),
            (Interest::Topics(topics), Scope::Load) => topics.contains(&Topic::load()),
            (Interest::Topics(_), Scope::Private) => false,
        }
    }

    /// Whether anything of `scope` is wanted.
    pub(super) fn has(&self, scope: Scope) -> bool {
        match self {
            Interest::Everything => true,
            Interest::Topics(topics) => topics.iter().any(|topic| topic.scope() == scope),
        }
    }
}

impl TryFrom<Vec<String>> for Interest {
    type Error = String;
    fn try_from(texts: Vec<String>) -> Result<Self, String> {
        if texts.len() > WANTED_MAX {
            return Err(format!("{} topics are more than {WANTED_MAX}", texts.len()));
        }
        if texts.iter().any(|text| text == EVERYTHING) {
            return Ok(Interest::Everything);
        }
        let read = |text: &String| Topic::read(text).ok_or_else(|| format!("{text:?} is not a topic"));
        texts.iter().map(read).collect::<Result<_, _>>().map(Interest::Topics)
    }
}

impl From<Interest> for Vec<String> {
    fn from(interest: Interest) -> Self {
        match interest {
            Interest::Everything => vec![EVERYTHING.into()],
            Interest::Topics(topics) => topics.iter().map(|topic| topic.as_str().into()).collect(),
        }
    }
}

/// The topics of `fact`, as its publisher knows them from its own view. They may grow when the view does. A kind that is not named here
/// concerns the whole mesh.
pub fn topics(fact: &Fact, view: &MapView) -> Vec<Topic> {
    let mut topics = match fact {
        Fact::Assigned(f) => {
            let blocks = f.block.iter().chain(f.after.iter().map(|earlier| &earlier.block));
            blocks.map(Topic::block).collect()
        }
        Fact::Owned(f) => about(&f.dyno, &f.block, view),
        Fact::Released(f) => about(&f.dyno, &f.block, view),
        Fact::Load(f) => vec![Topic::load(), Topic::load_of(&f.block)],
        // How a process stands goes to all, though control alone asks: what its author does not want itself is compared with few, and a
        // lost rumour would stay lost with all others.
        _ => vec![Topic::mesh()],
    };
    topics.sort();
    topics.dedup();
    topics.truncate(TOPICS_MAX);
    topics
}

/// A word of `block` about `dyno` concerns that block, the one that shall have the dyno, and those that had it before.
fn about(dyno: &DynoId, block: &BlockName, view: &MapView) -> Vec<Topic> {
    let assigned = view.assignment(dyno).into_iter();
    let others = assigned.flat_map(|assigned| assigned.block.iter().chain(assigned.after.iter().map(|earlier| &earlier.block)));
    [block].into_iter().chain(others).map(Topic::block).collect()
}

/// Whether a fact will soon be followed by another: it waits for the next round, goes to few, and a lost one is not asked for at once.
pub fn is_soft(fact: &Fact) -> bool {
    matches!(fact, Fact::Load(_) | Fact::Node(_))
}

/// When a fact was said that stands for as long as any node holds it, be its publisher gone for good: the eviction of a block. Who was away
/// meanwhile must hear of it whenever it returns, from whomever (P16).
pub fn lasting(fact: &Fact) -> Option<Version> {
    match fact {
        Fact::Evicted(fact) => Some(fact.version),
        _ => None,
    }
}

/// Least time between two words about the load of one app in one block, in a mesh of so many nodes: every block tells every edge, so the
/// pause grows with the mesh and what an edge receives does not.
pub fn load_pause(nodes: usize) -> Span {
    Span::from_millis(10).times(nodes as u64).max(Span::from_millis(200))
}

/// Least time between two words about the requests in flight at one dyno. Only control reads them, of all dynos of the mesh: ten times
/// the pause of load once the mesh is larger than a few machines.
pub fn count_pause(nodes: usize) -> Span {
    let pause = load_pause(nodes);
    if nodes <= 20 { pause } else { pause.times(10) }
}
