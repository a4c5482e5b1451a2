//! The sending side: one [`Link`] per peer and purpose.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dynomesh_core::time::{Span, Time};
use dynomesh_proto::raft::v1 as wire;
use dynomesh_proto::raft::v1::peer_client::PeerClient;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use openraft::OptionalSend;
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{Backoff, NetBackoff, NetSnapshot, NetStreamAppend, NetTransferLeader, NetVote, RPCOption, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, SnapshotResponse, StreamAppendResult, TransferLeaderError, TransferLeaderRequest, TransferLeaderResponse,
    VoteRequest, VoteResponse,
};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use super::{CHUNK_LEN, RARE_MAX, RECONNECT, REMOVED, SETUP_MAX, SILENCE_MAX, UNINVITED, VERSION, convert};
use crate::engine::{Ballot, Engine, Place};
use crate::identity::Identity;
use crate::lease::Lease;
use crate::options::Cut;
use crate::snapshot::{EngineSnapshot, Saved};
use dynomesh_runtime::clock::Clock;

type Client = PeerClient<Channel>;
type Rpc<T> = Result<T, RPCError<Engine>>;

/// Makes links, and remembers connections that may be shared.
#[derive(Clone)]
pub(crate) struct Peers {
    identity: Arc<Identity>,
    lease: Arc<Lease>,
    clock: Clock,
    cut: Cut,
    rare: Arc<Mutex<HashMap<String, Channel>>>,
    /// Peers that are being invited, so that no two calls do it at once.
    inviting: Arc<Mutex<BTreeSet<u64>>>,
    /// Peers that said last that they do not want to lead.
    abstaining: Arc<Mutex<BTreeSet<u64>>>,
}

/// openraft's factory of links.
pub(crate) struct Network(pub(crate) Peers);

/// Speaks to one peer.
pub(crate) struct Link {
    peers: Peers,
    target: u64,
    client: Result<Client, String>,
    /// Kept open from one heartbeat to the next.
    beat: Option<Beat>,
    heartbeats: bool,
}

struct Beat {
    requests: mpsc::Sender<wire::AppendRequest>,
    answers: tonic::Streaming<wire::AppendResponse>,
}

// === impl Peers ===

impl Peers {
    pub(crate) fn new(identity: Arc<Identity>, lease: Arc<Lease>, clock: Clock, cut: Cut) -> Self {
        Peers { identity, lease, clock, cut, rare: Arc::default(), inviting: Arc::default(), abstaining: Arc::default() }
    }

    /// A client on the connection that rare calls to `address` share.
    pub(crate) fn client(&self, address: &str) -> Result<Client, String> {
        let mut rare = self.rare.lock().expect("nothing panics while it holds the connections");
        if let Some(channel) = rare.get(address) {
            return Ok(client(channel.clone()));
        }
        let channel = channel(address)?;
        rare.insert(address.to_owned(), channel.clone());
        Ok(client(channel))
    }

    pub(crate) fn header(&self, target: u64) -> wire::Header {
        let group = self.identity.group().map(convert::group_bytes).unwrap_or_default();
        wire::Header { version: VERSION, group, from: self.identity.replica().0, to: target }
    }

    fn link(&self, target: u64, client: Result<Client, String>, heartbeats: bool) -> Link {
        Link { peers: self.clone(), target, client, beat: None, heartbeats }
    }

    /// The peer took what was sent at `sent`.
    fn acknowledged(&self, vote: &Ballot, peer: u64, sent: Time, answer: &wire::AppendResponse) {
        if answer.lease_nanos > 0 {
            self.lease.acknowledged(vote.leader_id.term, peer, sent, Span::from_nanos(answer.lease_nanos));
        }
        let mut abstaining = self.abstaining.lock().expect("nothing panics while it holds the abstaining");
        match answer.abstains {
            true => abstaining.insert(peer),
            false => abstaining.remove(&peer),
        };
    }

    /// Whether `peer` said last that it does not want to lead.
    pub(crate) fn abstains(&self, peer: u64) -> bool {
        self.abstaining.lock().expect("nothing panics while it holds the abstaining").contains(&peer)
    }

