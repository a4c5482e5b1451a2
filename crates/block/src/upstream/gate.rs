//! The write gate: the last look before a request's first byte leaves for a dyno.
//!
//! A committed grant proves the past. A leader that is frozen after the commit, and wakes after another has taken over and granted the
//! same dyno, must not write (P7). So the check sits inside `poll_write`, with nothing awaited between it and the system call, reads
//! a clock that counts suspended time, and asks that the very term of the grant still holds the lease.
//!
//! Each request has a gate of its own, also over a connection that was used before. HTTP/2 says things that belong to no request: they
//! are looked at as well while a request waits to be written, but only its own first frame opens the gate.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use dynomesh_consensus::Lease;
use dynomesh_core::id::Term;
use dynomesh_core::time::Time;
use dynomesh_runtime::clock::Clock;

const UNTOUCHED: u8 = 0;
const OPEN: u8 = 1;
const SHUT: u8 = 2;

/// Decides, up to the request's first write, whether it may still go out; remembers the answer.
pub(crate) struct Gate {
    clock: Clock,
    lease: Arc<Lease>,
    term: Term,
    dispatch_by: Time,
    state: AtomicU8,
}

impl Gate {
    /// A gate for a slot granted in `term`, to be used before `dispatch_by`.
    pub(crate) fn new(clock: Clock, lease: Arc<Lease>, term: Term, dispatch_by: Time) -> Arc<Self> {
        Arc::new(Gate { clock, lease, term, dispatch_by, state: AtomicU8::new(UNTOUCHED) })
    }

    /// Whether a byte of the request may have reached the dyno.
    pub(crate) fn passed(&self) -> bool {
        self.state.load(Ordering::Acquire) == OPEN
    }

    /// Whether the request came too late and was stopped here.
    pub(crate) fn refused(&self) -> bool {
        self.state.load(Ordering::Acquire) == SHUT
    }

    /// Called right before a write, which `begins` the request or goes before it.
    pub(super) fn check(&self, begins: bool) -> io::Result<()> {
        match self.state.load(Ordering::Acquire) {
            OPEN => return Ok(()),
            SHUT => return Err(late()),
            _ => {}
        }
        let now = self.clock.now();
        let in_time = now < self.dispatch_by && self.lease.valid_in(self.term, now);
        if !in_time {
            self.state.store(SHUT, Ordering::Release);
            return Err(late());
        }
        if begins {
            self.state.store(OPEN, Ordering::Release);
        }
        Ok(())
    }
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the grant or the lease ended before the request was written")
}

#[cfg(test)]
impl Gate {
    /// One that has let its request pass.
    pub(super) fn opened() -> Arc<Self> {
        let gate = Self::without_lease();
        gate.state.store(OPEN, Ordering::Release);
        gate
    }

    /// One whose replica does not lead.
    pub(super) fn without_lease() -> Arc<Self> {
        Gate::new(Clock::system(), Arc::new(Lease::default()), Term(1), Time::FAR)
    }
}
