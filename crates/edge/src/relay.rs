//! A response's body on its way to the client.
//!
//! Nothing is buffered: a frame is read from the block when the client's connection wants one. What breaks off above is an error
//! here, by which the client's connection is reset; it is never passed on as an end (P27).
//!
//! Trailers go to every client that speaks HTTP/2, and to one that speaks HTTP/1.1 if it said `TE: trailers` and the answer's head
//! announced them: hyper drops the others.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use dynomesh_core::time::Span;
use dynomesh_runtime::http::client::ResponseBody;
use dynomesh_runtime::http::trailers;
use http_body::{Body, Frame, SizeHint};

use crate::attempt::Withdrawing;
use crate::body::{AttemptBody, BoxError};
use crate::idle::Idle;
use crate::load::InFlight;
use crate::record::Record;
use crate::unread::{Running, Unread, Watch};

/// The body of any answer.
pub(crate) enum ReplyBody<B> {
    /// The edge's own.
    Own(Option<Bytes>),
    /// A dyno's.
    Relay(Rc<RefCell<Relay<B>>>),
}

/// The body of a dyno's response.
pub(crate) struct Relay<B> {
    /// Until its client has shown that it does not read.
    held: Option<Held<B>>,
    record: Record,
    idle: Idle,
    ended: bool,
    size: SizeHint,
    watch: Option<Watch>,
    /// The tick in which a frame was handed out that nobody has asked behind since.
    unread: Option<u64>,
}

/// What a response holds of its block and of its client's request.
struct Held<B> {
    body: ResponseBody<AttemptBody<B>>,
    /// Dropped with the response: what the client has not sent by then is not wanted any more.
    _upload: Withdrawing,
    _in_flight: InFlight,
}

/// Why a response broke off at the edge.
#[derive(Debug, thiserror::Error)]
enum Broken {
    /// See the message.
    #[error("nothing came from the block for too long")]
    Silent,
    /// See the message.
    #[error("the client did not read it")]
    Unread,
}

impl<B> Relay<B>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    /// Hands on `body`, and its account with it. Watched by `unread` where its connection may outlive a client that does not read.
    pub(crate) fn body(
        body: ResponseBody<AttemptBody<B>>,
        (upload, in_flight): (Withdrawing, InFlight),
        record: Record,
        idle: Span,
        unread: Option<&Rc<Unread>>,
    ) -> ReplyBody<B> {
        let (ended, size) = (body.is_end_stream(), body.size_hint());
        let held = Some(Held { body, _upload: upload, _in_flight: in_flight });
        let relay = Relay { held, record, idle: Idle::new(idle), ended, size, watch: None, unread: None };
        let relay = Rc::new(RefCell::new(relay));
        if let Some(unread) = unread.filter(|_| !ended) {
            let running: Rc<RefCell<dyn Running>> = relay.clone();
            relay.borrow_mut().watch = Some(unread.watch(Rc::downgrade(&running)));
        }
        ReplyBody::Relay(relay)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.unread = None;
        let Some(held) = &mut self.held else { return Poll::Ready(Some(Err(Broken::Unread.into()))) };
        let Poll::Ready(frame) = Pin::new(&mut held.body).poll_frame(cx) else {
            ready!(self.idle.poll(cx));
            return Poll::Ready(Some(Err(Broken::Silent.into())));
        };
        self.idle.moved();
        self.unread = self.watch.as_ref().map(Watch::tick);
        let Some(frame) = frame else {
            self.ended = true;
            return Poll::Ready(None);
        };
        let frame = frame?;
        self.ended = held.body.is_end_stream();
        self.record.sent(frame.data_ref().map_or(0, Bytes::len));
        Poll::Ready(Some(Ok(trailers::unpack(frame))))
    }
}

impl<B> Running for Relay<B> {
    fn unread_since(&self) -> Option<u64> {
        self.unread.filter(|_| self.held.is_some())
    }

    fn free(&mut self) {
        self.held = None;
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
            ReplyBody::Relay(relay) => relay.borrow_mut().poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            ReplyBody::Own(text) => text.is_none(),
            ReplyBody::Relay(relay) => relay.borrow().ended,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            ReplyBody::Own(text) => SizeHint::with_exact(text.as_ref().map_or(0, Bytes::len) as u64),
            ReplyBody::Relay(relay) => relay.borrow().size,
        }
    }
}