    /// Asks `target`, which is new, to join this replica's group. Only once that has begun for good: who joins a group stays in it.
    pub(crate) async fn invite(&self, mut client: Client, target: u64) -> Result<(), Status> {
        if self.identity.is_founding() {
            return Err(Status::unavailable("the group begins just now"));
        }
        let (kind, name) = self.identity.purpose();
        let request = wire::InviteRequest { header: Some(self.header(target)), kind, name };
        timeout(RARE_MAX, client.invite(request)).await.map_err(|_| Status::unavailable("no answer in time"))??;
        Ok(())
    }

    /// Tells `target` that the group removed it.
    pub(crate) async fn dismiss(&self, address: &str, target: u64) -> Result<(), Status> {
        let mut client = self.client(address).map_err(Status::unavailable)?;
        let request = wire::DismissRequest { header: Some(self.header(target)) };
        timeout(RARE_MAX, client.dismiss(request)).await.map_err(|_| Status::unavailable("no answer in time"))??;
        Ok(())
    }

    /// What a refusal asks for: a member that is new is invited, for the call that added it may have ended before it could; a
    /// replica that hears it was removed remembers it.
    fn heed(&self, client: &Result<Client, String>, target: u64, refusal: &Status) {
        match (refusal.code(), client) {
            (UNINVITED, Ok(client)) => self.invite_aside(client.clone(), target),
            (REMOVED, _) => {
                tracing::warn!(peer = target, "this replica was removed from its group; it is quiet from now on");
                if let Err(error) = self.identity.dismiss() {
                    tracing::error!(%error, "that this replica was removed cannot be written down");
                }
            }
            _ => {}
        }
    }

    fn failed(&self, client: &Result<Client, String>, target: u64, status: &Status) -> RPCError<Engine> {
        self.heed(client, target, status);
        unreachable(format!("{:?}: {}", status.code(), status.message()))
    }

    fn invite_aside(&self, client: Client, target: u64) {
        if !self.inviting.lock().expect("nothing panics while it holds the invited").insert(target) {
            return;
        }
        let peers = self.clone();
        tokio::spawn(async move {
            match peers.invite(client, target).await {
                Ok(()) => tracing::info!(peer = target, "a new member was invited"),
                Err(status) => tracing::info!(peer = target, refusal = status.message(), "a new member could not be invited"),
            }
            peers.inviting.lock().expect("nothing panics while it holds the invited").remove(&target);
        });
    }
}

/// A connection that is made when it is first used, and again when it was lost.
pub(crate) fn channel(address: &str) -> Result<Channel, String> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|e| format!("{address}: {e}"))?;
    let endpoint = endpoint
        .connect_timeout(SETUP_MAX)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(1))
        .keep_alive_timeout(SILENCE_MAX)
        .initial_stream_window_size(1024 * 1024)
        .initial_connection_window_size(4 * 1024 * 1024);
    Ok(endpoint.connect_lazy())
}

pub(crate) fn client(channel: Channel) -> Client {
    let len = dynomesh_proto::MESSAGE_LEN_MAX;
    PeerClient::new(channel).max_decoding_message_size(len).max_encoding_message_size(len)
}

impl RaftNetworkFactory<Engine> for Network {
    type Network = Link;

    async fn new_client(&mut self, target: u64, node: &Place) -> Link {
        self.0.link(target, channel(&node.grpc).map(client), false)
    }

    async fn new_heartbeat_client(&mut self, target: u64, node: &Place) -> Link {
        self.0.link(target, channel(&node.grpc).map(client), true)
    }

    async fn new_snapshot_client(&mut self, target: u64, node: &Place) -> Link {
        self.0.link(target, self.0.client(&node.grpc), false)
    }
}

// === impl Link ===

impl Link {
    fn client(&self) -> Rpc<Client> {
        if self.peers.cut.is_cut() {
            return Err(unreachable("cut off"));
        }
        self.client.clone().map_err(|problem| Unreachable::from_string(problem).into())
    }

