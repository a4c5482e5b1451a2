//! The write gate: the last look before a request's first byte leaves for a dyno.
//!
//! A committed grant proves the past. A leader that is frozen after the commit, and wakes after another has taken over and granted the
//! same dyno, must not write (P7). So the check sits inside `poll_write`, with nothing awaited between it and the system call, reads
//! a clock that counts suspended time, and asks that the very term of the grant still holds the lease.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use dynomesh_consensus::Lease;
use dynomesh_core::id::Term;
use dynomesh_core::time::Time;
use dynomesh_runtime::clock::Clock;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const UNTOUCHED: u8 = 0;
const OPEN: u8 = 1;
const SHUT: u8 = 2;

/// Decides once, at the first write, whether a request may still go out; remembers the answer.
pub(crate) struct Gate {
    clock: Clock,
    lease: Arc<Lease>,
    term: Term,
    dispatch_by: Time,
    state: AtomicU8,
}

/// A connection whose first write passes a [`Gate`].
pub(crate) struct Gated<T> {
    inner: T,
    gate: Arc<Gate>,
}

// === impl Gate ===

impl Gate {
    /// A gate for a slot granted in `term`, to be used before `dispatch_by`.
    pub(crate) fn new(clock: Clock, lease: Arc<Lease>, term: Term, dispatch_by: Time) -> Arc<Self> {
        Arc::new(Gate { clock, lease, term, dispatch_by, state: AtomicU8::new(UNTOUCHED) })
    }

    /// Whether a byte may have reached the dyno.
    pub(crate) fn passed(&self) -> bool {
        self.state.load(Ordering::Acquire) == OPEN
    }

    /// Whether the request came too late and was stopped here.
    pub(crate) fn refused(&self) -> bool {
        self.state.load(Ordering::Acquire) == SHUT
    }

    fn check(&self) -> io::Result<()> {
        match self.state.load(Ordering::Acquire) {
            OPEN => return Ok(()),
            SHUT => return Err(late()),
            _ => {}
        }
        let now = self.clock.now();
        let in_time = now < self.dispatch_by && self.lease.valid_in(self.term, now);
        self.state.store(if in_time { OPEN } else { SHUT }, Ordering::Release);
        if in_time { Ok(()) } else { Err(late()) }
    }
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the grant or the lease ended before the request was written")
}

// === impl Gated ===

impl<T> Gated<T> {
    /// Puts `gate` before the writes of `inner`.
    pub(crate) fn new(inner: T, gate: Arc<Gate>) -> Self {
        Gated { inner, gate }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Gated<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Gated<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.gate.check()?;
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.gate.check()?;
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
