//! The command line, as clap reads it. Names and shapes only: what a command does is in `main`, [`crate::daemon`], [`crate::dev`] and the crate `dynomesh-ctl`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use dynomesh_core::id::{Address, DynoId};
use dynomesh_core::time::Span;

/// A two-tier HTTP routing mesh: stateless edges, replicated least-connection blocks, dynos that never get more than they may.
#[derive(Debug, Parser)]
#[command(name = "dynomesh", version, propagate_version = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: dynomesh_ctl::Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the whole mesh on this machine, with sample dynos or your own server
    Dev(Box<Dev>),
    /// Run an edge, which takes requests from clients and sends them to blocks; or list and drain edges
    Edge(Edge),
    /// Run a replica of a block, or found one; or list, add, drain, remove and evict blocks
    Block(Block),
    /// Run a replica of the control plane, or found it; or recover one that lost its directory
    Control(Control),
    /// Run the sample dyno
    Agent(Agent),
    /// What the command line says to the control plane, where the name is no daemon's.
    #[command(flatten)]
    Noun(dynomesh_ctl::Noun),
    /// Simulate the mesh: the reference table, studies of policies, scenarios of your own
    Sim(dynomesh_sim::cli::Sim),
    /// Check a configuration file and the environment that goes with it, and start nothing
    CheckConfig(CheckConfig),
    /// Write the manual of this command line as a page
    #[command(hide = true)]
    Manual,
    /// Stop what `dev` started when `dev` dies
    #[command(hide = true)]
    Reap(Reap),
}

