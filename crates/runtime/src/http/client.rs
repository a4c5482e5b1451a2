//! Sends HTTP/1.1 requests over connections that are kept and used again, on one thread.
//!
//! The pool hands out the connection that was used last and takes it back when the response's body has been read to its end; a
//! response dropped before closes its connection, which tells the other side. The pool never retries: whether a request may be sent
//! again is decided in the core. But it says what that decision needs: a request of which no byte was written comes back whole.
//!
//! Nothing here is `Send`: run it on a [`crate::workers`] thread, one pool per thread.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use dynomesh_core::id::Address;
use dynomesh_core::time::{Span, Time};
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio::task::spawn_local;

use super::headers::TIER_FIELDS_MAX;
use super::serve::BoxError;
use super::tunnel::{Rewound, Tunnel};
use crate::clock::Clock;
use crate::net::Stream;
use crate::tls::ClientTls;

#[cfg(test)]
mod tests;

/// Largest number of bytes buffered per connection and direction; also bounds a response's head.
pub const BUFFER_MAX: usize = 64 * 1024;

/// Limits of a pool.
#[derive(Debug, Clone)]
pub struct PoolSettings {
    /// Time for a TCP connection to be made.
    pub connect_timeout: Span,
    /// Idle connections kept per address; more are closed when they come back.
    pub idle_max: usize,
    /// Time after which an idle connection is not used again and closed. Shorter than the server's own limit (P26).
    pub idle: Span,
    /// Speaks TLS; its handshake is part of the time to connect.
    pub tls: Option<ClientTls>,
}

impl Default for PoolSettings {
    fn default() -> Self {
        PoolSettings { connect_timeout: Span::from_secs(1), idle_max: 256, idle: Span::from_secs(30), tls: None }
    }
}

/// Why no connection was made. Nothing has been sent.
#[derive(Debug, thiserror::Error)]
#[error("connect to {address}")]
pub struct ConnectError {
    /// Where to.
    pub address: Address,
    /// What the system said.
    #[source]
    pub cause: io::Error,
}

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
#[error("no response{}", if *reused { " on a connection used before" } else { "" })]
pub struct SendError<B> {
    /// The request, where no byte of it was written.
    pub unsent: Option<Box<Request<B>>>,
    /// Whether the connection had served a request before: then the server may have closed it just as this one was written.
    pub reused: bool,
    /// What hyper said.
    #[source]
    pub cause: hyper::Error,
}

/// Connections of one thread by address. Cheap to clone; clones share. `B` is the type of the requests' bodies.
pub struct Pool<B>(Rc<Shared<B>>);

struct Shared<B> {
    settings: PoolSettings,
    clock: Clock,
    idle: RefCell<BTreeMap<Address, Vec<Idle<B>>>>,
}

struct Idle<B> {
    sender: SendRequest<B>,
    after: After,
    since: Time,
}

/// What is left of a connection when hyper has let go of it in order.
type After = oneshot::Receiver<Tunnel>;

/// One connection, for one request at a time.
pub struct Connection<B> {
    sender: SendRequest<B>,
    after: After,
    reused: bool,
    /// Where it goes back to; `None` for one that no pool knows.
    home: Option<(Weak<Shared<B>>, Address)>,
}

/// A response's body. Read to its end, it gives its connection back; dropped before, it closes it.
pub struct ResponseBody<B> {
    body: Incoming,
    connection: Option<Connection<B>>,
}

// === impl Pool ===

impl<B> Pool<B>
where
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<BoxError>,
{
    /// An empty pool, and a task on this thread that closes what has been idle too long; it ends with the pool.
    pub fn new(settings: PoolSettings, clock: Clock) -> Self {
        let shared = Rc::new(Shared { settings, clock, idle: RefCell::default() });
        let pause = shared.settings.idle.over(2).to_std().max(std::time::Duration::from_millis(10));
        let watched = Rc::downgrade(&shared);
        spawn_local(async move {
            loop {
                tokio::time::sleep(pause).await;
                let Some(shared) = watched.upgrade() else { return };
                shared.reap();
            }
        });
        Pool(shared)
    }

    /// The idle connection to `address` that was used last, if there is one that is open and not too old.
    pub fn take(&self, address: Address) -> Option<Connection<B>> {
        let oldest = self.0.oldest();
        let mut idle = self.0.idle.borrow_mut();
        let list = idle.get_mut(&address)?;
        while let Some(found) = list.pop() {
            // One that is not ready is closed, or still busy with the end of its last request: it is dropped, which closes it.
            if found.since >= oldest && found.sender.is_ready() {
                return Some(Connection {
                    sender: found.sender,
                    after: found.after,
                    reused: true,
                    home: Some((Rc::downgrade(&self.0), address)),
                });
            }
        }
        None
    }

    /// A new connection to `address`.
    pub async fn connect(&self, address: Address) -> Result<Connection<B>, ConnectError> {
        let refuse = |cause| ConnectError { address, cause };
        let settings = &self.0.settings;
        let began = self.0.clock.now();
        let stream = crate::net::connect(address, settings.connect_timeout).await.map_err(refuse)?;
        let stream = match &settings.tls {
            None => Stream::Plain(stream),
            Some(tls) => {
                let left = settings.connect_timeout - self.0.clock.now().since(began);
                let late = |_| io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake took too long");
                let shaken = tokio::time::timeout(left.to_std(), tls.connect(stream)).await.map_err(late);
                shaken.and_then(|shaken| shaken).map_err(refuse)?
            }
        };
        let made = Connection::over(stream).await.map_err(|error| refuse(io::Error::other(error)))?;
        Ok(Connection { home: Some((Rc::downgrade(&self.0), address)), ..made })
    }

    /// [`Pool::take`], else [`Pool::connect`].
    pub async fn get(&self, address: Address) -> Result<Connection<B>, ConnectError> {
        match self.take(address) {
            Some(connection) => Ok(connection),
            None => self.connect(address).await,
        }
    }

    /// Closes the idle connections to `address`, for example when nobody is there any more.
    pub fn forget(&self, address: Address) {
        self.0.idle.borrow_mut().remove(&address);
    }

    /// Idle connections, to all addresses.
    pub fn idle(&self) -> usize {
        self.0.idle.borrow().values().map(Vec::len).sum()
    }
}

