//! Accepts HTTP/1.1 and HTTP/2 connections, plain or by TLS, on the current thread and answers their requests by a service.
//!
//! Nothing here is `Send`: run it on a [`crate::workers`] thread, once per thread. hyper parses and frames, over a
//! [`Strict`](super::strict::Strict) stream that keeps ambiguous HTTP/1.1 from it and whose refusals are answered here; what else it
//! lacks is here: an idle limit apart from the head's time limit, a limit on peers that do not read, a bound on connections, a reset
//! where a response broke off (P27), a close that does not destroy the last answer, a connection that a service takes over, and an
//! orderly stop.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dynomesh_core::http1::Violation;
use dynomesh_core::time::Span;
use futures::FutureExt;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::spawn_local;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::door::{Door, Inside};
use crate::shutdown::Shutdown;
use crate::tls::ServerTls;
use line::{Line, Order, Patience};

pub use peer::Peer;

mod connection;
mod farewell;
mod line;
mod peer;
mod spoken;
#[cfg(test)]
mod tests;
mod tracked;
mod watched;

/// What a service may fail with: the connection is then reset, since no true answer can be given on it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Pause after the system refused a connection for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What is kept for a connection to speak HTTP/1.1 goes after this long between two requests, and is made anew for the next: buffers of
/// 16 KB, for clients of whom a listener may have ten thousand.
const REST_AFTER: Span = Span::from_secs(1);

/// Longest step of coarse time, within which a peer that has left is noticed.
const TICK_MAX: Duration = Duration::from_millis(250);

/// Limits of a listener on one thread.
#[derive(Debug, Clone)]
pub struct ServeSettings {
    /// Time for a request's head, from its first byte, or from the connection's start, to its last.
    pub head_timeout: Span,
    /// Largest request head in bytes; a larger one is answered 431. At least 8192.
    pub head_max: usize,
    /// Most fields of a request's head; more are answered 431.
    pub fields_max: usize,
    /// Largest number of bytes buffered per connection and direction. At least `head_max`.
    pub buffer_max: usize,
    /// Open connections; past it new ones wait in the kernel's queue.
    pub connections_max: usize,
    /// Time after which a connection between two requests is closed. Longer than the client keeps idle connections, or it closes
    /// one that a request is just written to (P26).
    pub idle: Span,
    /// After the stop: time in which idle connections are still served, one request each, answered with `Connection: close`.
    pub linger: Span,
    /// After `linger`: time in which running requests may finish; then they are cut with a reset.
    pub finish: Span,
    /// Time in which a peer may take nothing of what is written to it; then its connection is cut.
    pub write_idle: Span,
    /// Speaks TLS. With it `http2` is a matter of ALPN.
    pub tls: Option<ServerTls>,
    /// Speaks HTTP/2 to who begins with it.
    pub http2: Option<Http2Settings>,
    /// Dates answers that have no date, as who forwards them must (RFC 9110, section 6.6.1).
    pub date: bool,
    /// Counts the connections, and says when their clients are asked to leave.
    pub door: Door,
    /// Hears of what clients sent that was no HTTP/1.1, to count it and to log it.
    pub refused: Option<Refused>,
}

/// Is told of a connection's refusal, by any thread.
#[derive(Clone)]
pub struct Refused(pub Arc<dyn Fn(SocketAddr, Violation) + Send + Sync>);

impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Refused")
    }
}

/// Limits of a connection that speaks HTTP/2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http2Settings {
    /// Requests at once.
    pub streams_max: u32,
    /// Bytes of one request's body that may be on their way or unread.
    pub stream_window: u32,
    /// The same for all requests of the connection.
    pub connection_window: u32,
    /// Frames within a second that carry nothing (see [`dynomesh_core::http2`]); past it the connection is closed.
    pub idle_frames_max: u32,
}

impl Default for Http2Settings {
    fn default() -> Self {
        Http2Settings { streams_max: 128, stream_window: 128 * 1024, connection_window: 1 << 20, idle_frames_max: 1_000 }
    }
}

impl Default for ServeSettings {
    fn default() -> Self {
        ServeSettings {
            head_timeout: Span::from_secs(10),
            head_max: 64 * 1024,
            fields_max: 100,
            buffer_max: 64 * 1024,
            connections_max: 10_000,
            idle: Span::from_secs(75),
            linger: Span::from_millis(300),
            finish: Span::from_secs(60),
            write_idle: Span::from_secs(55),
            tls: None,
            http2: None,
            date: false,
            door: Door::default(),
            refused: None,
        }
    }
}

/// Serves until `shutdown` is set and the orderly stop is over: the listener is closed at once, what runs is finished.
///
/// The service gets each request and its peer. With HTTP/1.1 it is called again on a connection only after its response's body has
/// ended or been dropped; with HTTP/2 up to [`Http2Settings::streams_max`] requests run at once. If it fails, or the body it returned does, the client sees a reset and never a clean end.
///
/// # Panics
/// Outside of a [`crate::workers::local_runtime`] or a `LocalSet`.
pub async fn serve<S, F, B, E>(listener: TcpListener, settings: ServeSettings, shutdown: Shutdown, service: S)
where
    S: Fn(Request<Incoming>, Peer) -> F + Clone + 'static,
    F: Future<Output = Result<Response<B>, E>> + 'static,
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
    E: Into<BoxError> + 'static,
{
    let server = Rc::new(Server::new(settings));
    let mut stop = pin!(shutdown.wait());
    let mut ticks = interval(server.tick_span);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = &mut stop => break,
            _ = ticks.tick() => server.tick(),
            () = server.ended.notified(), if server.is_full() => {}
            accepted = listener.accept(), if !server.is_full() => match accepted {
                Ok((stream, peer)) => server.open(stream, peer, service.clone()),
                Err(error) => server.refused(error).await,
            },
        }
    }
    // Who is in the kernel's queue has been connected as far as he knows: he is served, and told to close.
    server.closing.set(true);
    server.finish_http2();
    while let Some(Ok((stream, peer))) = listener.accept().now_or_never() {
        server.open(stream, peer, service.clone());
    }
    drop(listener);
    server.stop().await;
}

