//! The calls about members, as they travel.

use std::io;

use dynomesh_core::id::{Address, ReplicaId, Term};
use dynomesh_proto::raft::v1 as wire;
use wire::change_members_response::Outcome;
use wire::refused::Reason;

use super::{Change, MemberState, Members, MembersError, Order, Refusal};
use crate::payload::invalid;
use crate::transport::{VERSION, group, member, wire_member};

fn some(id: u64) -> Option<ReplicaId> {
    Some(ReplicaId(id)).filter(|id| id.0 != 0)
}

fn address(text: &str) -> io::Result<Address> {
    text.parse().map_err(|e: dynomesh_core::id::Invalid| invalid(e.to_string()))
}

pub(crate) fn order(request: &wire::ChangeMembersRequest) -> io::Result<Order> {
    use wire::change_members_request::Change;
    Ok(match request.change.as_ref().ok_or_else(|| invalid("the change is missing".into()))? {
        Change::Add(at) => Order::Add(address(at)?),
        Change::Remove(id) => Order::Remove(ReplicaId(*id)),
        Change::Replace(it) => Order::Replace { old: some(it.old), by: address(&it.by)? },
    })
}

pub(super) fn wire_order(order: Order) -> wire::ChangeMembersRequest {
    use wire::change_members_request::Change;
    let change = match order {
        Order::Add(at) => Change::Add(at.to_string()),
        Order::Remove(id) => Change::Remove(id.0),
        Order::Replace { old, by } => Change::Replace(wire::Replace { old: old.map_or(0, |id| id.0), by: by.to_string() }),
    };
    wire::ChangeMembersRequest { version: VERSION, change: Some(change) }
}

pub(crate) fn wire_outcome(outcome: Result<Change, MembersError>) -> wire::ChangeMembersResponse {
    let outcome = match outcome {
        Ok(change) => Outcome::Changed(wire::Changed {
            added: change.added.as_ref().map(wire_member),
            removed: change.removed.map_or(0, |id| id.0),
            members: change.members.iter().map(wire_member).collect(),
        }),
        Err(MembersError::NotLeader { leader }) => Outcome::NotLeader(wire::NotLeader { leader: leader.as_ref().map(wire_member) }),
        Err(MembersError::Busy { change }) => Outcome::Busy(change),
        Err(MembersError::Refused { reason, text }) => Outcome::Refused(wire::Refused { reason: wire_reason(reason).into(), text }),
        Err(MembersError::Unfinished(text)) => Outcome::Unfinished(text),
        Err(error @ MembersError::NoLeader { .. }) => Outcome::Unfinished(error.to_string()),
    };
    wire::ChangeMembersResponse { version: VERSION, outcome: Some(outcome) }
}

/// What the leader answered, or what cannot be read of it.
pub(super) fn outcome(response: wire::ChangeMembersResponse) -> io::Result<Result<Change, MembersError>> {
    Ok(match response.outcome.ok_or_else(|| invalid("the leader's answer is empty".into()))? {
        Outcome::Changed(it) => Ok(Change {
            added: it.added.as_ref().map(member).transpose()?,
            removed: some(it.removed),
            members: it.members.iter().map(member).collect::<io::Result<_>>()?,
        }),
        Outcome::NotLeader(it) => Err(MembersError::NotLeader { leader: it.leader.as_ref().map(member).transpose()? }),
        Outcome::Busy(change) => Err(MembersError::Busy { change }),
        Outcome::Refused(it) => Err(MembersError::Refused { reason: reason(it.reason())?, text: it.text }),
        Outcome::Unfinished(text) => Err(MembersError::Unfinished(text)),
    })
}

fn wire_reason(reason: Refusal) -> Reason {
    match reason {
        Refusal::Quorum => Reason::Quorum,
        Refusal::Retired => Reason::Retired,
        Refusal::Address => Reason::Address,
        Refusal::Foreign => Reason::Foreign,
        Refusal::Unknown => Reason::Unknown,
        Refusal::Ambiguous => Reason::Ambiguous,
        Refusal::Unreachable => Reason::Unreachable,
    }
}

fn reason(reason: Reason) -> io::Result<Refusal> {
    Ok(match reason {
        Reason::Unspecified => return Err(invalid("the leader refused for a reason that this program does not know".into())),
        Reason::Quorum => Refusal::Quorum,
        Reason::Retired => Refusal::Retired,
        Reason::Address => Refusal::Address,
        Reason::Foreign => Refusal::Foreign,
        Reason::Unknown => Refusal::Unknown,
        Reason::Ambiguous => Refusal::Ambiguous,
        Reason::Unreachable => Refusal::Unreachable,
    })
}

pub(crate) fn wire_members(it: &Members) -> wire::MembersResponse {
    let state = |state: &MemberState| wire::MemberState {
        member: Some(wire_member(&state.member)),
        voter: state.voter,
        heard: state.heard,
        behind: state.behind,
        abstains: state.abstains,
    };
    wire::MembersResponse {
        version: VERSION,
        group: it.group.map(|group| group.0.to_be_bytes().to_vec().into()).unwrap_or_default(),
        kind: it.kind.clone(),
        name: it.name.clone(),
        term: it.term.0,
        replica: it.seen_by.0,
        leader: it.leader.as_ref().map(wire_member),
        members: it.members.iter().map(state).collect(),
        retired: it.retired.iter().map(|(id, by)| wire::Retired { replica: id.0, successor: by.map_or(0, |id| id.0) }).collect(),
        change: it.change.clone().unwrap_or_default(),
    }
}

pub(super) fn members(it: wire::MembersResponse) -> io::Result<Members> {
    let state = |state: &wire::MemberState| {
        Ok(MemberState {
            member: member(state.member.as_ref().ok_or_else(|| invalid("a member is missing".into()))?)?,
            voter: state.voter,
            heard: state.heard,
            behind: state.behind,
            abstains: state.abstains,
        })
    };
    Ok(Members {
        group: if it.group.is_empty() { None } else { Some(group(&it.group)?) },
        kind: it.kind,
        name: it.name,
        term: Term(it.term),
        seen_by: ReplicaId(it.replica),
        leader: it.leader.as_ref().map(member).transpose()?,
        members: it.members.iter().map(state).collect::<io::Result<_>>()?,
        retired: it.retired.iter().map(|it| (ReplicaId(it.replica), some(it.successor))).collect(),
        change: Some(it.change).filter(|change| !change.is_empty()),
    })
}
