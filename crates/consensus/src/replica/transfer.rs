//! Handing leadership over.
//!
//! First the lease ends: the target's vote passes every follower's lease, so from then on nothing this replica believes about
//! its own leadership is worth anything (P4). Then a voter that has every entry and was heard from just now is asked to stand.
//! If nobody takes over, the group would be mute, for this leader goes on sending heartbeats: so it steps down, and the group
//! elects anew as if its leader had died.

use std::time::Duration;

use dynomesh_core::id::{ReplicaId, Term};
use openraft::RaftMetrics;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::raft::VoteRequest;
use tokio::time::timeout;

use super::Inner;
use crate::engine::{Engine, ballot, log_id};
use crate::machine::Machine;

/// How long a voter gets to catch up.
const CATCH_UP_MAX: Duration = Duration::from_millis(500);

/// Why leadership was not handed over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// This replica does not lead.
    #[error("this replica does not lead")]
    NotLeader,
    /// No voter, or not the named one, has all entries and answers.
    #[error("no voter has all entries and answers")]
    NoTarget,
    /// The named replica was told not to lead.
    #[error("replica {0} was told not to lead; name another, or let it lead again")]
    Abstains(ReplicaId),
    /// The target did not become leader in time.
    #[error("replica {0} did not take over in time")]
    NotTaken(ReplicaId),
}

/// Hands over, and sees to it that somebody leads if that fails.
pub(crate) async fn transfer<M: Machine>(inner: &Inner<M>, to: Option<ReplicaId>) -> Result<(), TransferError> {
    if let Some(to) = to.filter(|to| inner.leads().is_some() && inner.peers.abstains(to.0)) {
        return Err(TransferError::Abstains(to));
    }
    let outcome = hand_over(inner, to).await;
    if matches!(outcome, Err(TransferError::NoTarget | TransferError::NotTaken(_))) {
        step_down(inner).await;
    }
    inner.closed.send_replace(false);
    outcome
}

/// Ends this replica's leadership. openraft has no call for that, but a leader whose vote goes to another in a later term leads
/// no longer. The other is not told; elections come by the timers of all.
async fn step_down<M: Machine>(inner: &Inner<M>) {
    let Some(term) = inner.leads() else { return };
    let metrics = inner.raft.metrics().borrow_watched().clone();
    let Some(other) = other_voters(inner, &metrics).next() else { return };
    let last = metrics.last_log_index.map(|index| log_id(term.0, index));
    let mut request = VoteRequest::new(ballot(term.0 + 1, other, false), last);
    request.leadership_transfer = true;
    if let Err(error) = inner.raft.vote(request).await {
        tracing::warn!(%error, "a leader without a lease could not step down");
    }
}

fn other_voters<M: Machine>(inner: &Inner<M>, metrics: &RaftMetrics<Engine>) -> impl Iterator<Item = u64> + use<M> {
    let me = inner.identity.replica().0;
    let voters: Vec<u64> = metrics.membership_config.voter_ids().filter(|id| *id != me).collect();
    voters.into_iter()
}

/// Hands over. Nothing is appended any more, whatever comes of it.
pub(super) async fn hand_over<M: Machine>(inner: &Inner<M>, to: Option<ReplicaId>) -> Result<(), TransferError> {
    let term = inner.leads().ok_or(TransferError::NotLeader)?;
    if other_voters(inner, &inner.raft.metrics().borrow_watched()).next().is_none() {
        return Err(TransferError::NoTarget);
    }
    inner.closed.send_replace(true);
    inner.lease.renounce();
    let target = timeout(CATCH_UP_MAX, caught_up(inner, to)).await.map_err(|_| TransferError::NoTarget)?;
    let target = target.ok_or(TransferError::NoTarget)?;
    tracing::info!(%term, %target, "leadership is handed over");
    if inner.raft.trigger().transfer_leader(target.0).await.is_err() {
        return Err(TransferError::NotTaken(target));
    }
    let patience = inner.options.timers.election_max.times(2).to_std();
    timeout(patience, succeeded(inner, term)).await.map_err(|_| TransferError::NotTaken(target))
}

/// Waits for a voter that has the last entry and was heard from within its lease. `None` if `to` is no voter.
async fn caught_up<M: Machine>(inner: &Inner<M>, to: Option<ReplicaId>) -> Option<ReplicaId> {
    let mut metrics = inner.raft.metrics();
    loop {
        let present = metrics.borrow_watched().clone();
        let now = inner.options.clock.now();
        let meant = |id: &u64| to.map_or(!inner.peers.abstains(*id), |to| to.0 == *id);
        let voters: Vec<u64> = other_voters(inner, &present).filter(meant).collect();
        if voters.is_empty() {
            return None;
        }
        let matched = |id: &u64| present.replication.as_ref().and_then(|all| all.get(id).copied().flatten()).map(|id| id.index);
        let ready = |id: &&u64| matched(id) == present.last_log_index && inner.lease.alive(**id, now);
        if let Some(target) = voters.iter().find(ready) {
            return Some(ReplicaId(*target));
        }
        metrics.changed().await.ok()?;
    }
}

async fn succeeded<M: Machine>(inner: &Inner<M>, term: Term) {
    let me = inner.identity.replica();
    let mut role = inner.role.clone();
    // It ends with an error only when the replica has stopped; then leadership is gone as well.
    let _ = role.wait_for(|role| role.term > term && role.leader.as_ref().is_some_and(|leader| leader.id != me)).await;
}
