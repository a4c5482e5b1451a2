//! How soon after the last fault every dyno is owned by the block that it is assigned to.
//!
//! That is looked for while load still goes on: what is asked once load has ended comes far too late to tell.

use std::thread;

use dynomesh_core::time::{Span, Time};
use dynomesh_testkit::clock;

use crate::figures::ms;
use crate::system::Mesh;

/// Longest time that it may take.
const OWNED_MAX: Span = Span::from_secs(10);
/// How often it is looked. Each look starts the command line of the mesh, so it is the exactness of the figure too.
const LOOK: Span = Span::from_millis(250);

/// What was seen of it so far.
#[derive(Debug, Default)]
pub(super) struct Owned {
    next: Time,
    after: Option<Span>,
    /// What was not so at the last look, and how long after the fault that was.
    strays: String,
    looked: Span,
}

// === impl Owned ===

impl Owned {
    /// Looks, if it is time to; the last fault was over at `healed`.
    pub(super) fn look(&mut self, mesh: &Mesh, healed: Time) {
        if self.after.is_some() || clock::now() < self.next {
            return;
        }
        self.next = clock::now() + LOOK;
        let strays = mesh.strays().map_or_else(|error| format!("{error:#}"), |strays| strays.join("; "));
        self.saw(strays, clock::now().since(healed));
    }

    /// Goes on looking for as long as it may take.
    pub(super) fn wait(&mut self, mesh: &Mesh, healed: Time) {
        while self.after.is_none() && clock::now() < healed + OWNED_MAX {
            self.look(mesh, healed);
            thread::sleep(LOOK.over(10).to_std());
        }
    }

    fn saw(&mut self, strays: String, looked: Span) {
        self.after = strays.is_empty().then_some(looked);
        (self.strays, self.looked) = (strays, looked);
    }

    /// In words, as a figure.
    pub(super) fn told(&self) -> String {
        let after = self.after.map_or_else(|| format!("not within {}", ms(self.looked)), ms);
        format!("every dyno owned where it belongs after the last fault: {after}")
    }

    /// What speaks against it.
    pub(super) fn complaint(&self) -> Option<String> {
        match self.after {
            Some(after) if after <= OWNED_MAX => None,
            Some(after) => {
                Some(format!("every dyno was owned where it belongs only {} after the last fault, not within {OWNED_MAX}", ms(after)))
            }
            None => Some(format!(
                "{} after the last fault not every dyno was owned where it belongs, which it must be within {OWNED_MAX}: {}",
                ms(self.looked),
                self.strays
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(strays: &str, millis: u64) -> Owned {
        let mut owned = Owned::default();
        owned.saw(strays.to_owned(), Span::from_millis(millis));
        owned
    }

    #[test]
    fn dynos_that_are_late_are_complained_of() {
        assert_eq!(seen("", 10_000).complaint(), None);
        assert_eq!(seen("", 420).told(), "every dyno owned where it belongs after the last fault: 420.0 ms");
        let late = seen("", 10_001).complaint().unwrap();
        assert!(late.contains("10001.0 ms") && late.contains("10s"), "{late}");
    }

    #[test]
    fn dynos_that_never_come_are_complained_of_by_name() {
        let never = seen("d3: block b1, owner null", 12_000);
        assert!(never.told().ends_with("not within 12000.0 ms"));
        assert!(never.complaint().unwrap().contains("d3"));
    }
}
