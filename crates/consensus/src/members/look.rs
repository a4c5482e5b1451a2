//! What a leader knows of the members: who is heard, how far each has come.

use std::collections::BTreeSet;
use std::time::Duration;

use dynomesh_core::id::{ReplicaId, Term};
use openraft::async_runtime::watch::WatchReceiver;
use tokio::time::{Instant, sleep};

use super::{MemberState, Members, MembersError, Refusal, list};
use crate::engine::Membership;
use crate::machine::Machine;
use crate::options::Member;
use crate::replica::Inner;

/// Between two looks at who is heard.
const LOOK: Duration = Duration::from_millis(5);
/// A new replica that lacks no more entries than this gets its vote: the next round brings them.
const BEHIND_MAX: u64 = 64;
/// How long a new replica gets to catch up before whoever asked is told to ask again. It goes on catching up meanwhile.
pub(super) const CATCH_UP_MAX: Duration = Duration::from_secs(120);

impl<M: Machine> Inner<M> {
    /// The newest membership in this replica's log.
    pub(super) fn membership(&self) -> Membership {
        self.raft.metrics().borrow_watched().membership_config.membership().clone()
    }

    pub(super) fn all(&self) -> Vec<Member> {
        self.membership().nodes().filter_map(|(id, place)| Member::from_place(*id, place)).collect()
    }

    pub(super) fn find(&self, id: u64) -> Option<Member> {
        self.all().into_iter().find(|member| member.id.0 == id)
    }

    pub(super) fn voters(&self) -> BTreeSet<u64> {
        self.membership().voter_ids().collect()
    }

    /// Whether `id` was heard lately.
    fn heard(&self, id: u64) -> bool {
        id == self.identity.replica().0 || self.lease.alive(id, self.options.clock.now())
    }

    /// How long a member may be silent before it counts as dead here: a pause must not pass for death, nor a new leader's first moment.
    fn patience(&self) -> Duration {
        self.options.timers.election_max.times(3).to_std()
    }

    /// Those of `ids` that answer what is sent from now on; returns as soon as `enough` did. What they said before proves nothing: a
    /// voter that died a moment ago must not be reckoned with.
    pub(super) async fn heard_of(&self, ids: &BTreeSet<u64>, enough: usize) -> BTreeSet<u64> {
        let (until, since) = (Instant::now() + self.patience(), self.options.clock.now());
        let me = self.identity.replica().0;
        let mut heard = BTreeSet::new();
        loop {
            heard.extend(ids.iter().copied().filter(|id| *id == me || self.lease.answered(*id, since)));
            if heard.len() >= enough || Instant::now() >= until {
                return heard;
            }
            sleep(LOOK).await;
        }
    }

    /// Refuses a change after which `voters` would be the voters, if too few of them are heard.
    pub(super) async fn keeps_quorum(&self, voters: BTreeSet<u64>, change: &str) -> Result<(), MembersError> {
        let needed = voters.len() / 2 + 1;
        let heard = self.heard_of(&voters, needed).await;
        if heard.len() >= needed {
            return Ok(());
        }
        let silent: Vec<ReplicaId> = voters.difference(&heard).map(|id| ReplicaId(*id)).collect();
        let text = format!(
            "to {change} would leave {} voters of which {needed} must answer, and only {} would (heard: {}; silent: {}): the group would stop. \
             Start the silent ones again, or replace them first",
            voters.len(),
            heard.len(),
            list(heard.iter().map(|id| ReplicaId(*id))),
            list(silent),
        );
        Err(MembersError::refused(Refusal::Quorum, text))
    }

    /// Waits until `id` is heard and has all but the newest entries.
    pub(super) async fn caught_up(&self, id: u64) -> Result<(), MembersError> {
        let until = Instant::now() + CATCH_UP_MAX;
        loop {
            if self.leads().is_none() {
                return Err(self.not_leader());
            }
            let behind = self.behind(id);
            if behind.is_some_and(|behind| behind <= BEHIND_MAX) && self.heard(id) {
                return Ok(());
            }
            if Instant::now() >= until {
                let lacks = behind.map_or("has taken nothing yet".to_owned(), |behind| format!("lacks {behind} entries"));
                let text = format!("replica {} {lacks} after {} s and goes on catching up", ReplicaId(id), CATCH_UP_MAX.as_secs());
                return Err(MembersError::Unfinished(text));
            }
            sleep(LOOK).await;
        }
    }

    /// How many entries `id` lacks, as far as this leader knows.
    pub(crate) fn behind(&self, id: u64) -> Option<u64> {
        let metrics = self.raft.metrics().borrow_watched().clone();
        let last = metrics.last_log_index?;
        if id == metrics.id {
            return Some(0);
        }
        let matched = metrics.replication?.get(&id).copied().flatten()?;
        Some(last.saturating_sub(matched.index))
    }

    pub(super) fn not_leader(&self) -> MembersError {
        let me = self.identity.replica();
        MembersError::NotLeader { leader: self.role_now().leader.filter(|leader| leader.id != me) }
    }

    /// Everybody and how they are doing.
    pub(crate) fn members(&self) -> Members {
        let (role, voters) = (self.role_now(), self.voters());
        let leads = role.is_leader();
        let (kind, name) = self.identity.purpose();
        let me = self.identity.replica();
        let state = |member: Member| MemberState {
            voter: voters.contains(&member.id.0),
            heard: leads.then(|| self.heard(member.id.0)),
            behind: self.behind(member.id.0).filter(|_| leads),
            abstains: if member.id == me { self.candidacy.abstains() } else { leads && self.peers.abstains(member.id.0) },
            member,
        };
        let retired: Vec<_> = self.applied.roll().retired.iter().collect();
        Members {
            group: self.identity.group(),
            kind,
            name,
            term: Term(role.term.0),
            seen_by: me,
            leader: role.leader,
            members: self.all().into_iter().map(state).collect(),
            retired: retired.into_iter().map(|(id, by)| (ReplicaId(id), Some(ReplicaId(by)).filter(|by| by.0 != 0))).collect(),
            change: self.changing.lock().expect("nothing panics while it holds the change").clone(),
        }
    }
}
