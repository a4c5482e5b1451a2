//! How long flushes take on the disk that the mesh writes to: where it stalls, so does every block, and that is no fault of theirs.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result};
use dynomesh_core::time::{Span, Time};
use dynomesh_testkit::clock;

/// Between two flushes.
const PAUSE: Span = Span::from_millis(50);
/// A disk that takes longer than this, once, is no measure for a time that somebody waits.
pub(crate) const STALL: Span = Span::from_millis(250);
/// One that takes longer than this holds up every grant for that long, and with it all slots of a block for some time.
const SLOW: Span = Span::from_millis(40);

/// What was seen of the disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flushes {
    pub(crate) slowest: Span,
    /// When it was slow, from when to when.
    pub(crate) slow: Vec<(Time, Time)>,
    /// When each flush began, in order, and what it took.
    pub(crate) all: Vec<(Time, Span)>,
}

/// Flushes a few bytes again and again, and remembers the slow ones.
pub(crate) struct Probe {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Flushes>>,
}

// === impl Probe ===

impl Probe {
    /// Begins in a file in `dir`.
    pub(crate) fn start(dir: &Path) -> Result<Self> {
        let path = dir.join("flushed");
        let mut file = File::create(&path).with_context(|| path.display().to_string())?;
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let thread = thread::spawn(move || {
            let mut seen = Flushes::default();
            while !told.load(Ordering::Relaxed) {
                let begun = clock::now();
                if file.write_all(b"flushed\n").and_then(|()| file.sync_data()).is_ok() {
                    seen.add(begun, clock::now());
                }
                thread::sleep(PAUSE.to_std());
            }
            seen
        });
        Ok(Probe { stop, thread: Some(thread) })
    }

    /// What it saw.
    pub(crate) fn finish(&mut self) -> Flushes {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or_default()
    }
}

impl Flushes {
    fn add(&mut self, begun: Time, ended: Time) {
        let took = ended.since(begun);
        self.slowest = self.slowest.max(took);
        self.all.push((begun, took));
        if took > SLOW {
            self.slow.push((begun, ended));
        }
    }

    /// The median of those that began between these; `None` where there were none.
    pub(crate) fn typical(&self, from: Time, to: Time) -> Option<Span> {
        let first = |at: Time| self.all.partition_point(|(begun, _)| *begun < at);
        let mut took: Vec<Span> = self.all.get(first(from)..first(to))?.iter().map(|(_, took)| *took).collect();
        took.sort();
        took.get(took.len() / 2).copied()
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flush_takes_time() {
        let dir = tempfile::tempdir().unwrap();
        let mut probe = Probe::start(dir.path()).unwrap();
        crate::waiting::until("a flush", Span::from_secs(10), || {
            std::fs::read(dir.path().join("flushed")).is_ok_and(|bytes| bytes.len() > 8).then_some(())
        })
        .unwrap();
        assert!(probe.finish().slowest > Span::ZERO);
    }

    #[test]
    fn slow_flushes_are_told_with_their_time() {
        let mut seen = Flushes::default();
        let at = |ms: u64| Time::from_nanos(ms * 1_000_000);
        for (begun, ended) in [(0, 5), (60, 175), (230, 240)] {
            seen.add(at(begun), at(ended));
        }
        assert_eq!((seen.slowest, &seen.slow[..]), (Span::from_millis(115), &[(at(60), at(175))][..]));
    }

    #[test]
    fn what_flushes_take_is_told_by_their_median() {
        let mut seen = Flushes::default();
        let at = |ms: u64| Time::from_nanos(ms * 1_000_000);
        for (begun, ended) in [(0, 2), (10, 90), (100, 103), (200, 207)] {
            seen.add(at(begun), at(ended));
        }
        assert_eq!(seen.typical(at(0), at(200)), Some(Span::from_millis(3)));
        assert_eq!(seen.typical(at(200), at(900)), Some(Span::from_millis(7)));
        assert_eq!((seen.typical(at(201), at(900)), seen.typical(at(9), at(5))), (None, None));
    }
}
