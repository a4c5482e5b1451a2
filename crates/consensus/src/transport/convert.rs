//! Wire messages to engine types and back. What cannot be right becomes an error, never a panic.

use std::io;

use dynomesh_core::id::{GroupId, ReplicaId};
use dynomesh_proto::raft::v1 as wire;
use openraft::raft::{AppendEntriesRequest, StreamAppendError, StreamAppendResult, TransferLeaderRequest, VoteRequest, VoteResponse};

use crate::engine::{Ballot, Engine, LogId, ballot, log_id, term_of};
use crate::options::Member;
use crate::payload::{self, invalid};

fn missing(what: &'static str) -> io::Error {
    invalid(format!("{what} is missing"))
}

pub(crate) fn group_bytes(group: GroupId) -> bytes::Bytes {
    group.0.to_be_bytes().to_vec().into()
}

pub(crate) fn group(bytes: &[u8]) -> io::Result<GroupId> {
    let number = bytes.try_into().map_err(|_| invalid("a group id must have 16 bytes".into()))?;
    Ok(GroupId(u128::from_be_bytes(number)))
}

pub(crate) fn wire_id(id: &LogId) -> wire::LogId {
    wire::LogId { term: term_of(id), index: id.index }
}

pub(crate) fn id(id: wire::LogId) -> LogId {
    log_id(id.term, id.index)
}

pub(crate) fn wire_vote(vote: &Ballot) -> wire::Ballot {
    wire::Ballot { term: vote.leader_id.term, replica: vote.leader_id.voted_for, committed: vote.committed }
}

pub(crate) fn vote(vote: Option<wire::Ballot>) -> io::Result<Ballot> {
    let vote = vote.ok_or_else(|| missing("the vote"))?;
    Ok(ballot(vote.term, vote.replica, vote.committed))
}

pub(crate) fn wire_append(header: wire::Header, request: &AppendEntriesRequest<Engine>) -> wire::AppendRequest {
    let entry = |entry: &crate::engine::Entry| wire::Entry { id: Some(wire_id(&entry.log_id)), payload: payload::encode(entry) };
    wire::AppendRequest {
        header: Some(header),
        vote: Some(wire_vote(&request.vote)),
        previous: request.prev_log_id.as_ref().map(wire_id),
        entries: request.entries.iter().map(entry).collect(),
        committed: request.leader_commit.as_ref().map(wire_id),
    }
}

pub(crate) fn append(request: wire::AppendRequest) -> io::Result<AppendEntriesRequest<Engine>> {
    let entry = |entry: wire::Entry| payload::decode(id(entry.id.ok_or_else(|| missing("an entry's id"))?), entry.payload);
    Ok(AppendEntriesRequest {
        vote: vote(request.vote)?,
        prev_log_id: request.previous.map(id),
        entries: request.entries.into_iter().map(entry).collect::<io::Result<_>>()?,
        leader_commit: request.committed.map(id),
    })
}

pub(crate) fn wire_appended(result: &StreamAppendResult<Engine>, lease_nanos: u64, abstains: bool) -> wire::AppendResponse {
    use wire::append_response::Outcome;
    let (outcome, lease_nanos) = match result {
        Ok(last) => (Outcome::Matched(wire::Matched { last: last.as_ref().map(wire_id) }), lease_nanos),
        Err(StreamAppendError::Conflict(at)) => (Outcome::Conflict(wire_id(at)), lease_nanos),
        Err(StreamAppendError::HigherVote(vote)) => (Outcome::Higher(wire_vote(vote)), 0),
    };
    wire::AppendResponse { version: super::VERSION, outcome: Some(outcome), lease_nanos, abstains }
}

pub(crate) fn appended(response: wire::AppendResponse) -> io::Result<StreamAppendResult<Engine>> {
    use wire::append_response::Outcome;
    version(response.version)?;
    Ok(match response.outcome.ok_or_else(|| missing("the outcome"))? {
        Outcome::Matched(matched) => Ok(matched.last.map(id)),
        Outcome::Conflict(at) => Err(StreamAppendError::Conflict(id(at))),
        Outcome::Higher(higher) => Err(StreamAppendError::HigherVote(vote(Some(higher))?)),
    })
}

pub(crate) fn wire_vote_request(header: wire::Header, request: &VoteRequest<Engine>) -> wire::VoteRequest {
    wire::VoteRequest {
        header: Some(header),
        vote: Some(wire_vote(&request.vote)),
        last: request.last_log_id.as_ref().map(wire_id),
        transfer: request.leadership_transfer,
    }
}

pub(crate) fn vote_request(request: &wire::VoteRequest) -> io::Result<VoteRequest<Engine>> {
    let mut asked = VoteRequest::new(vote(request.vote)?, request.last.map(id));
    asked.leadership_transfer = request.transfer;
    Ok(asked)
}

pub(crate) fn wire_vote_response(response: &VoteResponse<Engine>) -> wire::VoteResponse {
    wire::VoteResponse {
        version: super::VERSION,
        vote: Some(wire_vote(&response.vote)),
        granted: response.vote_granted,
        last: response.last_log_id.as_ref().map(wire_id),
    }
}

pub(crate) fn vote_response(response: wire::VoteResponse) -> io::Result<VoteResponse<Engine>> {
    version(response.version)?;
    Ok(VoteResponse::new(vote(response.vote)?, response.last.map(id), response.granted))
}

pub(crate) fn transfer(request: &wire::TransferLeaderRequest) -> io::Result<TransferLeaderRequest<Engine>> {
    Ok(TransferLeaderRequest::new(vote(request.vote)?, request.target, request.last.map(id)))
}

pub(crate) fn wire_member(member: &Member) -> wire::Member {
    wire::Member { id: member.id.0, http: member.http.to_string(), grpc: member.grpc.to_string() }
}

pub(crate) fn member(member: &wire::Member) -> io::Result<Member> {
    let address = |text: &str| text.parse().map_err(|e: dynomesh_core::id::Invalid| invalid(e.to_string()));
    Ok(Member { id: ReplicaId(member.id), http: address(&member.http)?, grpc: address(&member.grpc)? })
}

pub(crate) fn version(version: u32) -> io::Result<()> {
    match version == super::VERSION {
        true => Ok(()),
        false => {
            Err(invalid(format!("the peer speaks version {version} of the raft protocol; this program knows version {}", super::VERSION)))
        }
    }
}
