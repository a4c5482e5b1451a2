//! `dynomesh edge list|drain|undrain`.

use dynomesh_proto::admin::v1 as wire;
use serde::Serialize;

use crate::Session;
use crate::effect::{Node, node_drained};
use crate::error::CliError;
use crate::output::Row;
use crate::replica::{Changed, DrainArgs, NodeArgs};
use crate::wait::until;

/// Verbs on edges.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum EdgeCommand {
    /// List edges
    #[command(after_help = "Example:\n  dynomesh edge list")]
    List,
    /// Have an edge tell its balancer that it is not ready, close connections after their present request, and finish what runs
    #[command(after_help = "Example:\n  dynomesh edge drain edge-1 --wait")]
    Drain(DrainArgs),
    /// Take a drain back
    #[command(after_help = "Example:\n  dynomesh edge undrain edge-1")]
    Undrain(NodeArgs),
}

/// An edge as it is written for people and programs.
#[derive(Debug, Serialize)]
struct EdgeRow {
    name: String,
    http: String,
    live: bool,
    state: String,
    drain: bool,
    in_flight: u32,
    version: String,
    zone: String,
    admin: String,
    keys: Vec<String>,
    wish_version: u64,
}

impl From<wire::Edge> for EdgeRow {
    fn from(edge: wire::Edge) -> Self {
        EdgeRow {
            name: edge.node,
            http: edge.http,
            live: edge.live,
            state: edge.state,
            drain: edge.drain,
            in_flight: edge.in_flight,
            version: edge.version,
            zone: edge.zone,
            admin: edge.admin,
            keys: edge.keys,
            wish_version: edge.wish_version,
        }
    }
}

impl Row for EdgeRow {
    const COLUMNS: &'static [&'static str] = &["name", "http", "state", "in_flight", "zone", "version"];

    fn cells(&self) -> Vec<String> {
        let state = if self.live { self.state.clone() } else { "unheard".into() };
        vec![self.name.clone(), self.http.clone(), state, self.in_flight.to_string(), self.zone.clone(), self.version.clone()]
    }
}

pub(crate) async fn perform(command: EdgeCommand, session: &Session) -> Result<(), CliError> {
    match command {
        EdgeCommand::List => {
            let edges = session.client.list(wire::ListEdgesRequest::default()).await?;
            let rows: Vec<EdgeRow> = edges.into_iter().map(EdgeRow::from).collect();
            session.output.list(&rows)
        }
        EdgeCommand::Drain(args) => drain(args, session).await,
        EdgeCommand::Undrain(NodeArgs { name, write }) => {
            let request = wire::UndrainEdgeRequest { node: name.clone(), options: None };
            let changed = session.client.write(request, &write).await?.changed;
            let done = if changed { "takes connections again" } else { "was not draining" };
            session.output.one(&Changed { changed, name: &name }, &format!("edge {name} {done}"))
        }
    }
}

async fn drain(args: DrainArgs, session: &Session) -> Result<(), CliError> {
    let NodeArgs { name, write } = args.node;
    let changed = session.client.write(wire::DrainEdgeRequest { node: name.clone(), options: None }, &write).await?.changed;
    if args.wait.wait {
        until(session.wait_max, async || Ok(node_drained(&name, seen(&name, session).await?))).await?;
    }
    let done = match (args.wait.wait, changed) {
        (true, _) => "is drained; it can be stopped",
        (false, true) => "is draining",
        (false, false) => "was already draining",
    };
    session.output.one(&Changed { changed, name: &name }, &format!("edge {name} {done}"))
}

async fn seen(name: &str, session: &Session) -> Result<Option<Node>, CliError> {
    let edge = session.client.find(wire::ListEdgesRequest::default(), |edge| edge.node == name).await?;
    Ok(edge.map(|wire::Edge { live, state, drain, in_flight, .. }| Node { live, state, drain, leader: false, in_flight }))
}
