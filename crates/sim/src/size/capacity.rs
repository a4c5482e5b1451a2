//! What dynos can do, by arithmetic: the bound that no policy passes.

use super::ask::ceil;
use crate::scenario::{Failing, Setup};
use crate::stack;

/// A load that leaves room for bursts.
pub const LOAD_GOOD: f64 = 0.8;

/// What one dyno can serve, and what is asked of all.
#[derive(Debug, Clone, Copy)]
pub struct Capacity {
    /// Requests per second that are asked.
    pub rps: f64,
    /// Seconds that a request takes a slot: its service time and the cable to the dyno and back.
    pub slot: f64,
    /// Share of the time that a dyno is up.
    pub up: f64,
    /// Requests per second that a dyno can serve.
    pub each: f64,
}

impl Capacity {
    pub(super) fn of(setup: &Setup, rps: f64) -> Self {
        let slot = stack::service(setup).mean().as_secs_f64() + 2.0 * setup.dyno_cable.as_secs_f64();
        let up = 1.0 - down(setup.dyno_failures);
        Capacity { rps, slot, up, each: f64::from(setup.max_conns) * up / slot }
    }

    /// Share of what `dynos` can serve; 1 and more is too much.
    pub fn load(&self, dynos: usize) -> f64 {
        self.rps / (self.each * dynos as f64)
    }

    /// Dynos for which the load is no more than `load`.
    pub fn dynos_for(&self, load: f64) -> usize {
        ceil(self.rps / (self.each * load))
    }
}

/// Share of the time that something is down.
pub fn down(failing: Failing) -> f64 {
    let (up, down) = (failing.up.mean().as_secs_f64(), failing.down.mean().as_secs_f64());
    if failing.failures().is_none() { 0.0 } else { down / (up + down) }
}
