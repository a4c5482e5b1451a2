//! A client's request body as it comes: how much of it has come, and whether it stands still.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use dynomesh_core::time::Span;
use http_body::{Body, Frame, SizeHint};

use crate::body::{BodyError, BoxError};
use crate::idle::Idle;

/// See the module.
#[derive(Debug)]
pub(crate) struct Arriving<B> {
    body: B,
    idle: Option<Idle>,
    came: Rc<Cell<u64>>,
    waits: bool,
    streamed: bool,
}

impl<B> Arriving<B> {
    /// A body that may be silent for `idle` if that is limited; what comes of it is counted in `came`.
    pub(crate) fn new(body: B, idle: Option<Span>, came: Rc<Cell<u64>>) -> Self {
        Arriving { body, idle: idle.map(Idle::new), came, waits: false, streamed: false }
    }

    /// Of HTTP/2 if `streamed`: where its stream did not say that it ends, it was cut. The library ends a body at a reset without an error,
    /// which is meant for answers that come early (RFC 9113, section 8.1).
    pub(crate) fn of_stream(self, streamed: bool) -> Self {
        Arriving { streamed, ..self }
    }

    /// Whether the client was waited for when the body was last asked for.
    pub(crate) fn waits(&self) -> bool {
        self.waits
    }
}

impl<B> Body for Arriving<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) else {
            this.waits = true;
            ready!(this.idle.as_mut().map_or(Poll::Pending, |idle| idle.poll(cx)));
            return Poll::Ready(Some(Err(BodyError::Silent)));
        };
        this.waits = false;
        if let Some(idle) = &mut this.idle {
            idle.moved();
        }
        if let Some(data) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()) {
            this.came.set(this.came.get() + data.len() as u64);
        }
        if frame.is_none() && this.streamed && !this.body.is_end_stream() {
            return Poll::Ready(Some(Err(BodyError::Client(None))));
        }
        Poll::Ready(frame.map(|frame| frame.map_err(|cause| BodyError::Client(Some(cause.into())))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
