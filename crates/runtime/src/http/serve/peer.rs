//! Who asks, over what, and how a service takes a connection over when protocols are switched.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use http::{HeaderValue, Method, Request};
use hyper::body::Incoming;
use hyper::ext::Protocol;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::sync::oneshot;

use super::line::Busy;
use crate::http::headers;
use crate::http::tunnel::Tunnel;

/// The connection a request came over.
#[derive(Clone)]
pub struct Peer {
    /// The client's address.
    pub address: SocketAddr,
    /// Where it connected to.
    pub local: SocketAddr,
    /// Whether it came by TLS.
    pub is_tls: bool,
    /// The client's IP address, ready to be sent.
    pub ip: HeaderValue,
    handover: Handover,
}

/// Where the connection goes after a switch.
#[derive(Clone)]
enum Handover {
    /// Set by the service, taken when hyper has let go of the connection.
    Whole(Rc<Wanted>),
    /// One stream of a connection that goes on, and is busy as long as the stream lives.
    Stream(OnUpgrade, Rc<dyn Fn() -> Busy>),
}

/// A service's wish to have the connection after its answer.
#[derive(Default)]
pub(super) struct Wanted(RefCell<Option<oneshot::Sender<Tunnel>>>);

impl Peer {
    pub(super) fn new(address: SocketAddr, local: SocketAddr, is_tls: bool, wanted: Rc<Wanted>) -> Self {
        Peer { address, local, is_tls, ip: headers::value(address.ip()), handover: Handover::Whole(wanted) }
    }

    /// For one request of the connection.
    pub(super) fn of(&self, request: &mut Request<Incoming>, busy: impl Fn() -> Busy + 'static) -> Self {
        if let Handover::Whole(wanted) = &self.handover {
            wanted.0.take();
        }
        let mut peer = self.clone();
        if request.method() == Method::CONNECT && request.extensions().get::<Protocol>().is_some() {
            peer.handover = Handover::Stream(hyper::upgrade::on(request), Rc::new(busy));
        }
        peer
    }

    /// The connection, or the stream of HTTP/2, once the service's answer has gone out: 101 with HTTP/1.1, 200 to an extended CONNECT
    /// (RFC 8441) with HTTP/2. Called before the answer is returned. Any other answer makes it fail.
    pub fn take_over(&self) -> impl Future<Output = io::Result<Tunnel>> + use<> {
        let whole = match &self.handover {
            Handover::Whole(wanted) => {
                let (sender, receiver) = oneshot::channel();
                wanted.0.replace(Some(sender));
                Ok(receiver)
            }
            Handover::Stream(stream, busy) => Err((stream.clone(), busy())),
        };
        async move {
            match whole {
                Ok(receiver) => receiver.await.map_err(|_| io::Error::other("the connection ended before it was handed over")),
                Err((stream, busy)) => Ok(Box::new(Handed::new(TokioIo::new(stream.await.map_err(io::Error::other)?), busy).0) as Tunnel),
            }
        }
    }
}

impl Wanted {
    pub(super) fn take(&self) -> Option<oneshot::Sender<Tunnel>> {
        self.0.take()
    }
}

/// Keeps its connection counted as busy for as long as it is in other hands.
pub(super) struct Handed<T> {
    inner: T,
    _busy: Busy,
    _end: oneshot::Sender<()>,
}

impl<T> Handed<T> {
    /// The receiver hears when `inner` has been dropped.
    pub(super) fn new(inner: T, busy: Busy) -> (Self, oneshot::Receiver<()>) {
        let (_end, ended) = oneshot::channel();
        (Handed { inner, _busy: busy, _end }, ended)
    }
}

mod io_of_handed {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

    use super::{Handed, io};

    impl<T: AsyncRead + Unpin> AsyncRead for Handed<T> {
        fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.inner).poll_read(cx, buf)
        }
    }

    impl<T: AsyncWrite + Unpin> AsyncWrite for Handed<T> {
        fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.inner).poll_write(cx, buf)
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.inner).poll_flush(cx)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.inner).poll_shutdown(cx)
        }
    }
}
