//! When to stop waiting for a block that no longer answers heartbeats (P25).
//!
//! A slow answer is no reason: dynos are slow. Silence of the block itself is, but an edge that was late itself has heard nothing for
//! its own fault, and one that hears nobody is cut off itself: leaving all blocks at once would only double the load.

/// Heartbeats in a row that a block may miss before requests to it are abandoned.
pub const BEATS_MISSED_MAX: u32 = 3;

/// What an edge has heard lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hearing {
    /// Heartbeats in a row that the block did not answer in time.
    pub missed: u32,
    /// Whether the edge's own ticks were on time while it missed them.
    pub on_time: bool,
    /// Whether any other process that the request could go to has been heard meanwhile, of this block or another.
    pub others_heard: bool,
}

/// Whether the requests in flight at the block may be abandoned and tried elsewhere. Each one is paid from the retry budget
/// ([`super::Budget::withdraw`]), goes by the retry rule as any unknown outcome, and is sent again after a [`super::pause`].
pub fn may_abandon(hearing: Hearing, missed_max: u32) -> bool {
    hearing.missed >= missed_max && hearing.on_time && hearing.others_heard
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_abandoned_only_for_its_own_silence() {
        let silent = Hearing { missed: 3, on_time: true, others_heard: true };
        assert!(may_abandon(silent, BEATS_MISSED_MAX));
        assert!(!may_abandon(Hearing { missed: 2, ..silent }, BEATS_MISSED_MAX), "two missed beats are no silence");
        assert!(!may_abandon(Hearing { on_time: false, ..silent }, BEATS_MISSED_MAX), "the edge itself was late");
        assert!(!may_abandon(Hearing { others_heard: false, ..silent }, BEATS_MISSED_MAX), "all blocks are silent at once");
    }
}
