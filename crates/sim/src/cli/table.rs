//! `dynomesh sim table`: the reference table.

use std::str::FromStr;

use super::SimError;
use super::output::{self, Format};
use super::progress::Progress;
use super::run::Threads;
use crate::report::golden::{self, Strictness};
use crate::report::reference::{self, RowReport};
use crate::scenario::check::{REQUESTS_MAX, REQUESTS_MIN, SEEDS_MAX};
use crate::table::{REFERENCE, ROWS, Reference, Row};

/// Run the reference table, and print it beside the published figures
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  dynomesh sim table                         all rows over 12 seeds
  dynomesh sim table --rows 5-7 --seeds 100  some rows, with narrower intervals
  dynomesh sim table -o json                 an array of {row, success, p50, p95, p99, max}, in ms
  dynomesh sim table --check                 exit code 1, and the figure, if one is off")]
pub(super) struct TableArgs {
    /// How many seeds each row is run with
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u64).range(1..=SEEDS_MAX))]
    seeds: u64,
    /// The first of them; the others follow it
    #[arg(long, value_name = "S", default_value_t = 1, value_parser = clap::value_parser!(u64).range(..=u64::MAX - SEEDS_MAX))]
    first_seed: u64,
    /// Requests of a run; the middle half is counted
    #[arg(long, value_name = "N", default_value_t = REFERENCE.requests, value_parser = clap::value_parser!(u64).range(REQUESTS_MIN..=REQUESTS_MAX))]
    requests: u64,
    /// Which rows, for example 1,5-7
    #[arg(long, value_name = "ROWS", default_value = "1-7")]
    rows: Rows,
    /// Check the figures against what they must be, and fail if one is off
    #[arg(long, conflicts_with = "requests")]
    check: bool,
    #[command(flatten)]
    threads: Threads,
}

/// Some rows of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rows(Vec<u8>);

/// Why [`Rows`] could not be read.
#[derive(Debug, thiserror::Error)]
#[error("write rows from 1 to {}, with commas between them or a dash for all from one to another, for example 1,5-7", ROWS.len())]
struct NotRows;

pub(super) fn perform(args: &TableArgs, format: Format) -> Result<(), SimError> {
    let model = Reference { requests: args.requests, ..REFERENCE };
    let rows: Vec<Row> = ROWS.into_iter().filter(|row| args.rows.0.contains(&row.number)).collect();
    let seeds = args.first_seed..args.first_seed + args.seeds;
    let threads = args.threads.count();
    let progress = Progress::new(args.seeds * rows.len() as u64, false);
    let reports = reference::run(&rows, &model, seeds, threads, || progress.step());
    progress.end(args.requests * args.seeds * rows.len() as u64, threads.get());

    output::write(format, &head(args), &reference::grid(&reports), &remarks(&reports), &reference::records(&reports))?;
    let misses = if args.check { golden::misses(&reports, Strictness::Mean) } else { Vec::new() };
    if misses.is_empty() { Ok(()) } else { Err(SimError::Off(misses)) }
}

fn head(args: &TableArgs) -> String {
    let (requests, first, last) = (args.requests, args.first_seed, args.first_seed + args.seeds - 1);
    let seeds = if first == last {
        format!("Seed {first}")
    } else {
        format!("Means over seeds {first} to {last} with their 95 % confidence intervals")
    };
    format!("{seeds}; {requests} requests a run, the middle half counted, failures included.\n")
}

/// What has to be known of the published figures to compare ours with them.
fn remarks(reports: &[RowReport]) -> String {
    let lucky: Vec<String> = reports.iter().filter_map(RowReport::luck).collect();
    if lucky.is_empty() {
        return String::new();
    }
    format!("The published figures are those of one run each, and some runs are lucky; success over ours:\n  {}\n", lucky.join("\n  "))
}

impl FromStr for Rows {
    type Err = NotRows;
    fn from_str(text: &str) -> Result<Self, NotRows> {
        let number = |text: &str| text.trim().parse::<u8>().ok().filter(|row| ROWS.iter().any(|known| known.number == *row)).ok_or(NotRows);
        let mut rows = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return Err(NotRows);
            }
            rows.extend(first..=last);
        }
        Ok(Rows(rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_by_number_and_by_range() {
        assert_eq!("1, 5-7".parse::<Rows>().unwrap(), Rows(vec![1, 5, 6, 7]));
        for bad in ["", "0", "8", "3-1", "1,,2", "1-", "-1", "a"] {
            assert!(bad.parse::<Rows>().is_err(), "{bad:?} passed");
        }
    }
}
