//! What the invariants leave to the settings of a mesh and to the machine a test runs on.

use dynomesh_core::time::Span;
use serde::{Deserialize, Serialize};

/// By what a history is judged, besides what it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// The mesh's request deadline.
    pub deadline: Span,
    /// How much later than its deadline a request may be answered.
    pub late: Span,
    /// How long a leader that is cut off may still have its lease: the longest election time-out of its group.
    pub lease: Span,
    /// How long after an event what was under way before it may still be seen: at a dyno, to whom a request is on its way when its block
    /// loses it, and at the harness, whose word and deed do not fall into one moment. Longer where packets are delayed on purpose.
    pub slack: Span,
    /// How long after the last fault everything must be as if there had been none.
    pub recovery: Span,
    /// How far behind the others a control replica may be while nothing is broken: some heartbeats on a machine that others use as well.
    pub behind: Span,
    /// Steps of the search for an order of the calls of one register; past it the search is given up.
    pub steps_max: usize,
}

impl Default for Limits {
    /// Those of a mesh with default settings on a machine that others use as well.
    fn default() -> Self {
        Limits {
            deadline: Span::from_secs(60),
            late: Span::from_secs(2),
            lease: Span::from_millis(120),
            slack: Span::from_millis(250),
            recovery: Span::from_secs(10),
            behind: Span::from_secs(1),
            steps_max: 5_000_000,
        }
    }
}
