//! Runs the real daemons in a simulated machine room, by seed: see `kernel` for how, and `story` for what a seed does.
//!
//! Each seed has a program of its own, started by the one that sweeps: memory and addresses begin alike for every run of a seed, and what
//! a killed daemon leaves in memory is gone with the program.

mod faults;
mod folder;
mod input;
mod kernel;
mod mesh;
mod operators;
mod story;
mod sum;
mod sweep;
mod verdict;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

/// Simulates the mesh by seeds and judges what clients and dynos saw.
#[derive(Debug, Clone, Parser)]
#[command(name = "dynomesh-simulation")]
struct Args {
    /// How many seeds
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Seeds at once [default: one per processor]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Runs this seed alone and tells what came of it
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// With --seed: what the daemons log, with the simulated time and the process
    #[arg(long)]
    trace: bool,
    /// With --seed: the file that the history is written to
    #[arg(long)]
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
        (Some(dir), Some(seed)) => simulate(seed, dir, &args).unwrap_or_else(refuse),
        (_, seed) => check(&args).map_or_else(refuse, |()| seed.map_or_else(|| sweep::all(&args), |seed| sweep::one(seed, &args))),
    }
}

fn refuse(problem: String) -> ExitCode {
    eprintln!("{problem}");
    ExitCode::from(input::BAD_INPUT)
}

/// Looks at what was given before any seed runs.
fn check(args: &Args) -> Result<(), String> {
    // Of a `requires` beside `conflicts_with` the library forgets the former.
    let alone = [("--trace", args.trace), ("--history", args.history.is_some())];
    if let Some((flag, _)) = alone.into_iter().find(|(_, given)| *given && args.seed.is_none()) {
        return Err(format!("{flag} is of one seed: say which, by --seed N"));
    }
    if args.from.checked_add(args.seeds).is_none() {
        return Err(format!("there are no {} seeds from {} on: the last is {}", args.seeds, args.from, u64::MAX));
    }
    input::plan(args.faults.as_deref(), args.from)?;
    input::check_history(args.history.as_deref())
}

/// What the one program of a seed does.
fn simulate(seed: u64, dir: &Path, args: &Args) -> Result<ExitCode, String> {
    kernel::raw::end_with_parent();
    if args.trace {
        sweep::trace();
    }
    kernel::raw::stay_on(args.processor.unwrap_or(0));
    let plan = input::plan(args.faults.as_deref(), seed)?;
    let told = story::run(seed, dir, args.history.as_deref(), plan);
    println!("{}", serde_json::to_string(&told).expect("plain data can be written"));
    // Threads of daemons that wait for a turn would wait for ever.
    kernel::raw::exit(0)
}
