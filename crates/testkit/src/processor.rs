//! How busy the machine was: a measurement on one that others load says more about them than about the mesh.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use dynomesh_core::time::Span;

use crate::wait;

/// How often the kernel's counts are read.
const LOOK_EVERY: Span = Span::from_millis(500);
/// Looks that make up the stretch whose busiest is told: ten seconds.
const STRETCH: usize = 20;

/// The kernel's counts of what all cores did since the boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counts {
    busy: u64,
    all: u64,
}

/// Watches the processors until it is told to stop.
#[derive(Debug)]
pub struct Watch {
    stop: Arc<AtomicBool>,
    looker: Option<JoinHandle<Vec<Counts>>>,
}

/// How busy all cores together were, as shares of what they could do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Busy {
    /// From the start to the end.
    pub mean: f64,
    /// In the busiest ten seconds; the mean if there were not as many.
    pub worst: f64,
}

impl Counts {
    fn now() -> Option<Self> {
        Self::read(&std::fs::read_to_string("/proc/stat").ok()?)
    }

    /// The first line: `cpu`, then user, nice, system, idle, iowait, irq, softirq and steal. Time that the host took away was not ours
    /// to use, so it is busy time.
    fn read(stat: &str) -> Option<Self> {
        let fields = stat.lines().next()?.strip_prefix("cpu ")?;
        // Guest times, the ninth and tenth, are counted in the first two already.
        let fields: Vec<u64> = fields.split_whitespace().take(8).map(|field| field.parse().unwrap_or(0)).collect();
        let (all, idle) = (fields.iter().sum(), fields.get(3)? + fields.get(4)?);
        Some(Counts { busy: all - idle, all })
    }

    fn share_since(self, earlier: Counts) -> f64 {
        let all = self.all.saturating_sub(earlier.all);
        if all == 0 { 0.0 } else { self.busy.saturating_sub(earlier.busy) as f64 / all as f64 }
    }
}

impl Watch {
    /// Watches from now on.
    pub fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let look = move || {
            let mut seen = Vec::new();
            loop {
                seen.extend(Counts::now());
                if stopped.load(Ordering::Relaxed) {
                    return seen;
                }
                wait::pass(LOOK_EVERY);
            }
        };
        let looker = thread::Builder::new().name("processor".into()).spawn(look).expect("a thread can be started");
        Watch { stop, looker: Some(looker) }
    }

    /// How busy the machine was; `None` where the kernel does not tell.
    pub fn finish(mut self) -> Option<Busy> {
        self.stop.store(true, Ordering::Relaxed);
        let seen = self.looker.take()?.join().ok()?;
        Busy::of(&seen)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Busy {
    fn of(seen: &[Counts]) -> Option<Self> {
        let mean = seen.last()?.share_since(*seen.first()?);
        let stretches = seen.windows(STRETCH + 1).map(|stretch| stretch[STRETCH].share_since(stretch[0]));
        Some(Busy { mean, worst: stretches.fold(mean, f64::max) })
    }
}

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0} % busy, {:.0} % in the busiest ten seconds", self.mean * 100.0, self.worst * 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_for_a_disk_is_idle_and_time_taken_away_is_busy() {
        let counts = Counts::read("cpu  10 20 30 100 40 1 2 3 9 9\ncpu0 1 2 3 4\n").unwrap();
        assert_eq!(counts, Counts { busy: 66, all: 206 });
        assert_eq!(Counts::read("intr 5"), None);
    }

    #[test]
    fn the_busiest_stretch_is_found_in_a_quiet_whole() {
        let busy = |look: u64| if (40..60).contains(&look) { 10 } else { 2 };
        let mut seen = vec![Counts { busy: 0, all: 0 }];
        for look in 0..100 {
            let last = seen[seen.len() - 1];
            seen.push(Counts { busy: last.busy + busy(look), all: last.all + 10 });
        }
        assert_eq!(Busy::of(&seen), Some(Busy { mean: 0.36, worst: 1.0 }));
        assert_eq!(Busy::of(&seen[..2]), Some(Busy { mean: 0.2, worst: 0.2 }));
    }

    #[test]
    fn the_kernel_tells() {
        let watch = Watch::start();
        let busy = watch.finish().unwrap();
        assert!((0.0..=1.0).contains(&busy.mean) && busy.worst >= busy.mean, "{busy}");
    }
}
