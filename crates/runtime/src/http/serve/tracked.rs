//! A response's body, by whose end its connection is free.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::line::Busy;
use crate::http::strict::Running;

/// A response's body; the connection is busy until it is dropped.
pub(super) struct Tracked<B: Body> {
    pub(super) body: B,
    pub(super) busy: Busy,
    /// With HTTP/1.1.
    pub(super) running: Option<Running>,
    /// How it broke, told one turn later: by then hyper has written what it was given, the head above all. Otherwise an answer that breaks
    /// right behind its head would be none, and who asked might ask again.
    pub(super) broken: Option<Box<B::Error>>,
}

impl<B: Body<Data = Bytes> + Unpin> Body for Tracked<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if self.busy.line().holds_back() {
            return Poll::Pending;
        }
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Some(Err(*error)));
        }
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            Some(Err(error)) => {
                self.broken = Some(Box::new(error));
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            frame => frame,
        };
        let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
        self.busy.line().hands(data.map_or(0, Bytes::len));
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        // A body that has told its error may take itself for ended.
        self.broken.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
