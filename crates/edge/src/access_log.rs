//! One structured line per request, written off the data path.
//!
//! A [`Record`] is filled while its request runs and submitted when it is dropped, so that a request whose client left is logged like
//! any other. Lines go through a bounded queue to a thread of their own; when a slow disk or terminal fills it, records are dropped
//! and counted, never waited for. The names and meaning of the fields are fixed by `docs/access-log.md`.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};

use dynomesh_core::time::Span;

/// Records that may wait for the writer. Past it they are dropped and counted.
const QUEUE_LEN: usize = 8192;
/// Longest wait for the last lines to be written.
const FINISH_MAX: Duration = Duration::from_secs(1);
/// Longest logged method, path, host or request id, in bytes. What is longer is cut.
const TEXT_LEN_MAX: usize = 2048;

/// Where the lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// Standard output.
    Stdout,
    /// Nowhere.
    Off,
    /// Appended to a file.
    File(PathBuf),
}

/// What is written about one request.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Line {
    /// When the request ended, in seconds since 1970, for joining with other logs; nothing is decided by it.
    pub(crate) ts: f64,
    /// Which edge.
    pub(crate) edge: Arc<str>,
    /// The request's id, the client's own if it sent one.
    pub(crate) request_id: String,
    /// The version the client spoke: `HTTP/1.0`, `HTTP/1.1` or `HTTP/2.0`.
    pub(crate) protocol: &'static str,
    /// `http`, or `https` if it came by TLS.
    pub(crate) scheme: &'static str,
    /// Its method.
    pub(crate) method: String,
    /// Path and query.
    pub(crate) path: String,
    /// The host it asked for.
    pub(crate) host: String,
    /// The app of that host.
    pub(crate) app: Option<String>,
    /// Address of the client.
    pub(crate) client: Option<String>,
    /// Status of the response; 499 when the client left before it had one.
    pub(crate) status: u16,
    /// Code of the mesh's own error, if the answer was one.
    pub(crate) error: Option<&'static str>,
    /// Whether the client got all of the response.
    pub(crate) complete: bool,
    /// Bytes of the response body, or that a tunnel carried to the client.
    pub(crate) bytes: u64,
    /// Bytes of the request body, or that a tunnel carried from the client.
    pub(crate) bytes_up: u64,
    /// What was tried, in order.
    pub(crate) attempts: Vec<AttemptLine>,
    /// The dyno that answered.
    pub(crate) dyno: Option<String>,
    /// Wait for a slot in the block.
    pub(crate) queue_ms: Millis,
    /// Connecting to the dyno.
    pub(crate) connect_ms: Millis,
    /// From the start of the attempt that answered to the end of its response, without the wait for a slot and the connecting.
    pub(crate) service_ms: Millis,
    /// From the request's head to the end of the response.
    pub(crate) total_ms: Millis,
}

/// What is written about one attempt.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct AttemptLine {
    /// The block.
    pub(crate) block: String,
    /// Address of the replica that was asked last.
    pub(crate) replica: String,
    /// How it ended: `answered`, or why not.
    pub(crate) reason: String,
    /// How long it took until its end was known.
    pub(crate) ms: Millis,
}

/// Milliseconds with three digits of fraction.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Millis(pub(crate) f64);

/// Takes records from all data threads.
#[derive(Debug, Clone)]
pub(crate) struct AccessLog {
    queue: Option<SyncSender<Line>>,
    dropped: Arc<AtomicU64>,
}

/// The writing thread; waited for by [`Writer::finish`].
#[derive(Debug)]
pub(crate) struct Writer(Option<JoinHandle<()>>);

impl From<Span> for Millis {
    fn from(span: Span) -> Self {
        Millis(span.as_millis_f64())
    }
}

impl Serialize for Millis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64((self.0 * 1000.0).round() / 1000.0)
    }
}

