//! Bodies on their way through the block: a request's towards the dyno, a response's towards the edge.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use dynomesh_core::app::DynoProtocol;
use dynomesh_core::balance::Outcome;
use dynomesh_core::time::Span;
use dynomesh_runtime::http::{headers, trailers};
use futures::task::AtomicWaker;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use super::line::Line;
use super::{Drain, drain, end};
use crate::grant::Claim;

/// Why a body ended before its end. The connection is then closed without a clean end (P27).
pub(crate) type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// Time a dyno has to say that it wants a body; without a word it gets it then (RFC 9110, section 10.1.1).
const WANTED_WAIT: Span = Span::from_secs(1);

/// A request's body: what was asked for first, to learn that it starts, then the rest.
pub(crate) struct RequestBody {
    first: Option<Frame<Bytes>>,
    rest: Option<Incoming>,
    length: Option<u64>,
    /// Bytes given so far.
    given: u64,
    /// What it waits for before it asks the edge for anything.
    wanted: Option<Wanted>,
    /// Told when its end has been taken.
    line: Option<Arc<Line>>,
}

/// A dyno's word that it wants the body, `100 Continue`.
#[derive(Clone, Default)]
pub(crate) struct Permission(Arc<Permitted>);

#[derive(Default)]
struct Permitted {
    given: AtomicBool,
    waker: AtomicWaker,
}

struct Wanted {
    permission: Permission,
    timer: Option<Pin<Box<Sleep>>>,
}

/// A response's body. While it streams it holds the slot of its dyno; its end frees it.
pub(crate) enum DynoBody {
    /// Words of the block's own.
    Whole(Option<Bytes>),
    /// A dyno's response.
    Streaming(Box<Streaming>),
}

/// See [`DynoBody::Streaming`].
pub(crate) struct Streaming {
    inner: Option<Incoming>,
    claim: Option<Claim>,
    drain: Drain,
    idle: Span,
    timer: Option<Pin<Box<Sleep>>>,
}

// === impl RequestBody ===

impl RequestBody {
    /// No body.
    pub(crate) fn none() -> Self {
        RequestBody { first: None, rest: None, length: Some(0), given: 0, wanted: None, line: None }
    }

    /// The frame read first, if any, and what follows it; `length` where it was told.
    pub(crate) fn new(first: Option<Frame<Bytes>>, rest: Incoming, length: Option<u64>) -> Self {
        RequestBody { first, rest: Some(rest), length, given: 0, wanted: None, line: None }
    }

    /// Asks for nothing before the dyno has said that it wants the body, or has said nothing for a while.
    pub(crate) fn when_wanted(self, permission: Permission) -> Self {
        RequestBody { wanted: Some(Wanted { permission, timer: None }), ..self }
    }

    /// The connection it goes over.
    pub(super) fn goes_over(&mut self, line: Arc<Line>) {
        self.line = Some(line);
    }

    /// All of it has been given. Where its length is known it is dropped then, and nobody asks for its end.
    fn ended(&mut self) {
        if let Some(line) = self.line.take() {
            line.note_sent();
        }
    }

    fn poll_wanted(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(wanted) = self.wanted.as_mut() {
            ready!(wanted.poll(cx));
            self.wanted = None;
        }
        Poll::Ready(())
    }
}

impl Wanted {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Permitted { given, waker } = &*self.permission.0;
        waker.register(cx.waker());
        if given.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        // The head is on its way when the body is first asked for.
        self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(WANTED_WAIT.to_std()))).as_mut().poll(cx)
    }
}

