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
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrivals {
    /// Independent of each other, as those of many users are; drawn from a seed.
    Poisson(u64),
    /// At equal distances.
    Regular,
    /// The same again and again.
    Rounds(Rounds),
}

/// Arrivals that come round: what is asked in one round can be compared with what was asked in another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rounds {
    /// From one round to the next.
    pub length: Span,
    /// When requests are due in each, from its start and in order. At least one.
    pub due: Arc<[Span]>,
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
        let mut dues = Dues::new(load.rate, load.arrivals);
        let began = clock::now();
        for n in 0.. {
            let due = began + dues.next(n);
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

/// When requests are due, from the start of the load.
enum Dues {
    Spaced { mean: f64, rng: Option<Box<StdRng>>, last: Span },
    Rounds(Rounds),
}

impl Dues {
    fn new(rate: f64, arrivals: Arrivals) -> Self {
        let (mean, last) = (1e9 / rate, Span::ZERO);
        match arrivals {
            Arrivals::Poisson(seed) => Dues::Spaced { mean, rng: Some(Box::new(StdRng::seed_from_u64(seed))), last },
            Arrivals::Regular => Dues::Spaced { mean, rng: None, last },
            Arrivals::Rounds(rounds) => Dues::Rounds(rounds),
        }
    }

    /// That of the n-th request; asked for one after the other.
    fn next(&mut self, n: u64) -> Span {
        match self {
            Dues::Spaced { mean, rng, last } => {
                let times = rng.as_mut().map_or(1.0, |rng| -(1.0 - rng.random::<f64>()).ln());
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a cast from f64 saturates and the value is positive"
                )]
                let gap = Span::from_nanos((*mean * times) as u64);
                *last = *last + gap;
                *last
            }
            Dues::Rounds(Rounds { length, due }) => {
                let len = due.len() as u64;
                let place = usize::try_from(n % len).expect("it is less than a length in memory");
                length.times(n / len) + due[place]
            }
        }
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

    fn draw(arrivals: Arrivals, count: u64) -> Vec<u64> {
        let mut dues = Dues::new(1000.0, arrivals);
        (0..count).map(|n| dues.next(n).as_nanos()).collect()
    }

    #[test]
    fn gaps_have_the_asked_mean_and_follow_the_seed() {
        let poisson = draw(Arrivals::Poisson(3), 5000);
        assert_eq!(poisson, draw(Arrivals::Poisson(3), 5000));
        let mean = poisson[4999] / 5000;
        assert!((950_000..1_050_000).contains(&mean), "mean gap of {mean} ns");
        assert_eq!(draw(Arrivals::Regular, 3), [1_000_000, 2_000_000, 3_000_000]);
    }

    #[test]
    fn rounds_are_all_the_same() {
        let due = [0, 3, 7].map(Span::from_nanos).into();
        assert_eq!(draw(Arrivals::Rounds(Rounds { length: Span::from_nanos(10), due }), 7), [0, 3, 7, 10, 13, 17, 20]);
    }
}
