//! `dynomesh sim size`: how many blocks, edges and dynos.

use std::path::{Path, PathBuf};

use super::output::{self, Format};
use super::progress::Progress;
use super::run::Threads;
use super::{SimError, files};
use crate::report::plot;
use crate::size::{self, SizeArgs};

/// Recommend the number of blocks, their size, edges and queue limits for a load, from a simulation of each choice
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  dynomesh sim size --dynos 800 --service-ms 20+exp100 --rps 5000 --mtbf 20s --mttr 1s
  dynomesh sim size --rps 5000 --p99-ms 500                      how many dynos a latency needs
  dynomesh sim size --dynos 800 --trace access.log --speed 2     twice the traffic of yesterday
  dynomesh sim size --dynos 800 --rps 5000 --plot size.svg       with a plot of the trade-off")]
pub(super) struct SizeCommand {
    #[command(flatten)]
    asked: SizeArgs,
    /// Draw latency and the reach of a failure over the number of blocks into this file (SVG)
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Write over a file that is there already
    #[arg(long)]
    force: bool,
    /// Say nothing on stderr but errors
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    threads: Threads,
}

pub(super) fn perform(args: &SizeCommand, format: Format) -> Result<(), SimError> {
    let paths: Vec<&Path> = args.plot.iter().map(PathBuf::as_path).collect();
    files::check(&paths, args.force)?;
    let ask = args.asked.ask()?;
    let threads = args.threads.count();
    let progress = Progress::new(ask.runs_max(), args.quiet);
    let answer = size::size(&ask, threads, &|| progress.step());
    progress.clear();
    let sizing = answer?;
    if let Some(path) = &args.plot {
        files::write(path, &plot::svg(&sizing.chart()), args.force)?;
    }
    match format {
        Format::Json => output::stdout(&sizing.json()),
        _ => output::write(format, &sizing.head(&ask), &sizing.grid(), &sizing.words(), &sizing.records()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        size: SizeCommand,
    }

    fn perform_line(line: &str) -> Result<(), SimError> {
        perform(&Line::try_parse_from(std::iter::once("size").chain(line.split_ascii_whitespace())).unwrap().size, Format::Csv)
    }

    #[test]
    fn a_plot_is_drawn_and_never_over_another_file_without_force() {
        let dir = tempfile::tempdir().unwrap();
        let plot = dir.path().join("size.svg");
        let line = format!("--dynos 12 --rps 40 --requests 1000 --seeds 1 --quiet --plot {}", plot.display());
        perform_line(&line).unwrap();
        let drawn = std::fs::read_to_string(&plot).unwrap();
        assert!(drawn.contains("12 dynos, 40 requests/s") && drawn.contains("p99"), "{drawn}");
        assert!(matches!(perform_line(&line), Err(SimError::Exists { .. })));
        perform_line(&format!("{line} --force")).unwrap();
        assert_eq!(std::fs::read_to_string(&plot).unwrap(), drawn);
    }

    #[test]
    fn a_bad_question_exits_with_2_and_writes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let plot = dir.path().join("size.svg");
        let error = perform_line(&format!("--dynos 10 --rps 1000 --plot {}", plot.display())).unwrap_err();
        assert_eq!((error.exit_code(), plot.exists()), (2, false));
        assert!(error.to_string().contains("1000 requests/s are more than 10 dynos can serve"), "{error}");
    }
}