impl Permission {
    /// The dyno wants the body.
    pub(crate) fn give(&self) {
        self.0.given.store(true, Ordering::Release);
        self.0.waker.wake();
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        ready!(self.poll_wanted(cx));
        let frame = match (self.first.take(), self.rest.as_mut()) {
            (Some(frame), _) => Some(Ok(frame)),
            (None, Some(rest)) => ready!(Pin::new(rest).poll_frame(cx)),
            (None, None) => None,
        };
        Poll::Ready(match frame.map(|frame| frame.map(trailers::unpack)) {
            // Trailers are the last frame, and none are not told of.
            Some(Ok(frame)) if frame.is_trailers() => {
                self.ended();
                Some(Ok(frame)).filter(|frame| frame.as_ref().is_ok_and(|f| f.trailers_ref().is_some_and(|t| !t.is_empty())))
            }
            Some(Ok(frame)) => {
                self.given += frame.data_ref().map_or(0, |data| data.len() as u64);
                if self.length.is_some_and(|length| self.given >= length) || self.is_end_stream() {
                    self.ended();
                }
                Some(Ok(frame))
            }
            Some(Err(error)) => Some(Err(error.into())),
            None => {
                self.ended();
                None
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.as_ref().is_none_or(|rest| self.length == Some(0) || rest.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

// === impl DynoBody ===

impl DynoBody {
    pub(crate) fn whole(bytes: Bytes) -> Self {
        DynoBody::Whole(Some(bytes))
    }

    pub(crate) fn streaming(inner: Incoming, claim: Claim, drain: Drain, idle: Span) -> Self {
        DynoBody::Streaming(Box::new(Streaming { inner: Some(inner), claim: Some(claim), drain, idle, timer: None }))
    }
}

impl Streaming {
    fn end(&mut self, outcome: Outcome) {
        self.inner = None;
        let Some(claim) = self.claim.take() else { return };
        match outcome {
            Outcome::Done => self.drain.finish(claim),
            Outcome::Error => claim.end(outcome),
            Outcome::Unknown => {
                claim.pick.cut.cut();
                claim.end(outcome);
            }
        }
    }

    fn was_cut(&self) -> bool {
        self.claim.as_ref().is_some_and(|claim| claim.pick.cut.is_cut())
    }

    /// Whether a response of HTTP/2 whose frames are over was never said to end.
    fn is_broken_off(&self) -> bool {
        let is_http2 = self.claim.as_ref().is_some_and(|claim| claim.pick.manner.protocol == DynoProtocol::Http2);
        is_http2 && self.inner.as_ref().is_some_and(|inner| !inner.is_end_stream())
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(inner) = self.inner.as_mut() else { return Poll::Ready(None) };
        if let Poll::Ready(frame) = Pin::new(inner).poll_frame(cx) {
            self.timer = None;
            match frame {
                Some(Ok(mut frame)) => {
                    // A dyno must not speak for the block, in trailers neither (P21).
                    if let Some(trailers) = frame.trailers_mut() {
                        headers::strip_mesh(trailers);
                    }
                    return Poll::Ready(Some(Ok(trailers::pack(frame))));
                }
                Some(Err(error)) => {
                    let is_end = !self.was_cut() && end::is_of_the_dyno(&error);
                    self.end(if is_end { Outcome::Error } else { Outcome::Unknown });
                    return Poll::Ready(Some(Err(error.into())));
                }
                // The end of a connection that was cut may look like that of the response.
                None if self.was_cut() => {
                    self.end(Outcome::Unknown);
                    return Poll::Ready(Some(Err("the response was cut".into())));
                }
                // hyper takes a stream that was reset without an error for one that has ended.
                None if self.is_broken_off() => {
                    self.end(Outcome::Error);
                    return Poll::Ready(Some(Err("the dyno reset its response before the end".into())));
                }
                None => {
                    self.end(Outcome::Done);
                    return Poll::Ready(None);
                }
            }
        }
        let idle = self.idle.to_std();
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + idle)));
        ready!(timer.as_mut().poll(cx));
        self.end(Outcome::Unknown);
        Poll::Ready(Some(Err("the dyno's response stood still for too long".into())))
    }
}

impl Body for DynoBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut *self {
            DynoBody::Whole(bytes) => Poll::Ready(bytes.take().filter(|b| !b.is_empty()).map(|b| Ok(Frame::data(b)))),
            DynoBody::Streaming(streaming) => streaming.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            DynoBody::Whole(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            DynoBody::Streaming(streaming) => streaming.inner.as_ref().is_none_or(Body::is_end_stream),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            DynoBody::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            DynoBody::Streaming(streaming) => streaming.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint),
        }
    }
}

impl Drop for Streaming {
    /// The edge took all there was, or went away: what is left is read on for a moment, so that the slot's end is seen, unless the app
    /// has it cut.
    fn drop(&mut self) {
        match (self.inner.take(), self.claim.take()) {
            (Some(inner), Some(claim)) if inner.is_end_stream() => {
                drop(inner);
                self.drain.finish(claim);
            }
            (Some(_), Some(claim)) if drain::cuts(&claim) => drain::cut(claim),
            (Some(inner), Some(claim)) => self.drain.take(inner, claim),
            _ => {}
        }
    }
}
