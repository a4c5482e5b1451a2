//! Handing leadership over.
//!
//! First the lease ends: the target's vote passes every follower's lease, so from then on nothing this replica believes about
//! its own leadership is worth anything (P4). Then a voter that has every entry and was heard from just now is asked to stand.
//! openraft hands over whatever term it leads when it comes to it, which may be a later one than was meant: until it has come to
//! it, this replica has no lease in any term.
//! If nobody takes over, the group would be mute, for this leader goes on sending heartbeats: so it steps down, and the group
//! elects anew as if its leader had died.
//!
//! One handover at a time, each in a task of its own: it must not stop half-way because whoever asked for it left.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use dynomesh_core::id::{ReplicaId, Term};
use openraft::RaftMetrics;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::raft::VoteRequest;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::Inner;
use crate::batcher::Closed;
use crate::engine::{Engine, ballot, log_id};
use crate::machine::Machine;

/// How long a voter gets to catch up.
const CATCH_UP_MAX: Duration = Duration::from_millis(500);
/// How long a leader without a lease tries to step down. Past it an error says what to do.
const STEP_DOWN_MAX: Duration = Duration::from_secs(2);
/// Between two tries of that.
const RETRY: Duration = Duration::from_millis(5);
/// How long a handover waits for another to end, which takes less with the timers that are usual. Past it, it is refused.
const TURN_MAX: Duration = Duration::from_secs(3);

/// Why leadership was not handed over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// This replica does not lead.
    #[error("this replica does not lead")]
    NotLeader,
    /// The term in which this replica led ended before it could be handed over.
    #[error("this replica lost the lead before it could hand it over")]
    Ended,
    /// No voter, or not the named one, has all entries and answers.
    #[error("no voter has all entries and answers")]
    NoTarget,
    /// The named replica was told not to lead.
    #[error("replica {0} was told not to lead; name another, or let it lead again")]
    Abstains(ReplicaId),
    /// The target did not become leader in time.
    #[error("replica {0} did not take over in time")]
    NotTaken(ReplicaId),
    /// Another handover is under way and does not end.
    #[error("another handover is under way; ask again once it is over")]
    Busy,
    /// Nobody took over, and this replica leads on without a lease.
    #[error("this replica leads without a lease and cannot step down: its group is mute until its process is restarted")]
    Mute,
}

/// Hands over, and sees to it that somebody leads if that fails.
pub(crate) async fn transfer<M: Machine>(inner: &Arc<Inner<M>>, to: Option<ReplicaId>) -> Result<(), TransferError> {
    if inner.leads().is_none() {
        return Err(TransferError::NotLeader);
    }
    if let Some(to) = to.filter(|to| inner.peers.abstains(to.0)) {
        return Err(TransferError::Abstains(to));
    }
    // The task is lost only with its runtime, and the lead with it.
    tokio::spawn(take_turn(inner.clone(), to)).await.unwrap_or(Err(TransferError::Ended))
}

async fn take_turn<M: Machine>(inner: Arc<Inner<M>>, to: Option<ReplicaId>) -> Result<(), TransferError> {
    let _turn = timeout(TURN_MAX, inner.handing_over.lock()).await.map_err(|_| TransferError::Busy)?;
    let Some(term) = inner.leads() else {
        // Whoever had the turn before may have done what is asked for.
        let leader = inner.role_now().leader.filter(|leader| to.is_none_or(|to| to == leader.id));
        return if leader.is_some() { Ok(()) } else { Err(TransferError::Ended) };
    };
    if other_voters(&inner, &inner.raft.metrics().borrow_watched()).next().is_none() {
        return Err(TransferError::NoTarget);
    }
    let _closed = Closed::new(&inner.closed);
    match hand_over(&inner, term, to).await {
        Ok(()) => Ok(()),
        Err(error) => step_down(&inner).await.and(Err(error)),
    }
}

/// Ends this replica's leadership of a term that never has a lease again. openraft has no call for that, but a leader whose vote goes to
/// another in a later term leads no longer.
async fn step_down<M: Machine>(inner: &Inner<M>) -> Result<(), TransferError> {
    while let Some(term) = inner.leads().filter(|term| inner.lease.is_renounced(*term)) {
        let outcome = insist(STEP_DOWN_MAX, || inner.leads() != Some(term), || resign(inner, term)).await;
        if let Err(problem) = outcome {
            tracing::error!(%term, problem, "this leader has no lease and cannot step down: its group is mute; restart this process");
            return Err(TransferError::Mute);
        }
    }
    Ok(())
}

/// Asks until it is done, or past `limit` says what the problem is.
async fn insist<F>(limit: Duration, done: impl Fn() -> bool, ask: impl Fn() -> F) -> Result<(), String>
where
    F: Future<Output = Result<(), String>>,
{
    let until = Instant::now() + limit;
    while !done() {
        let problem = match timeout_at(until, ask()).await {
            Ok(Ok(())) => "it was granted and had no effect".to_owned(),
            Ok(Err(problem)) => problem,
            Err(_) => "no answer in time".to_owned(),
        };
        if Instant::now() >= until {
            return Err(problem);
        }
        sleep(RETRY).await;
    }
    Ok(())
}

/// Gives this replica's vote in the next term to another. That one is not told; elections come by the timers of all.
async fn resign<M: Machine>(inner: &Inner<M>, term: Term) -> Result<(), String> {
    let other = other_voters(inner, &inner.raft.metrics().borrow_watched()).next();
    let other = other.ok_or_else(|| "no other replica has a vote".to_owned())?;
    // No log is longer than this: a vote is refused whose log lacks what was appended a moment ago.
    let last = log_id(term.0, u64::MAX);
    let mut request = VoteRequest::new(ballot(term.0 + 1, other, false), Some(last));
    request.leadership_transfer = true;
    match inner.raft.vote(request).await {
        Ok(answer) if answer.vote_granted => Ok(()),
        Ok(answer) => Err(format!("the vote was refused: {answer}")),
        Err(error) => Err(error.to_string()),
    }
}

