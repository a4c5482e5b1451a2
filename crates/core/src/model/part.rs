//! Shared pieces of a state: cheap to copy, and known by the print of what they hold.

use std::hash::{DefaultHasher, Hasher};
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
    // Twice, for 64 bits are too few for millions of states.
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        hasher.write_u8(salt);
        hasher.write(&bytes);
        hasher.finish()
    };
    Print::from(half(1)) << 64 | Print::from(half(2))
}
