//! A connection's stream, with an eye on it.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use dynomesh_core::http2::FloodWatch;
use dynomesh_core::time::Span;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tracing::debug;

use super::Server;
use super::line::{Line, Order};
use crate::net::Stream;

/// Tells the line what it reads and writes; begins with what was read before.
pub(super) struct Watched {
    early: Bytes,
    stream: Rc<RefCell<Stream>>,
    line: Rc<Line>,
    server: Rc<Server>,
    /// With HTTP/2: what the client sends, and the tick from which on it is counted.
    flood: Option<(FloodWatch, u64)>,
    /// After a switch of protocols nobody else looks at the line's orders.
    heeds: bool,
}

impl Watched {
    pub(super) fn new(early: Bytes, stream: Stream, line: Rc<Line>, server: Rc<Server>) -> Self {
        let stream = Rc::new(RefCell::new(stream));
        line.looks_at(&stream);
        Watched { early, stream, line, server, flood: None, heeds: false }
    }

    /// Counts frames from here on, and ends the connection of a client that sends too many of no use.
    pub(super) fn with_flood_watch(mut self) -> Self {
        self.flood = Some((FloodWatch::default(), self.server.tick.get()));
        self
    }

    /// As it is after a switch of protocols: with what hyper has read too much before the rest, and ended by the line's orders.
    pub(super) fn switched(mut self, early: Bytes) -> Self {
        self.early = early;
        self.line.looks_away();
        self.heeds = true;
        self
    }

    pub(super) fn into_stream(self) -> Stream {
        Rc::into_inner(self.stream).expect("the line looks at it for a moment only").into_inner()
    }

    fn heed(&self, cx: &Context<'_>) -> io::Result<()> {
        if self.heeds {
            self.line.watch(cx);
            if self.line.ordered() == Order::Cut {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
        }
        Ok(())
    }

    fn watch_flood(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (Some((flood, since)), Some(limits)) = (self.flood.as_mut(), &self.server.settings.http2) else { return Ok(()) };
        let now = self.server.tick.get();
        if now.saturating_sub(*since) >= self.server.ticks(Span::from_secs(1)) {
            *since = now;
            flood.take_idle_frames();
        }
        flood.note(bytes);
        if flood.is_out_of_order() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the preface is not followed by SETTINGS"));
        }
        if flood.idle_frames() > limits.idle_frames_max {
            debug!(frames = flood.idle_frames(), "connection closed: more HTTP/2 frames of no use within a second than are allowed");
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a flood of HTTP/2 frames"));
        }
        Ok(())
    }

    fn wrote(&self, taken: &Poll<io::Result<usize>>) {
        // The tail of a large answer to a slow reader is written after its body has ended: that is not idleness.
        let taken = match taken {
            Poll::Ready(taken) => Some(*taken.as_ref().unwrap_or(&0)),
            Poll::Pending => None,
        };
        self.line.wrote(self.server.tick.get(), taken);
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.heed(cx)?;
        let before = buf.filled().len();
        if !self.early.is_empty() {
            let taken = self.early.len().min(buf.remaining());
            buf.put_slice(&self.early.split_to(taken));
        } else {
            ready!(Pin::new(&mut *self.stream.borrow_mut()).poll_read(cx, buf))?;
            if buf.filled().len() == before {
                return Poll::Ready(Ok(()));
            }
        }
        self.watch_flood(&buf.filled()[before..])?;
        self.line.read(self.server.tick.get());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.heed(cx)?;
        let taken = Pin::new(&mut *self.stream.borrow_mut()).poll_write(cx, buf);
        self.wrote(&taken);
        taken
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.heed(cx)?;
        let taken = Pin::new(&mut *self.stream.borrow_mut()).poll_write_vectored(cx, bufs);
        self.wrote(&taken);
        taken
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.borrow().is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut *self.stream.borrow_mut()).poll_flush(cx);
        self.line.flushed(flushed.is_ready());
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream.borrow_mut()).poll_shutdown(cx)
    }
}
