//! The answers of the sample dyno, streamed and never gathered whole.
//!
//! The body of an answer carries the request's ticket and ends it before its last byte is handed over, or, when the length is not
//! known beforehand, before its end is.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::{Method, Response, StatusCode};

use super::content;
use super::tally::Stats;
use super::ticket::Ticket;

/// Size of a piece of asked-for content: large enough to be cheap, small enough that a slow reader is felt.
const PIECE_LEN: usize = 64 << 10;

/// The body of an answer.
pub(super) struct Reply {
    source: Source,
    ticket: Option<Ticket>,
}

pub(super) enum Source {
    /// A text that is at hand.
    Text(Bytes),
    /// Content that follows from its place, from `next` to `end`.
    Content { next: u64, end: u64 },
    /// The request's own body; `left` counts down its length where that is known.
    Echo { body: Incoming, left: Option<u64> },
}

impl Reply {
    /// An answer to the request of `ticket`. One that has no body on the wire ends the ticket at once.
    pub(super) fn response(status: StatusCode, method: &Method, source: Source, mut ticket: Ticket) -> Response<Reply> {
        ticket.answered(status);
        let bodiless = method == Method::HEAD || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
        let mut reply = Reply { source, ticket: Some(ticket) };
        if bodiless || reply.is_end_stream() {
            reply.end();
        }
        respond(status, reply)
    }

    fn text(text: String) -> Self {
        Reply { source: Source::Text(text.into()), ticket: None }
    }

    fn end(&mut self) {
        if let Some(mut ticket) = self.ticket.take() {
            ticket.done();
        }
    }
}

impl Source {
    /// Streams the request's body back.
    pub(super) fn echo(body: Incoming) -> Self {
        Source::Echo { left: body.size_hint().exact(), body }
    }
}

/// Why an answer stopped in the middle.
#[derive(Debug)]
pub(super) struct BodyError(hyper::Error);

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request body that was sent back ended early")
    }
}

impl std::error::Error for BodyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let reply = self.get_mut();
        let data = match &mut reply.source {
            Source::Text(text) => Some(std::mem::take(text)).filter(|text| !text.is_empty()),
            Source::Content { next, end } => {
                let len = PIECE_LEN.min(usize::try_from(*end - *next).unwrap_or(PIECE_LEN));
                let piece = content::piece(*next, len);
                *next += len as u64;
                Some(piece).filter(|piece| !piece.is_empty())
            }
            Source::Echo { body, left } => match ready!(Pin::new(body).poll_frame(cx)) {
                Some(Err(error)) => return Poll::Ready(Some(Err(BodyError(error)))),
                Some(Ok(frame)) => {
                    // Trailers carry nothing that is tested: an empty piece stands for them.
                    let data = frame.into_data().unwrap_or_default();
                    *left = left.map(|left| left.saturating_sub(data.len() as u64));
                    if let Some(ticket) = &mut reply.ticket {
                        ticket.receive(&data);
                    }
                    Some(data)
                }
                None => None,
            },
        };
        if let (Some(ticket), Some(data)) = (&mut reply.ticket, &data) {
            ticket.send(data);
        }
        if data.is_none() || reply.is_end_stream() {
            reply.end();
        }
        Poll::Ready(data.map(|data| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Text(text) => text.is_empty(),
            Source::Content { next, end } => next == end,
            Source::Echo { body, left } => *left == Some(0) || body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Text(text) => SizeHint::with_exact(text.len() as u64),
            Source::Content { next, end } => SizeHint::with_exact(end - next),
            Source::Echo { left: Some(left), .. } => SizeHint::with_exact(*left),
            Source::Echo { left: None, .. } => SizeHint::default(),
        }
    }
}

/// The counts as JSON.
pub(super) fn stats(stats: &Stats) -> Response<Reply> {
    let text = serde_json::to_string_pretty(stats).expect("counts are plain numbers and texts") + "\n";
    let mut response = respond(StatusCode::OK, Reply::text(text));
    response.headers_mut().insert("content-type", hyper::header::HeaderValue::from_static("application/json"));
    response
}

/// Tells the client what it asked wrongly.
pub(super) fn bad_request(problem: &str) -> Response<Reply> {
    respond(StatusCode::BAD_REQUEST, Reply::text(format!("{problem}\n")))
}

/// Tells the client what went wrong here.
pub(super) fn failed(problem: &str) -> Response<Reply> {
    respond(StatusCode::INTERNAL_SERVER_ERROR, Reply::text(format!("{problem}\n")))
}

fn respond(status: StatusCode, reply: Reply) -> Response<Reply> {
    let mut response = Response::new(reply);
    *response.status_mut() = status;
    response
}

/// Reads a body to its end and writes it down; `None` if it ended early.
pub(super) async fn drain(mut body: Incoming, ticket: &mut Ticket) -> Option<()> {
    while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        if let Some(data) = frame.ok()?.data_ref() {
            ticket.receive(data);
        }
    }
    Some(())
}
