//! Waiting for a condition, with a limit and an error that says what was waited for.

use std::thread;

use anyhow::{Result, bail};
use dynomesh_core::time::Span;
use dynomesh_testkit::clock;

/// How often a condition is looked at.
const LOOK: Span = Span::from_millis(20);

/// Looks until there is something to see, and returns it.
pub(crate) fn until<T>(what: &str, limit: Span, mut look: impl FnMut() -> Option<T>) -> Result<T> {
    let deadline = clock::now() + limit;
    loop {
        if let Some(seen) = look() {
            return Ok(seen);
        }
        if clock::now() >= deadline {
            bail!("waited {limit} in vain for {what}");
        }
        thread::sleep(LOOK.to_std());
    }
}
