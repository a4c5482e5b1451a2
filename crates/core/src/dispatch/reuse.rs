//! May a request go over a connection that was used before, and once more when that one breaks?
//!
//! A dyno may close an idle connection in the very moment in which a request is written to it. Nobody can tell that from a dyno that
//! took the request, ran it and died. So a request that must not run twice never goes over a used connection (P26): on a fresh one the
//! question does not arise. For the others the rule below says when a second, fresh connection is tried, within the same slot.

use super::method::Class;

/// How far a request got over a connection that broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reached {
    /// No byte of it was written.
    Nothing,
    /// Some of it was written, and the dyno ended the connection before it said a word.
    Ended,
    /// Some of it was written; the dyno has not ended the connection, or said something.
    Unknown,
}

/// A request as far as these rules care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sending {
    /// What running it twice would mean.
    pub class: Class,
    /// Whether all of it can be sent again: the block keeps heads, but no bodies.
    pub replayable: bool,
}

impl Sending {
    /// Whether it may go over a connection that has served a request before.
    pub fn may_reuse(self) -> bool {
        self.replayable && self.class != Class::Unsafe
    }

    /// Whether it goes out once more, over a fresh connection, after one broke. A fresh connection that breaks is not followed by
    /// another: then it is not the connection's age that is wrong.
    pub fn goes_again(self, was_reused: bool, reached: Reached) -> bool {
        was_reused
            && match reached {
                Reached::Nothing => self.replayable,
                Reached::Ended => self.may_reuse(),
                Reached::Unknown => false,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REACHED: [Reached; 3] = [Reached::Nothing, Reached::Ended, Reached::Unknown];

    /// Every way a request can take through one slot. At each step all outcomes are tried: an idle connection is there or not, and the
    /// connection carries the request or breaks at any point. Calls `see` with how often a dyno may have run it, at the end of each way.
    fn ways(sending: Sending, may_have_run: u32, sent: u32, must_be_fresh: bool, see: &mut impl FnMut(u32, u32)) {
        for is_idle_there in [false, true] {
            let reused = is_idle_there && !must_be_fresh && sending.may_reuse();
            // It was answered.
            see(may_have_run + 1, sent + 1);
            for reached in REACHED {
                let may_have_run = may_have_run + u32::from(reached != Reached::Nothing);
                match sending.goes_again(reused, reached) {
                    true => ways(sending, may_have_run, sent + 1, true, see),
                    false => see(may_have_run, sent + 1),
                }
            }
        }
    }

    fn all() -> impl Iterator<Item = Sending> {
        let classes = [Class::Safe, Class::Idempotent, Class::Unsafe];
        classes.into_iter().flat_map(|class| [false, true].map(|replayable| Sending { class, replayable }))
    }

    #[test]
    fn no_path_sends_a_non_idempotent_request_twice() {
        for sending in all() {
            ways(sending, 0, 0, false, &mut |may_have_run, sent| {
                assert!(may_have_run <= if sending.class == Class::Unsafe { 1 } else { 2 }, "{sending:?} ran {may_have_run} times");
                assert!(sent <= 2, "{sending:?} was sent {sent} times");
                assert!(sending.replayable || sent <= 1, "{sending:?} was sent again without its body");
            });
        }
    }

    /// Even over a used connection, where none ever goes: the rule does not lean on the other one.
    #[test]
    fn a_non_idempotent_request_of_which_a_byte_was_written_never_goes_again() {
        for sending in all().filter(|sending| sending.class == Class::Unsafe) {
            for reached in [Reached::Ended, Reached::Unknown] {
                assert!(!sending.goes_again(true, reached));
            }
        }
    }

    #[test]
    fn a_used_connection_that_was_just_closed_costs_an_idempotent_request_nothing() {
        for class in [Class::Safe, Class::Idempotent] {
            let sending = Sending { class, replayable: true };
            assert!(sending.may_reuse());
            assert!(sending.goes_again(true, Reached::Nothing) && sending.goes_again(true, Reached::Ended));
            assert!(!sending.goes_again(true, Reached::Unknown) && REACHED.iter().all(|reached| !sending.goes_again(false, *reached)));
        }
    }
}
