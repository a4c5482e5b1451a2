//! A client's request as it is sent to blocks.
//!
//! The body of whatever must not run twice is withheld (P22): it goes out behind `Expect: 100-continue`, and always as a body that is
//! not known to be empty, since hyper's server does not wait with an empty one. How it is framed for the dyno travels beside it.

use std::sync::Arc;

use bytes::Bytes;
use dynomesh_core::dispatch::Class;
use dynomesh_core::id::Term;
use dynomesh_core::time::Time;
use dynomesh_runtime::http::headers::{self, Length};
use dynomesh_runtime::http::trailers;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, StatusCode, Uri};
use http_body::Body;

use crate::body::{AttemptBody, BoxError, Course, Gate, Upload};
use crate::routes::{App, Place};

/// The client's request as every attempt sends it.
pub(crate) struct Outgoing<B> {
    /// Its method.
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) target: Uri,
    /// Its headers, cleaned, with those that are the same for every attempt.
    pub(crate) headers: HeaderMap,
    /// What running it twice would mean.
    pub(crate) class: Class,
    /// Its body.
    pub(crate) upload: Upload<B>,
}

/// What differs from attempt to attempt.
pub(crate) struct Terms<'a> {
    /// The app.
    pub(crate) app: &'a App,
    /// Where.
    pub(crate) place: &'a Place,
    /// When the client must have its answer.
    pub(crate) deadline: Time,
    /// Attempts at dynos so far.
    pub(crate) dyno_attempts: u32,
    /// Whether the block must queue and not spill.
    pub(crate) must_queue: bool,
    /// The leader of the block that may have begun the request before it was lost.
    pub(crate) after: Option<Term>,
    /// Whether a further attempt could follow: else a silent block is waited for.
    pub(crate) more: bool,
}

impl<B> Outgoing<B>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    /// Whether the body, or the end, waits for the block's word.
    fn withheld(&self) -> bool {
        self.upload.course() != Course::Talk && (self.class != Class::Safe || !self.upload.empty())
    }

    /// Whether an attempt of which this much was let go may be left without knowing its end: where the block has another leader by now, that
    /// one will know.
    pub(crate) fn may_leave(&self, begun: bool, succeeded: bool) -> bool {
        let by_class = match self.class {
            Class::Safe => true,
            Class::Idempotent => succeeded && self.ends_are_known(),
            Class::Unsafe => false,
        };
        !begun || (by_class && self.upload.replayable())
    }

    /// Whether what was let go of it has begun at a dyno, and nothing else has: the block asks for it when it begins.
    pub(crate) fn ends_are_known(&self) -> bool {
        self.upload.course() == Course::Withheld
    }

    /// The request for one attempt, at the leader of `term`. If that is lost, and the request may run again behind it, the block is asked about
    /// that very term, so no other may begin it.
    pub(crate) fn request(&self, terms: &Terms<'_>, term: Term, now: Time) -> (Request<AttemptBody<B>>, Arc<Gate>) {
        let withheld = self.withheld();
        let (body, gate) = self.upload.attempt(withheld);
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.target.clone();
        let mut headers = self.headers.clone();
        headers.insert(headers::APP, terms.app.header.clone());
        headers.insert(headers::DEADLINE_MS, HeaderValue::from(now.until(terms.deadline).as_millis()));
        if terms.dyno_attempts > 0 {
            headers.insert(headers::DYNO_ATTEMPTS, HeaderValue::from(terms.dyno_attempts));
        }
        if terms.must_queue {
            headers.insert(headers::MUST_QUEUE, HeaderValue::from_static("1"));
        }
        if let Some(term) = terms.after {
            headers.insert(headers::AFTER, HeaderValue::from(term.0));
        }
        if self.class == Class::Idempotent && self.ends_are_known() {
            headers.insert(headers::TERM, HeaderValue::from(term.0));
        }
        if withheld {
            headers.insert(header::EXPECT, HeaderValue::from_static("100-continue"));
            headers.insert(headers::LENGTH, headers::value(self.upload.length()));
        }
        if self.upload.course() == Course::Expected {
            headers.insert(headers::EXPECTS, HeaderValue::from_static("1"));
        }
        if withheld || !self.upload.empty() {
            self.frame(&mut headers);
        }
        *request.headers_mut() = headers;
        if withheld {
            let opened = gate.clone();
            hyper::ext::on_informational(&mut request, move |interim| {
                if interim.status() == StatusCode::CONTINUE {
                    opened.open();
                }
            });
        }
        (request, gate)
    }

    /// Says how the body is delimited on the way to the block.
    fn frame(&self, headers: &mut HeaderMap) {
        match self.upload.length() {
            Length::Known(length) if length > 0 => headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length)),
            length => {
                if length == Length::Chunked {
                    // To a dyno with HTTP/1.1 go those that a head announces; where we know them already, it does.
                    if let Some(names) = self.upload.trailer_names().filter(|_| !headers.contains_key(header::TRAILER)) {
                        headers.insert(header::TRAILER, names);
                    }
                    trailers::announce(headers);
                }
                headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"))
            }
        };
    }
}