/// What the connections of one listener share.
struct Server {
    settings: ServeSettings,
    /// Coarse time: it costs nothing to read, and time limits of seconds need no more.
    tick: Cell<u64>,
    tick_span: Duration,
    closing: Cell<bool>,
    lines: RefCell<BTreeMap<u64, Rc<Line>>>,
    opened: Cell<u64>,
    ended: Notify,
}

impl Server {
    fn new(settings: ServeSettings) -> Self {
        let shortest = settings.head_timeout.min(settings.idle).min(settings.write_idle).to_std();
        Server {
            tick: Cell::new(0),
            tick_span: (shortest / 8).clamp(Duration::from_millis(5), TICK_MAX),
            closing: Cell::new(false),
            lines: RefCell::default(),
            opened: Cell::new(0),
            ended: Notify::new(),
            settings,
        }
    }

    /// A span in coarse time; never nothing.
    fn ticks(&self, span: Span) -> u64 {
        (span.as_nanos() / Span::from(self.tick_span).as_nanos()).max(1)
    }

    /// Whether answers end their connections.
    fn is_closing(&self) -> bool {
        self.closing.get() || self.settings.door.is_leaving()
    }

    fn is_full(&self) -> bool {
        self.lines.borrow().len() >= self.settings.connections_max
    }

    fn open<S, F, B, E>(self: &Rc<Self>, stream: TcpStream, peer: SocketAddr, service: S)
    where
        S: Fn(Request<Incoming>, Peer) -> F + Clone + 'static,
        F: Future<Output = Result<Response<B>, E>> + 'static,
        B: Body<Data = Bytes> + Unpin + 'static,
        B::Error: Into<BoxError>,
        E: Into<BoxError> + 'static,
    {
        let number = self.opened.get();
        self.opened.set(number + 1);
        let line = Rc::new(Line::new(self.tick.get()));
        self.lines.borrow_mut().insert(number, line.clone());
        let open = Open { server: self.clone(), number, _inside: self.settings.door.enter() };
        spawn_local(async move {
            connection::run(&open.server, line, stream, peer, service).await;
            drop(open);
        });
    }

    async fn refused(&self, error: io::Error) {
        // A client that left before it was accepted is no trouble of ours; all else will not be better at once.
        if error.kind() != io::ErrorKind::ConnectionAborted {
            tracing::warn!(%error, "cannot accept connections");
            sleep(ACCEPT_PAUSE).await;
        }
    }

    /// From when on a connection must have been idle to rest.
    fn rest_before(&self) -> u64 {
        self.tick.get().saturating_sub(self.ticks(REST_AFTER))
    }

    /// Moves coarse time on and cuts what is over its limit.
    fn tick(&self) {
        let now = self.tick.get() + 1;
        self.tick.set(now);
        let settings = &self.settings;
        let patience =
            Patience { head: self.ticks(settings.head_timeout), idle: self.ticks(settings.idle), write: self.ticks(settings.write_idle) };
        let leaving = self.settings.door.is_leaving();
        for line in self.lines.borrow().values() {
            if line.is_overdue(now, patience) || line.is_deserted() {
                line.order(Order::Cut);
            } else if leaving && (line.is_http2() || line.is_idle_since_before(now - 1)) {
                line.order(Order::Finish);
            } else if line.may_rest(self.rest_before()) {
                line.nudge();
            }
        }
    }

    /// HTTP/2 has a word for it: who hears it opens no more streams.
    fn finish_http2(&self) {
        for line in self.lines.borrow().values().filter(|line| line.is_http2()) {
            line.order(Order::Finish);
        }
    }

    async fn stop(&self) {
        if self.all_ended(self.settings.linger).await {
            return;
        }
        self.order_all(Order::Finish);
        if self.all_ended(self.settings.finish).await {
            return;
        }
        tracing::warn!(connections = self.lines.borrow().len(), "requests cut at the end of the time to finish");
        self.order_all(Order::Cut);
        self.all_ended(Span::from_secs(2)).await;
    }

    async fn all_ended(&self, limit: Span) -> bool {
        let empty = async {
            while !self.lines.borrow().is_empty() {
                self.ended.notified().await;
            }
        };
        timeout(limit.to_std(), empty).await.is_ok()
    }

    fn order_all(&self, order: Order) {
        for line in self.lines.borrow().values() {
            line.order(order);
        }
    }
}

/// Keeps a connection counted, however its task ends.
struct Open {
    server: Rc<Server>,
    number: u64,
    _inside: Inside,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.server.lines.borrow_mut().remove(&self.number);
        self.server.ended.notify_one();
    }
}
