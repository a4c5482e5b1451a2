//! A replica as the daemons see it: propose, ask who leads, stop.

mod abstain;
mod bootstrap;
mod start;
mod transfer;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use dynomesh_core::id::{Address, GroupId, Incarnation, Index, ReplicaId, Term};
use dynomesh_core::time::Span;
use dynomesh_proto::raft::v1 as wire;
use openraft::Raft;
use openraft::async_runtime::watch::WatchReceiver;
use tokio::sync::watch;

pub(crate) use bootstrap::identify;
pub use bootstrap::{Introduction, bootstrap_group, identify_replica};
pub use transfer::TransferError;
pub(crate) use transfer::transfer;

use crate::batcher::Proposer;
use crate::candidacy::Candidacy;
use crate::engine::{Engine, LogId};
use crate::error::{BootstrapError, ProposeError, StartError};
use crate::identity::Identity;
use crate::keeper::{Applied, Keeper};
use crate::lease::Lease;
use crate::log::Log;
use crate::machine::Machine;
use crate::members::{Change, Members, MembersError, Order};
use crate::metrics::{Counters, Metrics};
use crate::options::{Member, Options};
use crate::payload::{decode_one, encode_one};
use crate::role::Role;
use crate::transport::{self, Peers};

/// The service to mount on the gRPC server that peers reach at [`Options::grpc`].
pub type RaftServer<M> = wire::peer_server::PeerServer<transport::Server<M>>;

/// Most replicas that a forwarded command is sent to, one after the other.
const FORWARDS_MAX: usize = 3;
/// A forwarded command is given up after this long.
const FORWARD_MAX: Duration = Duration::from_secs(5);

/// One member of a Raft group. Cheap to clone; any thread may call it.
pub struct Replica<M: Machine>(Arc<Inner<M>>);

pub(crate) struct Inner<M: Machine> {
    pub(crate) raft: Raft<Engine, Keeper<M>>,
    log: Log,
    proposer: Proposer<M>,
    pub(crate) role: watch::Receiver<Role>,
    /// How many keep the batcher closed.
    closed: watch::Sender<u32>,
    /// Held by who hands leadership over: one at a time.
    handing_over: tokio::sync::Mutex<()>,
    pub(crate) lease: Arc<Lease>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) options: Options,
    pub(crate) peers: Peers,
    counters: Arc<Counters>,
    pub(crate) applied: Arc<Applied>,
    pub(crate) candidacy: Arc<Candidacy>,
    /// The change of members under way, in words.
    pub(crate) changing: std::sync::Mutex<Option<String>>,
}

impl<M: Machine> Clone for Replica<M> {
    fn clone(&self) -> Self {
        Replica(self.0.clone())
    }
}

impl<M: Machine> std::fmt::Debug for Replica<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Replica({} of {} {:?})", self.id(), self.0.options.kind, self.0.options.name)
    }
}

impl<M: Machine> Replica<M> {
    /// Opens the disk and joins in. Runs its tasks on the runtime it is called on: give it a thread and a `current_thread`
    /// runtime of its own, so that no other work delays heartbeats. The caller mounts the service before it expects an answer.
    pub async fn start(options: Options, machine: M) -> Result<(Self, RaftServer<M>), StartError> {
        start::start(options, machine).await
    }

    /// Its id, minted when its disk was first used.
    pub fn id(&self) -> ReplicaId {
        self.0.identity.replica()
    }

    /// This run of it.
    pub fn incarnation(&self) -> Incarnation {
        self.0.identity.incarnation()
    }

    /// The group its disk belongs to.
    pub fn group(&self) -> Option<GroupId> {
        self.0.identity.group()
    }

    /// Whether its disk belongs to no group yet.
    pub fn is_pristine(&self) -> bool {
        self.group().is_none()
    }

    /// Makes `members`, this one included, the group `group`. One explicit act at one of them; refused on a disk that belongs
    /// to another group, or to this one and has begun its work.
    pub async fn bootstrap(&self, members: Vec<Member>, group: GroupId) -> Result<(), BootstrapError> {
        bootstrap::initialize(&self.0, members, group).await
    }