fn other_voters<M: Machine>(inner: &Inner<M>, metrics: &RaftMetrics<Engine>) -> impl Iterator<Item = u64> + use<M> {
    let me = inner.identity.replica().0;
    let voters: Vec<u64> = metrics.membership_config.voter_ids().filter(|id| *id != me).collect();
    voters.into_iter()
}

/// Hands `term` over. It never has a lease again, whatever comes of it.
async fn hand_over<M: Machine>(inner: &Inner<M>, term: Term, to: Option<ReplicaId>) -> Result<(), TransferError> {
    let target = let_go(inner, term, to).await?;
    let patience = inner.options.timers.election_max.times(2).to_std();
    timeout(patience, succeeded(inner, term)).await.map_err(|_| TransferError::NotTaken(target))
}

/// Asks a voter to stand. When this returns, openraft has handed over or never will.
async fn let_go<M: Machine>(inner: &Inner<M>, term: Term, to: Option<ReplicaId>) -> Result<ReplicaId, TransferError> {
    let _suspended = inner.lease.suspend();
    inner.lease.renounce(term);
    let target = timeout(CATCH_UP_MAX, caught_up(inner, term, to)).await.unwrap_or(Err(TransferError::NoTarget))?;
    if standing(inner).await != Some((term, true)) {
        return Err(TransferError::Ended);
    }
    tracing::info!(%term, %target, "leadership is handed over");
    if inner.raft.trigger().transfer_leader(target.0).await.is_err() {
        return Err(TransferError::NotTaken(target));
    }
    // The core answers in the order in which it was asked. If it has gone on to a later term, the handover may have been of any since.
    if let Some((present, leads)) = standing(inner).await {
        let last = if leads { present } else { Term(present.0.saturating_sub(1)) };
        if last > term {
            inner.lease.renounce(last);
        }
    }
    Ok(target)
}

/// The present term, and whether this replica leads it, as the core itself says. `None` if the core has ended.
async fn standing<M: Machine>(inner: &Inner<M>) -> Option<(Term, bool)> {
    let me = inner.identity.replica().0;
    let look = inner.raft.with_raft_state(move |state| {
        let vote = state.vote_ref();
        (Term(vote.leader_id.term), vote.committed && vote.leader_id.voted_for == me)
    });
    look.await.ok()
}

/// Waits for a voter that has the last entry and was heard from within its lease, for as long as the term is `term`.
async fn caught_up<M: Machine>(inner: &Inner<M>, term: Term, to: Option<ReplicaId>) -> Result<ReplicaId, TransferError> {
    let mut metrics = inner.raft.metrics();
    loop {
        let present = metrics.borrow_watched().clone();
        if present.current_term > term.0 {
            return Err(TransferError::Ended);
        }
        let now = inner.options.clock.now();
        let meant = |id: &u64| to.map_or(!inner.peers.abstains(*id), |to| to.0 == *id);
        let voters: Vec<u64> = other_voters(inner, &present).filter(meant).collect();
        if voters.is_empty() {
            return Err(TransferError::NoTarget);
        }
        let matched = |id: &u64| present.replication.as_ref().and_then(|all| all.get(id).copied().flatten()).map(|id| id.index);
        let ready = |id: &&u64| matched(id) == present.last_log_index && inner.lease.alive(**id, now);
        if let Some(target) = voters.iter().find(ready) {
            return Ok(ReplicaId(*target));
        }
        metrics.changed().await.map_err(|_| TransferError::Ended)?;
    }
}

async fn succeeded<M: Machine>(inner: &Inner<M>, term: Term) {
    let me = inner.identity.replica();
    let mut role = inner.role.clone();
    // It ends with an error only when the replica has stopped; then leadership is gone as well.
    let _ = role.wait_for(|role| role.term > term && role.leader.as_ref().is_some_and(|leader| leader.id != me)).await;
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::sync::watch;

    use super::*;

    /// Fails when a leader that is refused once leads on without a lease.
    #[tokio::test]
    async fn a_refusal_is_asked_again_until_it_is_done() {
        let asked = Cell::new(0);
        let ask = || {
            asked.set(asked.get() + 1);
            std::future::ready(if asked.get() < 3 { Err("refused".to_owned()) } else { Ok(()) })
        };
        // The role changes a little after the vote is granted.
        insist(STEP_DOWN_MAX, || asked.get() == 4, ask).await.unwrap();
        assert_eq!(asked.get(), 4);
    }

    #[tokio::test]
    async fn what_is_refused_or_unanswered_for_too_long_is_told() {
        let limit = RETRY * 4;
        let refused = insist(limit, || false, || std::future::ready(Err("refused".to_owned()))).await;
        assert_eq!(refused, Err("refused".to_owned()));
        let unanswered = insist(limit, || false, std::future::pending::<Result<(), String>>).await;
        assert_eq!(unanswered, Err("no answer in time".to_owned()));
    }

    #[test]
    fn nobody_opens_the_batcher_but_who_closed_it() {
        let (closed, _batcher) = watch::channel(0);
        let first = Closed::new(&closed);
        let second = Closed::new(&closed);
        drop(first);
        assert_eq!(*closed.borrow(), 1, "the second handover is still under way");
        drop(second);
        assert_eq!(*closed.borrow(), 0);
    }
}