/// Where a daemon's settings come from.
#[derive(Debug, Args)]
pub(crate) struct Daemon {
    /// Configuration file (TOML). Every key can also be set by environment, for example DYNOMESH_EDGE_LISTEN or DYNOMESH_BLOCK_RAFT__HEARTBEAT
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Edge {
    #[command(flatten)]
    pub(crate) daemon: Daemon,
    #[command(subcommand)]
    pub(crate) command: Option<dynomesh_ctl::EdgeCommand>,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Block {
    #[command(flatten)]
    pub(crate) daemon: Daemon,
    #[command(subcommand)]
    pub(crate) command: Option<BlockCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BlockCommand {
    #[command(flatten)]
    Client(dynomesh_ctl::BlockCommand),
    /// Make running, empty replicas one block: once, with the full list of members, without the control plane's help
    #[command(after_help = "Example:\n  dynomesh block bootstrap 10.0.2.1:7080 10.0.2.2:7080 10.0.2.3:7080")]
    Bootstrap(Bootstrap),
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Control {
    #[command(flatten)]
    pub(crate) daemon: Daemon,
    #[command(subcommand)]
    pub(crate) command: Option<ControlCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ControlCommand {
    #[command(flatten)]
    Client(dynomesh_ctl::ControlCommand),
    /// Make running, empty replicas one control plane: once, with the full list of members
    #[command(after_help = "Example:\n  dynomesh control bootstrap 10.0.0.1:7070 10.0.0.2:7070 10.0.0.3:7070")]
    Bootstrap(Bootstrap),
}

#[derive(Debug, Args)]
pub(crate) struct Bootstrap {
    /// The gRPC address of every member: one, or an odd number of them
    #[arg(required = true, value_name = "ADDR")]
    pub(crate) members: Vec<Address>,
}

#[derive(Debug, Args)]
pub(crate) struct Agent {
    /// Run the sample dyno: one request at a time unless it is told otherwise, 20 ms plus a random time of 100 ms on average
    #[arg(long, required = true)]
    pub(crate) demo: bool,
    #[command(flatten)]
    pub(crate) settings: Demo,
}

/// Settings of the sample dyno.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Where it listens
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:3000")]
    pub(crate) listen: Address,
    /// Its id in answers and in the log
    #[arg(long, value_name = "ID", default_value = "d1")]
    pub(crate) id: DynoId,
    /// Seed of its service times; drawn at random if not given
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Shortest service time
    #[arg(long, value_name = "DURATION", default_value = "20ms")]
    pub(crate) floor: Span,
    /// Mean of the exponential time on top of it
    #[arg(long, value_name = "DURATION", default_value = "100ms")]
    pub(crate) mean: Span,
    /// Requests that it runs at once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: u16,
    /// Write one line of JSON per request to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct CheckConfig {
    /// The file
    pub(crate) file: PathBuf,
    /// What the file configures; seen from its keys if not given
    #[arg(long, value_enum)]
    pub(crate) kind: Option<Kind>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    Edge,
    Block,
    Control,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Slots {
    /// A grant is committed by the block before it is used: the limit holds across failover
    Committed,
    /// A grant is used under the leader's lease: no round trip, and a takeover waits for proofs
    Leased,
}

/// The mesh of `dynomesh dev`. What is not given comes from the data directory, if it holds a mesh, or else from the defaults.
#[derive(Debug, Args)]
pub(crate) struct Dev {
    /// Edges [default: 2]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) edges: Option<u16>,
    /// Blocks [default: 2]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) blocks: Option<u16>,
    /// Replicas of each block: 1, 3, 5 or 7 [default: 3]
    #[arg(long, value_name = "N", value_parser = odd)]
    pub(crate) replicas: Option<u16>,
    /// Replicas of the control plane: 1, 3, 5 or 7 [default: 1]
    #[arg(long, value_name = "N", value_parser = odd)]
    pub(crate) control: Option<u16>,
    /// Sample dynos, or copies of COMMAND [default: 8]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=2000))]
    pub(crate) dynos: Option<u16>,
    /// Data threads of each edge and replica
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) threads: u16,
    /// Port of the first edge; the others follow. 0 takes free ones [default: 8080]
    #[arg(long, value_name = "PORT")]
    pub(crate) port: Option<u16>,
    /// Make an authority and certificates of its own: edges speak HTTPS too, 363 ports above HTTP, and blocks take edges by mutual TLS alone
    #[arg(long)]
    pub(crate) tls: bool,
    /// Where the mesh keeps its state, so that the next run with it goes on. Without it, nothing is kept
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// When a block lets a request go: after its grant is committed, or under its leader's lease
    #[arg(long, value_enum, default_value_t = Slots::Committed)]
    pub(crate) slots: Slots,
    /// Where to write, as JSON, what runs where, once everything runs and again at every change
    #[arg(long, value_name = "FILE")]
    pub(crate) ready_file: Option<PathBuf>,
    /// Start a process again that died
    #[arg(long)]
    pub(crate) respawn: bool,
    /// Your own server, run once per dyno with PORT set in its environment and `$PORT` replaced in its arguments. One argument that
    /// holds spaces is run by `sh -c`
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

/// A group's size: a majority of an even one bears no more failures than of the next smaller.
fn odd(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(n @ (1 | 3 | 5 | 7)) => Ok(n),
        _ => Err("must be 1, 3, 5 or 7".into()),
    }
}

#[derive(Debug, Args)]
pub(crate) struct Reap {
    /// Files and directories to take away
    pub(crate) leftovers: Vec<PathBuf>,
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};
    use dynomesh_ctl::Format;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn client_options_stand_anywhere() {
        for line in
            ["-o json --admin 127.0.0.1:9 dyno list", "dyno -o json list --admin 127.0.0.1:9", "dyno list --admin 127.0.0.1:9 -o json"]
        {
            let cli = Cli::try_parse_from(format!("dynomesh {line}").split(' ')).unwrap();
            assert_eq!((cli.global.output, cli.global.admin.as_str()), (Format::Json, "127.0.0.1:9"), "{line}");
        }
    }

    #[test]
    fn a_block_is_run_listed_or_founded() {
        let block = |line: &str| match Cli::try_parse_from(format!("dynomesh block {line}").split(' ')).unwrap().command {
            Command::Block(block) => block,
            other => panic!("{other:?}"),
        };
        assert_eq!(block("--config b.toml").daemon.config, Some("b.toml".into()));
        assert!(matches!(block("list").command, Some(BlockCommand::Client(_))));
        assert!(matches!(block("bootstrap 127.0.0.1:1 127.0.0.1:2").command, Some(BlockCommand::Bootstrap(b)) if b.members.len() == 2));
    }

    #[test]
    fn edges_and_the_control_plane_are_run_or_spoken_to() {
        let command = |line: &str| Cli::try_parse_from(format!("dynomesh {line}").split(' ')).unwrap().command;
        assert!(matches!(command("edge --config e.toml"), Command::Edge(Edge { command: None, daemon: Daemon { config: Some(_) } })));
        assert!(matches!(command("edge drain edge-1 --wait"), Command::Edge(Edge { command: Some(_), .. })));
        assert!(matches!(command("control"), Command::Control(Control { command: None, .. })));
        let recover = command("control recover --yes");
        assert!(matches!(recover, Command::Control(Control { command: Some(ControlCommand::Client(_)), .. })));
        assert!(matches!(command("dyno move d1 --to b2"), Command::Noun(dynomesh_ctl::Noun::Dyno(_))));
    }

    #[test]
    fn a_command_of_dev_keeps_its_own_options() {
        let cli = Cli::try_parse_from(["dynomesh", "dev", "--dynos", "3", "--", "server", "--port", "$PORT", "-o", "x"]).unwrap();
        let Command::Dev(dev) = cli.command else { panic!() };
        assert_eq!(dev.command, ["server", "--port", "$PORT", "-o", "x"]);
        assert_eq!((dev.dynos, dev.edges), (Some(3), None));
    }
}
