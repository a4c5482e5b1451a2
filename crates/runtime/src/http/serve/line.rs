//! What a listener and one of its connections know of each other.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

use futures::FutureExt;
use tokio::io::Interest;

use super::Server;
use crate::net::Stream;

/// Bytes of an answer's body that may wait for its peer before no more is taken from where it comes. It is what hyper's buffer takes at least:
/// where heads may be larger that would grow with them.
const AHEAD_MAX: u64 = 64 * 1024;

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Between two requests.
    Idle,
    /// Reading a head, or not yet that far.
    Head,
    /// From the service's call to the end of its response's body; with HTTP/2 as long as any request runs.
    Busy,
}

/// What the server wants of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Serve,
    /// Close when what runs has ended, at once if nothing does.
    Finish,
    /// Close now.
    Cut,
}

/// Limits in ticks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub(super) head: u64,
    pub(super) idle: u64,
    pub(super) write: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Line {
    phase: Cell<Phase>,
    /// Tick of the last change of phase or of the last write.
    since: Cell<u64>,
    /// Tick since which the peer has taken nothing of what is to be written.
    blocked: Cell<Option<u64>>,
    /// Bytes that the peer has taken.
    written: Cell<u64>,
    /// Where that stands when it has all of the answer's body that was handed out, head and framing aside.
    handed: Cell<u64>,
    /// Whether the answer's body goes on when something was taken.
    resumes: Cell<bool>,
    /// Whether all that was written has left for the socket, through TLS too.
    flushed: Cell<bool>,
    /// Whether nothing is kept for it but the socket.
    resting: Cell<bool>,
    running: Cell<usize>,
    order: Cell<Order>,
    is_http2: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    stream: RefCell<Weak<RefCell<Stream>>>,
}

impl Line {
    pub(super) fn new(tick: u64) -> Self {
        Line {
            phase: Cell::new(Phase::Head),
            since: Cell::new(tick),
            blocked: Cell::new(None),
            written: Cell::new(0),
            handed: Cell::new(0),
            resumes: Cell::new(false),
            flushed: Cell::new(true),
            resting: Cell::new(false),
            running: Cell::new(0),
            order: Cell::new(Order::Serve),
            is_http2: Cell::new(false),
            waker: RefCell::default(),
            stream: RefCell::default(),
        }
    }

