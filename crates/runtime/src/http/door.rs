//! Whether clients may stay: shared by the listeners of one process and whoever decides that.
//!
//! A process that is drained goes on serving what comes, since a balancer needs time to learn of it, but asks every client to come back
//! elsewhere: each answer says `Connection: close`, and a connection that stays idle is closed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// See the module's doc. Clones are the same door.
#[derive(Debug, Clone, Default)]
pub struct Door(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    leaving: AtomicBool,
    open: AtomicUsize,
}

/// One open connection.
#[derive(Debug)]
pub(crate) struct Inside(Door);

impl Door {
    /// Asks clients to leave, or lets them stay again.
    pub fn ask_to_leave(&self, leaving: bool) {
        self.0.leaving.store(leaving, Ordering::Relaxed);
    }

    /// Whether clients are asked to leave.
    pub fn is_leaving(&self) -> bool {
        self.0.leaving.load(Ordering::Relaxed)
    }

    /// Connections open now, over all listeners.
    pub fn open(&self) -> usize {
        self.0.open.load(Ordering::Relaxed)
    }

    pub(crate) fn enter(&self) -> Inside {
        self.0.open.fetch_add(1, Ordering::Relaxed);
        Inside(self.clone())
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
