//! The receiving side.

use std::io;
use std::sync::{Arc, Mutex};

use bytes::BytesMut;
use dynomesh_core::id::{GroupId, ReplicaId};
use dynomesh_core::time::{Span, Time};
use dynomesh_proto::raft::v1 as wire;
use dynomesh_proto::raft::v1::peer_server::Peer;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use openraft::Raft;
use openraft::raft::AppendEntriesRequest;
use tonic::{Request, Response, Status, Streaming};

use super::{REMOVED, SNAPSHOT_LEN_MAX, UNINVITED, VERSION, convert};
use crate::candidacy::Candidacy;
use crate::engine::Engine;
use crate::error::ProposeError;
use crate::identity::{Identity, Stranger};
use crate::keeper::{Applied, Keeper};
use crate::lease::Lease;
use crate::machine::Machine;
use crate::members;
use crate::options::Cut;
use crate::payload::{decode_one, encode_one};
use crate::replica::{Inner, Replica, TransferError};
use crate::snapshot::{EngineSnapshot, Saved, decode_meta};
use dynomesh_runtime::clock::Clock;

type Answer<T> = Result<Response<T>, Status>;

/// Keeps a restarted voter from voting: it has forgotten the lease it may have promised (P4).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Muzzle {
    pub(crate) until: Time,
}

/// Takes the calls of peers, and of whoever sets up the group.
pub struct Server<M: Machine> {
    replica: Replica<M>,
    raft: Raft<Engine, Keeper<M>>,
    lease: Arc<Lease>,
    clock: Clock,
    /// The lease that this replica grants leaders.
    grants: Span,
    muzzle: Muzzle,
    gate: Gate,
}

/// Lets in what is meant for this replica.
#[derive(Clone)]
struct Gate {
    identity: Arc<Identity>,
    applied: Arc<Applied>,
    candidacy: Arc<Candidacy>,
    cut: Cut,
}

impl<M: Machine> Server<M> {
    pub(crate) fn new(replica: Replica<M>, inner: &Inner<M>, muzzle: Muzzle) -> Self {
        let Inner { raft, identity, applied, candidacy, options, lease, .. } = inner;
        let cut = options.cut.clone();
        let gate = Gate { identity: identity.clone(), applied: applied.clone(), candidacy: candidacy.clone(), cut };
        let (clock, grants) = (options.clock.clone(), options.timers.election_max);
        Server { replica, raft: raft.clone(), lease: lease.clone(), clock, grants, muzzle, gate }
    }

    /// Whether this replica takes part in elections, and in one that `from` asks for.
    fn voting(&self, from: Option<&wire::Header>) -> Result<(), Status> {
        if from.is_some_and(|header| self.gate.applied.roll().is_removed(header.from)) {
            return Err(Status::new(REMOVED, "the group removed the replica that asks"));
        }
        if self.gate.candidacy.is_removed() {
            return Err(Status::failed_precondition("the group removed this replica"));
        }
        match self.clock.now() < self.muzzle.until {
            true => Err(Status::unavailable("this replica has just started and may have promised a lease that it forgot")),
            false => Ok(()),
        }
    }
}

impl Gate {
    /// Refuses what is not meant for this replica.
    fn admit(&self, header: Option<&wire::Header>) -> Result<(), Status> {
        let group = self.addressed(header)?;
        self.identity.admit(group).map_err(|stranger| match stranger {
            Stranger::Uninvited(_) => Status::new(UNINVITED, stranger.to_string()),
            Stranger::Other { .. } => Status::failed_precondition(stranger.to_string()),
        })
    }

    fn connected(&self) -> Result<(), Status> {
        match self.cut.is_cut() {
            true => Err(Status::unavailable("cut off")),
            false => Ok(()),
        }
    }

    /// The group that a message for this very replica comes from.
    fn addressed(&self, header: Option<&wire::Header>) -> Result<GroupId, Status> {
        let header = header.ok_or_else(|| Status::invalid_argument("the header is missing"))?;
        convert::version(header.version).map_err(|e| Status::unimplemented(e.to_string()))?;
        let me = self.identity.replica().0;
        self.connected()?;
        if header.to != me {
            return Err(Status::failed_precondition(format!("replica {me} listens here, not replica {}", header.to)));
        }
        convert::group(&header.group).map_err(bad)
    }
}

fn bad(error: io::Error) -> Status {
    Status::invalid_argument(error.to_string())
}

fn stopped(error: impl std::fmt::Display) -> Status {
    Status::unavailable(error.to_string())
}

#[tonic::async_trait]
impl<M: Machine> Peer for Server<M> {
    type AppendStream = BoxStream<'static, Result<wire::AppendResponse, Status>>;

    async fn append(&self, request: Request<Streaming<wire::AppendRequest>>) -> Answer<Self::AppendStream> {
        let refusal = Arc::new(Mutex::new(None));
        let requests = readable(request.into_inner(), self.gate.clone(), refusal.clone());
        let (lease, candidacy) = (self.grants.as_nanos(), self.gate.candidacy.clone());
        let answers = self.raft.stream_append(requests).map(move |answer| match answer {
            Ok(result) => Ok(convert::wire_appended(&result, lease, candidacy.abstains())),
            Err(fatal) => Err(stopped(fatal)),
        });
        let last = futures::stream::once(async move { refusal.lock().expect("nothing panics while it holds the refusal").take() });
        Ok(Response::new(answers.chain(last.filter_map(async |refusal| refusal.map(Err))).boxed()))
    }

