//! The command line.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use dynomesh_core::time::Span;
use dynomesh_testkit::check::{self, Limits};
use dynomesh_testkit::clock;
use dynomesh_testkit::history::History;

use crate::figures::ms;
use crate::judge::{Judgement, Verdict, judge};
use crate::net::clean;
use crate::report::Beside;
use crate::run::Run;
use crate::scenario::{self, Scenario};
use crate::system::rival::Kind;
use crate::{need, report, run};

/// Exit code where no run is possible: nothing was shown, and nothing was broken.
const SKIPPED: u8 = 77;
/// Exit code where a run could not be carried through.
const BROKEN: u8 = 2;

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
        /// Go on with other seeds as long as another run begins within so many minutes
        #[arg(long, value_name = "N")]
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
    /// Judge the history of a run once more
    Check {
        /// Its `history.json`
        file: PathBuf,
    },
    /// Take away what runs have left behind that died
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
    if let Some(reason) = need::missing(beside) {
        println!("skipped: {reason}");
        return Ok(ExitCode::from(SKIPPED));
    }
    clean::remove_dead()?;
    let first = seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let deadline = minutes.map(|minutes| clock::now() + Span::from_secs(minutes * 60));
    let mut outcomes = Vec::new();
    'rounds: for round in 0.. {
        for scenario in &scenarios {
            if deadline.is_some_and(|deadline| clock::now() >= deadline) {
                break 'rounds;
            }
            outcomes.push(run_one(scenario, first + round, beside, out));
        }
        if deadline.is_none() {
            break;
        }
    }
    conclude(&outcomes, out)
}

/// What a run came to; `None` if it could not be carried through.
struct Outcome {
    name: String,
    seed: u64,
    verdict: Option<Verdict>,
    line: String,
}

fn run_one(scenario: &Scenario, seed: u64, beside: &[Kind], out: &Path) -> Outcome {
    let name = scenario.name.clone();
    eprintln!("{name}, seed {seed}: {}", scenario.title);
    match carry_through(scenario, seed, beside, out) {
        Ok((verdict, line)) => Outcome { name, seed, verdict: Some(verdict), line },
        Err(error) => Outcome { name, seed, verdict: None, line: format!("broken: {error:#}") },
    }
}

fn carry_through(scenario: &Scenario, seed: u64, beside: &[Kind], out: &Path) -> Result<(Verdict, String)> {
    let (run, judgement) = carry_out(scenario, seed, out)?;
    let mut others = Vec::new();
    report::write(&run, &judgement, &[])?;
    for rival in beside.iter().filter_map(|rival| scenario.against(*rival)) {
        eprintln!("  the same for {}", rival.mesh.system);
        // What a rival cannot do says nothing about the mesh.
        match carry_out(&rival, seed, out) {
            Ok((run, judgement)) => {
                report::write(&run, &judgement, &[])?;
                others.push(Beside { run, judgement });
            }
            Err(error) => eprintln!("  it could not be carried through: {error:#}"),
        }
    }
    if !others.is_empty() {
        report::write(&run, &judgement, &others)?;
    }
    let (figures, verdict) = (&judgement.figures, judgement.verdict);
    if matches!(verdict, Verdict::Clean | Verdict::Void) {
        // What replicas kept is large, and of use only where something went wrong.
        fs::remove_dir_all(run.dir.join("data")).context("take away what replicas kept")?;
    }
    let line = format!(
        "{verdict}: {} requests, {} lost, longest gap {}, p99 added {}, processors busy {:.0} %, by this run {:.0} %",
        figures.asked,
        figures.asked - figures.ok,
        ms(figures.longest_gap),
        ms(figures.added_p99),
        run.cpu * 100.0,
        run.cpu_own * 100.0
    );
    eprintln!("  {line}");
    if verdict != Verdict::Clean {
        judgement.reports.iter().filter(|report| !report.violations.is_empty()).for_each(|report| eprintln!("  {report}"));
        judgement
            .judged
            .iter()
            .filter(|judged| !judged.is_met)
            .for_each(|judged| eprintln!("  {}: {}, expected {}", judged.name, judged.seen, judged.expected));
        run.complaints.iter().chain(&judgement.voids).for_each(|told| eprintln!("  {told}"));
        eprintln!("  once more: {}\n  everything about it: {}", report::replay(&run), run.dir.display());
    }
    Ok((verdict, line))
}

/// One run, judged, with its history saved.
fn carry_out(scenario: &Scenario, seed: u64, out: &Path) -> Result<(Run, Judgement)> {
    let dir = out.join(format!("{}-{seed}", scenario.name));
    if dir.exists() {
        fs::remove_dir_all(&dir).with_context(|| format!("take away the run of before in {}", dir.display()))?;
    }
    fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
    let dir = dir.canonicalize().with_context(|| dir.display().to_string())?;
    let run = run::run(scenario, seed, &dir)?;
    let judgement = judge(&run);
    run.history.save(&dir.join("history.json")).context("save the history")?;
    Ok((run, judgement))
}

fn conclude(outcomes: &[Outcome], out: &Path) -> Result<ExitCode> {
    let mut summary = "# Chaos\n\n| scenario | seed | what it came to |\n| --- | --- | --- |\n".to_owned();
    for Outcome { name, seed, line, .. } in outcomes {
        summary += &format!("| [{name}]({name}-{seed}/report.md) | {seed} | {} |\n", line.replace('\n', " ").replace('|', "\\|"));
        println!("{name:<24} seed {seed:<10} {line}");
    }
    fs::write(out.join("summary.md"), summary).context("write the summary")?;
    let broken = outcomes.iter().filter(|outcome| outcome.verdict.is_none()).count();
    let worst = outcomes.iter().filter_map(|outcome| outcome.verdict).max();
    let count = |wanted: Verdict| outcomes.iter().filter(|outcome| outcome.verdict == Some(wanted)).count();
    let told = [Verdict::Clean, Verdict::Void, Verdict::NothingJudged, Verdict::Inconclusive, Verdict::Violated]
        .map(|verdict| (verdict, count(verdict)));
    let told: Vec<String> = told.iter().filter(|(_, count)| *count > 0).map(|(verdict, count)| format!("{count} {verdict}")).collect();
    let (verdict, code) = match worst {
        Some(Verdict::Violated) => ("violated".to_owned(), Verdict::Violated.code()),
        _ if broken > 0 => ("broken".to_owned(), BROKEN),
        Some(worst) => (worst.to_string(), worst.code()),
        None => (Verdict::NothingJudged.to_string(), Verdict::NothingJudged.code()),
    };
    let broken = if broken > 0 { format!(", {broken} broken") } else { String::new() };
    println!("{verdict}: {} runs, {}{broken}", outcomes.len(), told.join(", "));
    Ok(ExitCode::from(code))
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
    let verdict = Verdict::of(check::Verdict::of(&reports, &[]));
    println!("{verdict}");
    Ok(ExitCode::from(verdict.code()))
}

fn remove_dead() -> Result<ExitCode> {
    println!("{} namespaces taken away", clean::remove_dead()?);
    Ok(ExitCode::SUCCESS)
}
