//! How long flushes take on the disk that the mesh writes to: where it stalls, so does every block, and that is no fault of theirs.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result};
use dynomesh_core::time::Span;
use dynomesh_testkit::clock;

/// Between two flushes.
const PAUSE: Span = Span::from_millis(50);
/// A disk that takes longer than this, once, is no measure for a time that somebody waits.
pub(crate) const STALL: Span = Span::from_millis(250);

/// Flushes a few bytes again and again, and remembers the slowest.
pub(crate) struct Probe {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Span>>,
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
            let mut slowest = Span::ZERO;
            while !told.load(Ordering::Relaxed) {
                let begun = clock::now();
                if file.write_all(b"flushed\n").and_then(|()| file.sync_data()).is_ok() {
                    slowest = slowest.max(clock::now().since(begun));
                }
                thread::sleep(PAUSE.to_std());
            }
            slowest
        });
        Ok(Probe { stop, thread: Some(thread) })
    }

    /// The slowest flush.
    pub(crate) fn finish(&mut self) -> Span {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or(Span::ZERO)
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
        assert!(probe.finish() > Span::ZERO);
    }
}