impl<B> Clone for Pool<B> {
    fn clone(&self) -> Self {
        Pool(self.0.clone())
    }
}

impl<B> Shared<B> {
    /// Since when a connection may have been idle at the earliest.
    fn oldest(&self) -> Time {
        self.clock.now() - self.settings.idle
    }

    fn put(&self, address: Address, sender: SendRequest<B>, after: After) {
        let mut idle = self.idle.borrow_mut();
        let list = idle.entry(address).or_default();
        if list.len() < self.settings.idle_max {
            list.push(Idle { sender, after, since: self.clock.now() });
        }
    }

    fn reap(&self) {
        let oldest = self.oldest();
        self.idle.borrow_mut().retain(|_, list| {
            list.retain(|idle| idle.since >= oldest && !idle.sender.is_closed());
            !list.is_empty()
        });
    }
}

// === impl Connection ===

impl<B> Connection<B>
where
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<BoxError>,
{
    /// Speaks HTTP/1.1 over `io`, which may be anything that reads and writes. Nothing is sent yet; no pool gets it back.
    pub async fn over(io: impl AsyncRead + AsyncWrite + Unpin + 'static) -> hyper::Result<Self> {
        let (sender, driver) = Builder::new().max_buf_size(BUFFER_MAX).max_headers(TIER_FIELDS_MAX).handshake(TokioIo::new(io)).await?;
        let (over, after) = oneshot::channel();
        spawn_local(async move {
            // Whoever waits for a response is told; an idle connection that breaks is noticed when it is next looked at.
            if let Ok(parts) = driver.without_shutdown().await {
                let _ = over.send(Box::new(Rewound::new(parts.read_buf, parts.io.into_inner())) as Tunnel);
            }
        });
        Ok(Connection { sender, after, reused: false, home: None })
    }

    /// Whether it has served a request before.
    pub fn is_reused(&self) -> bool {
        self.reused
    }

    /// Whether the other side has closed it.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Sends a request and waits for the response's head. Dropped before that, it closes the connection.
    ///
    /// The request is written as it is: the caller sets `Host` and an origin-form target.
    pub async fn send(mut self, request: Request<B>) -> Result<Response<ResponseBody<B>>, SendError<B>> {
        let reused = self.reused;
        let response = self.sender.try_send_request(request).await.map_err(|mut error| SendError {
            unsent: error.take_message().map(Box::new),
            reused,
            cause: error.into_error(),
        })?;
        let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        Ok(response.map(|body| ResponseBody::new(body, self, switched)))
    }

    fn go_home(mut self) {
        self.reused = true;
        if let Some((home, address)) = self.home.take()
            && let Some(home) = home.upgrade()
            && !self.sender.is_closed()
        {
            home.put(address, self.sender, self.after);
        }
    }
}

// === impl ResponseBody ===

impl<B> ResponseBody<B>
where
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<BoxError>,
{
    fn new(body: Incoming, connection: Connection<B>, switched: bool) -> Self {
        let mut body = ResponseBody { body, connection: Some(connection) };
        if !switched {
            body.check_end();
        }
        body
    }

    /// The connection, after an answer of 101. Fails where it broke, or the answer was another.
    pub async fn into_tunnel(mut self) -> io::Result<Tunnel> {
        let connection = self.connection.take().ok_or_else(|| io::Error::other("the connection has gone back"))?;
        connection.after.await.map_err(|_| io::Error::other("the connection broke before it was handed over"))
    }

    fn check_end(&mut self) {
        if self.body.is_end_stream()
            && let Some(connection) = self.connection.take()
        {
            connection.go_home();
        }
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            None => {
                if let Some(connection) = self.connection.take() {
                    connection.go_home();
                }
            }
            Some(Ok(_)) => self.check_end(),
            Some(Err(_)) => self.connection = None,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
