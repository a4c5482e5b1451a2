//! `dynomesh sim`: what stands on the command line, and what it does.
//!
//! Results go to stdout, progress and remarks to stderr. Nothing is written over, and nothing is simulated before all of the input has
//! been checked.

mod error;
mod files;
mod map;
mod output;
mod progress;
mod run;
mod size;
mod study;
mod table;

use std::process::ExitCode;

pub use error::SimError;
pub use output::Format;

/// Simulates the mesh under virtual time: the same routing code as the daemons, thousands of times faster than a clock.
///
/// Use it to size blocks before you buy machines, and to see what a policy, a failure or a load would do. Same seed, same figures, on any machine.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Sim {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  dynomesh sim table                     the reference table beside the published figures
  dynomesh sim study list                the studies that come with this program
  dynomesh sim run my.toml --plot p.svg  a scenario of your own, with a plot";

#[derive(Debug, Clone, clap::Subcommand)]
enum Command {
    Table(table::TableArgs),
    Run(run::RunArgs),
    Study(study::StudyArgs),
    Size(size::SizeCommand),
    Map(map::MapArgs),
}

/// Performs one command.
pub fn run(sim: &Sim, format: Format) -> ExitCode {
    let result = match &sim.command {
        Command::Table(args) => table::perform(args, format),
        Command::Run(args) => run::perform(args, format),
        Command::Study(args) => study::perform(args, format),
        Command::Size(args) => size::perform(args, format),
        Command::Map(args) => map::perform(args, format),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dynomesh: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
