//! Whether latency is back to what it was before the first fault.
//!
//! All windows are as long as a round of the load ([`ROUND`]) and so hold the same requests, with the same work for dynos, in the same
//! order but for where they start: what differs between two of them is of the mesh, not of the load. Without that nothing can be said:
//! with arrivals drawn anew, the 99th percentiles of such windows at 80 % load differ by a factor of three and more.
//!
//! What is normal is what the windows before the first fault show at their highest, and so much more as chance alone may add:
//!
//! - The 99th percentile of a window is its fourth to ninth slowest request, and what befalls those is a matter of a few moments in which
//!   all slots of a block were taken. In simulated queues of the shapes and loads of our scenarios, with the requests of a round repeated
//!   and the block of each drawn anew, more often the less busy one, it varies by a sixth at 80 % load and by half at 50 %. [`TAIL`]
//!   percent or [`TAIL_LEAST`] more, whichever is higher, is passed by fewer than 1 window in 200. So a slower tail is seen only where it
//!   is much slower, as it is when slots are lost, a dyno is silent, or a block gets no processor.
//! - The quickest quarter waits for no dyno at any of our loads: it takes what the mesh itself takes. In the same queues it varies by one
//!   or two percent, in real runs on a quiet machine by up to 17. So a lasting slowdown of everything, by 30 % too, is seen there
//!   ([`QUICK`]), where the tail cannot show it and the median, which at 80 % load lies between those that wait and those that do not,
//!   jumps. Most of that time is a flush: where a flush beside the mesh takes longer than before the faults, so may they, as many
//!   times, but never more than [`SLOWER_MAX`] times: the mesh writes to the same disk, and must not be excused by itself.
//!
//! Where a fault takes slots away for as long as it lasts, the tail may be longer by what one queue before all that are left would make it
//! longer (the module `ideal`).
//!
//! A window is normal if both are. One in which the disk of the machine stood still says nothing and is left out: every grant waits for a
//! flush, and a tenth of a second without one fills all slots for a second. A request that the app did not answer counts as slower than any that it did.

use dynomesh_core::time::{Span, Time};
use dynomesh_testkit::history::Exchange;

use super::ms;
use crate::disk::Flushes;
use crate::workload::rounds::ROUND;

/// From the start of one window after the last fault to the start of the next.
const STEP: Span = Span::from_secs(1);
/// Windows with fewer requests say nothing.
const REQUESTS_MIN: usize = 100;
/// How much of the highest 25th percentile before the faults one may be, in percent.
const QUICK: u64 = 120;
/// And how much above it at least: what timers and the scheduler of a machine add. So 30 percent of less than 2 ms are not seen.
const QUICK_LEAST: Span = Span::from_micros(600);
/// How much of the highest 99th percentile before the faults one may be, in percent.
const TAIL: u64 = 175;
/// And how much above it at least: where hardly any request waits, one hundredth of them more or less that does makes so much.
const TAIL_LEAST: Span = Span::from_millis(75);
/// How many times longer all may take where the disk does, at most.
const SLOWER_MAX: f64 = 2.0;
/// For so long after a standstill of the disk those wait who came meanwhile.
const STANDSTILL: Span = Span::from_secs(2);
/// Stands for no answer.
const NEVER: Span = Span::from_secs(3600);

/// What was added to the service times of the requests due in a time as long as a round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Window {
    /// From when on, since load began.
    pub(crate) from: Span,
    pub(crate) requests: usize,
    pub(crate) latency: Latency,
    /// What a flush of the disk took meanwhile, beside the mesh: the median.
    pub(crate) flush: Option<Span>,
}

/// What is told of the latencies of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Latency {
    pub(crate) p25: Span,
    pub(crate) p99: Span,
}

/// Windows before the first fault and after the last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Recovery {
    pub(crate) before: Vec<Window>,
    pub(crate) after: Vec<Window>,
    /// The largest that is normal; `None` if nothing is known of the time before.
    pub(crate) limit: Option<Latency>,
    /// How soon after the last fault latency was normal for good; `None`: not before load ended, or it cannot be said.
    pub(crate) after_heal: Option<Span>,
    /// How soon it may have been normal for good, if all windows were that were left out for the disk's sake.
    pub(crate) perhaps: Option<Span>,
}

// === impl Recovery ===

impl Recovery {
    /// The recovery of a run with load from `began` to `ended`, the first fault not before `warm`, and the last over at `healed`.
    pub(crate) fn new(all: &[&Exchange], times: (Time, Time), warm: Time, healed: Option<Time>, disk: &Flushes) -> Self {
        Recovery::with_fewer_slots(all, times, warm, healed, disk, Span::ZERO)
    }

