//! Groups of replicas: made into a block, and changed one replica at a time.
//!
//! Both acts are those of the replicas themselves; what is said here only begins them, and may be said again until they are done.

use dynomesh_consensus::{
    BootstrapError, Introduction, MembersError, add_replica, bootstrap_group, identify_replica, remove_replica, replace_replica,
};
use dynomesh_core::directory::Command;
use dynomesh_core::id::{Address, BlockName, GroupId, ReplicaId};
use dynomesh_core::map::fact::NodeRole;
use dynomesh_proto::admin::v1 as wire;
use dynomesh_proto::convert::FieldError;
use dynomesh_proto::convert::admin as convert;
use dynomesh_proto::convert::write::demands;
use futures::future::try_join_all;
use tokio::time::timeout_at;
use tonic::Status;
use tracing::info;

use super::call::Call;
use super::refusal::{invalid, refused};
use super::write::Change;
use super::{Api, rows};

/// What the replicas of a block are set up as.
const KIND: &str = "block";

impl Api {
    pub(super) async fn add_block(&self, call: &Call, request: wire::AddBlockRequest) -> Result<wire::AddBlockResponse, Status> {
        let demands = demands(request.options).map_err(invalid)?;
        let name = convert::block_name("name", &request.name).map_err(invalid)?;
        let addresses = convert::addresses("replicas", &request.replicas).map_err(invalid)?;
        let late = |_| Status::deadline_exceeded("the replicas did not all answer in time; send it again");
        let known = timeout_at(call.end, group_of(&name, &addresses)).await.map_err(late)??;
        self.may_write(call.end).await?;
        self.caught_up().await?;
        self.may_add(&name, known)?;
        let new = known.is_none();
        let group = match known {
            Some(group) => group,
            None => timeout_at(call.end, bootstrap_group(&addresses)).await.map_err(late)?.map_err(unreached)?,
        };
        if new {
            info!(caller = %call.caller, method = call.method, block = %name, %group, "block bootstrapped");
        }
        let reply = self.write(call, Change::new(Command::BindBlock { name: name.clone(), group }, demands)).await?;
        self.applied(reply.stamp(), call.end).await;
        let known = self.block_row(&name);
        Ok(wire::AddBlockResponse { block: known, changed: reply.changed() || new })
    }

    /// Refuses a block whose name is another's, before anything is founded under it.
    fn may_add(&self, name: &BlockName, known: Option<GroupId>) -> Result<(), Status> {
        let view = self.gossip.view();
        self.directory.read(|state| {
            if known.is_none() {
                state.may_found(name).map_err(refused)?;
            }
            // A recovered directory may know of a block without knowing which group it is, or not know of it.
            let unbound = state.block(name).is_none_or(|block| block.group.is_none());
            if let Some(bound) = view.bound(name).filter(|bound| unbound && known != Some(bound.group)) {
                let is = bound.group;
                return Err(Status::already_exists(format!(
                    "block {name} is group {is} by the word of this mesh's earlier directory; name replicas of that group, or set these up \
                     under another name"
                )));
            }
            Ok(())
        })
    }

    pub(super) async fn replace_replica(
        &self,
        call: &Call,
        request: wire::ReplaceReplicaRequest,
    ) -> Result<wire::ReplaceReplicaResponse, Status> {
        if demands(request.options).map_err(invalid)?.expect.is_some() {
            let problem = "has no meaning here: a group's members have no version";
            return Err(invalid(FieldError::new("options.expect_version", problem)));
        }
        let block = (!request.block.is_empty()).then(|| convert::block_name("block", &request.block)).transpose().map_err(invalid)?;
        let given: Option<Result<Address, _>> = (!request.replacement.is_empty()).then(|| request.replacement.parse());
        let new = given.transpose().map_err(|error| invalid(FieldError::new("replacement", error)))?;
        let dead = (request.dead > 0).then_some(ReplicaId(request.dead));
        if dead.is_none() && new.is_none() {
            return Err(invalid(FieldError::new("dead", "says nothing, and neither does `replacement`: name one or both")));
        }
        self.caught_up().await?;
        let members = self.addresses_of(block.as_ref())?;
        let change = async {
            match (dead, new) {
                (_, None) => remove_replica(&members, dead.unwrap_or(ReplicaId(0))).await,
                (None, Some(new)) => add_replica(&members, new).await,
                (dead, Some(new)) => replace_replica(&members, dead, new).await,
            }
        };
        let before = self.member_ids(block.as_ref());
        let change = timeout_at(call.end, change).await.map_err(|_| under_way())?.map_err(members_refused)?;
        let ids: Vec<u64> = change.members.iter().map(|member| member.id.0).collect();
        let changed = ids != before;
        let (caller, method) = (&call.caller, call.method);
        info!(%caller, method, block = block.as_ref().map_or("control", BlockName::as_str), ?dead, ?new, ?ids, changed, "members of a group");
        let name = block.map(|name| name.to_string()).unwrap_or_default();
        let row = |member: dynomesh_consensus::Member| wire::Replica {
            id: member.id.0,
            http: member.http.to_string(),
            grpc: member.grpc.to_string(),
            block: name.clone(),
            ..wire::Replica::default()
        };
        Ok(wire::ReplaceReplicaResponse { replicas: change.members.into_iter().map(row).collect(), changed })
    }

