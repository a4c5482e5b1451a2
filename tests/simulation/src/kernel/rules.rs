//! What faults do to the world, each with how much of it was felt.
//!
//! Faults overlap. So each counts for itself and is taken away by itself: what one fault did to others is not taken for the work of
//! another, and the end of one does not end another.

/// All that faults do of one kind, in the order in which they began.
#[derive(Debug)]
pub(crate) struct Rules<T>(Vec<Rule<T>>);

#[derive(Debug)]
pub(super) struct Rule<T> {
    /// The number of the fault that made it.
    fault: usize,
    pub(super) what: T,
    /// How often it was felt, or for how many nanoseconds.
    pub(super) felt: u64,
}

// === impl Rules ===

impl<T> Default for Rules<T> {
    fn default() -> Self {
        Rules(Vec::new())
    }
}

impl<T> Rules<T> {
    pub(crate) fn add(&mut self, fault: usize, what: T) {
        self.0.push(Rule { fault, what, felt: 0 });
    }

    /// Takes away what a fault did; how much of it was felt.
    pub(crate) fn take(&mut self, fault: usize) -> u64 {
        let felt = self.0.iter().filter(|rule| rule.fault == fault).map(|rule| rule.felt).sum();
        self.0.retain(|rule| rule.fault != fault);
        felt
    }

    pub(super) fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut Rule<T>> {
        self.0.iter_mut()
    }

    /// Has every rule that `meets` be felt once more; whether there is any.
    pub(super) fn feel(&mut self, mut meets: impl FnMut(&T) -> bool) -> bool {
        let mut any = false;
        for rule in self.0.iter_mut().filter(|rule| meets(&rule.what)) {
            rule.felt += 1;
            any = true;
        }
        any
    }
}