    pub(super) fn order(&self, order: Order) {
        self.order.set(order);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    pub(super) fn looks_at(&self, stream: &Rc<RefCell<Stream>>) {
        *self.stream.borrow_mut() = Rc::downgrade(stream);
    }

    /// Who has taken the connection over sees for himself whether the peer has ended, or only its half.
    pub(super) fn looks_away(&self) {
        *self.stream.borrow_mut() = Weak::new();
    }

    /// Whether the peer has left a request that runs. hyper sees it only while it reads, and it does not read on before the service has
    /// taken what came of the body.
    pub(super) fn is_deserted(&self) -> bool {
        if self.phase.get() != Phase::Busy || self.is_http2.get() {
            return false;
        }
        let Some(stream) = self.stream.borrow().upgrade() else { return false };
        let readiness = stream.borrow().socket().ready(Interest::READABLE).now_or_never();
        readiness.is_some_and(|ready| ready.is_ok_and(|ready| ready.is_read_closed()))
    }

    pub(super) fn ordered(&self) -> Order {
        self.order.get()
    }

    /// Whether an answer is on its way that would look cut, or worse whole, if the connection ended now.
    pub(super) fn is_answering(&self) -> bool {
        self.phase.get() == Phase::Busy || self.blocked.get().is_some()
    }

    /// An answer's body begins.
    pub(super) fn answers(&self) {
        self.handed.set(self.written.get());
    }

    /// So much of it goes to hyper.
    pub(super) fn hands(&self, bytes: usize) {
        self.handed.set(self.handed.get() + bytes as u64);
    }

    /// Whether the answer's body has to wait until its peer has taken something of what was handed out; then it is woken. hyper would go on to
    /// fill its buffer for a peer that takes nothing. With HTTP/2 each stream has a window of its own for that.
    pub(super) fn holds_back(&self) -> bool {
        let is_ahead = self.handed.get().saturating_sub(self.written.get()) >= AHEAD_MAX;
        let holds = !self.is_http2.get() && (is_ahead || self.blocked.get().is_some());
        self.resumes.set(holds);
        holds
    }

    pub(super) fn is_http2(&self) -> bool {
        self.is_http2.get()
    }

    /// Orders wake this task from now on.
    pub(super) fn watch(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        match waker.as_mut() {
            Some(known) => known.clone_from(cx.waker()),
            None => *waker = Some(cx.waker().clone()),
        }
    }

    /// Runs `work` until the connection is to be cut.
    pub(super) async fn until_cut<T>(&self, work: impl Future<Output = T>) -> io::Result<T> {
        let mut work = pin!(work);
        poll_fn(|cx| {
            self.watch(cx);
            if self.order.get() == Order::Cut {
                return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
            }
            work.as_mut().poll(cx).map(Ok)
        })
        .await
    }

    /// From here on streams come and go, and bytes between them are no head that must end.
    pub(super) fn speaks_http2(&self, tick: u64) {
        self.is_http2.set(true);
        self.enter(Phase::Idle, tick);
    }

    pub(super) fn is_overdue(&self, now: u64, patience: Patience) -> bool {
        let past = |since: u64, limit: u64| now.saturating_sub(since) > limit;
        let stuck = self.blocked.get().is_some_and(|since| past(since, patience.write));
        stuck
            || match self.phase.get() {
                Phase::Idle => past(self.since.get(), patience.idle),
                Phase::Head => past(self.since.get(), patience.head),
                Phase::Busy => false,
            }
    }

    /// Whether it has been between two requests since before `tick`.
    pub(super) fn is_idle_since_before(&self, tick: u64) -> bool {
        self.phase.get() == Phase::Idle && self.since.get() < tick
    }

    /// The peer took so many bytes, or none yet of what is to be written.
    pub(super) fn wrote(&self, tick: u64, taken: Option<usize>) {
        self.since.set(tick);
        match taken {
            Some(bytes) => {
                self.written.set(self.written.get() + bytes as u64);
                self.blocked.set(None);
                if self.resumes.take() {
                    self.wake();
                }
            }
            None if self.blocked.get().is_none() => self.blocked.set(Some(tick)),
            None => {}
        }
    }

    pub(super) fn flushed(&self, all: bool) {
        self.flushed.set(all);
    }

    /// Whether what is kept for it may go, since it has been idle from before `tick` on.
    pub(super) fn may_rest(&self, tick: u64) -> bool {
        !self.is_http2.get() && !self.resting.get() && self.flushed.get() && self.blocked.get().is_none() && self.is_idle_since_before(tick)
    }

    /// Wakes its task.
    pub(super) fn nudge(&self) {
        self.wake();
    }

    /// Waits until something comes, be it the end; or answers by the order that came first.
    pub(super) async fn rest(&self) -> Order {
        self.resting.set(true);
        let order = poll_fn(|cx| {
            self.watch(cx);
            let readable = self.stream.borrow().upgrade().is_none_or(|stream| stream.borrow().socket().poll_read_ready(cx).is_ready());
            match self.order.get() {
                Order::Serve if !readable => Poll::Pending,
                order => Poll::Ready(order),
            }
        });
        let order = order.await;
        self.resting.set(false);
        order
    }

    /// Bytes came.
    pub(super) fn read(&self, tick: u64) {
        if self.phase.get() == Phase::Idle && !self.is_http2.get() {
            self.enter(Phase::Head, tick);
        }
    }

    fn enter(&self, phase: Phase, tick: u64) {
        self.phase.set(phase);
        self.since.set(tick);
    }
}

/// Marks a connection busy while a request runs.
pub(super) struct Busy {
    line: Rc<Line>,
    server: Rc<Server>,
}

impl Busy {
    pub(super) fn new(line: Rc<Line>, server: Rc<Server>) -> Self {
        line.running.set(line.running.get() + 1);
        line.enter(Phase::Busy, server.tick.get());
        Busy { line, server }
    }

    /// The line of its connection.
    pub(super) fn line(&self) -> &Line {
        &self.line
    }

    /// Whether the answer ends its connection.
    pub(super) fn is_last(&self) -> bool {
        self.server.is_closing()
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let running = self.line.running.get() - 1;
        self.line.running.set(running);
        if running == 0 {
            self.line.enter(Phase::Idle, self.server.tick.get());
        }
        // Whoever waits for the connection to be free looks again.
        self.line.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_body_waits_while_its_peer_takes_nothing_and_is_woken_once_it_does() {
        let (line, woken) = (Line::new(0), Arc::new(Woken::default()));
        line.watch(&Context::from_waker(&Waker::from(woken.clone())));
        assert!(!line.holds_back());
        line.wrote(1, None);
        line.wrote(1, Some(1));
        assert_eq!(woken.0.load(Ordering::SeqCst), 0, "nobody waited");
        line.wrote(2, None);
        assert!(line.holds_back());
        line.wrote(3, Some(1));
        line.wrote(3, Some(1));
        assert_eq!(woken.0.load(Ordering::SeqCst), 1);
        assert!(!line.holds_back());
    }

    #[test]
    fn a_body_is_never_far_ahead_of_its_peer() {
        let line = Line::new(0);
        line.wrote(1, Some(500));
        line.answers();
        line.hands(65_535);
        assert!(!line.holds_back());
        line.hands(1);
        assert!(line.holds_back());
        line.wrote(2, Some(1));
        assert!(!line.holds_back());
    }

    #[test]
    fn streams_of_http2_do_not_wait_for_each_other() {
        let line = Line::new(0);
        line.speaks_http2(0);
        line.wrote(1, None);
        assert!(!line.holds_back());
    }
}
