//! From what lines tell to gaps and service times in the order of arrival.

use std::sync::Arc;

use dynomesh_core::time::{Span, Time};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{Entry, PAUSE_MAX, Stamp};
use crate::workload::nanos_of;

/// Stands for a service time that the log does not tell; none is so long.
const UNKNOWN: Span = Span::from_nanos(u64::MAX);
const SECOND: u64 = 1_000_000_000;

/// Why requests make no trace.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// There are none.
    Empty,
    /// All came at once; or there is only one.
    Moment(usize),
    /// Nothing came for too long.
    Pause { after: usize, span: Span },
}

/// Requests as they are read, 16 bytes each.
pub(super) struct Gathering {
    requests: Vec<(Time, Span)>,
    unserved: u64,
    rng: StdRng,
}

impl Gathering {
    pub(super) fn new(seed: u64) -> Self {
        Gathering { requests: Vec::new(), unserved: 0, rng: StdRng::seed_from_u64(seed) }
    }

    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }

    /// Requests without a service time so far.
    pub(super) fn unserved(&self) -> u64 {
        self.unserved
    }

    /// Adds a request. One of which only the second is known came at any moment of it: spread evenly, requests would never meet.
    pub(super) fn add(&mut self, Entry { arrived, service }: Entry) {
        let at = match arrived {
            Stamp::At(at) => at,
            Stamp::Within(second, before) => second + Span::from_nanos(self.rng.random_range(0..SECOND)) - before,
        };
        self.unserved += u64::from(service.is_none());
        self.requests.push((at, service.unwrap_or(UNKNOWN)));
    }

    /// The gaps, `speed` times as short, the service times and the measured length.
    pub(super) fn finish(mut self, speed: f64) -> Result<Finished, Unfit> {
        self.requests.sort_unstable();
        let count = self.requests.len();
        let (first, last) = self.requests.first().zip(self.requests.last()).map(|(first, last)| (first.0, last.0)).ok_or(Unfit::Empty)?;
        if first == last {
            return Err(Unfit::Moment(count));
        }
        let length = last.since(first);
        let mut before = first;
        let mut gaps = Vec::with_capacity(count);
        for (after, (at, _)) in self.requests.iter().enumerate() {
            let gap = at.since(std::mem::replace(&mut before, *at));
            if gap > PAUSE_MAX {
                return Err(Unfit::Pause { after, span: gap });
            }
            gaps.push(Span::from_nanos(nanos_of(gap.as_nanos() as f64 / speed)));
        }
        gaps[0] = Span::from_nanos(nanos_of(length.as_nanos() as f64 / speed / (count - 1) as f64));
        Ok((gaps.into(), self.services(), length))
    }

    fn services(mut self) -> Option<Arc<[Span]>> {
        if self.unserved == self.requests.len() as u64 {
            return None;
        }
        let mut services: Vec<Span> = self.requests.iter().map(|(_, service)| *service).collect();
        drop(self.requests);
        if self.unserved > 0 {
            let known: Vec<Span> = services.iter().copied().filter(|service| *service != UNKNOWN).collect();
            for service in services.iter_mut().filter(|service| **service == UNKNOWN) {
                *service = known[self.rng.random_range(0..known.len())];
            }
        }
        Some(services.into())
    }
}

type Finished = (Arc<[Span]>, Option<Arc<[Span]>>, Span);
