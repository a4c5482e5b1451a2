//! A connection to a dyno that speaks HTTP: for one request, or, where the app allows it, for one after the other.
//!
//! Its driver runs on the data thread that made it; requests may be sent over it from any thread. Dropped, it is closed at once, and the
//! dyno is told before the drop is over: whoever opens a fresh connection next does not open one too many.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use dynomesh_core::app::DynoProtocol;
use dynomesh_core::http1;
use dynomesh_core::time::Time;
use dynomesh_runtime::http::strict::Strict;
use dynomesh_runtime::http::tunnel::{Rewound, Tunnel};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, Uri, header};
use hyper::body::Incoming;
use hyper::client::conn::{self as client, TrySendError};
use hyper_util::rt::TokioIo;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tracing::debug;

use super::body::RequestBody;
use super::closing::Closing;
use super::host::{Guest, Host};
use super::line::Line;
use super::socket::Socket;

/// Bytes buffered per connection and direction.
const BUFFER_MAX: usize = 64 * 1024;
/// Bytes of a response that an HTTP/2 dyno may send ahead of its reader.
const WINDOW: u32 = 256 * 1024;
/// The least a message of gRPC is long: what comes before it on the wire.
const MESSAGE_MIN: u32 = 5;
/// What a small frame counts for in the library's budget until it is read, less its own length.
const SMALL_FRAME: u32 = 256;
/// The same for its connection, which has one request at a time: `WINDOW` is what counts. But the library bounds by half of this what it allows for
/// small frames, and breaks the connection beyond. A dyno that answers in the smallest messages of gRPC may fill its window with them; that their
/// lengths are not taken off leaves room for a thousand pieces of messages that the end of a window has cut in two.
const CONNECTION_WINDOW: u32 = 2 * (WINDOW / MESSAGE_MIN) * SMALL_FRAME;

/// See the module. Small, since it travels with its slot.
pub(crate) struct Link(Box<Wired>);

struct Wired {
    line: Arc<Line>,
    sender: Sender,
    driver: AbortHandle,
    /// What is left of the connection when HTTP/1.1 has let go of it in order.
    after: Option<oneshot::Receiver<(Bytes, Socket)>>,
    host: Host,
    /// While a request of another thread uses it.
    guest: Option<Guest>,
    /// Whether it has served a request.
    used: bool,
    /// Since when it is idle.
    since: Time,
}

enum Sender {
    Http1(client::http1::SendRequest<RequestBody>),
    Http2(client::http2::SendRequest<RequestBody>),
}

/// Whether a link may take another request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freedom {
    Free,
    /// Its driver has still to see that the last one is over.
    Soon,
    /// It is closed, is to be closed, or a request's rest stands in the way.
    Never,
}

// === impl Link ===

impl Link {
    /// Speaks HTTP over a fresh connection. With HTTP/2 that writes the first bytes, so a request must have begun on the line.
    pub(super) async fn shake(line: Arc<Line>, host: Host, now: Time) -> hyper::Result<Link> {
        let (sender, driver, after) = match line.protocol() {
            DynoProtocol::Http1 => {
                let io = TokioIo::new(Strict::client(Socket::new(line.clone()), http1::Limits::default()));
                let (sender, connection) = client::http1::Builder::new().max_buf_size(BUFFER_MAX).handshake(io).await?;
                let (over, after) = oneshot::channel();
                let driver = tokio::task::spawn_local(async move {
                    match connection.without_shutdown().await {
                        Ok(parts) => drop(over.send((parts.read_buf, parts.io.into_inner().into_inner()))),
                        Err(error) => debug!(%error, "dyno connection ended"),
                    }
                });
                (Sender::Http1(sender), driver.abort_handle(), Some(after))
            }
            DynoProtocol::Http2 => {
                let io = TokioIo::new(Socket::new(line.clone()));
                let mut builder = client::http2::Builder::new(Local);
                builder.initial_stream_window_size(WINDOW).initial_connection_window_size(CONNECTION_WINDOW).max_send_buf_size(BUFFER_MAX);
                let (sender, connection) = builder.handshake(io).await?;
                let driver = tokio::task::spawn_local(async move {
                    if let Err(error) = connection.await {
                        debug!(%error, "dyno connection ended");
                    }
                });
                (Sender::Http2(sender), driver.abort_handle(), None)
            }
        };
        Ok(Link(Box::new(Wired { line, sender, driver, after, host, guest: None, used: false, since: now })))
    }

    pub(super) fn line(&self) -> &Arc<Line> {
        &self.0.line
    }

    pub(super) fn driver(&self) -> AbortHandle {
        self.0.driver.clone()
    }

