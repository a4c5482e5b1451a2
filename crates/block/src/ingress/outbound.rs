//! A request on its way from an edge to a dyno: what is taken out of its head, what is put in, and when its body is asked for.

use bytes::Bytes;
use dynomesh_core::app::DynoProtocol;
use dynomesh_core::dispatch::{Class, Sending};
use dynomesh_core::id::{AppName, Term};
use dynomesh_core::time::{Span, Time};
use dynomesh_runtime::http::headers::{self, Length};
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body::Frame;
use hyper::body::{Body, Incoming};

use crate::grant::Manner;
use crate::upstream::{Permission, RequestBody};

/// What the edge said about a request.
pub(super) struct Hop {
    pub(super) app: AppName,
    pub(super) deadline: Time,
    pub(super) attempts: u32,
    pub(super) must_queue: bool,
    /// The leader behind whose requests this one must run.
    pub(super) after: Option<Term>,
    /// The leader that is meant, and no other.
    pub(super) term: Option<Term>,
    length: Option<Length>,
    /// Whether the dyno itself is to be asked whether it wants the body.
    expects: bool,
    /// Whether the client wants to go on by WebSocket.
    upgrades: bool,
}

/// A request with the words between the tiers taken out.
pub(super) struct Outbound {
    pub(super) head: http::request::Parts,
    body: Incoming,
    withheld: Option<Length>,
    expects: bool,
    upgrades: bool,
}

/// What was read of a withheld body to learn that it starts.
#[derive(Default)]
pub(super) struct First(Option<Frame<Bytes>>);

// === impl Hop ===

impl Hop {
    pub(super) fn read(from: &HeaderMap, now: Time, deadline: Span) -> Result<Self, &'static str> {
        let app = headers::text(from, &headers::APP).ok_or("x-dynomesh-app is missing: this port is for edges")?;
        let remaining = headers::parsed::<u64>(from, &headers::DEADLINE_MS).map_or(deadline, Span::from_millis);
        Ok(Hop {
            app: AppName::new(app).map_err(|_| "x-dynomesh-app is not an app name")?,
            deadline: now + remaining,
            attempts: headers::parsed(from, &headers::DYNO_ATTEMPTS).unwrap_or(0),
            must_queue: from.contains_key(headers::MUST_QUEUE),
            after: match from.get(headers::AFTER) {
                None => None,
                Some(_) => Some(Term(headers::parsed(from, &headers::AFTER).ok_or("x-dynomesh-after is not a term")?)),
            },
            term: match from.get(headers::TERM) {
                None => None,
                Some(_) => Some(Term(headers::parsed(from, &headers::TERM).ok_or("x-dynomesh-term is not a term")?)),
            },
            length: match from.get(headers::LENGTH) {
                None => None,
                Some(_) => Some(headers::parsed(from, &headers::LENGTH).ok_or("x-dynomesh-length is not a length")?),
            },
            expects: from.contains_key(headers::EXPECTS),
            upgrades: is_websocket(from) && lists(from, "upgrade"),
        })
    }
}

/// Whether a head names WebSocket as the protocol to go on by.
pub(super) fn is_websocket(head: &HeaderMap) -> bool {
    headers::text(head, &UPGRADE).is_some_and(|protocol| protocol.trim().eq_ignore_ascii_case("websocket"))
}

/// Whether `Connection` lists `name`.
fn lists(head: &HeaderMap, name: &str) -> bool {
    let values = head.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|listed| listed.trim().eq_ignore_ascii_case(name))
}

/// The words of an upgrade, which every hop says for itself.
pub(super) fn put_upgrade(into: &mut HeaderMap) {
    into.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    into.insert(UPGRADE, HeaderValue::from_static("websocket"));
}

// === impl Outbound ===

impl Outbound {
    pub(super) fn new(hop: &Hop, mut head: http::request::Parts, body: Incoming) -> Self {
        headers::strip_hop_by_hop(&mut head.headers);
        headers::strip_mesh(&mut head.headers);
        head.headers.remove(EXPECT);
        let has_body = !matches!(hop.length, None | Some(Length::None | Length::Known(0)));
        let upgrades = hop.upgrades && head.method == Method::GET && !has_body && body.is_end_stream();
        Outbound { head, body, withheld: hop.length, expects: hop.expects && has_body, upgrades }
    }

