//! Data threads that drive connections which requests of other threads use.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A data thread, as the one whose drivers other threads use.
#[derive(Clone, Default)]
pub(crate) struct Host(Arc<AtomicUsize>);

/// A request of another thread.
pub(super) struct Guest(Host);

// === impl Host ===

impl Host {
    /// Whether both are the same thread.
    pub(super) fn is(&self, other: &Host) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Waits until no other thread uses a connection driven by this one.
    pub(crate) async fn until_alone(&self) {
        while self.0.load(Ordering::Acquire) > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
}

impl Guest {
    pub(super) fn new(host: Host) -> Self {
        host.0.fetch_add(1, Ordering::AcqRel);
        Guest(host)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}
