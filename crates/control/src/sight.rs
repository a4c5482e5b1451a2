//! What this replica has seen happen, and when: facts say what is so, not since when.
//!
//! Everything here is soft: it is lost with the process and gathered again, and nothing is decided by it that could be unsafe. Every
//! replica gathers it, so that a new leader need not begin from nothing.
//!
//! How fast the map converges is measured, never assumed: from the moment a change of an assignment is applied here until the block's own word
//! about it has come back. That is a way out, a commit of the block, and a way back, so it is more than convergence and never less.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dynomesh_core::directory::{BlockRecord, DirectoryState, Sighting};
use dynomesh_core::id::{AppName, BlockName, DynoId, Epoch, NodeName, Term};
use dynomesh_core::map::MapView;
use dynomesh_core::map::fact::{LoadFact, NodeFact, NodeRole};
use dynomesh_core::time::{Span, Time};
use dynomesh_runtime::clock::Clock;
use dynomesh_runtime::gossip::{Gossip, Peer};

use crate::directory::Directory;
use crate::standing::{Standing, Watch};

/// Least time between two looks: the error of what is measured.
const PACE: Duration = LOOK_LEAST.to_std();
const LOOK_LEAST: Span = Span::from_millis(5);
/// Longest time between two looks: silence must be noticed too.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A look takes at most this part of the time, however large the mesh is.
const IDLE_PARTS: u32 = 20;
/// Load is smoothed over about this time.
const LOAD_MEMORY: Span = Span::from_secs(30);
/// Measured convergences kept.
const SAMPLES_MAX: usize = 256;
/// Assignments waited for at once; more are not measured.
const PENDING_MAX: usize = 1_024;
/// An assignment not answered for this long measures its block, not the map.
const SAMPLE_MAX: Span = Span::from_secs(10);

/// What is heard at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Mesh {
    pub(crate) view: Arc<MapView>,
    peers: Arc<Vec<Peer>>,
    me: NodeName,
}

/// What this replica has seen happen. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Sight(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    clock: Clock,
    me: NodeName,
    started: Time,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Whether this replica has caught up: what the directory holds by then has always been there.
    begun: bool,
    term: Term,
    /// When the term last changed.
    led: Option<Time>,
    blocks: BTreeMap<BlockName, BlockSeen>,
    dynos: BTreeMap<DynoId, DynoSeen>,
    pending: BTreeMap<DynoId, (Epoch, Time)>,
    samples: VecDeque<Span>,
    loads: BTreeMap<(AppName, BlockName), Smooth>,
    looked: Time,
}

/// Load over time: slots taken and requests waiting.
#[derive(Debug, Clone, Copy)]
struct Smooth {
    used: f64,
    queued: f64,
}

/// What was seen of a block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BlockSeen {
    /// When it was first known; zero if it was known at the start.
    pub(crate) since: Time,
    /// When one of its replicas was last heard.
    pub(crate) heard: Time,
    /// The last word of its leader, and when it came.
    word: (u64, u64),
    spoke: Option<Time>,
}

/// What was seen of a dyno.
#[derive(Debug)]
struct DynoSeen {
    epoch: Epoch,
    block: Option<BlockName>,
    /// When it last went from one block to another.
    moved: Option<Time>,
}

/// What was measured of the map's convergence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Convergence {
    pub(crate) median: Span,
    pub(crate) p99: Span,
    pub(crate) samples: usize,
}

impl Mesh {
    /// What `gossip` hears now, at the process `me`.
    pub(crate) fn new(gossip: &Gossip, me: &NodeName) -> Self {
        Mesh { view: gossip.view(), peers: gossip.peers(), me: me.clone() }
    }

    #[cfg(test)]
    pub(crate) fn alone(view: &MapView) -> Self {
        Mesh { view: Arc::new(view.clone()), peers: Arc::default(), me: NodeName::new("control-1").expect("a sound name") }
    }

