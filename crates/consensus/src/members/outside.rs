//! Changing a group's members from outside: finds the leader through any of its replicas and asks it, as often as it takes.
//!
//! Every call here may be made again after it failed, or after its caller died, with the same arguments: it continues.

use std::collections::BTreeSet;
use std::time::Duration;

use dynomesh_core::id::{Address, ReplicaId};
use dynomesh_proto::raft::v1 as wire;
use tokio::time::{Instant, sleep, timeout};

use super::{Change, Members, MembersError, Order, Refusal, wire as convert};
use crate::options::Member;
use crate::transport::{RARE_MAX, VERSION, channel, client};

/// How long a leader is looked for. Longer than any election.
const FIND_MAX: Duration = Duration::from_secs(10);
/// How long one leader is asked to make a change: it gives up by itself before.
const CHANGE_MAX: Duration = Duration::from_secs(180);
/// How long a change is pursued over all leaders.
const PURSUE_MAX: Duration = Duration::from_secs(300);
/// How long a handover may take, elections of a group without a willing successor included.
const TRANSFER_MAX: Duration = Duration::from_secs(5);
/// Between two rounds of asking.
const PAUSE: Duration = Duration::from_millis(20);

/// Takes the replica at `new` into the group that the replicas at `group_addresses` belong to.
pub async fn add_replica(group_addresses: &[Address], new: Address) -> Result<Change, MembersError> {
    pursue(group_addresses, Order::Add(new)).await
}

/// Takes `replica` out of its group, for good.
pub async fn remove_replica(group_addresses: &[Address], replica: ReplicaId) -> Result<Change, MembersError> {
    pursue(group_addresses, Order::Remove(replica)).await
}

/// Puts the replica at `new`, whose disk is empty, in the place of `dead`, or of the only member that is not heard. The old id is
/// spent first, except that one which still answers keeps its vote until the new one has caught up.
pub async fn replace_replica(group_addresses: &[Address], dead: Option<ReplicaId>, new: Address) -> Result<Change, MembersError> {
    pursue(group_addresses, Order::Replace { old: dead, by: new }).await
}

/// The members of a group as its leader sees them; if nobody leads, as the replica of the newest term among those that answer.
pub async fn members(group_addresses: &[Address]) -> Result<Members, MembersError> {
    match find(group_addresses).await {
        Ok(leader) => Ok(leader.members),
        Err((error, None)) => Err(error),
        Err((_, Some(members))) => Ok(members),
    }
}

/// Has the leader hand over to `to`, or to any voter that has all entries. Returns the new leader.
pub async fn transfer_leadership(group_addresses: &[Address], to: Option<ReplicaId>) -> Result<Member, MembersError> {
    use wire::transfer_response::Outcome;
    let until = Instant::now() + TRANSFER_MAX * 4;
    let (mut first, mut problem) = (None, String::from("nothing was asked"));
    while Instant::now() < until {
        let found = find(group_addresses).await.map_err(|(error, _)| error)?;
        let leader = found.leader;
        // A leader that came while we asked is as good as one that was asked for, unless somebody was named.
        if to.map_or(first.as_ref().is_some_and(|first| *first != leader.id), |to| to == leader.id) {
            return Ok(leader);
        }
        if let Some(to) = to.filter(|to| !found.members.members.iter().any(|it| it.member.id == *to && it.voter)) {
            return Err(MembersError::refused(Refusal::Unknown, format!("replica {to} has no vote in this group")));
        }
        first.get_or_insert(leader.id);
        let request = wire::TransferRequest { version: VERSION, to: to.map_or(0, |to| to.0) };
        match timeout(TRANSFER_MAX, peer(leader.grpc)?.transfer(request)).await {
            Ok(Ok(answer)) => match answer.into_inner().outcome {
                Some(Outcome::Failed(why)) => return Err(MembersError::refused(Refusal::Quorum, why)),
                Some(Outcome::Done(_) | Outcome::NotLeader(_)) | None => {}
            },
            Ok(Err(status)) => problem = status.message().to_owned(),
            Err(_) => problem = "no answer in time".to_owned(),
        }
        sleep(PAUSE).await;
    }
    Err(MembersError::Unfinished(format!("leadership was not handed over: {problem}")))
}

