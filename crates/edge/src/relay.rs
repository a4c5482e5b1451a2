//! A response's body on its way to the client.
//!
//! Nothing is buffered: a frame is read from the block when the client's connection wants one. What breaks off above is an error
//! here, by which the client's connection is reset; it is never passed on as an end (P27).
//!
//! Trailers go to every client that speaks HTTP/2, and to one that speaks HTTP/1.1 if it said `TE: trailers` and the answer's head
//! announced them: hyper drops the others.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use dynomesh_core::time::Span;
use dynomesh_runtime::http::client::ResponseBody;
use dynomesh_runtime::http::trailers;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::attempt::Withdrawing;
use crate::body::{AttemptBody, BoxError};
use crate::load::InFlight;
use crate::record::Record;

/// The body of any answer.
pub(crate) enum ReplyBody<B> {
    /// The edge's own.
    Own(Option<Bytes>),
    /// A dyno's.
    Relay(Box<Relay<B>>),
}

/// The body of a dyno's response.
pub(crate) struct Relay<B> {
    body: ResponseBody<AttemptBody<B>>,
    /// Dropped with the response: what the client has not sent by then is not wanted any more.
    _upload: Withdrawing,
    _in_flight: InFlight,
    record: Record,
    idle: Idle,
    ended: bool,
}

/// Finds a body that stands still. Only waiting for the block counts, not a client that does not read.
struct Idle {
    limit: Duration,
    /// Made when the body first makes us wait.
    sleep: Option<Pin<Box<Sleep>>>,
    /// Since when it makes us wait.
    since: Option<Instant>,
}

/// Nothing came from the block for too long.
#[derive(Debug, thiserror::Error)]
#[error("nothing came from the block for {0:?}")]
struct Stalled(Duration);

impl<B> Relay<B>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    /// Hands on `body`, and its account with it.
    pub(crate) fn new(body: ResponseBody<AttemptBody<B>>, upload: Withdrawing, in_flight: InFlight, record: Record, idle: Span) -> Self {
        let ended = body.is_end_stream();
        let idle = Idle { limit: idle.to_std(), sleep: None, since: None };
        Relay { body, _upload: upload, _in_flight: in_flight, record, idle, ended }
    }
}

impl Idle {
    /// Ready when nothing came for the limit. The timer is set once per limit, not once per frame.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let end = *self.since.get_or_insert_with(Instant::now) + self.limit;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(end)));
        loop {
            ready!(sleep.as_mut().poll(cx));
            if sleep.deadline() >= end {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(end);
        }
    }
}

impl<B> Body for Relay<B>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) else {
            ready!(this.idle.poll(cx));
            return Poll::Ready(Some(Err(Stalled(this.idle.limit).into())));
        };
        this.idle.since = None;
        let Some(frame) = frame else {
            this.ended = true;
            return Poll::Ready(None);
        };
        let frame = frame?;
        this.ended = this.body.is_end_stream();
        let frame = frame.map_data(|data| {
            this.record.sent(data.len());
            data
        });
        Poll::Ready(Some(Ok(trailers::unpack(frame))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for Relay<B> {
    fn drop(&mut self) {
        // hyper asks no more once it has the last byte, so this is where most responses end.
        if self.ended {
            self.record.complete();
        }
    }
}

impl<B> Body for ReplyBody<B>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            ReplyBody::Own(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            ReplyBody::Relay(relay) => Pin::new(&mut **relay).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            ReplyBody::Own(text) => text.is_none(),
            ReplyBody::Relay(relay) => relay.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            ReplyBody::Own(text) => SizeHint::with_exact(text.as_ref().map_or(0, Bytes::len) as u64),
            ReplyBody::Relay(relay) => relay.size_hint(),
        }
    }
}
