//! `dynomesh sim run`: a scenario of one's own.

use std::num::NonZero;
use std::path::{Path, PathBuf};

use super::output::{self, Format};
use super::progress::Progress;
use super::{SimError, files};
use crate::parallel;
use crate::report::{self, plot};
use crate::scenario::check::{REQUESTS_MAX, REQUESTS_MIN, SEEDS_MAX};
use crate::scenario::{self, Results, Scenario, Size};

/// Run a scenario file: variants of a mesh and its load, side by side
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  dynomesh sim run blocks.toml
  dynomesh sim run blocks.toml --seeds 3 --requests 20000     a quick look
  dynomesh sim run blocks.toml --plot blocks.svg --csv blocks.csv
  dynomesh sim run blocks.toml -o markdown                    for a page of documentation

A scenario file, for example:
  name = \"blocks\"
  title = \"Many small blocks or few large ones\"
  question = \"What does a smaller block cost at 80 % load?\"
  [base]
  load = 0.8
  [[variant]]
  name = \"short hold\"
  hold = \"100ms\"
  [[variant]]
  name = \"default\"
  [sweep]
  blocks = [1, 5, 10, 25]")]
pub(super) struct RunArgs {
    /// The scenario (TOML)
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    how: How,
}

/// How a scenario is run, wherever it comes from.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct How {
    /// How many seeds each case is run with, instead of as many as the scenario says
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=SEEDS_MAX))]
    seeds: Option<u64>,
    /// The first seed, instead of the one that the scenario says; the others follow it
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(..=u64::MAX - SEEDS_MAX))]
    first_seed: Option<u64>,
    /// Requests of a run, instead of as many as the scenario says
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(REQUESTS_MIN..=REQUESTS_MAX))]
    requests: Option<u64>,
    /// Draw the results into this file (SVG)
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Write the results to this file as comma-separated values
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write the results to this file as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write over files that are there already
    #[arg(long)]
    force: bool,
    /// Hold the results to what the scenario promises of them ([[expect]]), and fail with exit code 1 if they break it
    #[arg(long)]
    check: bool,
    /// Say nothing on stderr but errors
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    threads: Threads,
}

/// On how many cores.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct Threads {
    /// Threads to run on; all cores if not given. The figures do not depend on it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

impl Threads {
    pub(super) fn count(self) -> NonZero<usize> {
        self.threads.and_then(|threads| NonZero::new(usize::from(threads))).unwrap_or_else(parallel::cores)
    }
}

pub(super) fn perform(args: &RunArgs, format: Format) -> Result<(), SimError> {
    let scenario = Scenario::load(&args.file, args.how.size())?;
    args.how.perform(&scenario, format)
}

impl How {
    /// What of the command line stands over the scenario.
    pub(super) fn size(&self) -> Size {
        Size { seeds: self.seeds, first_seed: self.first_seed, requests: self.requests }
    }

    /// Runs a scenario, prints its results and writes them to files.
    pub(super) fn perform(&self, scenario: &Scenario, format: Format) -> Result<(), SimError> {
        let paths: Vec<&Path> = [&self.plot, &self.csv, &self.json].into_iter().flatten().map(PathBuf::as_path).collect();
        files::check(&paths, self.force)?;
        let threads = self.threads.count();
        let progress = Progress::new(scenario.runs(), self.quiet);
        let results = scenario::run(scenario, threads, || progress.step());
        let requests: u64 = scenario.cases.iter().map(|case| case.setup.requests).sum::<u64>() * scenario.seeds;
        progress.end(requests, threads.get());
        self.write(&results)?;
        output::write(format, &results.summary(), &results.grid(), "", &results.records())?;
        let broken = if self.check { results.broken() } else { Vec::new() };
        if broken.is_empty() { Ok(()) } else { Err(SimError::Broken(broken)) }
    }

    fn write(&self, results: &Results) -> Result<(), SimError> {
        if let Some(path) = &self.plot {
            files::write(path, &plot::results(results), self.force)?;
        }
        if let Some(path) = &self.csv {
            files::write(path, &report::csv(&results.records()), self.force)?;
        }
        if let Some(path) = &self.json {
            files::write(path, &report::json(&results.records()), self.force)?;
        }
        Ok(())
    }
}
