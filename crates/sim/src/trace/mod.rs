//! Real traffic, read from an access log: when requests came and what each took.
//!
//! A log tells when a request ended and how long it took, or when it began, or only in which second; here all become what a workload
//! needs, gaps and service times in the order of arrival. Nothing is smoothed: bursts are why a trace is worth more than a rate. What
//! a log cannot tell is said in [`Story`], never made up in silence.

mod combined;
mod date;
mod error;
mod gather;
mod lines;
mod mesh;

#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dynomesh_core::time::{Span, Time};
use serde::{Deserialize, Serialize};

use crate::workload::{DRAW_MAX, mean, nanos_of};
use gather::Gathering;
use lines::{Lines, Taken};

pub use error::TraceError;
pub use lines::LINE_LEN_MAX;

/// Requests that are read of a log; the rest is left out, and that is said. At this limit reading takes 320 MB, and
/// the trace itself 16 bytes per request.
pub const REQUESTS_MAX: usize = 10_000_000;
/// Longest pause between two requests. A log with a longer one is of several days that no single size fits.
pub const PAUSE_MAX: Span = Span::from_secs(24 * 3600);
/// How many times faster, or slower, than measured a trace can be replayed.
pub const SPEED_MAX: f64 = 1000.0;

/// How a log is read.
#[derive(Debug, Clone, PartialEq, clap::Args)]
pub struct TraceOptions {
    /// Replay the trace this many times as fast as it was: 2 doubles the rate
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, conflicts_with = "rps")]
    pub speed: f64,
    /// Bad lines of the trace that are skipped and counted; one more is an error
    #[arg(long, value_name = "LINES", default_value_t = 0, conflicts_with = "rps")]
    pub skip_bad: u64,
    /// Seed of what the log does not tell: where in its second a request came, and service times that are missing
    #[arg(long, value_name = "SEED", default_value_t = 1, conflicts_with = "rps")]
    pub trace_seed: u64,
}

/// Arrivals and service times in the order of arrival.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Form")]
pub struct Trace {
    gaps: Arc<[Span]>,
    services: Option<Arc<[Span]>>,
    story: Story,
}

/// What was read, what was left out and what had to be assumed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Story {
    /// The log.
    pub file: PathBuf,
    /// Its format.
    pub format: Format,
    /// Requests in the trace.
    pub requests: u64,
    /// Bad lines that were skipped.
    pub skipped: u64,
    /// Requests without a service time; each got that of another request of the log, if any had one.
    pub unserved: u64,
    /// From the first arrival to the last, in seconds, as it was measured.
    pub seconds: f64,
    /// How many times faster it is replayed.
    pub speed: f64,
    /// Whether the log goes on past [`REQUESTS_MAX`].
    pub cut: bool,
}

/// The format of a log, told by its first line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Lines of JSON, as an edge writes them (`docs/access-log.md`).
    Mesh,
    /// The combined log format of Apache and nginx.
    Combined,
}

/// A request as one line tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    arrived: Stamp,
    service: Option<Span>,
}

/// When a request came, after 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stamp {
    /// Exactly then.
    At(Time),
    /// So long before a moment in the second that begins then.
    Within(Time, Span),
}

/// What a scenario writes: `trace = { file = "access.log", speed = 2 }`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    file: PathBuf,
    speed: Option<f64>,
    skip_bad: Option<u64>,
    seed: Option<u64>,
}

// === impl Trace ===

impl Trace {
    /// Reads a log.
    pub fn read(file: &Path, options: &TraceOptions) -> Result<Trace, TraceError> {
        let opened = File::open(file).map_err(|cause| TraceError::Open { file: file.into(), cause })?;
        Self::read_from(opened, file, options)
    }

