//! Faults that are put into a process on purpose, to see what it does: clocks that step, disks that are slow or fail.
//!
//! A process whose environment names a file by [`FILE_ENV`] does every few milliseconds what stands in it; one without it, which is
//! every process but those of chaos tests, has none of this. The file is TOML, and a missing one means no faults:
//!
//! ```toml
//! clock_ahead = "5s"     # the time since boot is so far ahead, as after a suspend; taken back, time stands until it has caught up
//! wall_offset = "-1h"    # the time of day is wrong by so much
//! flush_delay = "50ms"   # every flush of the log takes so much longer
//! flush_fails = true     # every flush of the log fails
//! ```

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use dynomesh_core::time::Span;
use serde::Deserialize;

use crate::clock::Clock;

/// Environment variable that names the file.
pub const FILE_ENV: &str = "DYNOMESH_FAULTS";

/// How often the file is read.
const LOOK: Duration = Duration::from_millis(10);

/// The faults of this process, as its file said last.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    ahead_nanos: AtomicU64,
    wall_millis: AtomicI64,
    flush_nanos: AtomicU64,
    flush_fails: AtomicBool,
}

/// The file.
#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
struct Told {
    clock_ahead: Span,
    wall_offset: Signed,
    flush_delay: Span,
    flush_fails: bool,
}

/// A span either way, in milliseconds.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Signed(i64);

/// The faults of this process; `None` in a process that is to have none.
pub(crate) fn present() -> Option<&'static Faults> {
    static PRESENT: OnceLock<Option<Faults>> = OnceLock::new();
    static READER: OnceLock<()> = OnceLock::new();
    let file = || std::env::var_os(FILE_ENV).map(PathBuf::from);
    let faults = PRESENT.get_or_init(|| file().map(|_| Faults::default())).as_ref()?;
    READER.get_or_init(|| {
        let file = file().unwrap_or_default();
        tracing::warn!(file = %file.display(), "faults are put into this process by the file that {FILE_ENV} names");
        // What stands in the file from the beginning holds from the beginning.
        let mut last = faults.read(&file, None);
        let reader = std::thread::Builder::new().name("faults".into()).spawn(move || {
            loop {
                // Whoever changed them sees by this what the process reads from them.
                let clock = Clock::system();
                tracing::warn!(since_boot_ns = clock.now().as_nanos(), wall_ms = clock.wall_millis(), "clocks read");
                let before = last.clone();
                while last == before {
                    std::thread::sleep(LOOK);
                    last = faults.read(&file, last.take());
                }
            }
        });
        reader.expect("a thread can be started");
    });
    Some(faults)
}

/// Flushes a file's data, slowly or not at all where this process is to have such a fault.
pub fn sync_data(file: &File) -> io::Result<()> {
    if let Some(faults) = present() {
        faults.before_flush()?;
    }
    file.sync_data()
}

// === impl Faults ===

impl Faults {
    pub(crate) fn ahead(&self) -> Span {
        Span::from_nanos(self.ahead_nanos.load(Ordering::Relaxed))
    }

    pub(crate) fn wall_millis(&self) -> i64 {
        self.wall_millis.load(Ordering::Relaxed)
    }

    fn before_flush(&self) -> io::Result<()> {
        std::thread::sleep(Duration::from_nanos(self.flush_nanos.load(Ordering::Relaxed)));
        match self.flush_fails.load(Ordering::Relaxed) {
            true => Err(io::Error::other(format!("a fault put here by {FILE_ENV}"))),
            false => Ok(()),
        }
    }

    /// Does what the file says if that is not what it said `last`; returns what it says.
    fn read(&self, file: &std::path::Path, last: Option<String>) -> Option<String> {
        let text = match fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(_) => return last,
        };
        if last.as_ref() != Some(&text) {
            match toml::from_str(&text) {
                Ok(told) => self.set(&told),
                Err(error) => tracing::error!(%error, file = %file.display(), "faults cannot be read; they stay as they are"),
            }
        }
        Some(text)
    }

    fn set(&self, told: &Told) {
        self.ahead_nanos.store(told.clock_ahead.as_nanos(), Ordering::Relaxed);
        self.wall_millis.store(told.wall_offset.0, Ordering::Relaxed);
        self.flush_nanos.store(told.flush_delay.as_nanos(), Ordering::Relaxed);
        self.flush_fails.store(told.flush_fails, Ordering::Relaxed);
        tracing::warn!(?told, "faults changed");
    }
}

impl TryFrom<String> for Signed {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (back, span) = match text.strip_prefix('-') {
            Some(span) => (true, span),
            None => (false, text.as_str()),
        };
        let span: Span = span.parse().map_err(|error| format!("{error}"))?;
        let millis = i64::try_from(span.as_millis()).map_err(|_| format!("{text:?} is too long"))?;
        Ok(Signed(if back { -millis } else { millis }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_followed_and_one_that_is_gone_is_no_fault() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("faults.toml");
        let faults = Faults::default();
        fs::write(&file, "clock_ahead = \"5s\"\nwall_offset = \"-1h\"\nflush_fails = true").unwrap();
        let last = faults.read(&file, None);
        assert_eq!((faults.ahead(), faults.wall_millis()), (Span::from_secs(5), -3_600_000));
        assert!(faults.before_flush().unwrap_err().to_string().contains(FILE_ENV));
        fs::write(&file, "nonsense = 1").unwrap();
        let last = faults.read(&file, last);
        assert_eq!(faults.ahead(), Span::from_secs(5), "what cannot be read changes nothing");
        fs::remove_file(&file).unwrap();
        faults.read(&file, last);
        assert_eq!((faults.ahead(), faults.wall_millis()), (Span::ZERO, 0));
        faults.before_flush().unwrap();
    }

    #[test]
    fn a_slow_flush_takes_as_long_as_it_is_told() {
        let faults = Faults::default();
        faults.set(&toml::from_str("flush_delay = \"30ms\"").unwrap());
        let begun = std::time::Instant::now();
        faults.before_flush().unwrap();
        assert!(begun.elapsed() >= Duration::from_millis(30));
    }
}
