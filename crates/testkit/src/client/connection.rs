//! The engine of a client: its connections, and one task per request.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;

use dynomesh_agent::demo::content;
use dynomesh_agent::demo::digest::Digest;
use dynomesh_core::time::Span;
use hyper::Response;
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::{LocalSet, spawn_local};

use super::ask::{Ask, Sending, Sent};
use super::{Due, TEXT_MAX};
use crate::clock;
use crate::history::{Answer, Exchange, Outcome};

/// Connections that may turn out closed before a request was written to them, in a row.
const CLOSED_MAX: usize = 64;
/// How long a connection may take to be made: past it the edge counts as one that refuses.
const CONNECT_MAX: Span = Span::from_secs(3);

struct Engine {
    edges: Vec<SocketAddr>,
    turn: RefCell<usize>,
    idle: RefCell<HashMap<SocketAddr, Vec<SendRequest<Sending>>>>,
    places: Semaphore,
}

/// Runs requests as they fall due until no client is left.
pub(super) fn run(edges: Vec<SocketAddr>, connections_max: usize, mut requests: UnboundedReceiver<Due>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    let places = Semaphore::new(connections_max);
    let engine = Rc::new(Engine { edges, turn: RefCell::new(0), idle: RefCell::default(), places });
    LocalSet::new().block_on(&runtime, async {
        // Nothing is sent here: it closes when the last request has told its outcome, which may be after the last client is gone.
        let (asked, mut over) = tokio::sync::mpsc::channel::<()>(1);
        while let Some(due) = requests.recv().await {
            let (engine, asked) = (engine.clone(), asked.clone());
            spawn_local(async move {
                let mut next = Some(due);
                while let Some(due) = next {
                    next = engine.clone().exchange(due).await;
                }
                drop(asked);
            });
        }
        drop(asked);
        over.recv().await;
    });
}

impl Engine {
    /// Asks once and tells the outcome; what is to be asked again then, if anything is.
    async fn exchange(self: Rc<Self>, due: Due) -> Option<Due> {
        let Due { ask, host, at, outcome: told } = due;
        let place = self.places.acquire().await.expect("the semaphore is never closed");
        let begun = clock::now();
        let (sent, edge, broken) = (Sent::default(), Cell::new(None), Cell::new(false));
        let attempt = self.clone().attempt(&ask, &host, sent.clone(), &edge, &broken);
        let outcome = match tokio::time::timeout(ask.deadline.to_std(), attempt).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::Unknown(format!("no complete answer within {}", ask.deadline)),
        };
        let ended = clock::now();
        drop(place);
        let again =
            (broken.get() && ask.repeated_if_broken).then(|| Due { ask: ask.clone().again(edge.get()), host, at, outcome: told.clone() });
        let (sent, edge) = (sent.digest(), edge.get());
        let Ask { key, method, path, deadline, repeats, .. } = ask;
        // A test that has seen enough does not listen any more.
        let _ = told.send(Exchange { key, method, path, due: at, begun, ended, deadline, sent, edge, repeats, outcome });
        again
    }

    /// Sends the request on the first connection that takes it, edge by edge from the one whose turn it is. Tells whether that connection
    /// broke before an answer came.
    async fn attempt(self: Rc<Self>, ask: &Ask, host: &str, sent: Sent, asked: &Cell<Option<SocketAddr>>, broken: &Cell<bool>) -> Outcome {
        let first = match ask.avoid.and_then(|edge| self.edges.iter().position(|known| *known == edge)) {
            Some(avoid) => avoid + 1,
            None => self.turn.replace_with(|turn| (*turn + 1) % self.edges.len()),
        };
        let mut request = ask.request(host, sent);
        for edge in self.edges.iter().cycle().skip(first).take(self.edges.len()) {
            asked.set(Some(*edge));
            for _ in 0..CLOSED_MAX {
                let Ok(mut sender) = self.connection(*edge).await else { break };
                match sender.try_send_request(request).await {
                    Ok(response) => return self.clone().receive(*edge, sender, ask, response).await,
                    Err(mut error) => match error.take_message() {
                        Some(unsent) => request = unsent,
                        None => {
                            broken.set(true);
                            return Outcome::Unknown(told(error.error()));
                        }
                    },
                }
            }
        }
        Outcome::Refused
    }

    async fn connection(&self, edge: SocketAddr) -> io::Result<SendRequest<Sending>> {
        let idle = self.idle.borrow_mut().get_mut(&edge).and_then(Vec::pop);
        if let Some(sender) = idle {
            return Ok(sender);
        }
        let stream = tokio::time::timeout(CONNECT_MAX.to_std(), TcpStream::connect(edge)).await??;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        // Ends with the connection, and the request on it is told why.
        spawn_local(connection);
        Ok(sender)
    }

    async fn receive(
        self: Rc<Self>,
        edge: SocketAddr,
        mut sender: SendRequest<Sending>,
        ask: &Ask,
        response: Response<Incoming>,
    ) -> Outcome {
        let (head, mut body) = response.into_parts();
        let (mut text, mut digest, mut difference) = (Vec::new(), Digest::default(), None);
        while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            let len = digest.len();
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => {
                    return Outcome::Unknown(format!("{} with a body that broke off after {len} bytes: {}", head.status, told(&error)));
                }
            };
            let Some(data) = frame.data_ref() else { continue };
            if ask.expects_content && difference.is_none() {
                difference = content::first_difference(len, data);
            }
            let room = TEXT_MAX - text.len();
            text.extend_from_slice(&data[..data.len().min(room)]);
            digest.add(data);
        }
        spawn_local(async move {
            if sender.ready().await.is_ok() {
                self.idle.borrow_mut().entry(edge).or_default().push(sender);
            }
        });
        let text = String::from_utf8_lossy(&text).into_owned();
        let answer = Answer { status: head.status, headers: head.headers, len: digest.len(), digest, text, difference };
        if answer.is_of_the_mesh() { Outcome::Failed(answer) } else { Outcome::Ok(answer) }
    }
}

/// An error with its causes, since hyper's own texts are short.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}
