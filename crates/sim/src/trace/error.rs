//! Why a log cannot be replayed.

use std::io;
use std::path::{Path, PathBuf};

use super::{PAUSE_MAX, SPEED_MAX, gather::Unfit};

/// Each names the file, and the line where there is one.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// It cannot be opened.
    #[error("cannot open the trace {}: {cause}", .file.display())]
    Open {
        /// The log.
        file: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// It cannot be read to its end.
    #[error("cannot read the trace {} past line {line}: {cause}", .file.display())]
    Read {
        /// The log.
        file: PathBuf,
        /// Lines that were read.
        line: u64,
        /// Why.
        cause: io::Error,
    },
    /// A line says nothing that can be used.
    #[error("{}, line {line}: expected {expected}, found {found}{}", .file.display(), after(*.skipped))]
    Line {
        /// The log.
        file: PathBuf,
        /// Counted from 1.
        line: u64,
        /// What would be right.
        expected: String,
        /// The start of the line.
        found: String,
        /// Bad lines before it that were let pass.
        skipped: u64,
    },
    /// There is no request in it.
    #[error("{} has no requests{}", .file.display(), after(*.skipped))]
    Empty {
        /// The log.
        file: PathBuf,
        /// Bad lines that were let pass.
        skipped: u64,
    },
    /// Its requests tell no rate.
    #[error("the {requests} requests of {} came at one moment; at least two at different times are needed to tell a rate", .file.display())]
    Moment {
        /// The log.
        file: PathBuf,
        /// How many.
        requests: usize,
    },
    /// It stands still for too long.
    #[error(
        "{} has a pause of {:.0} hours after its request number {after}; at most {:.0} can be replayed: cut the log there",
        .file.display(), .hours, PAUSE_MAX.as_secs_f64() / 3600.0
    )]
    Pause {
        /// The log.
        file: PathBuf,
        /// How long.
        hours: f64,
        /// Requests before it, by arrival.
        after: usize,
    },
    /// It cannot be replayed so fast.
    #[error("the speed {0} is not a number from 1/{SPEED_MAX} to {SPEED_MAX}; 1 replays the trace as it was measured, 2 twice as fast")]
    Speed(f64),
}

impl TraceError {
    pub(super) fn of(unfit: Unfit, file: &Path, skipped: u64) -> Self {
        let file = file.to_owned();
        match unfit {
            Unfit::Empty => TraceError::Empty { file, skipped },
            Unfit::Moment(requests) => TraceError::Moment { file, requests },
            Unfit::Pause { after, span } => TraceError::Pause { file, hours: span.as_secs_f64() / 3600.0, after },
        }
    }
}

fn after(skipped: u64) -> String {
    if skipped == 0 { String::new() } else { format!(" ({skipped} bad lines were skipped)") }
}
