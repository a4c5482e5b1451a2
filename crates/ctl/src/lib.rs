//! The command line's client half: one file per noun, each verb one call of the admin API.
//!
//! It holds no state and takes no decision: what an address, a name or a limit may be is refused by the control plane alone, with one
//! sentence that names the field, so that the command line and every other client hear the same. A call goes to the first control
//! replica that answers; a write carries a key, so that repeating it elsewhere has no second effect. Exit codes are part of the
//! interface and stand in [`CliError::exit_code`].

mod address;
mod app;
mod block;
mod calls;
mod client;
mod confirm;
mod control;
mod dyno;
mod edge;
mod effect;
mod error;
mod events;
mod map;
mod options;
mod output;
mod plan;
mod replica;
mod settings;
mod status;
mod wait;
mod word;

use std::process::ExitCode;

use dynomesh_core::time::Span;

pub use app::AppCommand;
pub use block::BlockCommand;
pub use control::ControlCommand;
pub use dyno::DynoCommand;
pub use edge::EdgeCommand;
pub use error::{CliError, EXIT_CODES};
pub use events::EventsArgs;
pub use map::MapArgs;
pub use options::{Global, Secret, WaitArgs, WriteArgs};
pub use output::Format;
pub use plan::{PlanArgs, RebalanceArgs};
pub use replica::ReplicaCommand;
pub use settings::SettingsCommand;
pub use status::StatusArgs;

use client::Client;
use output::Output;

/// Where the admin API is expected when neither `--admin` nor the environment says so.
pub const ADMIN_DEFAULT: &str = "127.0.0.1:7070";

/// The nouns of the admin API whose names no daemon has.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Noun {
    /// Create, update, list and delete apps
    #[command(subcommand)]
    App(AppCommand),
    /// Add, list, drain, move and remove dynos
    #[command(subcommand)]
    Dyno(DynoCommand),
    /// List, replace and drain replicas of blocks and of the control plane
    #[command(subcommand)]
    Replica(ReplicaCommand),
    /// Show the map as a control replica has heard it
    Map(MapArgs),
    /// Show what would be moved now, why, and what it gains; change nothing
    Plan(PlanArgs),
    /// Plan and start one round of moves
    Rebalance(RebalanceArgs),
    /// List and change settings of the whole mesh
    #[command(subcommand)]
    Settings(SettingsCommand),
    /// Show what was changed, by whom, as it comes
    Events(EventsArgs),
    /// Say how the control plane and the mesh are doing
    Status(StatusArgs),
}

/// All nouns of the admin API: those above, and those that share their name with a daemon.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Command {
    /// A noun of its own.
    #[command(flatten)]
    Noun(Noun),
    /// Add, list, drain, remove and evict blocks
    #[command(subcommand)]
    Block(BlockCommand),
    /// List and drain edges
    #[command(subcommand)]
    Edge(EdgeCommand),
    /// Recover a control plane that lost its directory
    #[command(subcommand)]
    Control(ControlCommand),
}

/// One run: whom it asks, where it writes, how long it waits for an effect.
pub(crate) struct Session {
    client: Client,
    output: Output,
    wait_max: Span,
}

/// Performs one command: results on stdout, progress and errors on stderr.
///
/// Starts a runtime of its own; call it from a thread that has none.
pub fn run(command: Command, global: &Global) -> ExitCode {
    let result = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(perform(command, global, Output::stdout)),
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

async fn perform(command: Command, global: &Global, output: impl Fn(Format) -> Result<Output, CliError>) -> Result<(), CliError> {
    let session =
        Session { output: output(global.output)?, client: Client::new(global)?, wait_max: global.timeout.unwrap_or(options::WAIT_DEFAULT) };
    match command {
        Command::Noun(noun) => on_noun(noun, &session).await,
        Command::Block(command) => block::perform(command, &session).await,
        Command::Edge(command) => edge::perform(command, &session).await,
        Command::Control(command) => control::perform(command, &session).await,
    }
}

async fn on_noun(noun: Noun, session: &Session) -> Result<(), CliError> {
    match noun {
        Noun::App(command) => app::perform(command, session).await,
        Noun::Dyno(command) => dyno::perform(command, session).await,
        Noun::Replica(command) => replica::perform(command, session).await,
        Noun::Map(args) => map::perform(args, session).await,
        Noun::Plan(_) => plan::show(session).await,
        Noun::Rebalance(args) => plan::rebalance(&args, session).await,
        Noun::Settings(command) => settings::perform(command, session).await,
        Noun::Events(args) => events::perform(args, session).await,
        Noun::Status(_) => status::perform(session).await,
    }
}

#[cfg(test)]
mod tests;
