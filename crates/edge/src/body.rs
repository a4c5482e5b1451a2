//! A client's request body, kept so that it can be sent again or not be sent at all.
//!
//! The edge first gathers up to the replay limit, so that a slow client holds no slot. What fits is replayable for good; what does not
//! is streamed after the gathered prefix, with backpressure, and is replayable until the first frame beyond the prefix was taken.
//!
//! The body of a request that must not run twice is *withheld* (P22): an attempt hands hyper nothing, not even the end, until the
//! block says `100 Continue`, which it does only when it has granted a slot and is connected to the dyno. The [`Gate`] is the one
//! place that knows whether anything was handed out: [`Gate::withdraw`] answers it and makes sure that nothing follows, so an attempt
//! that is given up can not start afterwards.
//!
//! A client that says `Expect: 100-continue` is asked for its body by nobody but the dyno: nothing is gathered, and the first poll, upon
//! which hyper's server says `100 Continue` with HTTP/1.1, comes when the gate has opened. The dyno has seen the head by then, so such an attempt
//! counts as started from the beginning.
//!
//! A call of gRPC may be a conversation: its client may send nothing before it has heard from the dyno. So of its body only what is
//! there at once is gathered, and where nothing is, nothing is withheld: head and body go on as they come, and such an attempt counts as started too.
//!
//! Trailers are packed for the way to the block ([`trailers`]), which also takes out of them what only the mesh may say (P21).

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use futures::task::AtomicWaker;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::time::timeout;

use dynomesh_runtime::http::headers::Length;
use dynomesh_runtime::http::trailers;

use crate::arriving::Arriving;
use crate::reply::Fault;

/// What of a conversation comes within this of its head is as good as sent with it.
const AT_HAND: Duration = Duration::from_millis(5);

/// Why a request body could not be handed on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// The attempt was given up.
    #[error("the attempt was withdrawn")]
    Withdrawn,
    /// The client's body broke off.
    #[error("the client's request body broke off")]
    Client(#[source] Option<BoxError>),
    /// Nothing came from the client for too long.
    #[error("the client's request body stood still")]
    Silent,
}

impl BodyError {
    /// What the client is told.
    pub(crate) fn fault(&self) -> Fault {
        match self {
            BodyError::Silent => Fault::BodyLate,
            BodyError::Client(_) | BodyError::Withdrawn => Fault::BadBody,
        }
    }
}

/// Any error of a body.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A client's request body, shared by the attempts of its request, of which at most one draws from it at any time.
#[derive(Debug)]
pub(crate) struct Upload<B> {
    source: Rc<RefCell<Source<B>>>,
    length: Length,
    course: Course,
}

/// How a body goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Course {
    /// When the block asks for it, which it does before it says anything to a dyno.
    Withheld,
    /// When the dyno asks for it.
    Expected,
    /// As it comes.
    Talk,
}

#[derive(Debug)]
struct Source<B> {
    /// What was gathered; emptied once `rest` was drawn from.
    prefix: Vec<Bytes>,
    trailers: Option<HeaderMap>,
    /// What the client has still to send after `prefix`.
    rest: Option<Arriving<B>>,
    /// Whether a frame of `rest` was taken, so that the body cannot be sent from its start again.
    drawn: bool,
    /// How the client's body failed, if it did.
    broken: Option<Fault>,
}

/// One attempt's view of the body, for hyper to send.
#[derive(Debug)]
pub(crate) struct AttemptBody<B> {
    source: Rc<RefCell<Source<B>>>,
    gate: Arc<Gate>,
    length: Length,
    next: usize,
    ended: bool,
}

/// Holds one attempt's body back, and knows what of it was handed out.
#[derive(Debug)]
pub(crate) struct Gate {
    /// Whether the dyno sees the head before the gate opens.
    exposed: bool,
    state: AtomicU8,
    waker: AtomicWaker,
}

const HELD: u8 = 0;
const OPEN: u8 = 1;
const STARTED: u8 = 2;
const ENDED: u8 = 3;
const WITHDRAWN: u8 = 4;

// === impl Gate ===

impl Gate {
    fn new(withheld: bool, exposed: bool) -> Arc<Self> {
        Arc::new(Gate { exposed, state: AtomicU8::new(if withheld { HELD } else { OPEN }), waker: AtomicWaker::new() })
    }

