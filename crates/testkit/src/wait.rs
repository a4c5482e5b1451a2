//! Waiting for a condition, with a deadline and a reason to give when it passes.

use std::thread;

use dynomesh_core::time::Span;

use crate::clock;

/// How often a condition is looked at: seldom enough to leave the processor to the mesh.
const LOOK_EVERY: Span = Span::from_millis(10);

/// Looks until there is something to see, and returns it. Panics with `what` once `limit` has passed.
#[track_caller]
pub fn until<T>(what: &str, limit: Span, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = clock::now() + limit;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(clock::now() < deadline, "waited {limit} in vain: {what}");
        thread::sleep(LOOK_EVERY.to_std());
    }
}

/// Lets time pass where time itself is what the test is about: how long a process stays frozen, how long load goes on.
pub fn pass(span: Span) {
    thread::sleep(span.to_std());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_that_comes_true_is_returned() {
        let mut left = 3;
        let seen = until("three looks", Span::from_secs(5), || {
            left -= 1;
            (left == 0).then_some("seen")
        });
        assert_eq!(seen, "seen");
    }

    #[test]
    #[should_panic(expected = "waited 20ms in vain: the moon")]
    fn a_condition_that_never_comes_true_is_named() {
        until("the moon", Span::from_millis(20), || None::<()>);
    }
}
