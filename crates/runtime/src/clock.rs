//! The one clock of a daemon.
//!
//! `CLOCK_BOOTTIME` counts through suspend, which `Instant` does not: a laptop that slept for a minute has let its leases lapse.
//! Every reading is a fresh system call (through the vDSO), never a cached value, because the write gate depends on it (P7).
//! Wall time is offered only for what must survive a restart; it may step and decides nothing about deadlines.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use dynomesh_core::time::{Span, Time};

use crate::faults::{self, Faults};

/// Environment variable that moves this process's clocks forward by a span, for tests.
pub const OFFSET_ENV: &str = "DYNOMESH_CLOCK_OFFSET";

/// Tells the time. Cheap to clone; all clones tell the same.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System { offset: Span, faults: Option<&'static Faults> },
    Manual(Arc<AtomicU64>),
}

/// Moves a manual clock.
#[derive(Debug, Clone)]
pub struct Hand(Arc<AtomicU64>);

impl Clock {
    /// The machine's clock, moved by [`OFFSET_ENV`] where that is set to a span (an unreadable value is ignored).
    pub fn system() -> Self {
        let offset = std::env::var(OFFSET_ENV).ok().and_then(|text| text.parse().ok()).unwrap_or(Span::ZERO);
        Clock(Source::System { offset, faults: faults::present() })
    }

    /// A clock that stands at `start` until its hand moves it, for tests.
    pub fn manual(start: Time) -> (Self, Hand) {
        let nanos = Arc::new(AtomicU64::new(start.as_nanos()));
        (Clock(Source::Manual(nanos.clone())), Hand(nanos))
    }

    /// The time since boot, suspended time included.
    pub fn now(&self) -> Time {
        match &self.0 {
            Source::System { offset, faults: None } => boottime() + *offset,
            Source::System { offset, faults: Some(faults) } => never_back(boottime() + *offset + faults.ahead()),
            Source::Manual(nanos) => Time::from_nanos(nanos.load(Ordering::SeqCst)),
        }
    }

    /// Milliseconds since 1970, for numbers that must grow over restarts and for humans. It may step either way. A manual clock
    /// answers with its own time.
    pub fn wall_millis(&self) -> u64 {
        match &self.0 {
            Source::System { offset, faults } => {
                let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                (Span::from(wall) + *offset).as_millis().saturating_add_signed(faults.map_or(0, Faults::wall_millis))
            }
            Source::Manual(_) => Time::ZERO.until(self.now()).as_millis(),
        }
    }
}

impl Hand {
    /// Moves the clock forward.
    pub fn advance(&self, span: Span) {
        self.0.fetch_add(span.as_nanos(), Ordering::SeqCst);
    }
}

/// The time that was told last, if `now` is earlier: the clock of a kernel stands or goes on, but never goes back.
fn never_back(now: Time) -> Time {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let now = now.as_nanos();
    Time::from_nanos(LAST.fetch_max(now, Ordering::SeqCst).max(now))
}

fn boottime() -> Time {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let secs = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(now.tv_nsec).unwrap_or(0);
    Time::from_nanos(secs.saturating_mul(1_000_000_000).saturating_add(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_time_never_goes_back() {
        let clock = Clock::system();
        let mut last = clock.now();
        for _ in 0..1000 {
            let now = clock.now();
            assert!(now >= last);
            last = now;
        }
    }

    #[test]
    fn manual_clock_stands_until_moved() {
        let (clock, hand) = Clock::manual(Time::from_nanos(5));
        assert_eq!(clock.now(), Time::from_nanos(5));
        hand.advance(Span::from_millis(2));
        assert_eq!(clock.clone().now(), Time::from_nanos(2_000_005));
    }
}