    /// One heartbeat over the stream kept for them. If the call is given up, the stream goes with it: an answer to an earlier
    /// heartbeat must not pass for one to a later.
    async fn beat(&mut self, request: AppendEntriesRequest<Engine>) -> Rpc<StreamAppendResult<Engine>> {
        let mut beat = match self.beat.take() {
            Some(beat) => beat,
            None => self.open_beat().await?,
        };
        if self.peers.cut.is_cut() {
            return Err(unreachable("cut off"));
        }
        let sent = self.peers.clock.now();
        let message = convert::wire_append(self.peers.header(self.target), &request);
        let closed = || RPCError::from(NetworkError::from_string("the heartbeat stream ended"));
        beat.requests.send(message).await.map_err(|_| closed())?;
        let answer = beat.answers.message().await.map_err(|status| self.failed(status))?.ok_or_else(closed)?;
        self.peers.acknowledged(&request.vote, self.target, sent, &answer);
        let result = convert::appended(answer).map_err(unreadable)?;
        // The other side ends the stream after a refusal.
        if result.is_ok() {
            self.beat = Some(beat);
        }
        Ok(result)
    }

    fn failed(&self, status: Status) -> RPCError<Engine> {
        self.peers.failed(&self.client, self.target, &status)
    }

    async fn open_beat(&self) -> Rpc<Beat> {
        let (requests, stream) = mpsc::channel(1);
        let answers = self.client()?.append(ReceiverStream::new(stream)).await.map_err(|status| self.failed(status))?.into_inner();
        Ok(Beat { requests, answers })
    }

    async fn open_append<S>(&self, input: S) -> Rpc<BoxStream<'static, Rpc<StreamAppendResult<Engine>>>>
    where
        S: Stream<Item = AppendEntriesRequest<Engine>> + Send + Unpin + 'static,
    {
        let in_flight = Arc::new(Mutex::new(VecDeque::new()));
        let (peers, target, sent) = (self.peers.clone(), self.target, in_flight.clone());
        let cut = self.peers.cut.clone();
        let requests = input.take_while(move |_| std::future::ready(!cut.is_cut())).map(move |request| {
            let mut sent = sent.lock().expect("nothing panics while it holds the send times");
            sent.push_back((peers.clock.now(), request.vote));
            convert::wire_append(peers.header(target), &request)
        });
        let mut client = self.client()?;
        let opened = timeout(SETUP_MAX, client.append(requests)).await;
        let answers = opened.map_err(|_| unreachable("no answer in time"))?.map_err(|status| self.failed(status))?.into_inner();
        let (peers, client) = (self.peers.clone(), self.client.clone());
        let answers = answers.map(move |answer| {
            let answer = answer.map_err(|status| peers.failed(&client, target, &status))?;
            if peers.cut.is_cut() {
                return Err(unreachable("cut off"));
            }
            let sent = in_flight.lock().expect("nothing panics while it holds the send times").pop_front();
            if let Some((sent, vote)) = sent {
                peers.acknowledged(&vote, target, sent, &answer);
            }
            convert::appended(answer).map_err(unreadable)
        });
        Ok(answers.boxed())
    }

    async fn ask_vote(&self, request: VoteRequest<Engine>, option: RPCOption, really: bool) -> Rpc<VoteResponse<Engine>> {
        let mut client = self.client()?;
        let message = convert::wire_vote_request(self.peers.header(self.target), &request);
        let call = async {
            let mut answer = if really { client.vote(message.clone()).await } else { client.pre_vote(message.clone()).await };
            if answer.as_ref().is_err_and(|status| status.code() == UNINVITED) {
                // A group's first election must not wait for another round.
                self.peers.invite(client.clone(), self.target).await.map_err(|status| self.failed(status))?;
                answer = if really { client.vote(message).await } else { client.pre_vote(message).await };
            }
            convert::vote_response(answer.map_err(|status| self.failed(status))?.into_inner()).map_err(unreadable)
        };
        timeout(option.hard_ttl(), call).await.map_err(|_| unreachable("no answer in time"))?
    }
}

fn unreachable(problem: impl ToString) -> RPCError<Engine> {
    Unreachable::from_string(problem).into()
}

fn unreadable(error: io::Error) -> RPCError<Engine> {
    unreachable(error)
}

impl NetBackoff<Engine> for Link {
    fn backoff(&self) -> Option<Backoff> {
        Some(Backoff::new(std::iter::repeat(RECONNECT)))
    }
}