    /// Whether a process is heard at present.
    pub(crate) fn hears(&self, node: &NodeName) -> bool {
        *node == self.me || self.peers.binary_search_by(|peer| peer.node.as_str().cmp(node.as_str())).is_ok()
    }

    /// Whether any replica of a block ever spoke of itself.
    pub(crate) fn speaks(&self, block: &BlockRecord) -> bool {
        self.replicas_of(block).next().is_some()
    }

    /// Replicas of a block that are heard at present.
    pub(crate) fn heard_of<'a>(&'a self, block: &'a BlockRecord) -> impl Iterator<Item = &'a NodeFact> {
        self.replicas_of(block).filter(|fact| self.hears(&fact.node))
    }

    fn replicas_of<'a>(&'a self, block: &'a BlockRecord) -> impl Iterator<Item = &'a NodeFact> {
        let of = move |fact: &&NodeFact| match &fact.role {
            NodeRole::Block { block: name, group, .. } => {
                *name == block.name && group.zip(block.group).is_none_or(|(is, bound)| is == bound)
            }
            _ => false,
        };
        self.view.nodes().filter(of)
    }
}

impl Sight {
    /// Nothing seen yet.
    pub(crate) fn new(clock: Clock, me: NodeName) -> Self {
        Sight(Arc::new(Shared { started: clock.now(), clock, me, seen: Mutex::default() }))
    }

    /// When the process started, by the clock of everything seen.
    pub(crate) fn started(&self) -> Time {
        self.0.started
    }

    /// The time now, by the clock of everything seen.
    pub(crate) fn now(&self) -> Time {
        self.0.clock.now()
    }

    /// What is heard now.
    pub(crate) fn mesh(&self, gossip: &Gossip) -> Mesh {
        Mesh::new(gossip, &self.0.me)
    }

    /// What was seen of a block; if nothing was, it counts as heard at the start.
    pub(crate) fn block(&self, name: &BlockName) -> BlockSeen {
        let unseen = BlockSeen { since: Time::ZERO, heard: self.0.started, word: (0, 0), spoke: None };
        self.seen().blocks.get(name).copied().unwrap_or(unseen)
    }

    /// When a dyno last went from one block to another, if that was seen.
    pub(crate) fn moved(&self, dyno: &DynoId) -> Option<Time> {
        self.seen().dynos.get(dyno).and_then(|seen| seen.moved)
    }

    /// What was measured of the map's convergence; `None` before the first change.
    pub(crate) fn convergence(&self) -> Option<Convergence> {
        let mut sorted: Vec<Span> = self.seen().samples.iter().copied().collect();
        sorted.sort_unstable();
        let at = |hundredths: usize| sorted.get((sorted.len() * hundredths / 100).min(sorted.len().saturating_sub(1))).copied();
        Some(Convergence { median: at(50)?, p99: at(99)?, samples: sorted.len() })
    }

    /// What there is to say for and against the eviction of a block.
    pub(crate) fn sighting(&self, block: &BlockRecord, state: &DirectoryState, gossip: &Gossip) -> Sighting {
        let (now, mesh) = (self.now(), self.mesh(gossip));
        let bound = || state.blocks().filter(|block| !block.evicted);
        let edge = |fact: &&NodeFact| matches!(fact.role, NodeRole::Edge { .. }) && mesh.hears(&fact.node);
        let led = self.seen().led.unwrap_or(self.0.started);
        let moving = || state.dynos().any(|dyno| dyno.block().is_some() && !has_arrived(&mesh.view, &dyno.spec.id, dyno.epoch));
        let evicted = state.blocks().find(|other| other.evicted && other.name != block.name).filter(|_| moving());
        Sighting {
            block: block.name.clone(),
            heard: mesh.heard_of(block).map(|fact| fact.node.clone()).collect(),
            spoke: self.block(&block.name).spoke.map(|at| now.since(at)),
            blocks: bound().count(),
            blocks_heard: bound().filter(|block| mesh.heard_of(block).next().is_some()).count(),
            edges_heard: mesh.view.nodes().filter(edge).count(),
            settled: now.since(led.max(self.0.started)),
            other: evicted.map(|other| other.name.clone()),
            evict_after: state.settings().evict_after,
        }
    }

