//! Results on stdout in the chosen form.

use std::io::{self, Write};

use super::SimError;
use crate::report::{self, Grid, Record};

/// How results are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Aligned columns for people
    #[default]
    Table,
    /// An array of objects for programs
    Json,
    /// Comma-separated values for spreadsheets
    Csv,
    /// A table for a Markdown page
    Markdown,
}

/// Writes a result: `before` and `after` are said around the table where people read it, and nowhere else.
pub(super) fn write(format: Format, before: &str, grid: &Grid, after: &str, records: &[Record]) -> Result<(), SimError> {
    let text = match format {
        Format::Table => [before, &grid.text(), after].iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join("\n"),
        Format::Markdown => {
            [before, &grid.markdown(), after].iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join("\n")
        }
        Format::Json => report::json(records),
        Format::Csv => report::csv(records),
    };
    stdout(&text)
}

pub(super) fn stdout(text: &str) -> Result<(), SimError> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        // Whoever reads has read enough, as `head` does.
        Err(cause) if cause.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(SimError::Stdout),
    }
}
