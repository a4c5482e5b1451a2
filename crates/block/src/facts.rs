//! What this replica says in the map: what the group decided, while it leads; how it stands itself, always.

use std::collections::{BTreeMap, BTreeSet};

use dynomesh_consensus::{Role, State};
use dynomesh_core::block::DynoRecord;
use dynomesh_core::gossip::{count_pause, load_pause};
use dynomesh_core::id::{Address, AppName, DynoId, Epoch, GroupId, Term, Zone};
use dynomesh_core::map::fact::{AppFact, AssignedFact, LeaderFact, LoadFact, NodeRole, NodeState, OwnedFact, ReleasedFact, ReplicaFact};
use dynomesh_core::map::{Fact, MapView, NodeTelling};
use dynomesh_core::time::Time;
use dynomesh_runtime::gossip::Gossip;

use crate::grant::{DynoReport, Load, Right, Shared};

/// The voice of this replica.
pub(crate) struct Voice {
    telling: NodeTelling,
    zone: Option<Zone>,
    http: Address,
    grpc: Address,
    /// Whether it has ever been able to do its job.
    served: bool,
    said: Said,
}

/// What was said last as a leader, so that only changes are said.
#[derive(Default)]
struct Said {
    seq: u64,
    term: Term,
    loads_at: Time,
    counts_at: Time,
    owned: BTreeMap<DynoId, (DynoReport, OwnedFact)>,
    loads: BTreeMap<AppName, (Load, LoadFact)>,
    leader: Option<LeaderFact>,
}

// === impl Voice ===

impl Voice {
    /// A replica in `zone` that edges reach at `http` and its peers at `grpc`.
    pub(crate) fn new(telling: NodeTelling, zone: Option<Zone>, http: Address, grpc: Address) -> Self {
        Voice { telling, zone, http, grpc, served: false, said: Said::default() }
    }

    /// All that is to be said now: of itself, and while it leads of the block.
    pub(crate) fn facts(&mut self, shared: &Shared, gossip: &Gossip, wanted_drained: bool) -> Vec<Fact> {
        let nodes = gossip.peers().len() + 1;
        self.telling.hear(&gossip.keys(), nodes);
        let mut facts = self.leaders_facts(shared, &gossip.view(), nodes);
        facts.push(self.node(shared, wanted_drained));
        facts
    }

    fn node(&mut self, shared: &Shared, wanted_drained: bool) -> Fact {
        let leads = shared.replica().role().borrow().is_ready_leader();
        let running = shared.router().running();
        self.served |= crate::readiness(shared).ready;
        let role = NodeRole::Block {
            block: shared.block.clone(),
            group: shared.replica().group(),
            replica: shared.replica().id(),
            http: self.http,
            grpc: self.grpc,
            leads,
        };
        let state = NodeState::of(self.served, wanted_drained, leads || running > 0);
        let in_flight = u32::try_from(running).unwrap_or(u32::MAX);
        Fact::Node(self.telling.tell(shared.clock.now(), state, in_flight, role))
    }

    fn leaders_facts(&mut self, shared: &Shared, view: &MapView, nodes: usize) -> Vec<Fact> {
        let role = shared.replica().role().borrow().clone();
        let Some(group) = shared.replica().group() else { return Vec::new() };
        let (Some(term), State::Leader { ready: true }) = (shared.router().leads(), &role.state) else {
            self.said = Said::default();
            return Vec::new();
        };
        if self.said.term != term {
            self.said = Said { term, ..Said::default() };
        }
        // Of a block that it is not it says nothing but that it uses the name.
        if view.is_stranger(&shared.block, group) {
            return leader_fact(shared, &role, group, self.zone.as_ref(), &mut self.said).into_iter().collect();
        }
        let now = shared.clock.now();
        let (loads_due, counts_due) = self.said.due(now, nodes);
        let Owned { evicted, mut facts, dynos, loads } = owned(shared, group, now);
        // The name is another group's by now, or will be: only what helps its dynos on is said any more.
        if !evicted {
            facts.extend(leader_fact(shared, &role, group, self.zone.as_ref(), &mut self.said));
            // A directory that was lost is to bind no other group under this name.
            facts.extend(view.bound(&shared.block).cloned().map(Fact::Bound));
        }
        facts.extend(dynos.into_iter().map(|report| dyno_fact(shared, group, report, &mut self.said, counts_due)));
        facts.extend(loads.into_iter().map(|(app, load)| load_fact(shared, app, load, &mut self.said, loads_due)));
        facts
    }
}