    /// Appends a command, if this replica leads, and waits for its reply. The order of calls is the order in the log, whether
    /// or not the futures are polled.
    pub fn propose(&self, command: M::Command) -> impl Future<Output = Result<M::Reply, ProposeError>> + Send + use<M> {
        self.0.proposer.propose(command)
    }

    /// Appends a command together with the next one, or by itself once `within` has passed. It may be lost with the leadership: for what
    /// is proposed again by whoever compares its own books with the state.
    pub fn propose_lazily(&self, command: M::Command, within: Span) {
        self.0.proposer.propose_lazily(command, within);
    }

    /// Has the leader append a command, wherever it is.
    pub async fn propose_anywhere(&self, command: M::Command) -> Result<M::Reply, ProposeError> {
        let mut leader = self.leader_elsewhere();
        for _ in 0..FORWARDS_MAX {
            let outcome = match leader {
                Some(leader) => self.forward(&leader, &command).await,
                None => self.propose(command.clone()).await,
            };
            match outcome {
                Err(ProposeError::NotLeader { leader: Some(other) }) if other.id != self.id() => leader = Some(other),
                outcome => return outcome,
            }
        }
        Err(ProposeError::NotLeader { leader: None })
    }

    fn leader_elsewhere(&self) -> Option<Member> {
        self.0.role_now().leader.filter(|leader| leader.id != self.id())
    }

    async fn forward(&self, leader: &Member, command: &M::Command) -> Result<M::Reply, ProposeError> {
        use wire::forward_response::Outcome;
        let Ok(mut client) = self.0.peers.client(&leader.grpc.to_string()) else {
            return Err(ProposeError::NotLeader { leader: None });
        };
        let header = Some(self.0.peers.header(leader.id.0));
        let call = client.forward(wire::ForwardRequest { header, command: encode_one(command) });
        let answer = match tokio::time::timeout(FORWARD_MAX, call).await {
            Ok(Ok(answer)) => answer.into_inner(),
            Ok(Err(_)) => return Err(ProposeError::Unknown("the leader did not answer")),
            Err(_) => return Err(ProposeError::Unknown("the leader did not answer in time")),
        };
        match answer.outcome {
            Some(Outcome::Reply(reply)) => decode_one(&reply).map_err(|_| ProposeError::Unknown("the leader's reply cannot be read")),
            Some(Outcome::NotLeader(it)) => {
                Err(ProposeError::NotLeader { leader: it.leader.and_then(|leader| transport::member(&leader).ok()) })
            }
            Some(Outcome::NotAppended(_)) => Err(ProposeError::NotAppended("the leader has lost its quorum or too much waits")),
            Some(Outcome::Stopping(_)) => Err(ProposeError::Stopping),
            Some(Outcome::Unknown(_)) => Err(ProposeError::Unknown("leadership was lost")),
            None => Err(ProposeError::Unknown("the leader's answer is empty")),
        }
    }

    /// What it is, now and from now on.
    pub fn role(&self) -> watch::Receiver<Role> {
        self.0.role.clone()
    }

    /// Its lease as a leader.
    pub fn lease(&self) -> Arc<Lease> {
        self.0.lease.clone()
    }

    /// Hands leadership to `to`, or to any voter that has all entries. The lease ends first, and for good in this term. If
    /// nobody takes over in time the group elects anew, this replica included. One handover at a time: another waits for it, within
    /// bounds. Once begun it goes on, also when the future is dropped.
    pub async fn transfer(&self, to: Option<ReplicaId>) -> Result<(), TransferError> {
        transfer::transfer(&self.0, to).await
    }

    /// Keeps it from leading until told otherwise, or lets it again: it hands leadership over and does not stand for election, but
    /// votes and replicates as ever. It stands after all where the group would be mute without it: see the module `candidacy`. A
    /// restart forgets it. Returns at once; watch [`Replica::role`] for the handover.
    pub fn abstain(&self, abstain: bool) {
        self.0.candidacy.abstain(abstain);
    }

