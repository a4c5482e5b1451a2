//! The command line's client half: one file per noun, each verb one call of the admin API.
//!
//! It holds no state and takes no decision: what an address, a name or a limit may be is refused by the control plane alone, with one
//! sentence that names the field, so that the command line and every other client hear the same. Exit codes are part of the interface
//! and stand in [`CliError::exit_code`].

mod app;
mod block;
mod client;
mod dyno;
mod error;
mod output;
mod status;
mod wait;

use std::process::ExitCode;

pub use app::AppCommand;
pub use block::BlockCommand;
pub use dyno::DynoCommand;
pub use error::CliError;
pub use output::Format;
pub use status::StatusArgs;

use client::Client;
use output::Output;

/// Where the admin API is expected when neither `--admin` nor the environment says so.
pub const ADMIN_DEFAULT: &str = "127.0.0.1:7070";

/// Options that stand anywhere on the line.
#[derive(Debug, Clone, clap::Args)]
pub struct Global {
    /// Address of a control plane's admin API, HOST:PORT; any of its replicas
    #[arg(long, global = true, value_name = "ADDR", env = "DYNOMESH_ADMIN", default_value = ADMIN_DEFAULT)]
    pub admin: String,
    /// How results are written
    #[arg(short, long, global = true, value_name = "FORMAT", value_enum, default_value_t = Format::Table)]
    pub output: Format,
}

/// The nouns of the admin API.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Command {
    /// Create, list and delete apps
    #[command(subcommand)]
    App(AppCommand),
    /// Add, list, drain and remove dynos
    #[command(subcommand)]
    Dyno(DynoCommand),
    /// List blocks
    #[command(subcommand)]
    Block(BlockCommand),
    /// Say how the control plane and the mesh are doing
    Status(StatusArgs),
}

/// Performs one command: results on stdout, progress and errors on stderr.
///
/// Starts a runtime of its own; call it from a thread that has none.
pub fn run(command: Command, global: &Global) -> ExitCode {
    let result = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(perform(command, global)),
        Err(cause) => Err(CliError::Runtime(cause)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dynomesh: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

async fn perform(command: Command, global: &Global) -> Result<(), CliError> {
    let output = Output::new(global.output)?;
    let client = Client::connect(&global.admin).await?;
    match command {
        Command::App(command) => app::perform(command, client, &output).await,
        Command::Dyno(command) => dyno::perform(command, client, &output).await,
        Command::Block(command) => block::perform(command, client, &output).await,
        Command::Status(_) => status::perform(client, &output).await,
    }
}

#[cfg(test)]
mod tests;
