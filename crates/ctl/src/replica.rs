//! `dynomesh replica list|replace|drain|undrain`.

use dynomesh_proto::admin::v1 as wire;
use serde::Serialize;

use crate::Session;
use crate::effect::{Node, node_drained};
use crate::error::CliError;
use crate::options::{WaitArgs, WriteArgs};
use crate::output::Row;
use crate::wait::until;

/// Verbs on replicas.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum ReplicaCommand {
    /// List replicas of blocks and of the control plane
    #[command(after_help = "Example:\n  dynomesh replica list --block b1")]
    List(ListArgs),
    /// Put a new replica, started on an empty disk, in the place of one that is lost
    ///
    /// Requests are routed all the while. May be sent again until it is done. With --with alone the group grows, with --dead alone it
    /// shrinks.
    #[command(after_help = "Example:\n  dynomesh replica replace b1 --dead 4711 --with 10.0.2.4:7080")]
    Replace(ReplaceArgs),
    /// Have a replica hand its leadership over and not stand again
    #[command(after_help = "Example:\n  dynomesh replica drain b1-2 --wait")]
    Drain(DrainArgs),
    /// Take a drain back
    #[command(after_help = "Example:\n  dynomesh replica undrain b1-2")]
    Undrain(NodeArgs),
}

/// Which replicas to list.
#[derive(Debug, Clone, clap::Args)]
pub struct ListArgs {
    /// Only those of this block
    #[arg(long)]
    pub block: Option<String>,
}

/// Which replica to replace by which.
#[derive(Debug, Clone, clap::Args)]
pub struct ReplaceArgs {
    /// The block whose replica it is
    #[arg(required_unless_present = "control", conflicts_with = "control")]
    pub block: Option<String>,
    /// A replica of the control plane instead of a block's
    #[arg(long)]
    pub control: bool,
    /// Id of the lost replica, from `replica list`
    #[arg(long, value_name = "ID", required_unless_present = "with")]
    pub dead: Option<u64>,
    /// gRPC address of the new one, IP:PORT
    #[arg(long, value_name = "ADDR")]
    pub with: Option<String>,
    /// What the write carries
    #[command(flatten)]
    pub write: WriteArgs,
}

/// A process to change.
#[derive(Debug, Clone, clap::Args)]
pub struct NodeArgs {
    /// Name of the process, as the lists have it
    pub name: String,
    /// What the write carries
    #[command(flatten)]
    pub write: WriteArgs,
}

/// A process to drain.
#[derive(Debug, Clone, clap::Args)]
pub struct DrainArgs {
    /// Which
    #[command(flatten)]
    pub node: NodeArgs,
    /// Whether to wait
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// A replica as it is written for people and programs.
#[derive(Debug, Serialize)]
pub(crate) struct ReplicaRow {
    id: u64,
    http: String,
    grpc: String,
    leader: bool,
    node: String,
    block: String,
    live: bool,
    state: String,
    drain: bool,
    in_flight: u32,
    version: String,
    zone: String,
    keys: Vec<String>,
    wish_version: u64,
}

impl From<wire::Replica> for ReplicaRow {
    fn from(replica: wire::Replica) -> Self {
        ReplicaRow {
            id: replica.id,
            http: replica.http,
            grpc: replica.grpc,
            leader: replica.leader,
            node: replica.node,
            block: replica.block,
            live: replica.live,
            state: replica.state,
            drain: replica.drain,
            in_flight: replica.in_flight,
            version: replica.version,
            zone: replica.zone,
            keys: replica.keys,
            wish_version: replica.wish_version,
        }
    }
}

impl Row for ReplicaRow {
    const COLUMNS: &'static [&'static str] = &["node", "block", "id", "grpc", "role", "state", "in_flight", "zone"];