    /// Where replicas of a group are: as its leader names them, and as they speak of themselves.
    fn addresses_of(&self, block: Option<&BlockName>) -> Result<Vec<Address>, Status> {
        let Some(name) = block else { return Ok(self.watch.role().members.iter().map(|member| member.grpc).collect()) };
        let mesh = self.mesh();
        // Another group may use the name; what it is asked, it does.
        let bound = self.directory.read(|state| state.block(name).and_then(|block| block.group));
        let mut addresses: Vec<Address> = mesh
            .view
            .leader(name)
            .into_iter()
            .filter(|leader| bound.is_none_or(|bound| bound == leader.group))
            .flat_map(|leader| &leader.replicas)
            .map(|it| it.grpc)
            .collect();
        for fact in mesh.view.nodes().filter(|fact| mesh.hears(&fact.node)) {
            match &fact.role {
                NodeRole::Block { block, group: Some(group), grpc, .. }
                    if block == name && bound.is_none_or(|bound| bound == *group) && !addresses.contains(grpc) =>
                {
                    addresses.push(*grpc);
                }
                _ => {}
            }
        }
        if addresses.is_empty() {
            return Err(Status::not_found(format!("no replica of block {name} was ever heard")));
        }
        Ok(addresses)
    }

    fn member_ids(&self, block: Option<&BlockName>) -> Vec<u64> {
        match block {
            None => self.watch.role().members.iter().map(|member| member.id.0).collect(),
            Some(name) => {
                let mesh = self.mesh();
                mesh.view.leader(name).map(|leader| rows::members(leader, &mesh)).unwrap_or_default().iter().map(|row| row.id).collect()
            }
        }
    }
}

/// The group of these replicas; none if they all wait to be founded.
async fn group_of(name: &BlockName, addresses: &[Address]) -> Result<Option<GroupId>, Status> {
    let found = try_join_all(addresses.iter().map(|address| identify_replica(*address))).await.map_err(unreached)?;
    for (nth, (who, address)) in found.iter().zip(addresses).enumerate() {
        if who.kind != KIND || who.name != name.as_str() {
            let problem = format!("the replica at {address} was set up for {} {:?}, not for block {:?}", who.kind, who.name, name.as_str());
            return Err(invalid(FieldError::new(format!("replicas[{nth}]"), problem)));
        }
    }
    let Some(known) = found.iter().filter(|who| who.group.is_some()).max_by_key(|who| who.members.len()) else { return Ok(None) };
    let group = known.group.expect("it was just seen");
    // One that has no group yet may be a member that its leader has not reached yet.
    let outsider = found.iter().zip(addresses).find(|(who, address)| !belongs(who, **address, group, known));
    match outsider {
        None => Ok(Some(group)),
        Some((who, address)) => {
            let is = who.group.map_or("to no group".into(), |other| format!("to group {other}"));
            Err(Status::failed_precondition(format!(
                "the replica at {address} belongs {is}, and {} at another address to group {group}; all must be new, or members of one \
                 group; to add a replica to a group use `dynomesh replica replace`",
                known.replica
            )))
        }
    }
}

fn belongs(who: &Introduction, address: Address, group: GroupId, known: &Introduction) -> bool {
    who.group.is_none_or(|is| is == group) && known.members.contains(&address)
}

fn unreached(error: BootstrapError) -> Status {
    match error {
        BootstrapError::Unreachable { address, problem } => {
            Status::unavailable(format!("no answer from the replica at {address}: {problem}"))
        }
        BootstrapError::NotPristine { .. } | BootstrapError::Members(_) => Status::failed_precondition(error.to_string()),
        BootstrapError::Failed(_) => Status::unavailable(format!("{error}; send it again")),
    }
}

fn under_way() -> Status {
    Status::unavailable(
        "the members are being changed and the new replica is catching up; it goes on by itself: send it again to hear the end",
    )
}

fn members_refused(error: MembersError) -> Status {
    let text = error.to_string();
    match error {
        MembersError::Refused { .. } | MembersError::Busy { .. } => Status::failed_precondition(text),
        MembersError::NotLeader { .. } | MembersError::Unfinished(_) | MembersError::NoLeader { .. } => Status::unavailable(text),
    }
}
