//! What a replica is at present, and the task that notices when it changes.

use std::collections::BTreeSet;
use std::sync::Arc;

use dynomesh_core::id::{ReplicaId, Term};
use openraft::ServerState;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::metrics::RaftServerMetrics;
use openraft::type_config::alias::WatchReceiverOf;
use tokio::sync::watch;

use crate::engine::Engine;
use crate::keeper::Applied;
use crate::lease::Lease;
use crate::options::Member;

/// What a replica is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Role {
    /// Its term.
    pub term: Term,
    /// The leader of that term, if it is known.
    pub leader: Option<Member>,
    /// What it does in it.
    pub state: State,
    /// All members of the group, as far as this replica's log tells; ordered by id.
    pub members: Vec<Member>,
}

/// What a replica does in its term.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum State {
    /// It leads.
    Leader {
        /// Whether its first entry is applied: before that, entries of earlier terms may be unknown to its machine, and whoever
        /// asks must be told to wait (P24).
        ready: bool,
    },
    /// It follows, or waits for an election.
    Follower,
    /// It stands for election.
    Candidate,
    /// It has no vote; also a pristine replica that belongs to no group yet, and one that its group removed.
    #[default]
    Learner,
}

impl Role {
    /// Whether this replica leads.
    pub fn is_leader(&self) -> bool {
        matches!(self.state, State::Leader { .. })
    }

    /// Whether this replica leads and its machine is up to date.
    pub fn is_ready_leader(&self) -> bool {
        self.state == State::Leader { ready: true }
    }
}

/// Turns what openraft says into a [`Role`], and starts and ends the lease with it.
pub(crate) async fn follow(
    mut metrics: WatchReceiverOf<Engine, RaftServerMetrics<Engine>>,
    applied: Arc<Applied>,
    lease: Arc<Lease>,
    mut removed: watch::Receiver<bool>,
    role: watch::Sender<Role>,
) {
    let mut lead = applied.lead.subscribe();
    loop {
        let mut now = read(&metrics.borrow_and_update(), *lead.borrow_and_update());
        if *removed.borrow_and_update() {
            // Whatever its log says, nobody reckons with it.
            (now.role.state, now.role.leader) = (State::Learner, None);
        }
        match (&now.role.state, now.term) {
            (State::Leader { .. }, term) => lease.lead(term, now.me, now.configs),
            _ => lease.follow(),
        }
        let changed = role.send_if_modified(|role| {
            let changed = *role != now.role;
            if changed {
                role.clone_from(&now.role);
            }
            changed
        });
        if changed {
            tracing::info!(term = %now.role.term, state = ?now.role.state, leader = ?now.role.leader.as_ref().map(|m| m.id), "role");
        }
        tokio::select! {
            alive = metrics.changed() => if alive.is_err() { break },
            alive = lead.changed() => if alive.is_err() { break },
            alive = removed.changed() => if alive.is_err() { break },
        }
    }
    // openraft's core has ended, in order or not.
    lease.follow();
    role.send_modify(|role| (role.state, role.leader) = (State::Learner, None));
}

struct Now {
    me: u64,
    term: u64,
    configs: Vec<BTreeSet<u64>>,
    role: Role,
}

fn read(metrics: &RaftServerMetrics<Engine>, lead: (u64, u64)) -> Now {
    let membership = metrics.membership_config.membership();
    let members: Vec<Member> = membership.nodes().filter_map(|(id, place)| Member::from_place(*id, place)).collect();
    let term = metrics.vote.leader_id.term;
    let state = match metrics.state {
        ServerState::Leader => State::Leader { ready: lead == (term, metrics.id) },
        ServerState::Follower => State::Follower,
        ServerState::Candidate => State::Candidate,
        ServerState::Learner | ServerState::Shutdown => State::Learner,
    };
    let leader = metrics.current_leader.and_then(|id| members.iter().find(|m| m.id == ReplicaId(id)).cloned());
    let role = Role { term: Term(term), leader, state, members };
    Now { me: metrics.id, term, configs: membership.get_joint_config().clone(), role }
}