impl Said {
    /// Whether load, and in-flight counts, may be told again: the larger the mesh, the more rarely.
    fn due(&mut self, now: Time, nodes: usize) -> (bool, bool) {
        let (loads, counts) = (now.since(self.loads_at) >= load_pause(nodes), now.since(self.counts_at) >= count_pause(nodes));
        if loads {
            self.loads_at = now;
        }
        if counts {
            self.counts_at = now;
        }
        (loads, counts)
    }
}

/// What the router knows, taken in one look.
struct Owned {
    evicted: bool,
    /// Those that need no comparison with what was said.
    facts: Vec<Fact>,
    dynos: Vec<DynoReport>,
    loads: Vec<(AppName, Load)>,
}

fn owned(shared: &Shared, group: GroupId, now: Time) -> Owned {
    let router = shared.router();
    let state = router.state();
    let evicted = router.right() == Right::Evicted;
    let promise =
        |(dyno, epoch): (&DynoId, Epoch)| ReleasedFact { dyno: dyno.clone(), block: shared.block.clone(), group: Some(group), epoch };
    let mut facts: Vec<Fact> = state.released().map(|released| Fact::Released(promise(released))).collect();
    if !evicted {
        // Only apps in use: a block that missed the end of an app's tombstone must not bring the app back to edges that are new.
        let used: BTreeSet<&AppName> = state.dynos().map(|record| &record.spec.app).collect();
        let apps = state.apps().filter(|record| used.contains(&record.spec.name));
        let apps = apps.map(|record| AppFact { name: record.spec.name.clone(), version: record.version, spec: Some(record.spec.clone()) });
        facts.extend(apps.map(Fact::App));
        facts.extend(state.dynos().map(|record| assigned_fact(shared, record)));
    }
    Owned { evicted, facts, dynos: router.dynos(), loads: router.loads(now) }
}

/// The assignment that a dyno was adopted by, said again: a directory that was lost is recovered from it.
fn assigned_fact(shared: &Shared, record: &DynoRecord) -> Fact {
    let DynoRecord { spec, epoch, drain, cut, .. } = record.clone();
    Fact::Assigned(AssignedFact { dyno: spec, epoch, block: Some(shared.block.clone()), drain, after: Vec::new(), cut })
}

fn leader_fact(shared: &Shared, role: &Role, group: GroupId, zone: Option<&Zone>, said: &mut Said) -> Option<Fact> {
    let leader = role.leader.as_ref()?;
    let replicas: Vec<ReplicaFact> =
        role.members.iter().map(|member| ReplicaFact { id: member.id, http: member.http, grpc: member.grpc }).collect();
    let unchanged = said.leader.as_ref().filter(|fact| fact.leader == leader.id && fact.replicas == replicas);
    let fact = unchanged.cloned().unwrap_or_else(|| {
        said.seq += 1;
        let (block, term, seq) = (shared.block.clone(), said.term, said.seq);
        LeaderFact { block, group, term, seq, leader: leader.id, replicas, zone: zone.cloned() }
    });
    said.leader = Some(fact.clone());
    Some(Fact::Leader(fact))
}

fn dyno_fact(shared: &Shared, group: GroupId, report: DynoReport, said: &mut Said, soft_due: bool) -> Fact {
    if let Some((told, fact)) = said.owned.get(&report.id) {
        let hard_same = told.epoch == report.epoch && told.phase == report.phase && told.up == report.up;
        if *told == report || (hard_same && !soft_due) {
            return Fact::Owned(fact.clone());
        }
    }
    said.seq += 1;
    let fact = OwnedFact {
        dyno: report.id.clone(),
        block: shared.block.clone(),
        group: Some(group),
        epoch: report.epoch,
        term: said.term,
        seq: said.seq,
        phase: report.phase,
        up: report.up,
        in_flight: report.in_flight,
    };
    said.owned.insert(report.id.clone(), (report, fact.clone()));
    Fact::Owned(fact)
}

fn load_fact(shared: &Shared, app: AppName, load: Load, said: &mut Said, soft_due: bool) -> Fact {
    if let Some((told, fact)) = said.loads.get(&app) {
        let hard_same = told.slots == load.slots && told.dynos == load.dynos;
        if *told == load || (hard_same && !soft_due) {
            return Fact::Load(fact.clone());
        }
    }
    said.seq += 1;
    let fact = LoadFact {
        block: shared.block.clone(),
        app: app.clone(),
        term: said.term,
        seq: said.seq,
        slots: load.slots,
        used: load.used,
        queued: load.queued,
        dynos: load.dynos,
    };
    said.loads.insert(app, (load, fact.clone()));
    Fact::Load(fact)
}
