//! What probes have told about a dyno, and when to ask again.
//!
//! Only probes count. A request that went well does not raise a dyno whose health path says "down": the operator's probe knows more
//! than one answer does, and the two would take turns.

use crate::id::SlotId;
use crate::time::{Span, Time};

/// What is known of a dyno's health, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Its last probe passed, or a new leader took it over and assumes so.
    Up,
    /// Never probed. It may not even listen yet, so it gets requests only when the dynos that are up have no room.
    Unproven,
    /// Its last probe failed. It gets requests only when no dyno of the app is better: never are all of them ejected.
    Down,
}

/// How a probe ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probed {
    /// The dyno answered as it should.
    Passed,
    /// It refused, answered wrongly or not in time.
    Failed,
}

/// Health of one dyno.
#[derive(Debug, Clone)]
pub(super) struct Health {
    pub(super) standing: Standing,
    /// The slot of the probe that runs now.
    pub(super) probe: Option<SlotId>,
    /// When the last probe began.
    pub(super) asked: Option<Time>,
    /// Until when a passed probe is not believed to end a hold, because one that did was followed by another error.
    pub(super) doubted_until: Time,
}

impl Health {
    pub(super) fn unproven() -> Self {
        Health { standing: Standing::Unproven, probe: None, asked: None, doubted_until: Time::ZERO }
    }

    /// When the next probe is due: `idle` after the last one, `urgent` after it while there is something to find out.
    pub(super) fn due(&self, holds: bool, idle: Span, urgent: Span) -> Time {
        let interval = if holds || self.standing != Standing::Up { urgent } else { idle };
        self.asked.map_or(Time::ZERO, |asked| asked + interval)
    }
}
