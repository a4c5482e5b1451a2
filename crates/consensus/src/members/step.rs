//! The steps that changes are made of. Each looks at what is there first, so each may be repeated.

use std::collections::BTreeSet;
use std::time::Duration;

use dynomesh_core::id::{Address, ReplicaId};
use dynomesh_proto::raft::v1 as wire;
use openraft::ChangeMembers;
use openraft::errors::{ChangeMembershipError, ClientWriteError, ForwardReason, RaftError};
use tokio::time::{Instant, sleep, timeout};

use super::{MembersError, Refusal};
use crate::batcher;
use crate::engine::{Engine, Place};
use crate::error::ProposeError;
use crate::machine::Machine;
use crate::options::Member;
use crate::payload::Payload;
use crate::replica::{Inner, identify};
use crate::transport::{group, member};

/// A step that cannot be made for so long is given up: the leader has lost its quorum.
const STEP_MAX: Duration = Duration::from_secs(5);
/// Between two tries of a step that was refused for the moment.
const RETRY: Duration = Duration::from_millis(5);

impl<M: Machine> Inner<M> {
    /// Asks who listens at `at`, and refuses a replica that this group cannot take in.
    pub(super) async fn newcomer(&self, at: Address) -> Result<Member, MembersError> {
        let unreachable = |problem: String| {
            let text = format!("the new replica does not answer: {problem}. Start it with an empty directory first");
            MembersError::refused(Refusal::Unreachable, text)
        };
        let it = identify(at).await.map_err(|error| unreachable(error.to_string()))?;
        let new = member(&wire::Member { id: it.replica, http: it.http.clone(), grpc: it.grpc.clone() });
        let new = new.map_err(|error| unreachable(error.to_string()))?;
        self.acceptable(&new, &it, at)?;
        Ok(new)
    }

    fn acceptable(&self, new: &Member, it: &wire::IdentityResponse, at: Address) -> Result<(), MembersError> {
        let (kind, name) = self.identity.purpose();
        if (&it.kind, &it.name) != (&kind, &name) {
            let text = format!("the replica at {at} was set up for {} {:?}, this group is {kind} {name:?}", it.kind, it.name);
            return Err(MembersError::refused(Refusal::Foreign, text));
        }
        let ours = self.identity.group();
        if let Some(has) = group(&it.group).ok().filter(|has| Some(*has) != ours) {
            let text = format!("replica {} at {at} belongs to group {has}; give it an empty directory", new.id);
            return Err(MembersError::refused(Refusal::Foreign, text));
        }
        let retired = self.applied.roll().retired.contains(new.id.0);
        if it.removed || retired {
            let text = format!(
                "replica {} at {at} was removed from this group, and an id is never used again; give it an empty directory, then it \
                 comes under a new one",
                new.id
            );
            return Err(MembersError::refused(Refusal::Retired, text));
        }
        Ok(())
    }

    /// Takes `new` in without a vote.
    pub(super) async fn learn(&self, new: &Member) -> Result<(), MembersError> {
        if self.membership().get_node(&new.id.0).is_some() {
            return Ok(());
        }
        let taken = |it: &&Member| it.grpc == new.grpc || it.http == new.http;
        if let Some(by) = self.all().iter().find(taken) {
            let text = format!(
                "replica {} says it is reached at {} and {}, where replica {} is; replace that one, or give the new one an address of its own",
                new.id, new.http, new.grpc, by.id
            );
            return Err(MembersError::refused(Refusal::Address, text));
        }
        self.settle().await?;
        let client = self.peers.client(&new.grpc.to_string()).map_err(MembersError::Unfinished)?;
        self.peers.invite(client, new.id.0).await.map_err(|status| {
            let text = format!("the new replica {} at {} does not join: {}", new.id, new.grpc, status.message());
            MembersError::refused(Refusal::Unreachable, text)
        })?;
        tracing::info!(replica = %new.id, grpc = %new.grpc, "a learner is added");
        self.submit(ChangeMembers::AddNodes([(new.id.0, new.place())].into())).await
    }

