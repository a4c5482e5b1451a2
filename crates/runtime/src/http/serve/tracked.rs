//! A response's body, by whose end its connection is free.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::line::Busy;
use crate::http::strict::Running;

/// A response's body; the connection is busy until it is dropped.
pub(super) struct Tracked<B> {
    pub(super) body: B,
    pub(super) _busy: Busy,
    /// With HTTP/1.1.
    pub(super) running: Option<Running>,
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
