//! The command line.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use dynomesh_core::time::Span;
use dynomesh_testkit::check::{self, Limits};
use dynomesh_testkit::history::History;

use crate::interrupt;
use crate::judge::{Verdict, vague};
use crate::need;
use crate::net::clean;
use crate::scenario;
use crate::series::{BROKEN, Series};
use crate::system::rival::Kind;

/// Exit code where no run is possible: nothing was shown, and nothing was broken.
const SKIPPED: u8 = 77;

/// Breaks a mesh of real processes on networks of its own, and judges what clients and dynos saw.
#[derive(Debug, Parser)]
#[command(name = "dynomesh-chaos", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a scenario, or all of them; the last line says what it came to, and the exit code is 0 only if that is clean
    Run {
        /// Its name, or the path of its file; or `all`
        scenario: String,
        /// Go round with other seeds for so many minutes in all, in an order that the seed draws; what would not end by then is not begun, and
        /// the last line says how many scenarios that left out
        #[arg(long, value_name = "N")]
        #[arg(value_parser = clap::value_parser!(u64).range(1..=10_080))]
        minutes: Option<u64>,
        /// Decides what is drawn; drawn itself if not given
        #[arg(long)]
        seed: Option<u64>,
        /// Run it for these rivals too, where its faults are such as they can have; they are told of and not judged
        #[arg(long, value_name = "RIVAL", value_delimiter = ',')]
        beside: Vec<Kind>,
        /// Where reports, logs and histories are written
        #[arg(long, value_name = "DIR", default_value = "target/chaos")]
        out: PathBuf,
    },
    /// List all scenarios
    List,
    /// Judge the history of a run once more, by the invariants alone
    ///
    /// Every invariant is demanded that was demanded of the run. Whether a run met the expectations of its scenario, whether its faults were
    /// felt, how busy the machine was, and what a run complains of (processes that died, slots that were lost) is not in a history: the
    /// verdict of the run stands in its report.
    Check {
        /// Its `history.json`
        file: PathBuf,
    },
    /// Take away what runs have left behind that died: processes, small disks, control groups, namespaces, locks
    Clean,
}

/// Does what the command line says.
pub(crate) fn run() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run { scenario, minutes, seed, beside, out } => run_all(&scenario, minutes, seed, &beside, &out),
        Command::List => list(),
        Command::Check { file } => check_file(&file),
        Command::Clean => remove_dead(),
    };
    done.unwrap_or_else(|error| {
        eprintln!("chaos: {error:#}");
        ExitCode::from(BROKEN)
    })
}

fn run_all(name: &str, minutes: Option<u64>, seed: Option<u64>, beside: &[Kind], out: &Path) -> Result<ExitCode> {
    let scenarios = match name {
        "all" => scenario::all()?.into_iter().filter(|scenario| scenario.run.in_all).collect(),
        name => vec![scenario::named(name)?],
    };
    interrupt::watch()?;
    if let Some(reason) = need::missing(beside) {
        println!("skipped: {reason}");
        return Ok(ExitCode::from(SKIPPED));
    }
    clean::remove_dead()?;
    let seed = seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let limit = minutes.map(|minutes| Span::from_secs(minutes * 60));
    let done = Series { scenarios, seed, limit, beside: beside.to_vec(), out: out.to_owned() }.run()?;
    done.lines().iter().for_each(|line| println!("{line}"));
    Ok(ExitCode::from(done.code()))
}

fn list() -> Result<ExitCode> {
    for scenario in scenario::all()? {
        println!("{:<24} {}", scenario.name, scenario.title);
    }
    Ok(ExitCode::SUCCESS)
}

fn check_file(file: &Path) -> Result<ExitCode> {
    let history = History::load(file).with_context(|| file.display().to_string())?;
    let reports = check::all(&history, &Limits::default());
    reports.iter().for_each(|report| println!("{report}"));
    vague(&reports).iter().for_each(|told| println!("{told}"));
    println!("expectations, faults felt and complaints of the run are not in a history; its report tells of them");
    let verdict = Verdict::of(&history, &reports);
    println!("{verdict}");
    Ok(ExitCode::from(verdict.code()))
}

fn remove_dead() -> Result<ExitCode> {
    println!("{}", clean::remove_dead()?);
    Ok(ExitCode::SUCCESS)
}
