//! A request to send, with what it asks of a sample dyno.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use dynomesh_agent::demo::content;
use dynomesh_agent::demo::digest::Digest;
use dynomesh_core::time::Span;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request};

use super::DEADLINE;

/// What is asked until an app answers; such questions stand in no history.
pub const PROBE_PATH: &str = "/up";
/// Path of WebSockets. They are in no list of requests, and have no names.
pub const SOCKET_PATH: &str = "/socket";
/// Size of a piece of content on its way.
const PIECE_LEN: usize = 64 << 10;

/// Tells the requests of this process apart.
static ASKED: AtomicU64 = AtomicU64::new(1);

/// A request to send.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Its name, as the dyno writes it down; unique unless it was set.
    pub key: String,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) host: Option<String>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Content,
    pub(crate) deadline: Span,
    pub(crate) expects_content: bool,
    pub(crate) repeated_if_broken: bool,
    /// The name of the request that this one repeats.
    pub(crate) repeats: Option<String>,
    /// The edge that is asked last.
    pub(crate) avoid: Option<SocketAddr>,
}

/// How the end of a body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// By its length, told beforehand.
    Length,
    /// By a last chunk.
    Chunked,
}

/// The body of a request, streamed and counted.
#[derive(Debug)]
pub(crate) struct Sending {
    left: Content,
    sent: Sent,
}

/// What is left of a body.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    Text(Bytes),
    Known { next: u64, end: u64, framing: Framing },
}

/// What was handed over of a body so far. Clones are of the same body.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sent(Arc<Mutex<Digest>>);

// === impl Ask ===

impl Ask {
    /// A request without a body.
    pub fn new(method: Method, path: &str) -> Self {
        let key = format!("{}-{}", std::process::id(), ASKED.fetch_add(1, Ordering::Relaxed));
        let (headers, body) = (HeaderMap::new(), Content::Text(Bytes::new()));
        Ask {
            key,
            method,
            path: path.into(),
            host: None,
            headers,
            body,
            deadline: DEADLINE,
            expects_content: false,
            repeated_if_broken: false,
            repeats: None,
            avoid: None,
        }
    }

    /// A GET.
    pub fn get(path: &str) -> Self {
        Self::new(Method::GET, path)
    }

    /// A question whether the app answers yet; see [`PROBE_PATH`].
    pub fn probe() -> Self {
        Self::get(PROBE_PATH)
    }

    /// A POST with a short body.
    pub fn post(path: &str) -> Self {
        Self::new(Method::POST, path).body("a short body")
    }

    /// Has the dyno work for so long.
    pub fn service(self, service: Span) -> Self {
        self.header("x-demo-service-ms", &service.as_millis().to_string())
    }

    /// Has the dyno answer with so many bytes of known content, which is compared.
    pub fn content_back(mut self, len: u64) -> Self {
        self.expects_content = true;
        self.header("x-demo-bytes", &len.to_string())
    }

    /// Sends so many bytes of known content and has the dyno send them back, which is compared.
    pub fn echo(mut self, len: u64, framing: Framing) -> Self {
        self.body = Content::Known { next: 0, end: len, framing };
        self.expects_content = true;
        self.header("x-demo-echo", "1")
    }

    /// Sends this body.
    pub fn body(mut self, text: &str) -> Self {
        self.body = Content::Text(Bytes::copy_from_slice(text.as_bytes()));
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a header name");
        self.headers.append(name, HeaderValue::from_str(value).expect("a header value"));
        self
    }

    /// Asks for another host than its client does.
    pub fn host(mut self, host: &str) -> Self {
        self.host = Some(host.into());
        self
    }

    /// Waits for the answer at most so long.
    pub fn deadline(mut self, deadline: Span) -> Self {
        self.deadline = deadline;
        self
    }

    /// Has its client ask once more, under another name and at another edge, if its connection breaks before any of an answer has come: what browsers and libraries do by themselves with idempotent requests (RFC 9110, section 9.2.2).
    pub fn repeated_if_broken(mut self) -> Self {
        self.repeated_if_broken = true;
        self
    }

    /// The same once more, under a name of its own, and not at this edge if there is another.
    pub(crate) fn again(self, avoid: Option<SocketAddr>) -> Self {
        let (key, repeats) = (format!("{}-again", self.key), Some(self.key));
        Ask { key, repeats, avoid, repeated_if_broken: false, ..self }
    }

    /// The request on the wire; what is handed over of its body is told in `sent`.
    pub(crate) fn request(&self, host: &str, sent: Sent) -> Request<Sending> {
        let host = self.host.as_deref().unwrap_or(host);
        let mut request = Request::new(Sending { left: self.body.clone(), sent });
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.path.parse().expect("a path");
        let headers = request.headers_mut();
        headers.insert("host", HeaderValue::from_str(host).expect("a host"));
        headers.insert("x-demo-key", HeaderValue::from_str(&self.key).expect("a key"));
        headers.extend(self.headers.clone());
        request
    }
}

// === impl Sent ===

impl Sent {
    /// All of it in short.
    pub(crate) fn digest(&self) -> Digest {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, piece: &[u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).add(piece);
    }
}

// === impl Sending ===

impl Body for Sending {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = match &mut self.left {
            Content::Text(text) => std::mem::take(text),
            Content::Known { next, end, .. } => {
                let len = PIECE_LEN.min(usize::try_from(*end - *next).unwrap_or(PIECE_LEN));
                let piece = content::piece(*next, len);
                *next += len as u64;
                piece
            }
        };
        self.sent.add(&piece);
        Poll::Ready(Some(piece).filter(|piece| !piece.is_empty()).map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.left {
            Content::Text(text) => text.is_empty(),
            Content::Known { next, end, framing } => *framing == Framing::Length && next == end,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.left {
            Content::Text(text) => SizeHint::with_exact(text.len() as u64),
            Content::Known { next, end, framing: Framing::Length } => SizeHint::with_exact(end - next),
            Content::Known { .. } => SizeHint::default(),
        }
    }
}
