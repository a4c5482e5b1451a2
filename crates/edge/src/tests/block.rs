//! A played replica of a block.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::Bytes;
use dynomesh_core::id::Address;
use dynomesh_runtime::http::headers;
use dynomesh_runtime::http::serve::{Peer, ServeSettings, serve};
use dynomesh_runtime::shutdown::{Trigger, channel};
use futures::future::LocalBoxFuture;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_local};

use crate::body::BoxError;

pub(super) type Reply = Response<UnsyncBoxBody<Bytes, BoxError>>;
type Act = dyn Fn(Hop) -> LocalBoxFuture<'static, Result<Reply, BoxError>>;

/// One request as the played block got it.
pub(super) struct Hop {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Incoming,
    pub(super) peer: Peer,
}

impl Hop {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Reads the body to its end, which lets a withheld one go.
    pub(super) async fn read(self) -> Result<Bytes, hyper::Error> {
        Ok(self.body.collect().await?.to_bytes())
    }
}

/// A replica that answers requests as its `act` says and beats as its `role` says.
pub(super) struct PlayedBlock {
    pub(super) name: &'static str,
    pub(super) address: Address,
    pub(super) slots: u32,
    state: Rc<State>,
    served: RefCell<Option<(Trigger, JoinHandle<()>)>>,
}

struct State {
    requests: Cell<usize>,
    beats: Cell<usize>,
    role: Cell<&'static str>,
    /// What beats say of the leader.
    leader: RefCell<Option<String>>,
    frozen: watch::Sender<bool>,
}

impl PlayedBlock {
    pub(super) async fn start<F, R>(name: &'static str, act: F) -> Self
    where
        F: Fn(Hop) -> R + 'static,
        R: Future<Output = Result<Reply, BoxError>> + 'static,
    {
        Self::start_at("127.0.0.1:0".parse().unwrap(), name, act).await
    }

    pub(super) async fn start_at<F, R>(address: SocketAddr, name: &'static str, act: F) -> Self
    where
        F: Fn(Hop) -> R + 'static,
        R: Future<Output = Result<Reply, BoxError>> + 'static,
    {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = Address::new(listener.local_addr().unwrap()).unwrap();
        let state = Rc::new(State {
            requests: Cell::new(0),
            beats: Cell::new(0),
            role: Cell::new("leader"),
            leader: RefCell::new(None),
            frozen: watch::Sender::new(false),
        });
        let act: Rc<Act> = Rc::new(move |hop| Box::pin(act(hop)));
        let (stop, stopped) = channel();
        let shared = state.clone();
        let service = move |request: Request<Incoming>, peer| shared.clone().answer(request, peer, act.clone());
        let settings =
            ServeSettings { linger: dynomesh_core::time::Span::ZERO, finish: dynomesh_core::time::Span::ZERO, ..ServeSettings::default() };
        let served = spawn_local(serve(listener, settings, stopped, service));
        PlayedBlock { name, address, slots: 4, state, served: RefCell::new(Some((stop, served))) }
    }

    /// Answers every request from a dyno named like the block.
    pub(super) async fn answering(name: &'static str) -> Self {
        Self::start(name, move |hop| async move {
            let _ = hop.read().await?;
            Ok(answered(name, name))
        })
        .await
    }

    /// Requests taken, beats not counted.
    pub(super) fn requests(&self) -> usize {
        self.state.requests.get()
    }

    pub(super) fn beats(&self) -> usize {
        self.state.beats.get()
    }

    pub(super) fn role(&self, role: &'static str, leader: Option<String>) {
        self.state.role.set(role);
        *self.state.leader.borrow_mut() = leader;
    }

    pub(super) fn freeze(&self, frozen: bool) {
        self.state.frozen.send_replace(frozen);
    }

    /// Closes the listener and resets every connection, as a killed process does.
    pub(super) async fn kill(&self) {
        let (stop, served) = self.served.take().expect("killed once");
        stop.set();
        served.await.unwrap();
    }
}

impl State {
    async fn answer(self: Rc<Self>, request: Request<Incoming>, peer: Peer, act: Rc<Act>) -> Result<Reply, BoxError> {
        let beat = request.headers().contains_key(headers::BEAT);
        let count = if beat { &self.beats } else { &self.requests };
        count.set(count.get() + 1);
        let mut frozen = self.frozen.subscribe();
        frozen.wait_for(|frozen| !frozen).await?;
        if beat {
            let mut response = Response::builder().status(StatusCode::NO_CONTENT).header(headers::ROLE, self.role.get());
            if let Some(leader) = &*self.leader.borrow() {
                response = response.header(headers::LEADER, leader);
            }
            return Ok(response.body(empty())?);
        }
        let (head, body) = request.into_parts();
        act(Hop { method: head.method, path: head.uri.to_string(), headers: head.headers, body, peer }).await
    }
}

pub(super) fn full(bytes: impl Into<Bytes>) -> UnsyncBoxBody<Bytes, BoxError> {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed_unsync()
}

pub(super) fn empty() -> UnsyncBoxBody<Bytes, BoxError> {
    full(Bytes::new())
}

/// A dyno's answer as its block passes it on.
pub(super) fn answered(block: &str, text: impl Into<Bytes>) -> Reply {
    Response::builder()
        .header(headers::VERDICT, "answered")
        .header(headers::BLOCK, block)
        .header(headers::REPLICA, "7")
        .header(headers::EPOCH, "42")
        .header(headers::DYNO, "d1")
        .header(headers::QUEUE_MS, "1.5")
        .header(headers::CONNECT_MS, "0.5")
        .body(full(text))
        .unwrap()
}

/// A block's own answer.
pub(super) fn refused(verdict: &str, reason: &str) -> Reply {
    let status = if verdict == "not-dispatched" { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::BAD_GATEWAY };
    Response::builder().status(status).header(headers::VERDICT, verdict).header(headers::REASON, reason).body(full("no")).unwrap()
}