    /// Gives a learner that has caught up its vote.
    pub(super) async fn enfranchise(&self, id: ReplicaId) -> Result<(), MembersError> {
        let mut voters = self.voters();
        if voters.insert(id.0) {
            self.keeps_quorum(voters, &format!("give replica {id} a vote")).await?;
            self.settle().await?;
            tracing::info!(replica = %id, "a learner becomes a voter");
            self.submit(ChangeMembers::AddVoterIds([id.0].into())).await?;
        }
        self.settle().await
    }

    /// Spends the id of a member and takes it out; `successor` takes its place.
    pub(super) async fn take_out(&self, id: ReplicaId, successor: Option<ReplicaId>) -> Result<(), MembersError> {
        let Some(member) = self.find(id.0) else { return self.settle().await };
        let mut voters = self.voters();
        let votes = voters.remove(&id.0);
        if votes {
            self.keeps_quorum(voters, &format!("remove replica {id}")).await?;
        }
        self.settle().await?;
        self.retire(id, successor).await?;
        tracing::info!(replica = %id, successor = ?successor, "a member is removed");
        let ids = BTreeSet::from([id.0]);
        self.submit(if votes { ChangeMembers::RemoveVoters(ids) } else { ChangeMembers::RemoveNodes(ids) }).await?;
        self.dismiss_aside(&member);
        Ok(())
    }

    /// Records that `id` is spent and who takes its place.
    pub(super) async fn retire(&self, id: ReplicaId, successor: Option<ReplicaId>) -> Result<(), MembersError> {
        let payload = Payload::retire(id.0, successor.map_or(0, |by| by.0));
        batcher::write(self.raft.clone(), payload).await.map_err(|error| match error {
            ProposeError::NotLeader { .. } | ProposeError::Stopping => self.not_leader(),
            ProposeError::NotAppended(why) | ProposeError::Unknown(why) => MembersError::Unfinished(why.to_owned()),
        })
    }

    /// Tells a removed replica, if it lives. One that does not hear it learns it when it asks for a vote.
    fn dismiss_aside(&self, member: &Member) {
        let (peers, id, address) = (self.peers.clone(), member.id, member.grpc.to_string());
        tokio::spawn(async move {
            if let Err(status) = peers.dismiss(&address, id.0).await {
                tracing::info!(replica = %id, answer = status.message(), "the removed replica was not told");
            }
        });
    }

    /// Ends a change of voters that an earlier leader left half-way.
    pub(super) async fn settle(&self) -> Result<(), MembersError> {
        match self.membership().get_joint_config().len() {
            0 | 1 => Ok(()),
            _ => self.submit(ChangeMembers::AddVoterIds(BTreeSet::new())).await,
        }
    }

    async fn submit(&self, change: ChangeMembers<u64, Place>) -> Result<(), MembersError> {
        let until = Instant::now() + STEP_MAX;
        loop {
            let outcome = timeout(STEP_MAX, self.raft.change_membership(change.clone(), false)).await;
            let Ok(outcome) = outcome else { return Err(MembersError::Unfinished("no quorum answered in time".into())) };
            let problem = match outcome {
                Ok(_) => return Ok(()),
                Err(error) => self.passing(error)?,
            };
            if Instant::now() >= until {
                return Err(MembersError::Unfinished(problem));
            }
            sleep(RETRY).await;
        }
    }

    /// A problem that may pass, or else the end.
    fn passing(&self, error: RaftError<Engine, ClientWriteError<Engine>>) -> Result<String, MembersError> {
        let RaftError::APIError(error) = error else { return Err(MembersError::Unfinished("the replica stopped".into())) };
        match error {
            ClientWriteError::ForwardToLeader(ref forward) if matches!(forward.reason, ForwardReason::LeaseExpired) => {
                Ok("the leader has lost its quorum".into())
            }
            ClientWriteError::ForwardToLeader(_) | ClientWriteError::LogEntryDiscarded(_) => Err(self.not_leader()),
            ClientWriteError::ChangeMembershipError(ChangeMembershipError::InProgress(_)) => {
                Ok("an earlier change of members is not committed yet".into())
            }
            other => Err(MembersError::Unfinished(other.to_string())),
        }
    }
}
