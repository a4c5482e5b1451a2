//! How a running request is cut from outside: by aborting the task that drives its connection to the dyno.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::AbortHandle;

/// One request's off switch; works from any thread, before or after the connection exists.
#[derive(Debug, Default)]
pub(crate) struct Cut {
    done: AtomicBool,
    driver: OnceLock<AbortHandle>,
}

impl Cut {
    /// Cuts the connection, or keeps it from being used.
    pub(crate) fn cut(&self) {
        self.done.store(true, Ordering::Release);
        if let Some(driver) = self.driver.get() {
            driver.abort();
        }
    }

    /// Names the task to abort. A cut that came first takes effect now.
    pub(crate) fn arm(&self, driver: AbortHandle) {
        let _ = self.driver.set(driver);
        if self.is_cut() {
            self.cut();
        }
    }

    /// Whether it was cut.
    pub(crate) fn is_cut(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }
}
