//! Shared pieces of a state: cheap to copy, and known by the print of what they hold.

use std::hash::Hasher;
use std::ops::Deref;
use std::sync::Arc;

use serde::Serialize;

/// Tells states apart. Two of a million states share one by chance once in 10^26 runs.
pub(super) type Print = u128;

/// A value with its print.
#[derive(Debug, Clone)]
pub(super) struct Part<T> {
    value: Arc<T>,
    print: Print,
}

impl<T: Serialize + Clone> Part<T> {
    pub(super) fn new(value: T) -> Self {
        let print = print_of(&value);
        Part { value: Arc::new(value), print }
    }

    /// Changes the value and prints it anew.
    pub(super) fn edit<R>(&mut self, change: impl FnOnce(&mut T) -> R) -> R {
        let result = change(Arc::make_mut(&mut self.value));
        self.print = print_of(&*self.value);
        result
    }

    pub(super) fn print(&self) -> Print {
        self.print
    }
}

impl<T> Deref for Part<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// The print of whatever can be written.
pub(super) fn print_of(value: &impl Serialize) -> Print {
    let bytes = postcard::to_stdvec(value).unwrap();
    // A fixed hash, so that a run is the same run everywhere; twice, for 64 bits are too few for millions of states.
    let half = |salt: u8| {
        #[expect(deprecated, reason = "the one hash of the standard library whose keys are fixed by contract")]
        let mut hasher = std::hash::SipHasher::new_with_keys(u64::from(salt), 7);
        hasher.write(&bytes);
        hasher.finish()
    };
    Print::from(half(1)) << 64 | Print::from(half(2))
}
