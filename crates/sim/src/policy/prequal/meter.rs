//! What a dyno tells a probe: how long requests took lately that came when it had as many as now.

use std::cell::RefCell;
use std::collections::VecDeque;

use dynomesh_core::time::Span;

/// Latencies kept for each number of requests.
const KEPT: usize = 8;

/// Latencies of one dyno by the number of requests that were in it when theirs came.
#[derive(Default)]
pub(super) struct Meter(RefCell<Vec<VecDeque<Span>>>);

impl Meter {
    /// A request that found `requests` there took `latency`.
    pub(super) fn note(&self, requests: u32, latency: Span) {
        let mut all = self.0.borrow_mut();
        let place = requests as usize;
        if all.len() <= place {
            all.resize_with(place + 1, VecDeque::new);
        }
        let lately = &mut all[place];
        if lately.len() == KEPT {
            lately.pop_front();
        }
        lately.push_back(latency);
    }

    /// The median of those that found as many, or nearly as many, requests there; nothing before the first.
    pub(super) fn latency(&self, requests: u32) -> Span {
        let all = self.0.borrow();
        let known = all.iter().enumerate().filter(|(_, lately)| !lately.is_empty());
        let nearest = known.min_by_key(|(place, _)| place.abs_diff(requests as usize));
        let mut sorted: Vec<Span> = nearest.map_or_else(Vec::new, |(_, lately)| lately.iter().copied().collect());
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied().unwrap_or(Span::ZERO)
    }
}