    /// The same where slots are gone, which makes the 99th percentile longer by `more` at least, whoever routes.
    pub(crate) fn with_fewer_slots(
        all: &[&Exchange],
        (began, ended): (Time, Time),
        warm: Time,
        healed: Option<Time>,
        disk: &Flushes,
        more: Span,
    ) -> Self {
        let added = Added::of(all);
        let is_still = |from: Time| disk.slow.iter().any(|(begun, ended)| *begun < from + ROUND && from < *ended + STANDSTILL);
        // The windows of a time, and the starts of those that were left out.
        let windows = |from: Time, to: Time, step: Span| -> (Vec<Window>, Vec<Time>) {
            let starts = std::iter::successors(Some(from), |from| Some(*from + step)).take_while(|from| *from + ROUND <= to);
            let (still, told): (Vec<Time>, Vec<Time>) = starts.partition(|from| is_still(*from));
            (told.into_iter().filter_map(|from| Window::new(&added, disk, began, from)).collect(), still)
        };
        let (before, still_before) = windows(began, warm, ROUND);
        let (after, still_after) = healed.map_or_else(Default::default, |healed| windows(healed, ended, STEP));
        let limit = Latency::limit(&before).map(|limit| Latency { p99: limit.p99 + more, ..limit });
        let mut recovery = Recovery { before, after, limit, after_heal: None, perhaps: None };
        // The first of those behind the last that was slow.
        let slow_until = recovery.slow().last().map(|window| window.from);
        let back = recovery.after.iter().find(|window| slow_until.is_none_or(|until| window.from > until));
        recovery.after_heal = back.and_then(|window| Some((began + window.from).since(healed?)));
        let untold = still_after.iter().find(|from| slow_until.is_none_or(|until| **from > began + until));
        let untold = untold.and_then(|from| Some(from.since(healed?)));
        let nothing_before = (recovery.before.is_empty() && !still_before.is_empty()).then_some(Span::ZERO);
        recovery.perhaps = [recovery.after_heal, untold, nothing_before].into_iter().flatten().min();
        recovery
    }

    /// In words: how soon it was normal, or what was not.
    pub(crate) fn told(&self) -> String {
        match (self.after_heal, self.limit, self.slow().last()) {
            (Some(after), ..) => ms(after),
            (None, Some(limit), Some(last)) => {
                let ([p25, p99], [p25_most, p99_most]) = (last.latency.told(), self.limit_of(limit, last).told());
                let from = last.from.as_secs_f64();
                format!("never: from {from:.1} s on p25 {p25}, p99 {p99}; normal are up to {p25_most}, {p99_most}")
            }
            _ => "not seen".to_owned(),
        }
    }

    /// Whether the disk hides if latency was back so soon.
    pub(crate) fn is_hidden(&self, most: Span) -> bool {
        let within = |soon: Option<Span>| soon.is_some_and(|soon| soon <= most);
        within(self.perhaps) && !within(self.after_heal)
    }

    /// The windows after the last fault that are not normal.
    fn slow(&self) -> impl Iterator<Item = &Window> {
        self.after.iter().filter(|window| self.is_slow(window))
    }

    /// Whether a window is not normal.
    pub(crate) fn is_slow(&self, window: &Window) -> bool {
        self.limit.is_none_or(|limit| !window.latency.is_within(self.limit_of(limit, window)))
    }

    /// What is normal in a window, in which the disk may take longer than before the faults.
    pub(crate) fn limit_of(&self, limit: Latency, window: &Window) -> Latency {
        let before = self.before.iter().filter_map(|window| window.flush).max();
        let slower = match (before, window.flush) {
            (Some(before), Some(now)) if before > Span::ZERO && now > before => {
                (now.as_millis_f64() / before.as_millis_f64()).min(SLOWER_MAX)
            }
            _ => return limit,
        };
        Latency { p25: Span::from(limit.p25.to_std().mul_f64(slower)), ..limit }
    }
}

// === impl Window ===

impl Window {
    /// `None` if there are too few requests in it.
    fn new(all: &[Added], disk: &Flushes, began: Time, from: Time) -> Option<Self> {
        let first = |at: Time| all.partition_point(|added| added.due < at);
        let mut added: Vec<Span> = all[first(from)..first(from + ROUND)].iter().map(|added| added.latency).collect();
        added.sort();
        let latency = Latency { p25: percentile(&added, 25), p99: percentile(&added, 99) };
        let flush = disk.typical(from, from + ROUND);
        (added.len() >= REQUESTS_MIN).then(|| Window { from: from.since(began), requests: added.len(), latency, flush })
    }
}

/// What a request took beyond the work of its dyno.
struct Added {
    due: Time,
    latency: Span,
}

impl Added {
    /// Those of all requests that there is something to be told of, by when they were due.
    fn of(all: &[&Exchange]) -> Vec<Self> {
        let one = |exchange: &&Exchange| {
            let latency = if exchange.ok().is_some() { exchange.added()? } else { NEVER };
            Some(Added { due: exchange.due, latency })
        };
        let mut added: Vec<Added> = all.iter().filter_map(one).collect();
        added.sort_by_key(|added| added.due);
        added
    }
}

/// The smallest that so many percent do not exceed.
pub(super) fn percentile(sorted: &[Span], percent: usize) -> Span {
    sorted.get((sorted.len() * percent).div_ceil(100).saturating_sub(1)).copied().unwrap_or(Span::ZERO)
}

// === impl Latency ===

impl Latency {
    /// The largest that is normal by these windows.
    fn limit(before: &[Window]) -> Option<Self> {
        let highest = |of: fn(&Latency) -> Span| before.iter().map(|window| of(&window.latency)).max();
        let above = |highest: Span, percent: u64, least: Span| highest.times(percent).over(100).max(highest + least);
        Some(Latency { p25: above(highest(|of| of.p25)?, QUICK, QUICK_LEAST), p99: above(highest(|of| of.p99)?, TAIL, TAIL_LEAST) })
    }

    fn is_within(self, limit: Latency) -> bool {
        self.p25 <= limit.p25 && self.p99 <= limit.p99
    }

    /// In words.
    pub(crate) fn told(self) -> [String; 2] {
        [self.p25, self.p99].map(|span| if span >= NEVER { "no answer".to_owned() } else { ms(span) })
    }
}

#[cfg(test)]
mod tests;
