//! How loaded an edge takes a block to be.
//!
//! Two sources are joined: what the block last told and what this edge itself has in flight there. A block's word already counts the
//! requests that the edge had in flight when the word was spoken, so only the difference since then is added: the plain sum would count
//! an edge's own requests twice and push traffic away from whichever block it uses most.

use crate::time::Span;

/// A new leader tells for this long that it is fuller than it is, so that not all edges turn to it in one instant (P25). Edges do not
/// discount it once more: that would keep an idle block idle for most of a second.
pub const RAMP: Span = Span::from_secs(1);

/// Requests in service or waiting in a block: `told` by its last word (used slots and queued requests), and what this edge has begun and
/// ended since, of whose requests `own` are in flight there now and `own_then` were when the word came.
pub fn estimate(told: u32, own: u32, own_then: u32) -> u32 {
    told.saturating_add(own).saturating_sub(own_then).max(own)
}

/// `used` of `slots` as a leader tells it that took over `age` ago: half of the slots more at its start, nothing more after [`RAMP`].
pub fn told_used(used: u32, slots: u32, age: Span) -> u32 {
    let ramp = u64::from(slots) * (RAMP.as_millis() - age.as_millis().min(RAMP.as_millis())) / (2 * RAMP.as_millis());
    used.saturating_add(u32::try_from(ramp).unwrap_or(0)).min(slots.max(used))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_requests_are_counted_once() {
        assert_eq!(estimate(0, 2, 0), 2, "before the block speaks our own count is all we know");
        assert_eq!(estimate(6, 3, 2), 7, "the word holds our first two");
        assert_eq!(estimate(6, 0, 2), 4, "two of ours in the word have ended");
        assert_eq!(estimate(0, 3, 9), 3, "never less than our own");
    }

    #[test]
    fn a_new_leader_ramps() {
        let ms = Span::from_millis;
        assert_eq!([0, 500, 1000, 9000].map(|age| told_used(3, 8, ms(age))), [7, 5, 3, 3]);
        assert_eq!(told_used(6, 8, ms(0)), 8, "not more than there are");
    }
}
