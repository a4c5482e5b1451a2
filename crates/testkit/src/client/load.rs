//! Load in an open loop: requests fall due by the clock alone.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use dynomesh_core::time::{Span, Time};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{Ask, Client};
use crate::clock;
use crate::history::Exchange;

/// Longest sleep of the thread that keeps time, so that it stops soon when it is told to.
const SLEEP_MAX: Span = Span::from_millis(20);

/// How much is asked, when, and what.
pub struct Load {
    /// Requests per second.
    pub rate: f64,
    /// When they come.
    pub arrivals: Arrivals,
    /// The n-th request, from 0.
    pub make: Box<dyn FnMut(u64) -> Ask + Send>,
}

/// When requests come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrivals {
    /// Independent of each other, as those of many users are; drawn from a seed.
    Poisson(u64),
    /// At equal distances.
    Regular,
}

/// Load that goes on.
#[derive(Debug)]
pub struct Running {
    stop: Arc<AtomicBool>,
    pacer: Option<JoinHandle<()>>,
    outcomes: mpsc::Receiver<Exchange>,
    seen: Vec<Exchange>,
}

impl Client {
    /// Starts load, which goes on until it is finished.
    pub fn load(&self, load: Load) -> Running {
        let stop = Arc::new(AtomicBool::new(false));
        let (told, outcomes) = mpsc::channel();
        let pace = {
            let (client, stop) = (self.clone(), stop.clone());
            move || client.pace(load, &stop, &told)
        };
        let pacer = thread::Builder::new().name("load".into()).spawn(pace).expect("a thread can be started");
        Running { stop, pacer: Some(pacer), outcomes, seen: Vec::new() }
    }

    /// Keeps time: by a thread's sleep, which is fifty times finer than the timer of an async runtime.
    fn pace(&self, mut load: Load, stop: &AtomicBool, told: &mpsc::Sender<Exchange>) {
        let mut gaps = Gaps::new(load.rate, load.arrivals);
        let mut due = clock::now();
        for n in 0.. {
            due += gaps.next();
            if !sleep_until(due, stop) {
                return;
            }
            self.submit((load.make)(n), due, told.clone());
        }
    }
}

// === impl Running ===

impl Running {
    /// The outcomes known so far.
    pub fn seen(&mut self) -> &[Exchange] {
        self.seen.extend(self.outcomes.try_iter());
        &self.seen
    }

    /// The outcomes known so far that were not taken before: who looks at them one by one need not keep them all.
    pub fn take(&mut self) -> Vec<Exchange> {
        self.seen();
        std::mem::take(&mut self.seen)
    }

    /// Asks nothing more and waits for the outcome of every request asked, but for those that were taken.
    pub fn finish(mut self) -> Vec<Exchange> {
        self.halt();
        // The channel closes when the last request has told its outcome, which each does by its deadline.
        let mut all = std::mem::take(&mut self.seen);
        all.extend(self.outcomes.iter());
        all
    }

    fn halt(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(pacer) = self.pacer.take() {
            // A panic there is a panic of the test's own closure.
            if let Err(panic) = pacer.join()
                && !thread::panicking()
            {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.halt();
    }
}

impl fmt::Debug for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Load").field("rate", &self.rate).field("arrivals", &self.arrivals).finish_non_exhaustive()
    }
}

/// The times between requests.
struct Gaps {
    mean: f64,
    rng: Option<StdRng>,
}

impl Gaps {
    fn new(rate: f64, arrivals: Arrivals) -> Self {
        let rng = match arrivals {
            Arrivals::Poisson(seed) => Some(StdRng::seed_from_u64(seed)),
            Arrivals::Regular => None,
        };
        Gaps { mean: 1e9 / rate, rng }
    }

    fn next(&mut self) -> Span {
        let times = self.rng.as_mut().map_or(1.0, |rng| -(1.0 - rng.random::<f64>()).ln());
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast from f64 saturates and the value is positive")]
        Span::from_nanos((self.mean * times) as u64)
    }
}

/// False when it was stopped before.
pub(super) fn sleep_until(due: Time, stop: &AtomicBool) -> bool {
    loop {
        if stop.load(Ordering::Relaxed) {
            return false;
        }
        let left = clock::now().until(due);
        if left == Span::ZERO {
            return true;
        }
        thread::sleep(left.min(SLEEP_MAX).to_std());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_have_the_asked_mean_and_follow_the_seed() {
        let draw = |arrivals| {
            let mut gaps = Gaps::new(1000.0, arrivals);
            (0..5000).map(|_| gaps.next().as_nanos()).collect::<Vec<_>>()
        };
        let poisson = draw(Arrivals::Poisson(3));
        assert_eq!(poisson, draw(Arrivals::Poisson(3)));
        let mean = poisson.iter().sum::<u64>() / 5000;
        assert!((950_000..1_050_000).contains(&mean), "mean gap of {mean} ns");
        assert!(draw(Arrivals::Regular).iter().all(|gap| *gap == 1_000_000));
    }
}
