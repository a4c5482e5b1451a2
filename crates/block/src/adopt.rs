//! Between the map and the group: what the map says about this block's dynos becomes commands, what the group decided becomes facts.
//!
//! Only the leader acts and speaks. It calls nobody: assignments reach it as facts, however late, and the rule that turns them into
//! steps is the core's (P15, P18, P19).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dynomesh_consensus::{Role, State};
use dynomesh_core::gossip::{count_pause, load_pause};
use dynomesh_core::id::{AppName, DynoId, GroupId, Term};
use dynomesh_core::map::fact::{AppFact, LeaderFact, LoadFact, OwnedFact, ReleasedFact, ReplicaFact};
use dynomesh_core::map::{Fact, steps};
use dynomesh_core::time::{Span, Time};
use dynomesh_runtime::gossip::Gossip;
use tracing::{debug, info};

use crate::grant::{DynoReport, Load, Shared};

/// How often facts are compared with what is true; a change of leader or ownership is told at once by the same rhythm.
const LOOK: Span = Span::from_millis(50);

/// What was said last, so that only changes are said.
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

/// Adopts and publishes until the process ends. Runs on the housekeeping thread.
pub(crate) async fn run(shared: Arc<Shared>, gossip: Gossip) {
    let mut tick = tokio::time::interval(LOOK.to_std());
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut changes = gossip.subscribe();
    let mut said = Said::default();
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            changed = changes.changed() => if changed.is_err() { return },
        }
        follow(&shared, &gossip).await;
        let facts = facts(&shared, gossip.peers().len() + 1, &mut said);
        gossip.publish(facts);
    }
}

/// Takes the steps that the map asks for.
async fn follow(shared: &Shared, gossip: &Gossip) {
    let steps = {
        let router = shared.router();
        if router.leads().is_none() {
            return;
        }
        steps(&gossip.view(), &shared.block, router.state())
    };
    for command in steps {
        let (ready, unlogged) = {
            let mut router = shared.router();
            (router.prepare(&command), router.checkpoint())
        };
        if !ready {
            continue;
        }
        for grant in unlogged {
            shared.proposer.lazily(grant);
        }
        let told = format!("{command:?}");
        match shared.replica().propose(command).await {
            Ok(reply) => info!(command = told, ?reply, "step taken from the map"),
            Err(error) => {
                debug!(command = told, %error, "step not taken; it will be tried again");
                return;
            }
        }
    }
}

/// What this replica has to say: everything while it leads, nothing otherwise.
fn facts(shared: &Shared, nodes: usize, said: &mut Said) -> Vec<Fact> {
    let role = shared.replica().role().borrow().clone();
    let Some(group) = shared.replica().group() else { return Vec::new() };
    let (Some(term), State::Leader { ready: true }) = (shared.router().leads(), &role.state) else {
        *said = Said::default();
        return Vec::new();
    };
    if said.term != term {
        *said = Said { term, ..Said::default() };
    }
    let now = shared.clock.now();
    let (loads_due, counts_due) = due(now, nodes, said);
    let mut facts = Vec::new();
    facts.extend(leader_fact(shared, &role, group, said));
    let (dynos, released, loads, apps) = {
        let router = shared.router();
        // Only apps in use: a block that missed the end of an app's tombstone must not bring the app back to edges that are new.
        let used: BTreeSet<&AppName> = router.state().dynos().map(|record| &record.spec.app).collect();
        let apps: Vec<Fact> = router
            .state()
            .apps()
            .filter(|record| used.contains(&record.spec.name))
            .map(|record| Fact::App(AppFact { name: record.spec.name.clone(), version: record.version, spec: Some(record.spec.clone()) }))
            .collect();
        let released = router.state().released();
        let released: Vec<Fact> =
            released.map(|(dyno, epoch)| Fact::Released(ReleasedFact { dyno: dyno.clone(), block: shared.block.clone(), epoch })).collect();
        (router.dynos(), released, router.loads(now), apps)
    };
    facts.extend(apps);
    facts.extend(released);
    facts.extend(dynos.into_iter().map(|report| dyno_fact(shared, report, said, counts_due)));
    facts.extend(loads.into_iter().map(|(app, load)| load_fact(shared, app, load, said, loads_due)));
    facts
}

/// Whether load, and in-flight counts, may be told again: the larger the mesh, the more rarely.
fn due(now: Time, nodes: usize, said: &mut Said) -> (bool, bool) {
    let (loads, counts) = (now.since(said.loads_at) >= load_pause(nodes), now.since(said.counts_at) >= count_pause(nodes));
    if loads {
        said.loads_at = now;
    }
    if counts {
        said.counts_at = now;
    }
    (loads, counts)
}

fn leader_fact(shared: &Shared, role: &Role, group: GroupId, said: &mut Said) -> Option<Fact> {
    let leader = role.leader.as_ref()?;
    let replicas: Vec<ReplicaFact> =
        role.members.iter().map(|member| ReplicaFact { id: member.id, http: member.http, grpc: member.grpc }).collect();
    let unchanged = said.leader.as_ref().filter(|fact| fact.leader == leader.id && fact.replicas == replicas);
    let fact = unchanged.cloned().unwrap_or_else(|| {
        said.seq += 1;
        LeaderFact { block: shared.block.clone(), group, term: said.term, seq: said.seq, leader: leader.id, replicas }
    });
    said.leader = Some(fact.clone());
    Some(Fact::Leader(fact))
}

fn dyno_fact(shared: &Shared, report: DynoReport, said: &mut Said, soft_due: bool) -> Fact {
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