    /// Whether its group removed it: it is quiet from then on.
    pub fn is_removed(&self) -> bool {
        self.0.candidacy.is_removed()
    }

    /// Who belongs to the group and how they are doing, as far as this replica knows.
    pub fn members(&self) -> Members {
        self.0.members()
    }

    /// Changes the members, on the leader: one change at a time, and none that would leave too few voters that answer. After an
    /// error the same change may be asked for again, here or at another leader, and goes on where it stood.
    pub async fn change(&self, order: Order) -> Result<Change, MembersError> {
        self.0.change(order).await
    }

    /// Takes the replica at `grpc` in without a vote, on the leader: the first half of adding it.
    pub async fn add_learner(&self, grpc: Address) -> Result<Member, MembersError> {
        self.0.add_learner(grpc).await
    }

    /// Waits, within bounds, until a learner has caught up, and gives it its vote, on the leader: the other half.
    pub async fn promote(&self, learner: ReplicaId) -> Result<Change, MembersError> {
        self.0.promote(learner).await
    }

    /// Ends it: with `transfer` set a leader hands over first. Afterwards everything is on disk, every proposal has been answered
    /// and new ones are refused.
    pub async fn stop(&self, transfer: bool) {
        // For good: who else keeps it closed opens only for himself.
        self.0.closed.send_modify(|by| *by += 1);
        if transfer && let Err(error) = transfer::transfer(&self.0, None).await {
            tracing::info!(error = &error as &dyn std::error::Error, "leadership was not handed over");
        }
        self.0.lease.renounce(Term(u64::MAX));
        if let Err(error) = self.0.raft.shutdown().await {
            tracing::warn!(%error, "raft did not end cleanly");
        }
        if let Err(error) = self.0.log.flushed().await {
            tracing::warn!(error = &error as &dyn std::error::Error, "the log was not flushed at the end");
        }
    }

    /// Figures of what it did and where it stands.
    pub fn metrics(&self) -> Metrics {
        let raft = self.0.raft.metrics().borrow_watched().clone();
        let counted = self.0.counters.read();
        let index = |id: Option<LogId>| Index(id.map_or(0, |id| id.index));
        Metrics {
            term: Term(raft.current_term),
            last_log: Index(raft.last_log_index.unwrap_or_default()),
            committed: index(raft.local_committed),
            applied: index(raft.last_applied),
            snapshot: index(raft.snapshot),
            batches: counted.batches,
            ops: counted.ops,
            applied_ops: self.0.applied.commands.load(std::sync::atomic::Ordering::Relaxed),
            latency: counted.latency,
        }
    }

    /// What it answers to whoever asks who listens here.
    pub(crate) fn describe(&self) -> wire::IdentityResponse {
        let role = self.0.role_now();
        let begun = self.group().filter(|_| !self.0.identity.is_founding());
        let member = |m: &Member| wire::Member { id: m.id.0, http: m.http.to_string(), grpc: m.grpc.to_string() };
        wire::IdentityResponse {
            version: transport::VERSION,
            replica: self.id().0,
            incarnation: self.incarnation().0,
            kind: self.0.options.kind.to_owned(),
            name: self.0.options.name.clone(),
            http: self.0.options.http.to_string(),
            grpc: self.0.options.grpc.to_string(),
            // One that may never begin is named to nobody: a name would be bound to it.
            group: begun.map(|group| group.0.to_be_bytes().to_vec().into()).unwrap_or_default(),
            pristine: self.is_pristine(),
            term: role.term.0,
            leader: role.leader.as_ref().map(member),
            members: role.members.iter().map(member).collect(),
            removed: self.is_removed(),
        }
    }
}

impl<M: Machine> Inner<M> {
    /// What it is now. A copy: to look a second time while the first look still holds its lock would wait for ever where a change of
    /// role has come to wait between the two.
    pub(crate) fn role_now(&self) -> Role {
        self.role.borrow().clone()
    }

    pub(crate) fn leads(&self) -> Option<Term> {
        let role = self.role.borrow();
        role.is_leader().then_some(role.term)
    }
}