    fn cells(&self) -> Vec<String> {
        let state = if self.live { self.state.clone() } else { "unheard".into() };
        vec![
            self.node.clone(),
            if self.block.is_empty() { "control".into() } else { self.block.clone() },
            self.id.to_string(),
            self.grpc.clone(),
            if self.leader { "leader" } else { "follower" }.into(),
            state,
            self.in_flight.to_string(),
            self.zone.clone(),
        ]
    }
}

impl ReplicaRow {
    /// A line about it.
    pub(crate) fn text(&self) -> String {
        let role = if self.leader { ", leads" } else { "" };
        let heard = if self.live { "" } else { ", not heard" };
        let state = if self.state.is_empty() { String::new() } else { format!(", {}", self.state) };
        format!("{} {} at {}{state}{role}{heard}", self.id, self.node, self.grpc)
    }
}

#[derive(Serialize)]
struct Replaced {
    changed: bool,
    replicas: Vec<ReplicaRow>,
}

/// What a drain or its end changed.
#[derive(Serialize)]
pub(crate) struct Changed<'a> {
    pub(crate) changed: bool,
    pub(crate) name: &'a str,
}

pub(crate) async fn perform(command: ReplicaCommand, session: &Session) -> Result<(), CliError> {
    match command {
        ReplicaCommand::List(args) => {
            let rows: Vec<ReplicaRow> = replicas(args.block, session).await?.into_iter().map(ReplicaRow::from).collect();
            session.output.list(&rows)
        }
        ReplicaCommand::Replace(args) => replace(args, session).await,
        ReplicaCommand::Drain(args) => drain(args, session).await,
        ReplicaCommand::Undrain(NodeArgs { name, write }) => {
            let request = wire::UndrainReplicaRequest { node: name.clone(), options: None };
            let changed = session.client.write(request, &write).await?.changed;
            let done = if changed { "may lead again" } else { "was not draining" };
            session.output.one(&Changed { changed, name: &name }, &format!("replica {name} {done}"))
        }
    }
}

async fn replicas(block: Option<String>, session: &Session) -> Result<Vec<wire::Replica>, CliError> {
    session.client.list(wire::ListReplicasRequest { block: block.unwrap_or_default(), ..Default::default() }).await
}

async fn replace(args: ReplaceArgs, session: &Session) -> Result<(), CliError> {
    let group = args.block.clone().map_or("the control plane".into(), |block| format!("block {block}"));
    let request = wire::ReplaceReplicaRequest {
        block: args.block.unwrap_or_default(),
        dead: args.dead.unwrap_or_default(),
        replacement: args.with.unwrap_or_default(),
        options: None,
    };
    let answer = session.client.write(request, &args.write).await?;
    let replicas: Vec<ReplicaRow> = answer.replicas.into_iter().map(ReplicaRow::from).collect();
    let done = if answer.changed { "has new members" } else { "already has these members" };
    let members: Vec<String> = replicas.iter().map(|replica| format!("\n  {}", replica.text())).collect();
    session.output.one(&Replaced { changed: answer.changed, replicas }, &format!("{group} {done}:{}", members.concat()))
}

async fn drain(args: DrainArgs, session: &Session) -> Result<(), CliError> {
    let NodeArgs { name, write } = args.node;
    let changed = session.client.write(wire::DrainReplicaRequest { node: name.clone(), options: None }, &write).await?.changed;
    if args.wait.wait {
        until(session.wait_max, async || Ok(node_drained(&name, seen(&name, session).await?))).await?;
    }
    let done = match (args.wait.wait, changed) {
        (true, _) => "is drained; it can be stopped",
        (false, true) => "hands its leadership over",
        (false, false) => "was already draining",
    };
    session.output.one(&Changed { changed, name: &name }, &format!("replica {name} {done}"))
}

async fn seen(name: &str, session: &Session) -> Result<Option<Node>, CliError> {
    let replica = session.client.find(wire::ListReplicasRequest::default(), |replica| replica.node == name).await?;
    Ok(replica.map(|wire::Replica { live, state, drain, leader, in_flight, .. }| Node { live, state, drain, leader, in_flight }))
}