    fn read_from(source: impl Read, file: &Path, options: &TraceOptions) -> Result<Trace, TraceError> {
        if !(1.0 / SPEED_MAX..=SPEED_MAX).contains(&options.speed) {
            return Err(TraceError::Speed(options.speed));
        }
        let mut lines = Lines::new(source);
        let mut gathering = Gathering::new(options.trace_seed);
        let (mut format, mut number, mut skipped, mut cut) = (None, 0, 0, false);
        while let Some(line) = lines.take().map_err(|cause| TraceError::Read { file: file.into(), line: number, cause })? {
            number += 1;
            if gathering.len() == REQUESTS_MAX {
                cut = true;
                break;
            }
            match entry(&line, &mut format) {
                Ok(Some(entry)) => gathering.add(entry),
                Ok(None) => {}
                Err(_) if skipped < options.skip_bad => skipped += 1,
                Err(expected) => {
                    return Err(TraceError::Line { file: file.into(), line: number, expected, found: line.shown(), skipped });
                }
            }
        }
        let format = format.unwrap_or(Format::Mesh);
        let unserved = gathering.unserved();
        let (gaps, services, length) = gathering.finish(options.speed).map_err(|why| TraceError::of(why, file, skipped))?;
        let requests = gaps.len() as u64;
        let story =
            Story { file: file.into(), format, requests, skipped, unserved, seconds: length.as_secs_f64(), speed: options.speed, cut };
        Ok(Trace { gaps, services, story })
    }

    /// Before each request, speed included. That of the first is the mean of the others, so that the trace can be repeated.
    pub fn gaps(&self) -> Arc<[Span]> {
        self.gaps.clone()
    }

    /// What each request took; `None` if the log has no service times.
    pub fn services(&self) -> Option<Arc<[Span]>> {
        self.services.clone()
    }

    /// Requests per second, speed included.
    pub fn rate(&self) -> f64 {
        1.0 / mean(&self.gaps).as_secs_f64()
    }

    /// What was read.
    pub fn story(&self) -> &Story {
        &self.story
    }
}

impl Default for TraceOptions {
    fn default() -> Self {
        TraceOptions { speed: 1.0, skip_bad: 0, trace_seed: 1 }
    }
}

impl TryFrom<Form> for Trace {
    type Error = TraceError;
    fn try_from(form: Form) -> Result<Trace, TraceError> {
        let usual = TraceOptions::default();
        let options = TraceOptions {
            speed: form.speed.unwrap_or(usual.speed),
            skip_bad: form.skip_bad.unwrap_or(usual.skip_bad),
            trace_seed: form.seed.unwrap_or(usual.trace_seed),
        };
        Trace::read(&form.file, &options)
    }
}

/// What a line tells: nothing if it is blank, else a request or what was expected. The first line that is not blank settles the format.
fn entry(line: &Taken<'_>, format: &mut Option<Format>) -> Result<Option<Entry>, String> {
    let Taken::Whole(bytes) = line else { return Err(format!("a line of at most {LINE_LEN_MAX} bytes")) };
    let text = std::str::from_utf8(bytes).map_err(|_| "text in UTF-8".to_owned())?.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let format = *format.get_or_insert(if text.starts_with('{') { Format::Mesh } else { Format::Combined });
    let entry = match format {
        Format::Mesh => mesh::entry(text),
        Format::Combined => combined::entry(text),
    };
    entry.map(Some)
}

/// A length of time in a log, if it can be one.
fn span_of(nanos: f64) -> Option<Span> {
    (nanos >= 0.0 && nanos <= DRAW_MAX.as_nanos() as f64).then(|| Span::from_nanos(nanos_of(nanos)))
}

// === impl text ===

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Mesh => "lines of the mesh's own access log",
            Format::Combined => "combined log format",
        })
    }
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Story { file, format, requests, skipped, unserved, seconds, speed, cut } = self;
        write!(f, "{}: {requests} requests in {seconds:.1} s ({format})", file.display())?;
        if *speed != 1.0 {
            write!(f, ", replayed {speed} times as fast")?;
        }
        if *cut {
            write!(f, "; the log goes on, a trace holds no more")?;
        }
        if *skipped > 0 {
            write!(f, "; {skipped} bad lines skipped")?;
        }
        match unserved {
            0 => Ok(()),
            all if all == requests => write!(f, "; no service times in it, so they are drawn from the distribution"),
            some => write!(f, "; {some} requests had no service time and got that of others"),
        }
    }
}