    /// Lets the body go.
    pub(crate) fn open(&self) {
        if self.state.compare_exchange(HELD, OPEN, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            self.waker.wake();
        }
    }

    /// Gives the attempt up: nothing more is handed out. Returns whether a dyno can have begun with what was: with the head, a byte or the
    /// end.
    pub(crate) fn withdraw(&self) -> bool {
        let before = self.state.swap(WITHDRAWN, Ordering::AcqRel);
        self.waker.wake();
        self.exposed || matches!(before, STARTED | ENDED)
    }

    /// Whether a dyno can have begun with what was handed out.
    pub(crate) fn started(&self) -> bool {
        self.exposed || matches!(self.state.load(Ordering::Acquire), STARTED | ENDED)
    }

    /// Whether all of the body was handed out.
    #[cfg(test)]
    pub(crate) fn ended(&self) -> bool {
        self.state.load(Ordering::Acquire) == ENDED
    }

    /// Moves on to `state` if the body may be handed out now.
    fn advance(&self, state: u8) -> bool {
        let moved = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| match now {
            OPEN | STARTED => Some(state),
            _ => None,
        });
        moved.is_ok()
    }

    /// Ready when the body may go, or must not any more.
    fn poll_open(&self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        if self.state.load(Ordering::Acquire) == HELD {
            self.waker.register(cx.waker());
        }
        match self.state.load(Ordering::Acquire) {
            HELD => Poll::Pending,
            WITHDRAWN => Poll::Ready(Err(BodyError::Withdrawn)),
            _ => Poll::Ready(Ok(())),
        }
    }
}

// === impl Upload ===

impl<B> Upload<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    /// A body of which nothing is asked for yet; gives it back if there is nothing to ask for.
    pub(crate) fn expecting(body: Arriving<B>) -> Result<Self, Arriving<B>> {
        let length = length(&body, true);
        if length == Length::Known(0) {
            return Err(body);
        }
        let source = Source { prefix: Vec::new(), trailers: None, rest: Some(body), drawn: false, broken: None };
        Ok(Upload { source: Rc::new(RefCell::new(source)), length, course: Course::Expected })
    }

    /// Gathers the body's first `limit` bytes, or all of it if it ends before. `framed` tells a body of zero bytes from none at all. One
    /// that `talks` is not waited for.
    pub(crate) async fn gather(mut body: Arriving<B>, framed: bool, talks: bool, limit: usize) -> Result<Self, BodyError> {
        let mut length = length(&body, framed);
        let mut source = Source { prefix: Vec::new(), trailers: None, rest: None, drawn: false, broken: None };
        let mut gathered = 0;
        let mut tail = BytesMut::new();
        loop {
            if body.is_end_stream() {
                break;
            }
            if gathered >= limit {
                source.rest = Some(body);
                break;
            }
            let next = match (talks, gathered) {
                (false, _) => Some(body.frame().await),
                (true, 0) => timeout(AT_HAND, body.frame()).await.ok(),
                (true, _) => body.frame().now_or_never(),
            };
            let Some(next) = next else {
                source.rest = Some(body);
                break;
            };
            let Some(frame) = next else { break };
            match frame?.into_data() {
                Ok(data) => {
                    gathered += data.len();
                    push(&mut source.prefix, &mut tail, data);
                }
                Err(frame) => source.trailers = frame.into_trailers().ok(),
            }
        }
        if !tail.is_empty() {
            source.prefix.push(tail.freeze());
        }
        // With HTTP/2 a head need not say whether a body follows. Where none did, the dyno is not told of one.
        if !framed && gathered == 0 && source.rest.is_none() && source.trailers.is_none() {
            length = Length::None;
        }
        let course = if talks && gathered == 0 && source.rest.is_some() { Course::Talk } else { Course::Withheld };
        Ok(Upload { source: Rc::new(RefCell::new(source)), length, course })
    }

    /// How the body is delimited towards the dyno.
    pub(crate) fn length(&self) -> Length {
        self.length
    }

    /// How it goes on.
    pub(crate) fn course(&self) -> Course {
        self.course
    }

    /// Whether there is nothing to send but the end.
    pub(crate) fn empty(&self) -> bool {
        matches!(self.length, Length::None | Length::Known(0))
    }

    /// Whether it was the client that was waited for last.
    pub(crate) fn waits(&self) -> bool {
        self.source.borrow().rest.as_ref().is_some_and(Arriving::waits)
    }

    /// The names of its trailers, where they came with what was gathered.
    pub(crate) fn trailer_names(&self) -> Option<HeaderValue> {
        let source = self.source.borrow();
        let names: Vec<&str> = source.trailers.as_ref()?.keys().map(HeaderName::as_str).collect();
        HeaderValue::try_from(names.join(", ")).ok().filter(|names| !names.is_empty())
    }

    /// Whether the whole body can be sent once more.
    pub(crate) fn replayable(&self) -> bool {
        !self.source.borrow().drawn
    }

    /// How the client's body failed while an attempt drew from it, if it did.
    pub(crate) fn broken(&self) -> Option<Fault> {
        self.source.borrow().broken
    }

    /// The body for one more attempt. The caller has withdrawn the earlier ones.
    pub(crate) fn attempt(&self, withheld: bool) -> (AttemptBody<B>, Arc<Gate>) {
        let gate = Gate::new(withheld, self.course != Course::Withheld);
        let body = AttemptBody {
            source: self.source.clone(),
            gate: gate.clone(),
            length: self.length,
            next: 0,
            // With nothing to send and nothing to withhold the head is all there is.
            ended: self.empty() && !withheld,
        };
        if body.ended {
            gate.advance(ENDED);
        }
        (body, gate)
    }
}

