//! Asks what must be known of slots whose end nobody saw: those of a leader that died or fell silent, and requests cut with unknown
//! outcome. What follows from the answers is the core's to say (`dynomesh_core::block::doubt`).
//!
//! "Nothing on its way" is about heads: one that is not acknowledged within `USER_TIMEOUT` takes its connection with it, and only a
//! connection whose head is acknowledged is freed of that limit (see `upstream/socket.rs`). Of such a request a body may still arrive
//! late. But its connection then stands in the dyno's line before any question sent now, and a serial dyno answers that only when it is
//! done with the request, be it that it gave up waiting for the body.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use dynomesh_core::block::Command;
use dynomesh_core::block::doubt::{self, Asked, DoubtLimits, Known, Verdict, Why};
use dynomesh_core::id::{Address, DynoId, Holder, Incarnation, ReplicaId, SlotId, Term};
use dynomesh_core::time::{Span, Time};
use dynomesh_proto::raft::v1::IdentityRequest;
use dynomesh_proto::raft::v1::peer_client::PeerClient;
use dynomesh_runtime::net;
use tracing::{debug, info};

use crate::grant::{Doubt, Question, Shared};
use crate::upstream::{USER_TIMEOUT, probe};

/// How often doubtful slots are looked at, and how often for the first: by who leads, and by who does not and has few of its own left.
const LOOK: Span = Span::from_millis(20);
const IDLE_LOOK: Span = Span::from_millis(60);
const FOLLOWER_LOOK: Span = Span::from_millis(250);
/// How often a holder that answers is asked again.
const ALIVE_LOOK: Span = Span::from_millis(200);
/// How long a holder has to answer before it counts as silent.
const ANSWER_LIMIT: Span = Span::from_millis(100);
/// A silent holder's slots count for this long before a dyno is asked: the head that the holder wrote last has arrived by then or never will.
const SILENT_HOLD: Span = Span::from_millis(USER_TIMEOUT.as_millis() * 11 / 10);
/// An idle question is asked anew after this long without an answer.
const IDLE_LIMIT: Span = Span::from_secs(30);

#[derive(Default)]
struct Findings {
    holders: BTreeMap<Holder, Known>,
    /// The term in which this replica leads and asks its peers.
    term: Option<Term>,
    /// Peers that were asked in that term, and whether one answered or is dead.
    peers: BTreeMap<ReplicaId, bool>,
    dynos: BTreeMap<DynoId, Asked>,
}

/// Settles doubts until the process ends. Runs on the housekeeping thread.
pub(crate) async fn run(shared: Arc<Shared>) {
    let findings = Arc::new(Mutex::new(Findings::default()));
    let mut role = shared.replica().role();
    let mut pause = IDLE_LOOK;
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause.to_std()) => {}
            changed = role.changed() => if changed.is_err() { return },
        }
        let now = shared.clock.now();
        let (doubts, quarantined, unproven, term) = {
            let router = shared.router();
            (router.doubts(), router.quarantined(), router.unproven(now, SILENT_HOLD), router.leads())
        };
        if doubts.is_empty() && quarantined.is_empty() && unproven.is_empty() {
            *lock(&findings) = Findings::default();
            pause = if term.is_some() { IDLE_LOOK } else { FOLLOWER_LOOK };
            continue;
        }
        pause = LOOK;
        let mut free = Vec::new();
        for doubt in &doubts {
            if let Some(why) = judge(&shared, &findings, doubt, now) {
                info!(slot = %doubt.slot, dyno = %doubt.dyno, why = why.as_str(), "orphaned slot freed");
                free.push(doubt.slot);
            }
        }
        let all_known = quarantined.is_empty() || peers_known(&shared, &findings, term);
        for doubt in &quarantined {
            let asked = lock(&findings).dynos.get(&doubt.dyno).copied();
            let verdict = doubt::quarantine_verdict(&doubt.facts, all_known, asked, now, limits(&shared));
            if follow(&shared, &findings, doubt, verdict).is_some() {
                shared.router().clear_quarantine(now, &doubt.app.name, &doubt.dyno);
            }
        }
        for doubt in &unproven {
            let asked = lock(&findings).dynos.get(&doubt.dyno).copied();
            let verdict = doubt::idle(&doubt.facts, asked, doubt.facts.since, now);
            if follow(&shared, &findings, doubt, verdict).is_some() {
                shared.router().proven(&doubt.dyno);
            }
        }
        settle(&shared, free, now).await;
    }
}

/// Why a slot may be freed now, if it may.
fn judge(shared: &Arc<Shared>, findings: &Arc<Mutex<Findings>>, doubt: &Doubt, now: Time) -> Option<Why> {
    let known = if doubt.facts.own { Known::Dead(doubt.facts.since) } else { holder(shared, findings, doubt.slot.holder) };
    let asked = lock(findings).dynos.get(&doubt.dyno).copied();
    let verdict = doubt::verdict(&doubt.facts, known, asked, now, limits(shared));
    follow(shared, findings, doubt, verdict)
}

fn limits(shared: &Shared) -> DoubtLimits {
    DoubtLimits { orphan_hold: shared.limits.orphan_hold, silent_hold: SILENT_HOLD }
}

fn me(shared: &Shared) -> Holder {
    Holder { replica: shared.replica().id(), incarnation: shared.replica().incarnation() }
}