    /// Sends a request that has begun on the line.
    pub(super) async fn send(&mut self, request: Request<RequestBody>) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
        self.0.used = true;
        match &mut self.0.sender {
            Sender::Http1(sender) => sender.try_send_request(request).await,
            Sender::Http2(sender) => sender.try_send_request(for_http2(request)).await,
        }
    }

    pub(crate) fn freedom(&self) -> Freedom {
        let (is_closed, is_ready) = match &self.0.sender {
            Sender::Http1(sender) => (sender.is_closed(), sender.is_ready() || !self.0.used),
            Sender::Http2(sender) => (sender.is_closed(), true),
        };
        match self.0.line.has_sent() || !self.0.used {
            true if is_closed => Freedom::Never,
            true if is_ready => Freedom::Free,
            true => Freedom::Soon,
            false => Freedom::Never,
        }
    }

    /// Waits until its driver has seen the end of the last request.
    pub(crate) async fn settled(&mut self) {
        // What came of it is for `freedom` to say.
        let _ = match &mut self.0.sender {
            Sender::Http1(sender) => sender.ready().await,
            Sender::Http2(sender) => sender.ready().await,
        };
    }

    /// Whether an idle one is still good: its driver knows of no end and the kernel of nothing that came (P26).
    pub(crate) fn is_good(&self) -> bool {
        self.freedom() == Freedom::Free && self.0.line.is_quiet()
    }

    /// Since when it is idle.
    pub(crate) fn since(&self) -> Time {
        self.0.since
    }

    /// Nobody uses it from `now` on.
    pub(crate) fn rest(&mut self, now: Time) {
        self.0.line.rest();
        self.0.guest = None;
        self.0.since = now;
    }

    /// A request of the thread `by` uses it.
    pub(super) fn visit(&mut self, by: &Host) {
        if !by.is(&self.0.host) {
            self.0.guest = Some(Guest::new(self.0.host.clone()));
        }
    }

    /// The connection itself, once the dyno has switched protocols.
    pub(crate) async fn into_tunnel(mut self) -> io::Result<Tunnel> {
        let gone = || io::Error::other("the dyno's connection broke before it was handed over");
        let (early, mut socket) = self.0.after.take().ok_or_else(gone)?.await.map_err(|_| gone())?;
        socket.switch();
        Ok(Box::new(Rewound::new(early, Closing::new(socket, self))))
    }
}

impl Drop for Wired {
    fn drop(&mut self) {
        self.line.close();
        self.driver.abort();
    }
}

/// A request as HTTP/2 wants it: the host goes into the target.
fn for_http2(mut request: Request<RequestBody>) -> Request<RequestBody> {
    let host = request.headers_mut().remove(header::HOST);
    let authority = host.and_then(|host| Authority::try_from(host.as_bytes()).ok()).unwrap_or_else(|| Authority::from_static("localhost"));
    let mut target = http::uri::Parts::default();
    target.scheme = Some(Scheme::HTTP);
    target.authority = Some(authority);
    target.path_and_query = Some(request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/")));
    if let Ok(uri) = Uri::from_parts(target) {
        *request.uri_mut() = uri;
    }
    *request.version_mut() = http::Version::HTTP_2;
    request
}

/// Runs what hyper starts for HTTP/2 on this thread.
#[derive(Clone)]
struct Local;

impl<F: Future + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, task: F) {
        tokio::task::spawn_local(task);
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::task::LocalSet;

    use super::super::gate::Gate;
    use super::*;

    const DATA: u8 = 0;
    const HEADERS: u8 = 1;
    const SETTINGS: u8 = 4;
    const PING: u8 = 6;
    const ACK: u8 = 1;
    const END_STREAM: u8 = 1;
    const END_HEADERS: u8 = 4;
    /// `:status: 200` (RFC 7541, appendix A).
    const STATUS_200: u8 = 0x88;
    /// As many as fit the window of a response.
    const MESSAGES: u32 = WINDOW / MESSAGE_MIN;

    /// A frame of HTTP/2 (RFC 9113, section 4.1).
    fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        let head = [0, 0, u8::try_from(payload.len()).unwrap(), kind, flags, 0, 0, 0, stream];
        [&head[..], payload].concat()
    }

    /// A dyno whose response fills its window with the smallest messages. It tells when they all have come, and ends the response when told.
    async fn in_small_messages(listener: TcpListener, came: oneshot::Sender<()>, end: oneshot::Receiver<()>) -> io::Result<()> {
        let (mut stream, _) = listener.accept().await?;
        let message = frame(DATA, 0, 1, &[0; MESSAGE_MIN as usize]);
        let all = [
            frame(SETTINGS, 0, 0, &[]),
            frame(SETTINGS, ACK, 0, &[]),
            frame(HEADERS, END_HEADERS, 1, &[STATUS_200]),
            message.repeat(MESSAGES as usize),
            // The piece of the next one that still fits.
            frame(DATA, 0, 1, &[0; (WINDOW % MESSAGE_MIN) as usize]),
            // Answered when all before it has been taken.
            frame(PING, 0, 0, &[0; 8]),
        ];
        // The request first.
        stream.read_exact(&mut [0; 24]).await?;
        let next = async |stream: &mut TcpStream| -> io::Result<(u8, u8)> {
            let mut head = [0; 9];
            stream.read_exact(&mut head).await?;
            let payload = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            stream.read_exact(&mut vec![0; payload as usize]).await?;
            Ok((head[3], head[4]))
        };
        while next(&mut stream).await?.0 != HEADERS {}
        stream.write_all(&all.concat()).await?;
        while next(&mut stream).await? != (PING, ACK) {}
        let _ = came.send(());
        let _ = end.await;
        stream.write_all(&frame(DATA, END_STREAM, 1, &[])).await?;
        while next(&mut stream).await.is_ok() {}
        Ok(())
    }

    /// Fails when the library's bound for small frames is below what the window lets a dyno send.
    #[tokio::test]
    async fn a_dyno_may_fill_its_window_with_the_smallest_messages_before_any_is_read() {
        let run = async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let line = Line::over(TcpStream::connect(listener.local_addr().unwrap()).await.unwrap(), DynoProtocol::Http2).unwrap();
            let (came, have_come) = oneshot::channel();
            let (end, ends) = oneshot::channel();
            tokio::task::spawn_local(in_small_messages(listener, came, ends));
            line.begin(Gate::opened(), false);
            let mut link = Link::shake(line, Host::default(), Time::ZERO).await.unwrap();
            let response = link.send(Request::new(RequestBody::none())).await.map_err(TrySendError::into_error).unwrap();
            have_come.await.expect("the dyno is cut off before it has filled its window");
            end.send(()).unwrap();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body.len(), WINDOW as usize);
        };
        LocalSet::new().run_until(run).await;
    }
}