/// How a body is delimited, before any of it was read.
fn length(body: &impl Body, framed: bool) -> Length {
    match (body.is_end_stream(), body.size_hint().exact()) {
        (true, _) if framed => Length::Known(0),
        (true, _) => Length::None,
        (false, Some(length)) => Length::Known(length),
        (false, None) => Length::Chunked,
    }
}

/// Keeps `data`. Small frames (a client that dribbles) are joined in `tail`, so that the cost of the buffer follows its bytes.
fn push(prefix: &mut Vec<Bytes>, tail: &mut BytesMut, data: Bytes) {
    if data.len() < 1024 && tail.len() < 16 * 1024 {
        tail.extend_from_slice(&data);
        return;
    }
    if !tail.is_empty() {
        prefix.push(tail.split().freeze());
    }
    prefix.push(data);
}

// === impl AttemptBody ===

impl<B> Body for AttemptBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        ready!(this.gate.poll_open(cx))?;
        let mut source = this.source.borrow_mut();
        if let Some(data) = source.prefix.get(this.next).cloned() {
            this.next += 1;
            let last = this.next == source.prefix.len() && source.rest.is_none() && source.trailers.is_none();
            return Poll::Ready(hand_out(&this.gate, &mut this.ended, Some(Frame::data(data)), last));
        }
        let Some(rest) = source.rest.as_mut() else {
            let trailers = source.trailers.clone().map(|trailers| trailers::pack(Frame::trailers(trailers)));
            return Poll::Ready(hand_out(&this.gate, &mut this.ended, trailers, true));
        };
        let frame = match ready!(Pin::new(rest).poll_frame(cx)).transpose() {
            Ok(frame) => frame,
            Err(error) => {
                source.broken = Some(error.fault());
                return Poll::Ready(Some(Err(error)));
            }
        };
        let last = frame.is_none() || source.rest.as_ref().is_some_and(Body::is_end_stream);
        if frame.is_some() {
            source.drawn = true;
            source.prefix = Vec::new();
            this.next = 0;
        } else {
            // It ended just at the limit: all of it is in the prefix.
            source.rest = None;
        }
        Poll::Ready(hand_out(&this.gate, &mut this.ended, frame.map(trailers::pack), last))
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        match self.length {
            Length::Known(length) if length > 0 && self.next == 0 => SizeHint::with_exact(length),
            Length::None | Length::Known(0) if self.ended => SizeHint::with_exact(0),
            _ => SizeHint::default(),
        }
    }
}

/// Hands `frame` to hyper unless the attempt was withdrawn meanwhile.
fn hand_out(gate: &Gate, ended: &mut bool, frame: Option<Frame<Bytes>>, last: bool) -> Option<Result<Frame<Bytes>, BodyError>> {
    if !gate.advance(if last { ENDED } else { STARTED }) {
        return Some(Err(BodyError::Withdrawn));
    }
    *ended = last;
    frame.map(Ok)
}

#[cfg(test)]
mod tests;