    async fn vote(&self, request: Request<wire::VoteRequest>) -> Answer<wire::VoteResponse> {
        let request = request.into_inner();
        self.gate.admit(request.header.as_ref())?;
        self.voting(request.header.as_ref())?;
        let asked = convert::vote_request(&request).map_err(bad)?;
        if !self.lease.consider(self.clock.now()) {
            return Err(Status::unavailable("this replica leads under a valid lease"));
        }
        // In a task of its own: a candidate that gives up drops this call, and a vote that is considered for ever keeps the lease
        // of every later term from beginning.
        let (raft, lease) = (self.raft.clone(), self.lease.clone());
        let vote = tokio::spawn(async move {
            let answer = raft.vote(asked).await;
            lease.considered(!matches!(&answer, Ok(answer) if !answer.vote_granted));
            answer
        });
        let answer = vote.await.map_err(stopped)?.map_err(stopped)?;
        Ok(Response::new(convert::wire_vote_response(&answer)))
    }

    async fn pre_vote(&self, request: Request<wire::VoteRequest>) -> Answer<wire::VoteResponse> {
        let request = request.into_inner();
        self.gate.admit(request.header.as_ref())?;
        self.voting(request.header.as_ref())?;
        let asked = convert::vote_request(&request).map_err(bad)?;
        let answer = self.raft.pre_vote(asked).await.map_err(stopped)?;
        Ok(Response::new(convert::wire_vote_response(&answer)))
    }

    async fn install_snapshot(&self, request: Request<Streaming<wire::SnapshotChunk>>) -> Answer<wire::SnapshotResponse> {
        let mut chunks = request.into_inner();
        let first = chunks.message().await?.and_then(|chunk| chunk.part);
        let Some(wire::snapshot_chunk::Part::Head(head)) = first else {
            return Err(Status::invalid_argument("a snapshot must begin with its head"));
        };
        self.gate.admit(head.header.as_ref())?;
        let vote = convert::vote(head.vote).map_err(bad)?;
        let (meta, retired) = decode_meta(&head.meta).map_err(bad)?;
        let data = collect(&mut chunks, head.size, head.crc).await?;
        let snapshot = EngineSnapshot { meta, snapshot: Saved { data, retired } };
        let answer = self.raft.install_full_snapshot(vote, snapshot).await.map_err(stopped)?;
        Ok(Response::new(wire::SnapshotResponse { version: VERSION, vote: Some(convert::wire_vote(&answer.vote)) }))
    }

    async fn transfer_leader(&self, request: Request<wire::TransferLeaderRequest>) -> Answer<wire::TransferLeaderResponse> {
        let request = request.into_inner();
        self.gate.admit(request.header.as_ref())?;
        self.voting(request.header.as_ref())?;
        if request.target == self.replica.id().0 && self.gate.candidacy.abstains() {
            let refusal = "it was told not to lead".to_owned();
            return Ok(Response::new(wire::TransferLeaderResponse { version: VERSION, refusal }));
        }
        let asked = convert::transfer(&request).map_err(bad)?;
        let answer = self.raft.handle_transfer_leader(asked).await.map_err(stopped)?;
        let refusal = answer.err().map(|e| e.to_string()).unwrap_or_default();
        Ok(Response::new(wire::TransferLeaderResponse { version: VERSION, refusal }))
    }

    async fn forward(&self, request: Request<wire::ForwardRequest>) -> Answer<wire::ForwardResponse> {
        use wire::forward_response::Outcome;
        let request = request.into_inner();
        self.gate.admit(request.header.as_ref())?;
        let command: M::Command = decode_one(&request.command).map_err(bad)?;
        let outcome = match self.replica.propose(command).await {
            Ok(reply) => Outcome::Reply(encode_one(&reply)),
            Err(ProposeError::NotLeader { leader }) => {
                Outcome::NotLeader(wire::NotLeader { leader: leader.as_ref().map(convert::wire_member) })
            }
            Err(ProposeError::NotAppended(why)) => Outcome::NotAppended(why.to_owned()),
            Err(ProposeError::Unknown(why)) => Outcome::Unknown(why.to_owned()),
            Err(ProposeError::Stopping) => Outcome::Stopping(true),
        };
        Ok(Response::new(wire::ForwardResponse { version: VERSION, outcome: Some(outcome) }))
    }

    async fn identity(&self, _request: Request<wire::IdentityRequest>) -> Answer<wire::IdentityResponse> {
        Ok(Response::new(self.replica.describe()))
    }