    /// Slots taken and requests waiting of an app in a block, over the last half minute or so: a moment's word is mostly chance.
    pub(crate) fn load(&self, fact: &LoadFact) -> (u32, u32) {
        let smooth = self.seen().loads.get(&(fact.app.clone(), fact.block.clone())).copied();
        smooth.map_or((fact.used, fact.queued), |smooth| (rounded(smooth.used), rounded(smooth.queued)))
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks once.
    fn look(&self, directory: &Directory, gossip: &Gossip, watch: &Watch) {
        let (now, mesh) = (self.now(), self.mesh(gossip));
        let (term, standing) = (watch.role().term, watch.now());
        // Always the directory before what was seen, as all do who look at both: a change of the directory that waits between the two
        // would else hold up each for the other, for ever.
        directory.read(|state| {
            let mut seen = self.seen();
            if seen.term != term {
                (seen.term, seen.led) = (term, Some(now));
            }
            for block in state.blocks() {
                seen.look_at_block(block, &mesh, now, self.0.started);
            }
            seen.look_at_dynos(state, now);
            seen.blocks.retain(|name, _| state.block(name).is_some());
        });
        let mut seen = self.seen();
        seen.begun |= matches!(standing, Standing::Follows | Standing::Leads);
        seen.measure(&mesh.view, now);
        seen.look_at_loads(&mesh.view, now);
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to what fits")]
fn rounded(count: f64) -> u32 {
    count.round().clamp(0.0, f64::from(u32::MAX)) as u32
}

impl Seen {
    fn look_at_block(&mut self, block: &BlockRecord, mesh: &Mesh, now: Time, started: Time) {
        let since = if self.begun { now } else { Time::ZERO };
        let unseen = BlockSeen { since, heard: if self.begun { now } else { started }, word: (0, 0), spoke: None };
        let seen = self.blocks.entry(block.name.clone()).or_insert(unseen);
        let leader = mesh.view.leader(&block.name).filter(|leader| block.group.is_none_or(|group| group == leader.group));
        let word = leader.map_or((0, 0), |leader| (leader.term.0, leader.seq));
        if word > seen.word {
            (seen.word, seen.spoke, seen.heard) = (word, Some(now), now);
        }
        if mesh.heard_of(block).next().is_some() {
            seen.heard = now;
        }
    }

    fn look_at_dynos(&mut self, state: &DirectoryState, now: Time) {
        for dyno in state.dynos() {
            let (id, epoch) = (&dyno.spec.id, dyno.epoch);
            let block = dyno.block().cloned();
            match self.dynos.get_mut(id) {
                Some(known) if known.epoch == epoch => continue,
                Some(known) => {
                    if known.block != block && known.block.is_some() {
                        known.moved = Some(now);
                    }
                    (known.epoch, known.block) = (epoch, block);
                }
                None => drop(self.dynos.insert(id.clone(), DynoSeen { epoch, block, moved: None })),
            }
            if self.begun && dyno.block().is_some() && self.pending.len() < PENDING_MAX {
                self.pending.insert(id.clone(), (epoch, now));
            }
        }
        if self.dynos.len() > state.dynos().len() {
            self.dynos.retain(|id, _| state.dyno(id).is_some());
        }
    }

    fn look_at_loads(&mut self, view: &MapView, now: Time) {
        let passed = now.since(std::mem::replace(&mut self.looked, now));
        let share = passed.as_secs_f64() / (passed + LOAD_MEMORY).as_secs_f64();
        let before = std::mem::take(&mut self.loads);
        for fact in view.all_loads() {
            let key = (fact.app.clone(), fact.block.clone());
            let told = Smooth { used: f64::from(fact.used), queued: f64::from(fact.queued) };
            let smooth = before.get(&key).map_or(told, |known| Smooth {
                used: known.used + (told.used - known.used) * share,
                queued: known.queued + (told.queued - known.queued) * share,
            });
            self.loads.insert(key, smooth);
        }
    }

    /// Takes the time of what has come back since.
    fn measure(&mut self, view: &MapView, now: Time) {
        let samples = &mut self.samples;
        self.pending.retain(|id, (epoch, at)| {
            let took = now.since(*at);
            let answered = answered(view, id, *epoch);
            if answered && took <= SAMPLE_MAX {
                // What came between two looks took as long as one at least.
                samples.push_back(took.max(LOOK_LEAST));
            }
            !answered && took <= SAMPLE_MAX
        });
        let surplus = samples.len().saturating_sub(SAMPLES_MAX);
        samples.drain(..surplus);
    }
}

/// Whether a block has told that it acts on an assignment: the new one owns the dyno, or the old one has let go of it.
fn answered(view: &MapView, id: &DynoId, epoch: Epoch) -> bool {
    let let_go =
        || view.assignment(id).is_some_and(|fact| fact.after.iter().any(|earlier| view.released(id, &earlier.block) >= Some(epoch)));
    has_arrived(view, id, epoch) || let_go()
}

/// Whether a dyno is owned under this epoch or a later one.
pub(crate) fn has_arrived(view: &MapView, id: &DynoId, epoch: Epoch) -> bool {
    view.owner(id).is_some_and(|owner| owner.epoch >= epoch)
}

/// Looks whenever something may have changed, until it is dropped.
pub(crate) async fn run(sight: Sight, directory: Directory, gossip: Gossip, mut watch: Watch) {
    let mut heard = gossip.subscribe();
    loop {
        let begun = tokio::time::Instant::now();
        sight.look(&directory, &gossip, &watch);
        // Capped: a look that was long because the machine is busy must not blind the next ones.
        tokio::time::sleep((begun.elapsed() * IDLE_PARTS).clamp(PACE, LOOK_EVERY)).await;
        tokio::select! {
            () = watch.changed() => {}
            _ = heard.changed() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use dynomesh_core::app::Phase;
    use dynomesh_core::map::Fact;
    use dynomesh_core::map::fact::OwnedFact;

    use super::*;

    fn at(millis: u64) -> Time {
        Time::ZERO + Span::from_millis(millis)
    }

    #[test]
    fn convergence_is_the_time_until_a_block_answers_and_a_silent_block_is_no_measure() {
        let (dyno, block) = (DynoId::new("a").unwrap(), BlockName::new("b1").unwrap());
        let mut seen = Seen::default();
        let mut view = MapView::new();
        seen.pending.insert(dyno.clone(), (Epoch(3), at(0)));
        seen.pending.insert(DynoId::new("silent").unwrap(), (Epoch(4), at(0)));
        seen.measure(&view, at(50));
        assert_eq!((seen.samples.len(), seen.pending.len()), (0, 2));
        let (term, phase) = (Term(1), Phase::Active);
        let owned =
            |epoch| OwnedFact { dyno: dyno.clone(), block: block.clone(), group: None, epoch, term, seq: 1, phase, up: None, in_flight: 0 };
        view.absorb(Fact::Owned(owned(Epoch(2))));
        seen.measure(&view, at(60));
        assert!(seen.samples.is_empty(), "an older word answered");
        view.absorb(Fact::Owned(owned(Epoch(3))));
        seen.measure(&view, at(70));
        assert_eq!(seen.samples, [Span::from_millis(70)]);
        seen.measure(&view, at(20_000));
        assert_eq!((seen.samples.len(), seen.pending.len()), (1, 0), "one that never answers is waited for no longer");
    }
}
