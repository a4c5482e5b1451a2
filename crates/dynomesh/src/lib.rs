//! The one binary of the mesh: reads the command line and hands over. It decides nothing itself.
//!
//! It is a library so that a program which needs the daemons as processes can be those processes itself.

mod args;
mod daemon;
mod dev;
mod error;
mod found;
mod manual;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::FromArgMatches;

use args::{BlockCommand, Cli, Command, ControlCommand, Edge, Kind};
use error::Failure;

/// Does what a command line says, whose first word is the name of the program, and says how it went. A command line that cannot be
/// read ends the process with its explanation.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let Cli { global, command } = Cli::from_arg_matches(&manual::command().get_matches_from(args)).unwrap_or_else(|error| error.exit());
    let client = |command| Ok(dynomesh_ctl::run(command, &global));
    let result = match command {
        Command::Noun(noun) => client(dynomesh_ctl::Command::Noun(noun)),
        Command::Edge(Edge { command: Some(command), .. }) => client(dynomesh_ctl::Command::Edge(command)),
        Command::Edge(Edge { command: None, daemon }) => done(daemon::run(Kind::Edge, daemon.config.as_deref())),
        Command::Block(args::Block { command: Some(BlockCommand::Client(command)), .. }) => client(dynomesh_ctl::Command::Block(command)),
        Command::Block(args::Block { command: Some(BlockCommand::Bootstrap(args)), .. }) => found::run(&args.members),
        Command::Block(args::Block { command: None, daemon }) => done(daemon::run(Kind::Block, daemon.config.as_deref())),
        Command::Control(args::Control { command: Some(ControlCommand::Client(command)), .. }) => {
            client(dynomesh_ctl::Command::Control(command))
        }
        Command::Control(args::Control { command: Some(ControlCommand::Bootstrap(args)), .. }) => found::run(&args.members),
        Command::Control(args::Control { command: None, daemon }) => done(daemon::run(Kind::Control, daemon.config.as_deref())),
        Command::Agent(agent) => done(demo(agent.settings)),
        Command::Sim(sim) => Ok(dynomesh_sim::cli::run(&sim, form(global.output))),
        Command::CheckConfig(args) => check_config(&args),
        Command::Manual => manual::write(),
        Command::Dev(args) => done(dev::run(*args)),
        Command::Reap(args) => done(dev::reap(&args.leftovers)),
    };
    result.unwrap_or_else(Failure::report)
}

fn done(result: Result<(), Failure>) -> Result<ExitCode, Failure> {
    result.map(|()| ExitCode::SUCCESS)
}

/// The simulator's name for a form of output: it depends on no other part of this program.
fn form(output: dynomesh_ctl::Format) -> dynomesh_sim::cli::Format {
    use dynomesh_ctl::Format as Asked;
    use dynomesh_sim::cli::Format;
    match output {
        Asked::Table => Format::Table,
        Asked::Json => Format::Json,
        Asked::Csv => Format::Csv,
        Asked::Markdown => Format::Markdown,
    }
}

fn demo(settings: args::Demo) -> Result<(), Failure> {
    let args::Demo { listen, id, seed, floor, mean, threads, log } = settings;
    let seed = seed.unwrap_or_else(rand::random);
    let config = dynomesh_agent::demo::Config { listen: listen.socket(), id, seed, floor, mean, threads, journal: log };
    daemon::serve("agent", async |shutdown| dynomesh_agent::demo::run(config, async { shutdown.wait().await }).await)
}

fn check_config(args: &args::CheckConfig) -> Result<ExitCode, Failure> {
    let kind = daemon::check(&args.file, args.kind)?;
    println!("{}: a valid {} configuration", args.file.display(), kind.name());
    Ok(ExitCode::SUCCESS)
}