impl NetStreamAppend<Engine> for Link {
    fn stream_append<'s, S>(
        &'s mut self,
        mut input: S,
        _option: RPCOption,
    ) -> BoxFuture<'s, Rpc<BoxStream<'s, Rpc<StreamAppendResult<Engine>>>>>
    where
        S: Stream<Item = AppendEntriesRequest<Engine>> + OptionalSend + Unpin + 'static,
    {
        if !self.heartbeats {
            return Box::pin(async move {
                let opened: Rpc<BoxStream<'s, _>> = self.open_append(input).await;
                if opened.is_err() {
                    // The library pauses only between the requests of a stream that was opened; a peer that refuses connections at once
                    // would be asked as fast as a processor can.
                    tokio::time::sleep(RECONNECT).await;
                }
                opened
            });
        }
        Box::pin(async move {
            let answer = match input.next().await {
                Some(request) => Some(self.beat(request).await?),
                None => None,
            };
            Ok(futures::stream::iter(answer.map(Ok)).boxed())
        })
    }
}

impl NetVote<Engine> for Link {
    async fn vote(&mut self, request: VoteRequest<Engine>, option: RPCOption) -> Rpc<VoteResponse<Engine>> {
        self.ask_vote(request, option, true).await
    }

    async fn pre_vote(&mut self, request: VoteRequest<Engine>, option: RPCOption) -> Rpc<VoteResponse<Engine>> {
        self.ask_vote(request, option, false).await
    }
}

impl NetTransferLeader<Engine> for Link {
    async fn transfer_leader(&mut self, request: TransferLeaderRequest<Engine>, option: RPCOption) -> Rpc<TransferLeaderResponse<Engine>> {
        let message = wire::TransferLeaderRequest {
            header: Some(self.peers.header(self.target)),
            vote: Some(convert::wire_vote(request.from_leader())),
            target: *request.to_node_id(),
            last: request.last_log_id().map(convert::wire_id),
        };
        let mut client = self.client()?;
        let answer = timeout(option.hard_ttl(), client.transfer_leader(message)).await;
        let answer = answer.map_err(|_| unreachable("no answer in time"))?.map_err(|status| self.failed(status))?.into_inner();
        convert::version(answer.version).map_err(unreadable)?;
        match answer.refusal.is_empty() {
            true => Ok(Ok(())),
            false => {
                tracing::info!(peer = self.target, refusal = answer.refusal, "leadership was not taken over");
                Ok(Err(TransferLeaderError::LogNotFlushed { expected: request.last_log_id().copied(), actual: None }))
            }
        }
    }
}

impl NetSnapshot<Engine> for Link {
    type SnapshotData = Saved;

    async fn full_snapshot(
        &mut self,
        vote: Ballot,
        snapshot: EngineSnapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Engine>, StreamingError<Engine>> {
        let mut client = self.client().map_err(StreamingError::from)?;
        let Saved { data, retired } = snapshot.snapshot;
        let head = wire::SnapshotHead {
            header: Some(self.peers.header(self.target)),
            vote: Some(convert::wire_vote(&vote)),
            meta: crate::snapshot::encode_meta(&snapshot.meta, &retired).into(),
            size: data.len() as u64,
            crc: crc32fast::hash(&data),
        };
        let pieces = (0..data.len()).step_by(CHUNK_LEN).map(move |at| data.slice(at..data.len().min(at + CHUNK_LEN)));
        let parts = std::iter::once(wire::snapshot_chunk::Part::Head(head)).chain(pieces.map(wire::snapshot_chunk::Part::Data));
        let chunks = futures::stream::iter(parts.map(|part| wire::SnapshotChunk { part: Some(part) }));
        // A peer that is silent is noticed by the connection itself; a slow one may take its time.
        tokio::select! {
            closed = cancel => Err(closed.into()),
            answer = client.install_snapshot(chunks) => {
                let answer = answer.map_err(|status| self.failed(status)).map_err(StreamingError::from)?.into_inner();
                convert::version(answer.version).map_err(unreadable).map_err(StreamingError::from)?;
                let vote = convert::vote(answer.vote).map_err(unreadable).map_err(StreamingError::from)?;
                Ok(SnapshotResponse::new(vote))
            }
        }
    }
}
