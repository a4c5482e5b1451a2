//! Runs the real daemons in a simulated machine room, by seed: see `kernel` for how, and `story` for what a seed does.
//!
//! Each seed has a program of its own, started by the one that sweeps: memory and addresses begin alike for every run of a seed, and what
//! a killed daemon leaves in memory is gone with the program.

mod faults;
mod kernel;
mod mesh;
mod operators;
mod story;
mod sweep;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Simulates the mesh by seeds and judges what clients and dynos saw.
#[derive(Debug, Clone, Parser)]
#[command(name = "dynomesh-simulation")]
struct Args {
    /// How many seeds
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Seeds at once [default: one per processor]
    #[arg(long)]
    jobs: Option<usize>,
    /// Runs this seed alone and tells what came of it
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// With --seed: what the daemons log, with the simulated time and the process
    #[arg(long, requires = "seed")]
    trace: bool,
    /// With --seed: the file that the history is written to
    #[arg(long, requires = "seed")]
    history: Option<PathBuf>,
    /// The faults to make, from a file as those in `pinned`, instead of those that each seed draws
    #[arg(long, value_name = "FILE")]
    faults: Option<PathBuf>,
    /// The folder of the one program of a seed, which simulates
    #[arg(long, hide = true, requires = "seed")]
    dir: Option<PathBuf>,
    /// The processor on which it stays
    #[arg(long, hide = true)]
    processor: Option<usize>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match (&args.dir, args.seed) {
        (Some(dir), Some(seed)) => {
            if args.trace {
                sweep::trace();
            }
            kernel::raw::stay_on(args.processor.unwrap_or(0));
            let plan = args.faults.as_deref().map(|file| {
                let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
                faults::read(&text, seed).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
            });
            let told = story::run(seed, dir, args.history.as_deref(), plan);
            println!("{}", serde_json::to_string(&told).expect("plain data can be written"));
            // Threads of daemons that wait for a turn would wait for ever.
            kernel::raw::exit(0)
        }
        (None, Some(seed)) => sweep::one(seed, &args),
        _ => sweep::all(&args),
    }
}