    /// How the request may be sent. Bodies are not kept here, and a switched connection is nobody's second.
    pub(super) fn sending(&self, manner: &Manner) -> Sending {
        let key = manner.keyed && self.head.headers.contains_key(headers::IDEMPOTENCY_KEY);
        let has_body = match self.withheld {
            Some(Length::None) => false,
            Some(_) => true,
            None => !self.body.is_end_stream(),
        };
        Sending { class: Class::of(self.head.method.as_str(), key), replayable: !has_body && !self.may_switch(manner) }
    }

    /// Whether the dyno may answer by a switch to WebSocket. HTTP/2 knows another way to ask for it, which dynos are not asked by.
    pub(super) fn may_switch(&self, manner: &Manner) -> bool {
        self.upgrades && manner.protocol == DynoProtocol::Http1
    }

    fn asks_dyno(&self, manner: &Manner) -> bool {
        self.expects && manner.protocol == DynoProtocol::Http1
    }

    /// Whether the body must begin, or be known to be none, before the head may be written (P22). Where the client waits for the dyno's
    /// word the head goes first.
    pub(super) fn begins_with_body(&self, manner: &Manner) -> bool {
        self.withheld.is_some() && !self.asks_dyno(manner)
    }

    /// Asks for the body, and waits until it starts or ends. An error: it broke off.
    pub(super) async fn first(&mut self) -> Result<First, hyper::Error> {
        http_body_util::BodyExt::frame(&mut self.body).await.transpose().map(First)
    }

    /// The dyno's request. `words` are those of the block.
    pub(super) fn into_request(self, First(first): First, manner: &Manner, words: impl FnOnce(&mut HeaderMap)) -> Request<RequestBody> {
        let (asks_dyno, may_switch) = (self.asks_dyno(manner), self.may_switch(manner));
        let Outbound { head, body, withheld, .. } = self;
        let mut headers = head.headers;
        words(&mut headers);
        let declared = headers::parsed::<u64>(&headers, &CONTENT_LENGTH);
        let mut body = match withheld {
            Some(Length::None) => {
                headers.remove(CONTENT_LENGTH);
                RequestBody::none()
            }
            Some(Length::Known(bytes)) => {
                headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes));
                RequestBody::new(first, body, Some(bytes))
            }
            Some(Length::Chunked) => {
                // Said, since hyper would take a GET that does not say it for one without a body.
                if manner.protocol == DynoProtocol::Http1 {
                    headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
                }
                RequestBody::new(first, body, None)
            }
            None if body.is_end_stream() => RequestBody::none(),
            None => RequestBody::new(None, body, declared),
        };
        match manner.protocol {
            DynoProtocol::Http2 => drop(headers.insert(TE, HeaderValue::from_static("trailers"))),
            DynoProtocol::Http1 if may_switch => put_upgrade(&mut headers),
            DynoProtocol::Http1 if manner.keep_alive == Span::ZERO => drop(headers.insert(CONNECTION, HeaderValue::from_static("close"))),
            DynoProtocol::Http1 => {}
        }
        let permission = Permission::default();
        if asks_dyno {
            headers.insert(EXPECT, HeaderValue::from_static("100-continue"));
            body = body.when_wanted(permission.clone());
        }
        let mut request = Request::new(body);
        *request.method_mut() = head.method;
        *request.uri_mut() = head.uri;
        *request.headers_mut() = headers;
        if asks_dyno {
            hyper::ext::on_informational(&mut request, move |interim| {
                if interim.status() == StatusCode::CONTINUE {
                    permission.give();
                }
            });
        }
        request
    }
}

/// Whether a response of HTTP/2 leads one to expect trailers: it announces some, or belongs to a call of gRPC.
pub(super) fn may_have_trailers(head: &HeaderMap) -> bool {
    head.contains_key(TRAILER) || headers::text(head, &CONTENT_TYPE).is_some_and(|kind| kind.starts_with("application/grpc"))
}

/// Whether a response says itself where its body ends.
pub(super) fn is_framed(head: &HeaderMap) -> bool {
    head.contains_key(CONTENT_LENGTH) || head.contains_key(TRANSFER_ENCODING)
}
