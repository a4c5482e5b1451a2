//! Results on stdout: aligned tables for people, JSON for programs.
//!
//! A list is one JSON array of objects and a table with one line each; anything else is one JSON object and one sentence.

use std::cell::RefCell;
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
    sink: RefCell<Box<dyn Write>>,
}

impl Output {
    /// To whoever reads this program's results.
    pub(crate) fn stdout(format: Format) -> Result<Self, CliError> {
        Output::new(format, Box::new(io::stdout()))
    }

    pub(crate) fn new(format: Format, sink: Box<dyn Write>) -> Result<Self, CliError> {
        match format {
            Format::Table => Ok(Output { json: false, sink: RefCell::new(sink) }),
            Format::Json => Ok(Output { json: true, sink: RefCell::new(sink) }),
            Format::Csv | Format::Markdown => Err(CliError::Format),
        }
    }

    /// Writes a list.
    pub(crate) fn list<R: Row>(&self, rows: &[R]) -> Result<(), CliError> {
        if self.json { self.json(&rows) } else { self.text(&table(rows)) }
    }

    /// Writes one result: `object` for programs, `sentence` for people.
    pub(crate) fn one(&self, object: &impl Serialize, sentence: &str) -> Result<(), CliError> {
        if self.json { self.json(object) } else { self.text(&format!("{}\n", sentence.trim_end())) }
    }

    /// Writes one thing with all it has: `object` for programs, a line for each of `fields` for people.
    pub(crate) fn fields(&self, object: &impl Serialize, fields: &[(&str, String)]) -> Result<(), CliError> {
        self.one(object, &aligned(fields))
    }

    /// Writes one of many results that come one after the other: a line of JSON or of text.
    pub(crate) fn line(&self, object: &impl Serialize, sentence: &str) -> Result<(), CliError> {
        let json = || serde_json::to_string(object).expect("plain structs with text keys are always JSON");
        let text = if self.json { json() } else { sentence.trim_end().to_owned() };
        self.text(&format!("{text}\n"))
    }

    fn json(&self, value: &impl Serialize) -> Result<(), CliError> {
        let mut text = serde_json::to_string_pretty(value).expect("plain structs with text keys are always JSON");
        text.push('\n');
        self.text(&text)
    }

    fn text(&self, text: &str) -> Result<(), CliError> {
        let mut sink = self.sink.borrow_mut();
        match sink.write_all(text.as_bytes()).and_then(|()| sink.flush()) {
            // Whoever reads has read enough, as `head` does.
            Err(cause) if cause.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            result => result.map_err(CliError::Write),
        }
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

/// Names and values below each other; `-` for what is empty.
fn aligned(fields: &[(&str, String)]) -> String {
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let line = |(name, value): &(&str, String)| format!("{name:<width$}  {}\n", if value.is_empty() { "-" } else { value });
    fields.iter().map(line).collect()
}