/// Asks if the verdict wants it; why to free, if it says so.
fn follow(shared: &Arc<Shared>, findings: &Arc<Mutex<Findings>>, doubt: &Doubt, verdict: Verdict) -> Option<Why> {
    match verdict {
        Verdict::Free(why) => return Some(why),
        Verdict::Ask => ask_dyno(shared, findings, doubt),
        Verdict::Wait => {}
    }
    None
}

/// Asks a dyno whether it is idle.
fn ask_dyno(shared: &Arc<Shared>, findings: &Arc<Mutex<Findings>>, doubt: &Doubt) {
    lock(findings).dynos.insert(doubt.dyno.clone(), Asked::Waiting);
    let (shared, findings, dyno, address) = (shared.clone(), findings.clone(), doubt.dyno.clone(), doubt.address);
    tokio::spawn(async move {
        let question = Question::begin(&shared, &dyno);
        let asked = shared.clock.now();
        let answer = probe::until_idle(address, shared.limits.connect, IDLE_LIMIT).await;
        drop(question);
        if answer.is_err() {
            // A dyno that is down is asked again, but not at every look.
            tokio::time::sleep(ANSWER_LIMIT.to_std()).await;
        }
        debug!(%dyno, ?answer, "asked whether it is idle");
        let asked = if answer.is_ok() { Asked::IdleSince(asked) } else { Asked::Failed };
        lock(&findings).dynos.insert(dyno, asked);
    });
}

/// Whether every other replica of the group answers or is dead; asks on the way.
fn peers_known(shared: &Arc<Shared>, findings: &Arc<Mutex<Findings>>, term: Option<Term>) -> bool {
    let members = shared.replica().role().borrow().members.clone();
    let mut found = lock(findings);
    if std::mem::replace(&mut found.term, term) != term {
        found.peers.clear();
    }
    let mut all = true;
    for member in members.iter().filter(|member| member.id != shared.replica().id()) {
        let known = *found.peers.entry(member.id).or_insert_with(|| {
            tokio::spawn(meet(findings.clone(), member.id, member.grpc));
            false
        });
        all &= known;
    }
    all
}

/// Asks until a replica answers or is dead, or nobody wants to know any more.
async fn meet(findings: Arc<Mutex<Findings>>, replica: ReplicaId, address: Address) {
    loop {
        let met = match incarnation_at(address).await {
            Ok(answer) => answer.is_some(),
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
        };
        let Some(()) = lock(&findings).peers.get_mut(&replica).map(|known| *known = met) else { return };
        if met {
            return;
        }
        tokio::time::sleep(LOOK.to_std()).await;
    }
}

/// What is known of a holder; asks it on the way.
fn holder(shared: &Arc<Shared>, findings: &Arc<Mutex<Findings>>, holder: Holder) -> Known {
    let mut found = lock(findings);
    if let Some(known) = found.holders.get(&holder) {
        return *known;
    }
    found.holders.insert(holder, Known::Silent);
    let (shared, findings) = (shared.clone(), findings.clone());
    tokio::spawn(async move {
        loop {
            let known = ask(&shared, holder).await;
            // Forgotten meanwhile: nobody waits for the answer.
            let Some(()) = lock(&findings).holders.get_mut(&holder).map(|entry| *entry = known) else { return };
            if matches!(known, Known::Dead(_)) {
                info!(replica = %holder.replica, "former slot holder is dead");
                return;
            }
            let pause = if known == Known::Alive { ALIVE_LOOK } else { LOOK };
            tokio::time::sleep(pause.to_std()).await;
        }
    });
    Known::Silent
}

async fn ask(shared: &Shared, holder: Holder) -> Known {
    // Where its peers reach it: that listener closes last, when nothing is left to finish, while the one for requests closes first.
    let member = shared.replica().role().borrow().members.iter().find(|member| member.id == holder.replica).map(|member| member.grpc);
    let Some(address) = member else { return Known::Silent };
    if holder.replica == shared.replica().id() {
        // A former run of this very process's disk: its lock is held by this run.
        return Known::Dead(shared.clock.now());
    }
    match incarnation_at(address).await {
        Ok(Some(incarnation)) if incarnation == holder.incarnation => Known::Alive,
        Ok(Some(_)) => Known::Dead(shared.clock.now()),
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => Known::Dead(shared.clock.now()),
        Ok(None) | Err(_) => Known::Silent,
    }
}

/// The run that answers at a replica's address.
async fn incarnation_at(address: Address) -> std::io::Result<Option<Incarnation>> {
    drop(net::connect(address, ANSWER_LIMIT).await?);
    let mut peer = PeerClient::new(dynomesh_runtime::grpc::channel(address, ANSWER_LIMIT, Some(ANSWER_LIMIT)));
    let identity = peer.identity(IdentityRequest { version: 1 }).await;
    Ok(identity.ok().map(|identity| Incarnation(identity.into_inner().incarnation)))
}

async fn settle(shared: &Shared, free: Vec<SlotId>, now: Time) {
    if free.is_empty() {
        return;
    }
    shared.metrics.orphans_freed.inc_by(free.len() as u64);
    let mine = me(shared);
    for slot in free.iter().filter(|slot| slot.holder == mine) {
        shared.router().settle(now, *slot);
    }
    let others: Vec<SlotId> = free.into_iter().filter(|slot| slot.holder != mine).collect();
    if others.is_empty() {
        return;
    }
    if let Err(error) = shared.replica().propose(Command::Free { slots: others }).await {
        debug!(%error, "orphans could not be freed; whoever leads will");
    }
}

fn lock(findings: &Mutex<Findings>) -> std::sync::MutexGuard<'_, Findings> {
    findings.lock().expect("a panic under this lock stops the process")
}
