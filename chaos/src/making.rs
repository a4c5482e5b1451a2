//! A gate in front of everything that a run makes outside itself: namespaces, mounts, control groups, processes.
//!
//! Whoever makes one holds the gate meanwhile. Once a signal has ended the run, the thread that takes everything away closes it: the
//! others wait for ever at the next thing they would make, so that nothing comes into being behind its back.

use std::io;
use std::process::{Child, Command};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, ThreadId};

/// The gate of this process.
pub(crate) static GATE: Gate = Gate::new();

/// Lets one thread at a time make something, and once it is closed only the one that closed it.
pub(crate) struct Gate {
    making: Mutex<()>,
    closed_by: OnceLock<ThreadId>,
}

// === impl Gate ===

impl Gate {
    const fn new() -> Self {
        Gate { making: Mutex::new(()), closed_by: OnceLock::new() }
    }

    /// Waits until this thread may make something; held as long as that takes, and not asked for twice.
    #[must_use]
    pub(crate) fn pass(&self) -> Option<MutexGuard<'_, ()>> {
        let is_mine = self.closed_by.get() == Some(&thread::current().id());
        (!is_mine).then(|| self.making.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on this thread alone makes anything. Waits for what is being made.
    pub(crate) fn close(&self) {
        std::mem::forget(self.pass());
        // A thread that closes it twice finds its own number there.
        let _ = self.closed_by.set(thread::current().id());
    }
}

/// Starts a process through the gate.
pub(crate) fn spawn(command: &mut Command) -> io::Result<Child> {
    let _making = GATE.pass();
    command.spawn()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn once_it_is_closed_only_the_thread_that_closed_it_goes_on() {
        let gate = Arc::new(Gate::new());
        assert!(gate.pass().is_some() && gate.making.try_lock().is_ok(), "an open gate is free again behind each");
        let theirs = gate.clone();
        let closes = thread::spawn(move || {
            theirs.close();
            theirs.close();
            theirs.pass().is_none()
        });
        assert!(closes.join().unwrap(), "it makes what it needs without the lock");
        assert!(gate.making.try_lock().is_err(), "all others wait");
    }
}
