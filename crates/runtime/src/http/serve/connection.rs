//! One served connection: what it is doing, how it is told to end, and how it ends.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HeaderValue};
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{BoxError, Server};

/// What a closed connection's peer may still send before the kernel's reset could destroy our last answer on its way.
const DISCARD_MAX: usize = 1 << 20;
/// How long that is waited for.
const DISCARD_SPAN: Duration = Duration::from_secs(1);

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Between two requests.
    Idle,
    /// Reading a head.
    Head,
    /// From the service's call to the end of its response's body.
    Busy,
}

/// What the server wants of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Serve,
    /// Close when the running request ends, at once if there is none.
    Finish,
    /// Close now.
    Cut,
}

/// What server and connection know of each other.
#[derive(Debug)]
pub(super) struct Line {
    phase: Cell<Phase>,
    /// Tick of the last change of phase or of the last write.
    since: Cell<u64>,
    order: Cell<Order>,
    waker: RefCell<Option<Waker>>,
}

impl Line {
    pub(super) fn new(tick: u64) -> Self {
        Line { phase: Cell::new(Phase::Head), since: Cell::new(tick), order: Cell::new(Order::Serve), waker: RefCell::default() }
    }

    pub(super) fn order(&self, order: Order) {
        self.order.set(order);
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    pub(super) fn is_overdue(&self, now: u64, head: u64, idle: u64) -> bool {
        let limit = match self.phase.get() {
            Phase::Idle => idle,
            Phase::Head => head,
            Phase::Busy => return false,
        };
        now.saturating_sub(self.since.get()) > limit
    }

    /// Whether it has been between two requests since before `tick`.
    pub(super) fn is_idle_since_before(&self, tick: u64) -> bool {
        self.phase.get() == Phase::Idle && self.since.get() < tick
    }

    fn enter(&self, phase: Phase, tick: u64) {
        self.phase.set(phase);
        self.since.set(tick);
    }
}

/// How a connection ended.
enum End {
    /// In order: the last answer is on its way.
    Clean,
    /// In the middle of an answer: it must not look whole.
    Broken,
    /// Outside of an answer, by our word.
    Cut,
}

pub(super) async fn run<S, F, B, E>(server: &Rc<Server>, line: Rc<Line>, stream: TcpStream, peer: SocketAddr, service: S)
where
    S: Fn(Request<Incoming>, SocketAddr) -> F + 'static,
    F: Future<Output = Result<Response<B>, E>> + 'static,
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
    E: Into<BoxError> + 'static,
{
    // Refused only where the connection is gone already.
    let _ = stream.set_nodelay(true);
    let io = TokioIo::new(Watched { stream, line: line.clone(), server: server.clone() });
    let answer = service_fn(|request: Request<Incoming>| {
        let busy = Busy::new(line.clone(), server.clone());
        let answer = service(request, peer);
        async move {
            let mut response = answer.await.map_err(Into::<BoxError>::into)?;
            if busy.server.is_closing() {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, BoxError>(response.map(|body| Tracked { body, _busy: busy }))
        }
    });
    let settings = &server.settings;
    let mut connection = Builder::new()
        .half_close(false)
        .auto_date_header(false)
        .max_header_size(settings.head_max)
        .max_buf_size(settings.buffer_max.max(settings.head_max).max(8192))
        .header_read_timeout(None)
        .serve_connection(io, answer);

    let mut told = false;
    let end = std::future::poll_fn(|cx| {
        *line.waker.borrow_mut() = Some(cx.waker().clone());
        match line.order.get() {
            Order::Cut if line.phase.get() == Phase::Busy => return Poll::Ready(End::Broken),
            Order::Cut => return Poll::Ready(End::Cut),
            Order::Finish if !told => {
                told = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
            Order::Finish | Order::Serve => {}
        }
        Poll::Ready(match ready!(Pin::new(&mut connection).poll(cx)) {
            // A failed service or body, or a body that ended early.
            Err(error) if error.is_user() || error.is_body_write_aborted() => End::Broken,
            Ok(()) | Err(_) => End::Clean,
        })
    });
    let end = end.await;
    let stream = connection.into_parts().io.into_inner().stream;
    match end {
        End::Clean => discard(stream).await,
        End::Broken => crate::net::reset(stream),
        End::Cut => drop(stream),
    }
}

/// Closes our half and reads what still comes: a socket closed over unread bytes sends a reset, and that overtakes our last answer.
async fn discard(mut stream: TcpStream) {
    let read_to_end = async {
        stream.shutdown().await?;
        let mut scrap = vec![0; 16 * 1024];
        let mut total = 0;
        while total < DISCARD_MAX {
            match stream.read(&mut scrap).await? {
                0 => break,
                read => total += read,
            }
        }
        io::Result::Ok(())
    };
    // Whatever happens here, the connection is over.
    let _ = timeout(DISCARD_SPAN, read_to_end).await;
}

/// Marks a connection busy while a request runs.
struct Busy {
    line: Rc<Line>,
    server: Rc<Server>,
}

impl Busy {
    fn new(line: Rc<Line>, server: Rc<Server>) -> Self {
        line.enter(Phase::Busy, server.tick.get());
        Busy { line, server }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.line.enter(Phase::Idle, self.server.tick.get());
    }
}

/// A response's body; the connection is busy until it is dropped.
struct Tracked<B> {
    body: B,
    _busy: Busy,
}

impl<B: Body<Data = Bytes> + Unpin> Body for Tracked<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The stream, with an eye on it.
struct Watched {
    stream: TcpStream,
    line: Rc<Line>,
    server: Rc<Server>,
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        if buf.filled().len() > before && self.line.phase.get() == Phase::Idle {
            self.line.enter(Phase::Head, self.server.tick.get());
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        // The tail of a large answer to a slow reader is written after its body has ended: that is not idleness.
        self.line.since.set(self.server.tick.get());
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.line.since.set(self.server.tick.get());
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
