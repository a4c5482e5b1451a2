//! Given requests at given times, for a mesh that is compared with something else under the very same load.

use std::sync::atomic::AtomicBool;

use dynomesh_core::time::Span;

use super::load::sleep_until;
use super::{Ask, Client, Pending};
use crate::clock;
use crate::history::Exchange;

/// Between the call and the time that all requests are counted from, so that the first of them is not late.
const LEAD: Span = Span::from_millis(50);

impl Client {
    /// Sends each request when its time after the start has come, whatever became of those before it, and waits for all outcomes.
    /// They stand in the order of the requests, whose times must not fall.
    pub fn replay(&self, requests: impl IntoIterator<Item = (Span, Ask)>) -> Vec<Exchange> {
        let (start, never) = (clock::now() + LEAD, AtomicBool::new(false));
        let mut pending: Vec<Pending> = Vec::new();
        for (after, ask) in requests {
            let due = start + after;
            sleep_until(due, &never);
            pending.push(self.begin_due(ask, due));
        }
        pending.into_iter().map(Pending::wait).collect()
    }
}
