//! Making a group: one explicit act, on pristine disks only (P5).
//!
//! The disk belongs to the group before the group's first entry is written, and others hear of the group after that. A replica that ends
//! between the two finds no entry when it starts again, and is pristine as before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use dynomesh_core::id::{Address, GroupId, ReplicaId};
use dynomesh_proto::raft::v1 as wire;
use openraft::errors::{InitializeError, RaftError};
use rand::RngExt;
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use tokio::time::timeout;

use super::Inner;
use crate::error::BootstrapError;
use crate::machine::Machine;
use crate::options::Member;
use crate::transport::{RARE_MAX, VERSION, channel, client};

/// How long the first replica of a group may take to begin it: a few writes to its disk.
const BOOTSTRAP_MAX: Duration = Duration::from_secs(30);

/// Begins the group. In a task of its own: once the disk belongs to it, it must not stop half-way because whoever asked for it left.
pub(super) async fn initialize<M: Machine>(inner: &Arc<Inner<M>>, members: Vec<Member>, group: GroupId) -> Result<(), BootstrapError> {
    let (inner, lost) = (inner.clone(), |e: tokio::task::JoinError| Err(BootstrapError::Failed(e.to_string())));
    tokio::spawn(async move { begin(&inner, members, group).await }).await.unwrap_or_else(lost)
}

async fn begin<M: Machine>(inner: &Inner<M>, members: Vec<Member>, group: GroupId) -> Result<(), BootstrapError> {
    let me = inner.identity.replica();
    let ids: BTreeSet<ReplicaId> = members.iter().map(|member| member.id).collect();
    if ids.len() != members.len() {
        return Err(BootstrapError::Members("a replica is named twice".into()));
    }
    if !ids.contains(&me) {
        return Err(BootstrapError::Members(format!("replica {me}, which is asked, is not among them")));
    }
    let failed = |e: &dyn std::fmt::Display| BootstrapError::Failed(e.to_string());
    let begun = inner.raft.is_initialized().await.map_err(|e| failed(&e))?;
    if begun || inner.identity.group().is_some_and(|has| has != group) {
        return Err(BootstrapError::NotPristine { replica: me, group: inner.identity.group() });
    }
    inner.identity.found(group).map_err(|e| failed(&e))?;
    let nodes: BTreeMap<u64, _> = members.iter().map(|member| (member.id.0, member.place())).collect();
    match inner.raft.initialize(nodes).await {
        // The first entry is on disk by now. With the mark nobody would ever be invited; the next start takes it away.
        Ok(()) => inner.identity.founded().map_err(|e| {
            inner.options.on_fatal.report(&e);
            failed(&e)
        }),
        Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Err(BootstrapError::NotPristine { replica: me, group: Some(group) }),
        Err(error) => Err(failed(&error)),
    }
}

/// Makes the replicas at `addresses` a group, from outside: asks each who it is, refuses any that belongs to a group or was set
/// up for another, mints the group's id and has the first replica begin.
pub async fn bootstrap_group(addresses: &[Address]) -> Result<GroupId, BootstrapError> {
    let mut found: Vec<wire::IdentityResponse> = Vec::new();
    for address in addresses {
        let answer = identify(*address).await?;
        if !answer.pristine {
            let group = <[u8; 16]>::try_from(&answer.group[..]).ok().map(|bytes| GroupId(u128::from_be_bytes(bytes)));
            return Err(BootstrapError::NotPristine { replica: ReplicaId(answer.replica), group });
        }
        if let Some(first) = found.first().filter(|first| (&first.kind, &first.name) != (&answer.kind, &answer.name)) {
            let (has, wants) = (format!("{} {:?}", answer.kind, answer.name), format!("{} {:?}", first.kind, first.name));
            return Err(BootstrapError::Members(format!("{address} was set up for {has}, the first replica for {wants}")));
        }
        found.push(answer);
    }
    let Some((first, address)) = found.first().zip(addresses.first()) else {
        return Err(BootstrapError::Members("there is none".into()));
    };
    let group = GroupId(UnwrapErr(SysRng).random());
    let member = |it: &wire::IdentityResponse| wire::Member { id: it.replica, http: it.http.clone(), grpc: it.grpc.clone() };
    let request = wire::BootstrapRequest {
        version: VERSION,
        to: first.replica,
        group: group.0.to_be_bytes().to_vec().into(),
        members: found.iter().map(member).collect(),
    };
    let unreachable = |problem: String| BootstrapError::Unreachable { address: *address, problem };
    let mut peer = client(channel(&address.to_string()).map_err(unreachable)?);
    let answer = timeout(BOOTSTRAP_MAX, peer.bootstrap(request)).await;
    let answer =
        answer.map_err(|_| BootstrapError::Failed(format!("{address} did not answer within {BOOTSTRAP_MAX:?}; ask who leads it")))?;
    answer.map_err(|status| BootstrapError::Failed(status.message().to_owned()))?;
    Ok(group)
}

/// Asks who listens at `address`.
pub(crate) async fn identify(address: Address) -> Result<wire::IdentityResponse, BootstrapError> {
    let unreachable = |problem: String| BootstrapError::Unreachable { address, problem };
    let mut peer = client(channel(&address.to_string()).map_err(unreachable)?);
    let answer = timeout(RARE_MAX, peer.identity(wire::IdentityRequest { version: VERSION })).await;
    let answer = answer.map_err(|_| unreachable("no answer in time".into()))?;
    let answer = answer.map_err(|status| unreachable(status.message().to_owned()))?.into_inner();
    match answer.version {
        VERSION => Ok(answer),
        version => Err(unreachable(format!("speaks version {version} of the raft protocol; this program knows version {VERSION}"))),
    }
}

/// Who listens at an address, as it says itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Introduction {
    /// The replica's id.
    pub replica: ReplicaId,
    /// What sort of group it was set up for.
    pub kind: String,
    /// The name of that group.
    pub name: String,
    /// The group, once there is one.
    pub group: Option<GroupId>,
    /// Its members' addresses, as far as this replica knows.
    pub members: Vec<Address>,
}

/// Asks who listens at `address`; works before there is a group.
pub async fn identify_replica(address: Address) -> Result<Introduction, BootstrapError> {
    let wire::IdentityResponse { replica, kind, name, group, members, .. } = identify(address).await?;
    let group = <[u8; 16]>::try_from(&group[..]).ok().map(|bytes| GroupId(u128::from_be_bytes(bytes)));
    let members = members.iter().filter_map(|member| member.grpc.parse().ok()).collect();
    Ok(Introduction { replica: ReplicaId(replica), kind, name, group, members })
}
