//! `dynomesh status`.

use std::fmt::Write;

use dynomesh_proto::admin::v1 as wire;
use serde::Serialize;

use crate::Session;
use crate::error::CliError;

/// `status` takes no arguments of its own.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Example:\n  dynomesh status -o json")]
pub struct StatusArgs {}

/// The status as it is written for programs.
#[derive(Debug, Serialize)]
struct StatusRow {
    node: String,
    version: String,
    role: String,
    term: u64,
    applied: u64,
    control: Vec<ControlRow>,
    apps: u32,
    dynos: u32,
    dynos_active: u32,
    dynos_down: u32,
    blocks: u32,
    blocks_led: u32,
    nodes: u32,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct ControlRow {
    id: u64,
    peer: String,
    leader: bool,
    answering: bool,
}

impl From<wire::GetStatusResponse> for StatusRow {
    fn from(status: wire::GetStatusResponse) -> Self {
        let control = |replica: wire::ControlReplica| ControlRow {
            id: replica.id,
            peer: replica.peer,
            leader: replica.leader,
            answering: replica.answering,
        };
        StatusRow {
            node: status.node,
            version: status.version,
            role: status.role,
            term: status.term,
            applied: status.applied,
            control: status.replicas.into_iter().map(control).collect(),
            apps: status.apps,
            dynos: status.dynos,
            dynos_active: status.dynos_active,
            dynos_down: status.dynos_down,
            blocks: status.blocks,
            blocks_led: status.blocks_led,
            nodes: status.nodes,
            warnings: status.warnings,
        }
    }
}

impl StatusRow {
    /// Some lines for people.
    fn text(&self) -> String {
        let mut text = format!(
            "control  {} of {} replicas, {} (term {}, entry {}, version {})\n",
            self.node,
            self.control.len(),
            self.role,
            self.term,
            self.applied,
            self.version
        );
        let down = if self.dynos_down > 0 { format!(", {} down", self.dynos_down) } else { String::new() };
        let rest = [
            format!("apps     {}", self.apps),
            format!("dynos    {}, {} active{down}", self.dynos, self.dynos_active),
            format!("blocks   {}, {} with a leader", self.blocks, self.blocks_led),
            format!("nodes    {} heard by gossip", self.nodes),
        ];
        text.push_str(&rest.join("\n"));
        for warning in &self.warnings {
            write!(text, "\nwarning  {warning}").expect("writing to a string does not fail");
        }
        text
    }
}

pub(crate) async fn perform(session: &Session) -> Result<(), CliError> {
    let row = StatusRow::from(session.client.read(wire::GetStatusRequest {}).await?);
    session.output.one(&row, &row.text())
}
