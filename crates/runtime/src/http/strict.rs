//! A stream of which hyper reads only what has one meaning.
//!
//! hyper's parser forgives: a bare LF ends a line, a length beside `chunked` is dropped, a length may be repeated. Whoever forgives
//! differently behind us would then see other messages. [`Strict`] looks at the bytes where they were read into, cuts them off before the
//! first wrong one, and hands on the rest unchanged.
//!
//! A server's connection ends in order: the requests before the wrong bytes are answered, then reading fails. hyper cannot answer what
//! it never sees, so the owner asks [`Verdict::answer`] when the connection is over and answers himself. A client's connection, and one
//! whose request's content is wrong, fails at once: the message under way must not look whole.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use dynomesh_core::http1::{Asked, Limits, Scanner, Violation};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

#[cfg(test)]
mod tests;

/// See the module. Whoever reads it must write through it too.
#[derive(Debug)]
pub struct Strict<T> {
    inner: T,
    verdict: Verdict,
}

/// What the owner of a [`Strict`] and the stream know of each other.
#[derive(Debug, Clone)]
pub struct Verdict(Rc<Shared>);

/// A request that a server has begun on: over when dropped.
#[derive(Debug)]
pub struct Running(Verdict);

#[derive(Debug)]
struct Shared {
    scanner: RefCell<Scanner>,
    side: Side,
    violation: Cell<Option<Violation>>,
    /// Responses whose heads were given to hyper.
    begun: Cell<u64>,
    /// Requests that are over, answered or not.
    ended: Cell<u64>,
    /// What was written last has not been taken.
    blocked: Cell<bool>,
    /// Who waits to be told of the violation.
    waker: RefCell<Option<Waker>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Server,
    Client,
}

// === impl Strict ===

impl<T> Strict<T> {
    /// For a server's connection. Its owner holds a [`Running`] for every request, or reading never fails.
    pub fn server(inner: T, limits: Limits) -> (Self, Verdict) {
        Strict::new(inner, Side::Server, Scanner::requests(limits))
    }

    /// For a client's connection. What is written tells what may come back.
    pub fn client(inner: T, limits: Limits) -> Self {
        Strict::new(inner, Side::Client, Scanner::responses(limits)).0
    }

    fn new(inner: T, side: Side, scanner: Scanner) -> (Self, Verdict) {
        let verdict = Verdict(Rc::new(Shared {
            scanner: RefCell::new(scanner),
            side,
            violation: Cell::new(None),
            begun: Cell::new(0),
            ended: Cell::new(0),
            blocked: Cell::new(false),
            waker: RefCell::default(),
        }));
        (Strict { inner, verdict: verdict.clone() }, verdict)
    }

    /// The stream within. Wrong bytes that were read are lost.
    pub fn into_inner(self) -> T {
        self.inner
    }
}

// === impl Verdict ===

impl Verdict {
    /// What was wrong, whether reading has failed yet or not.
    pub fn violation(&self) -> Option<Violation> {
        self.0.violation.get()
    }

    /// What the client is still to be told, after the server's connection is over: the violation, if every response begun has been written
    /// whole and no response was begun to the wrong request.
    pub fn answer(&self) -> Option<Violation> {
        let shared = &self.0;
        let heads = shared.scanner.borrow().heads();
        let owed = if shared.scanner.borrow().is_in_content() { heads.saturating_sub(1) } else { heads };
        let is_due = shared.side == Side::Server && shared.begun.get() == owed && shared.ended.get() >= owed && !shared.blocked.get();
        self.violation().filter(|_| is_due)
    }

    /// Whether nothing was read that has not been answered, be it the beginning of a head: then hyper keeps no bytes.
    pub fn is_at_rest(&self) -> bool {
        let (shared, scanner) = (&self.0, self.0.scanner.borrow());
        shared.violation.get().is_none() && scanner.is_between_messages() && shared.ended.get() >= scanner.heads()
    }

    /// A service is called. The request is over when its response's body has ended, or been dropped, or there will be none.
    pub fn run(&self) -> Running {
        Running(self.clone())
    }

    /// Both sides have left HTTP/1.1: everything passes from here on. Said before the other side can know.
    pub fn opaque(&self) {
        self.0.scanner.borrow_mut().opaque();
    }
}

// === impl Running ===

impl Running {
    /// The service has answered: the response's head goes to hyper now.
    pub fn begin(&self) {
        let begun = &self.0.0.begun;
        begun.set(begun.get() + 1);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let shared = &self.0.0;
        shared.ended.set(shared.ended.get() + 1);
        shared.wake();
    }
}

// === impl Shared ===

impl Shared {
    /// Whether all that was read before the wrong bytes has been answered, as far as it will be.
    fn is_settled(&self) -> bool {
        let scanner = self.scanner.borrow();
        let answered = self.ended.get() >= scanner.heads() && !self.blocked.get();
        self.side == Side::Client || scanner.is_in_content() || answered
    }

    fn fail(&self, violation: Violation, cx: &Context<'_>) -> Poll<io::Result<()>> {
        if self.is_settled() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, violation)));
        }
        *self.waker.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }

    /// A client's request goes out. hyper writes a head in one piece, and none before the last response has ended.
    fn writes(&self, bytes: &[u8]) {
        let mut scanner = self.scanner.borrow_mut();
        if self.side == Side::Client && scanner.is_between_messages() {
            scanner.expect(asked(bytes));
        }
    }

    fn wrote(&self, is_taken: bool) {
        let was_blocked = self.blocked.replace(!is_taken);
        if was_blocked && is_taken {
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// What a request that begins with `bytes` may be answered with.
fn asked(bytes: &[u8]) -> Asked {
    let head = &bytes[..memchr::memmem::find(bytes, b"\r\n\r\n").unwrap_or(bytes.len())];
    match head {
        [b'H', b'E', b'A', b'D', b' ', ..] => Asked::Head,
        [b'C', b'O', b'N', b'N', b'E', b'C', b'T', b' ', ..] => Asked::Connect,
        // hyper writes the names of fields in lower case.
        head if memchr::memmem::find(head, b"\r\nupgrade:").is_some() => Asked::Upgrade,
        _ => Asked::Plain,
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Strict<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(violation) = self.verdict.violation() {
            return self.verdict.0.fail(violation, cx);
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        let shared = &self.verdict.0;
        let scanned = shared.scanner.borrow_mut().scan(&buf.filled()[before..]);
        let Some(violation) = scanned.violation else { return Poll::Ready(Ok(())) };
        shared.violation.set(Some(violation));
        buf.set_filled(before + scanned.good);
        // No bytes at all would be the stream's end.
        if scanned.good > 0 { Poll::Ready(Ok(())) } else { shared.fail(violation, cx) }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Strict<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.verdict.0.writes(buf);
        let taken = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.verdict.0.wrote(taken.is_ready());
        taken
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if let Some(first) = bufs.iter().find(|buf| !buf.is_empty()) {
            self.verdict.0.writes(first);
        }
        let taken = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.verdict.0.wrote(taken.is_ready());
        taken
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(cx);
        self.verdict.0.wrote(flushed.is_ready());
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Between two requests hyper takes the failure for the client's leaving, and would close before the owner has answered.
        if self.verdict.answer().is_some() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