    async fn bootstrap(&self, request: Request<wire::BootstrapRequest>) -> Answer<wire::BootstrapResponse> {
        let request = request.into_inner();
        convert::version(request.version).map_err(|e| Status::unimplemented(e.to_string()))?;
        if request.to != self.replica.id().0 {
            return Err(Status::failed_precondition(format!("replica {} listens here", self.replica.id())));
        }
        let group = convert::group(&request.group).map_err(bad)?;
        let members = request.members.iter().map(convert::member).collect::<io::Result<_>>().map_err(bad)?;
        self.replica.bootstrap(members, group).await.map_err(|e| Status::failed_precondition(e.to_string()))?;
        Ok(Response::new(wire::BootstrapResponse { version: VERSION }))
    }

    async fn invite(&self, request: Request<wire::InviteRequest>) -> Answer<wire::InviteResponse> {
        let request = request.into_inner();
        let group = self.gate.addressed(request.header.as_ref())?;
        let (kind, name) = self.gate.identity.purpose();
        if (&request.kind, &request.name) != (&kind, &name) {
            let problem = format!("this replica was set up for {kind} {name:?}, not for {} {:?}", request.kind, request.name);
            return Err(Status::failed_precondition(problem));
        }
        self.gate.identity.join(group).map_err(|e| Status::failed_precondition(e.to_string()))?;
        Ok(Response::new(wire::InviteResponse { version: VERSION }))
    }

    async fn dismiss(&self, request: Request<wire::DismissRequest>) -> Answer<wire::DismissResponse> {
        self.gate.admit(request.into_inner().header.as_ref())?;
        self.gate.identity.dismiss().map_err(|e| Status::internal(e.to_string()))?;
        tracing::warn!("this replica was removed from its group; it is quiet from now on");
        Ok(Response::new(wire::DismissResponse { version: VERSION }))
    }

    async fn members(&self, request: Request<wire::MembersRequest>) -> Answer<wire::MembersResponse> {
        convert::version(request.into_inner().version).map_err(|e| Status::unimplemented(e.to_string()))?;
        self.gate.connected()?;
        Ok(Response::new(members::wire_members(&self.replica.members())))
    }

    async fn change_members(&self, request: Request<wire::ChangeMembersRequest>) -> Answer<wire::ChangeMembersResponse> {
        let request = request.into_inner();
        convert::version(request.version).map_err(|e| Status::unimplemented(e.to_string()))?;
        self.gate.connected()?;
        let order = members::order(&request).map_err(bad)?;
        // In a task of its own: a change must not stop half-way because whoever asked for it left.
        let replica = self.replica.clone();
        let outcome = tokio::spawn(async move { replica.change(order).await }).await.map_err(stopped)?;
        Ok(Response::new(members::wire_outcome(outcome)))
    }

    async fn transfer(&self, request: Request<wire::TransferRequest>) -> Answer<wire::TransferResponse> {
        use wire::transfer_response::Outcome;
        let request = request.into_inner();
        convert::version(request.version).map_err(|e| Status::unimplemented(e.to_string()))?;
        self.gate.connected()?;
        let to = Some(ReplicaId(request.to)).filter(|id| id.0 != 0);
        let outcome = match self.replica.transfer(to).await {
            Ok(()) => Outcome::Done(true),
            Err(TransferError::NotLeader | TransferError::Ended) => {
                let leader = self.replica.role().borrow().leader.as_ref().map(convert::wire_member);
                Outcome::NotLeader(wire::NotLeader { leader })
            }
            Err(error) => Outcome::Failed(error.to_string()),
        };
        Ok(Response::new(wire::TransferResponse { version: VERSION, outcome: Some(outcome) }))
    }
}

/// The requests of a stream up to the first that is refused, which `refusal` tells.
fn readable(
    requests: Streaming<wire::AppendRequest>,
    gate: Gate,
    refusal: Arc<Mutex<Option<Status>>>,
) -> impl Stream<Item = AppendEntriesRequest<Engine>> + Send + 'static {
    let read = move |request: Result<wire::AppendRequest, Status>| {
        let request = request?;
        gate.admit(request.header.as_ref())?;
        gate.candidacy.hear();
        convert::append(request).map_err(bad)
    };
    let keep = move |refused: Status| *refusal.lock().expect("nothing panics while it holds the refusal") = Some(refused);
    requests.map(read).scan((), move |(), request: Result<_, Status>| std::future::ready(request.map_err(&keep).ok()))
}

async fn collect(chunks: &mut Streaming<wire::SnapshotChunk>, size: u64, crc: u32) -> Result<bytes::Bytes, Status> {
    if size > SNAPSHOT_LEN_MAX {
        return Err(Status::out_of_range(format!("a snapshot of {size} bytes is longer than {SNAPSHOT_LEN_MAX}")));
    }
    let mut data = BytesMut::new();
    while let Some(chunk) = chunks.message().await? {
        let Some(wire::snapshot_chunk::Part::Data(piece)) = chunk.part else {
            return Err(Status::invalid_argument("a snapshot has one head"));
        };
        data.extend_from_slice(&piece);
        if data.len() as u64 > size {
            return Err(Status::invalid_argument("a snapshot is longer than its head says"));
        }
    }
    if data.len() as u64 != size || crc32fast::hash(&data) != crc {
        return Err(Status::data_loss("a snapshot came damaged or cut short"));
    }
    Ok(data.freeze())
}