async fn pursue(addresses: &[Address], order: Order) -> Result<Change, MembersError> {
    let until = Instant::now() + PURSUE_MAX;
    let mut addresses = addresses.to_vec();
    loop {
        let found = find(&addresses).await.map_err(|(error, _)| error)?;
        // Who was named may be the one that goes: the others must be known by then.
        addresses.extend(found.members.members.iter().map(|it| it.member.grpc).filter(|at| !addresses.contains(at)).collect::<Vec<_>>());
        let problem = match ask(&found.leader, order).await {
            Ok(Err(MembersError::NotLeader { .. })) => "its leader changes".to_owned(),
            Ok(Err(MembersError::Busy { change })) if change == order.to_string() => "it is under way".to_owned(),
            Ok(outcome) => return outcome,
            Err(problem) => problem,
        };
        if Instant::now() >= until {
            return Err(MembersError::Unfinished(problem));
        }
        sleep(PAUSE).await;
    }
}

/// The leader's answer, or why none came.
async fn ask(leader: &Member, order: Order) -> Result<Result<Change, MembersError>, String> {
    let mut peer = peer(leader.grpc).map_err(|error| error.to_string())?;
    let answer = timeout(CHANGE_MAX, peer.change_members(convert::wire_order(order))).await;
    let answer = answer.map_err(|_| "no answer in time".to_owned())?.map_err(|status| status.message().to_owned())?;
    convert::outcome(answer.into_inner()).map_err(|error| error.to_string())
}

struct Found {
    leader: Member,
    members: Members,
}

/// Finds who leads: a replica that says so of itself.
async fn find(addresses: &[Address]) -> Result<Found, (MembersError, Option<Members>)> {
    let begun = Instant::now();
    let mut known = addresses.to_vec();
    let mut problem = "no address was given".to_owned();
    let mut newest: Option<Members> = None;
    while !known.is_empty() {
        let mut leaders = BTreeSet::new();
        for seen in futures::future::join_all(known.iter().map(|at| look(*at))).await {
            match seen {
                Ok(members) => {
                    leaders.extend(members.leader.as_ref().map(|leader| leader.grpc.socket()));
                    if let Some(leader) = members.leader.clone().filter(|leader| leader.id == members.seen_by) {
                        return Ok(Found { leader, members });
                    }
                    problem = "nobody leads".to_owned();
                    newest = newest.into_iter().chain([members]).max_by_key(|members| (members.term, members.members.len()));
                }
                Err(error) => problem = error,
            }
        }
        known.extend(leaders.into_iter().filter_map(|at| Address::new(at).ok()).filter(|at| !known.contains(at)).collect::<Vec<_>>());
        if begun.elapsed() >= FIND_MAX {
            break;
        }
        sleep(PAUSE).await;
    }
    Err((MembersError::NoLeader { asked: addresses.to_vec(), waited: begun.elapsed(), problem }, newest))
}

async fn look(at: Address) -> Result<Members, String> {
    let mut peer = client(channel(&at.to_string())?);
    let answer = timeout(RARE_MAX, peer.members(wire::MembersRequest { version: VERSION })).await;
    let answer = answer.map_err(|_| format!("{at}: no answer in time"))?.map_err(|status| format!("{at}: {}", status.message()))?;
    convert::members(answer.into_inner()).map_err(|error| format!("{at}: {error}"))
}

fn peer(at: Address) -> Result<wire::peer_client::PeerClient<tonic::transport::Channel>, MembersError> {
    Ok(client(channel(&at.to_string()).map_err(MembersError::Unfinished)?))
}
