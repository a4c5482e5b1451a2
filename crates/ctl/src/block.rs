//! `dynomesh block list`.

use dynomesh_proto::admin::v1 as wire;
use serde::Serialize;

use crate::client::Client;
use crate::error::CliError;
use crate::output::{Output, Row};

/// Verbs on blocks.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum BlockCommand {
    /// List the blocks that were seen
    List,
}

/// A block as it is written for people and programs.
#[derive(Debug, Serialize)]
pub(crate) struct BlockRow {
    name: String,
    leader: String,
    term: u64,
    replicas: usize,
    dynos: u32,
    slots: u64,
    in_flight: u64,
    queued: u64,
    group: String,
    bound: bool,
    members: Vec<MemberRow>,
}

#[derive(Debug, Serialize)]
struct MemberRow {
    id: u64,
    http: String,
    grpc: String,
    leader: bool,
}

impl From<wire::Block> for BlockRow {
    fn from(block: wire::Block) -> Self {
        let member = |replica: wire::Replica| MemberRow { id: replica.id, http: replica.http, grpc: replica.grpc, leader: replica.leader };
        BlockRow {
            name: block.name,
            leader: block.leader,
            term: block.term,
            replicas: block.replicas.len(),
            dynos: block.dynos,
            slots: block.slots,
            in_flight: block.in_flight,
            queued: block.queued,
            group: block.group,
            bound: block.bound,
            members: block.replicas.into_iter().map(member).collect(),
        }
    }
}

impl Row for BlockRow {
    const COLUMNS: &'static [&'static str] = &["name", "leader", "term", "replicas", "dynos", "slots", "in_flight", "queued"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            self.leader.clone(),
            self.term.to_string(),
            self.replicas.to_string(),
            self.dynos.to_string(),
            self.slots.to_string(),
            self.in_flight.to_string(),
            self.queued.to_string(),
        ]
    }
}

pub(crate) async fn perform(command: BlockCommand, client: Client, output: &Output) -> Result<(), CliError> {
    match command {
        BlockCommand::List => {
            let rows: Vec<BlockRow> = client.blocks().await?.into_iter().map(BlockRow::from).collect();
            output.list(&rows)
        }
    }
}
