//! Results on stdout: aligned tables for people, JSON for programs.
//!
//! A list is one JSON array of objects and a table with one line each; anything else is one JSON object and one sentence.

use std::io::{self, Write};

use serde::Serialize;

use crate::error::CliError;

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Aligned columns for people
    Table,
    /// JSON for programs: an array for lists, an object for anything else
    Json,
    /// Comma-separated values for spreadsheets; only `sim` writes them
    Csv,
    /// A table for a Markdown page; only `sim` writes it
    Markdown,
}

/// Something with one line in a table.
pub(crate) trait Row: Serialize {
    /// Names of the columns.
    const COLUMNS: &'static [&'static str];
    /// As many texts as there are columns.
    fn cells(&self) -> Vec<String>;
}

/// Writes results in the chosen format.
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(format: Format) -> Result<Self, CliError> {
        match format {
            Format::Table => Ok(Output { json: false }),
            Format::Json => Ok(Output { json: true }),
            Format::Csv | Format::Markdown => Err(CliError::Format),
        }
    }

    /// Writes a list.
    pub(crate) fn list<R: Row>(&self, rows: &[R]) -> Result<(), CliError> {
        if self.json { write_json(&rows) } else { write(&table(rows)) }
    }

    /// Writes one result: `object` for programs, `sentence` for people.
    pub(crate) fn one(&self, object: &impl Serialize, sentence: &str) -> Result<(), CliError> {
        if self.json { write_json(object) } else { write(&format!("{sentence}\n")) }
    }
}

/// An aligned table: columns as wide as their widest cell, two spaces between, nothing after the last; `-` for an empty cell, so that
/// every line has the same number of words.
pub(crate) fn table<R: Row>(rows: &[R]) -> String {
    let mut lines: Vec<Vec<String>> = vec![R::COLUMNS.iter().map(|name| name.to_uppercase()).collect()];
    lines.extend(rows.iter().map(|row| row.cells().into_iter().map(|cell| if cell.is_empty() { "-".into() } else { cell }).collect()));
    let widths: Vec<usize> =
        (0..R::COLUMNS.len()).map(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for line in &lines {
        let padded: Vec<String> = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(padded.join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn write_json(value: &impl Serialize) -> Result<(), CliError> {
    let mut text = serde_json::to_string_pretty(value).expect("plain structs with text keys are always JSON");
    text.push('\n');
    write(&text)
}

fn write(text: &str) -> Result<(), CliError> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        // Whoever reads has read enough, as `head` does.
        Err(cause) if cause.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(CliError::Write),
    }
}