/// `text`, cut to what a line may hold.
pub(crate) fn cut(text: &str) -> String {
    let mut end = text.len().min(TEXT_LEN_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

// === impl AccessLog ===

impl AccessLog {
    /// Opens the target and starts the writer.
    pub(crate) fn start(target: &Target) -> io::Result<(Self, Writer)> {
        let sink: Box<dyn Write + Send> = match target {
            Target::Off => return Ok((AccessLog { queue: None, dropped: Arc::default() }, Writer(None))),
            Target::Stdout => Box::new(io::stdout()),
            Target::File(path) => Box::new(OpenOptions::new().create(true).append(true).open(path)?),
        };
        Self::with_sink(sink, QUEUE_LEN)
    }

    fn with_sink(sink: Box<dyn Write + Send>, queue_len: usize) -> io::Result<(Self, Writer)> {
        let (queue, lines) = sync_channel(queue_len);
        let dropped = Arc::new(AtomicU64::new(0));
        let lost = dropped.clone();
        let thread = std::thread::Builder::new().name("access-log".into()).spawn(move || write(&lines, sink, &lost))?;
        Ok((AccessLog { queue: Some(queue), dropped }, Writer(Some(thread))))
    }

    /// Whether lines are wanted at all.
    pub(crate) fn wanted(&self) -> bool {
        self.queue.is_some()
    }

    /// Hands a line to the writer, or drops it if the writer is behind.
    pub(crate) fn submit(&self, mut line: Line) {
        let Some(queue) = &self.queue else { return };
        line.ts = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
        if queue.try_send(line).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Lines lost because the writer was behind or could not write.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl Writer {
    /// Waits until all lines are written, but not for ever on a sink that takes none; every [`AccessLog`] has been dropped.
    pub(crate) async fn finish(self) {
        let written = async {
            while self.0.as_ref().is_some_and(|thread| !thread.is_finished()) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let _ = tokio::time::timeout(FINISH_MAX, written).await;
    }
}

/// Writes lines until every sender is gone, flushing whenever none waits. A line that cannot be written is lost and counted; the next
/// one is tried again.
fn write(lines: &Receiver<Line>, sink: Box<dyn Write + Send>, lost: &AtomicU64) {
    let mut sink = BufWriter::with_capacity(64 * 1024, sink);
    while let Ok(first) = lines.recv() {
        for line in std::iter::once(first).chain(lines.try_iter()) {
            let Ok(mut text) = serde_json::to_vec(&line) else { continue };
            text.push(b'\n');
            if sink.write_all(&text).is_err() {
                lost.fetch_add(1, Ordering::Relaxed);
            }
        }
        let _ = sink.flush();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn line(id: &str) -> Line {
        let attempt = AttemptLine { block: "b1".into(), replica: "b1-1".into(), reason: "answered".into(), ms: Millis(1.23456) };
        Line { request_id: id.into(), status: 200, attempts: vec![attempt], ..Line::default() }
    }

    #[test]
    fn the_documented_fields_are_those_of_a_line() {
        let (tables, example) = include_str!("../../../docs/access-log.md").split_once("```json\n").unwrap();
        let documented: BTreeSet<&str> =
            tables.lines().filter_map(|row| row.strip_prefix("| `")?.split_once('`')).map(|(name, _)| name).collect();
        let written = serde_json::to_value(line("1")).unwrap();
        let shown: serde_json::Value = serde_json::from_str(example.lines().next().unwrap()).unwrap();
        for line in [written, shown] {
            let (fields, attempt) = (line.as_object().unwrap(), line["attempts"][0].as_object().unwrap());
            let names: BTreeSet<&str> = fields.keys().chain(attempt.keys()).map(String::as_str).collect();
            assert_eq!(names, documented);
        }
    }

    #[tokio::test]
    async fn every_request_becomes_one_json_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("access.log");
        let (log, writer) = AccessLog::start(&Target::File(path.clone())).unwrap();
        for n in 0..100 {
            log.submit(line(&n.to_string()));
        }
        drop(log);
        writer.finish().await;
        let text = std::fs::read_to_string(path).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 100);
        assert_eq!(lines[7]["request_id"], "7");
        assert_eq!(lines[7]["attempts"][0]["block"], "b1");
        assert_eq!(lines[7]["attempts"][0]["ms"], 1.235);
    }

    #[tokio::test]
    async fn a_writer_that_hangs_costs_lines_and_never_a_request() {
        struct Hanging(Receiver<()>);
        impl Write for Hanging {
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                let _ = self.0.recv();
                Ok(buf.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                let _ = self.0.recv();
                Ok(())
            }
        }
        let (release, hang) = sync_channel(0);
        let (log, writer) = AccessLog::with_sink(Box::new(Hanging(hang)), 4).unwrap();
        for n in 0..200_000 {
            log.submit(line(&n.to_string()));
            if log.dropped() > 0 {
                break;
            }
        }
        assert!(log.dropped() > 0);
        drop((release, log));
        writer.finish().await;
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let text = "é".repeat(2000);
        assert_eq!(cut(&text).len(), TEXT_LEN_MAX);
        assert_eq!(cut("short"), "short");
    }
}
