//! `dynomesh control recover`.

use dynomesh_proto::admin::v1 as wire;
use serde::Serialize;

use crate::Session;
use crate::confirm::confirm;
use crate::error::CliError;

const RISK: &str = "Recover only a control plane that lost its directory, with its disks or by the restore of a backup: \
    what the mesh heard by this replica still knows becomes the directory again, and what it does not know is gone";

/// Verbs on the control plane.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum ControlCommand {
    /// Take back what the map knows and the directory lost
    ///
    /// After a control plane lost its disks and was founded anew, or was restored from a backup: apps and owners are taken from what
    /// blocks report. Says what could not be taken back and what to do about it.
    #[command(after_help = "Examples:\n  dynomesh control recover\n  dynomesh control recover --yes")]
    Recover(RecoverArgs),
}

/// Whether it is meant.
#[derive(Debug, Clone, clap::Args)]
pub struct RecoverArgs {
    /// The mesh heard by this replica is the one whose directory was lost; do not ask
    #[arg(long)]
    pub yes: bool,
}

#[derive(Serialize)]
struct Recovered {
    generation: u32,
    apps: u32,
    dynos: u32,
    left_out: Vec<String>,
}

pub(crate) async fn perform(command: ControlCommand, session: &Session) -> Result<(), CliError> {
    let ControlCommand::Recover(args) = command;
    if !args.yes {
        confirm(RISK, "recover", "--yes")?;
    }
    let wire::RecoverResponse { generation, apps, dynos, left_out } = session.client.read(wire::RecoverRequest { confirm: true }).await?;
    let mut sentence = format!("the directory goes on under generation {generation} with {apps} apps and {dynos} dynos");
    for what in &left_out {
        sentence += &format!("\nleft out: {what}");
    }
    session.output.one(&Recovered { generation, apps, dynos, left_out }, &sentence)
}
