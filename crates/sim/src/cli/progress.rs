//! How far a long run is, for whoever waits at a terminal, and how fast it was.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rustix::time::{ClockId, clock_gettime};

/// Runs shorter than this are over before anyone would read a bar.
const SILENCE: Duration = Duration::from_secs(1);

/// One bar on stderr, if that is a terminal.
pub(super) struct Progress {
    bar: ProgressBar,
    began: Instant,
    quiet: bool,
}

impl Progress {
    /// For `runs` runs.
    pub(super) fn new(runs: u64, quiet: bool) -> Self {
        let bar = ProgressBar::with_draw_target(Some(runs), ProgressDrawTarget::hidden());
        let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} runs, {eta} left").expect("the template names what there is");
        bar.set_style(style);
        Progress { bar, began: Instant::now(), quiet }
    }

    /// One more run has ended.
    pub(super) fn step(&self) {
        if !self.quiet && self.bar.is_hidden() && self.began.elapsed() > SILENCE {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar.inc(1);
    }

    /// Clears the bar.
    pub(super) fn clear(&self) {
        self.bar.finish_and_clear();
    }

    /// All have ended: clears the bar and says how fast `requests` requests went on `threads` threads.
    pub(super) fn end(&self, requests: u64, threads: usize) {
        self.bar.finish_and_clear();
        if self.quiet {
            return;
        }
        let (seconds, millions) = (self.began.elapsed().as_secs_f64(), requests as f64 / 1e6);
        let speed = millions / core_seconds();
        eprintln!("{millions:.1} million requests in {seconds:.1} s on {threads} threads: {speed:.2} million a second and core");
    }
}

/// What the process has had of all cores: on a busy machine that is less than the time that has passed.
fn core_seconds() -> f64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    used.tv_sec as f64 + used.tv_nsec as f64 / 1e9
}
