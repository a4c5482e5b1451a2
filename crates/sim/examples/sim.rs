//! The simulator's command line by itself: `cargo run -p dynomesh-sim --example sim -- table`. The program has it as `dynomesh sim`.

use std::process::ExitCode;

use clap::Parser;
use dynomesh_sim::cli::{Format, Sim, run};

#[derive(Debug, Parser)]
struct Cli {
    /// How results are written
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table)]
    output: Format,
    #[command(flatten)]
    sim: Sim,
}

fn main() -> ExitCode {
    let Cli { output, sim } = Cli::parse();
    run(&sim, output)
}
