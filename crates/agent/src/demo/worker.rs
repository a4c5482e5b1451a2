//! The workers of the sample dyno: each takes requests and questions in the order they arrived, one at a time, each to its end.

use std::sync::Arc;

use dynomesh_core::time::Span;
use hyper::body::Incoming;
use hyper::header::{HeaderMap, HeaderValue};
use hyper::{Method, Response};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, OwnedSemaphorePermit, mpsc, oneshot};

use super::Config;
use super::ask::Ask;
use super::reply::{self, Reply, Source};
use super::ticket::{Book, Ticket};

/// What waits for the worker.
pub(super) enum Work {
    /// A request.
    Request(Box<Job>),
    /// A connection that is closed when its turn comes: the dyno was idle then. It keeps its place among the connections.
    Idle(TcpStream, OwnedSemaphorePermit),
}

/// A request as the worker takes it.
pub(super) struct Job {
    /// What it asks for.
    pub(super) ask: Ask,
    /// Its method.
    pub(super) method: Method,
    /// Its body.
    pub(super) body: Incoming,
    /// Its life in the books.
    pub(super) ticket: Ticket,
    /// Where the answer goes.
    pub(super) reply: oneshot::Sender<Response<Reply>>,
}

/// A worker.
pub(super) struct Worker {
    id: String,
    floor: Span,
    mean: Span,
    rng: StdRng,
    book: Arc<Book>,
    queue: Queue,
}

/// What waits, for all workers together.
pub(super) type Queue = Arc<Mutex<mpsc::Receiver<Work>>>;

impl Worker {
    /// The worker of this number, with service times of its own.
    pub(super) fn new(config: &Config, number: u16, book: Arc<Book>, queue: Queue) -> Self {
        let rng = StdRng::seed_from_u64(config.seed.wrapping_add(number.into()));
        Worker { id: config.id.to_string(), floor: config.floor, mean: config.mean, rng, book, queue }
    }

    /// Works until nobody can bring work any more.
    pub(super) async fn run(mut self) {
        while let Some(work) = self.next().await {
            match work {
                Work::Request(job) => self.serve(*job).await,
                Work::Idle(stream, _place) => {
                    self.book.idle_asked();
                    drop(stream);
                }
            }
        }
    }

    async fn next(&self) -> Option<Work> {
        self.queue.lock().await.recv().await
    }

    async fn serve(&mut self, job: Job) {
        let Job { ask, method, body, mut ticket, reply } = job;
        let service = ask.service.unwrap_or_else(|| self.draw());
        let ended = ticket.ended();
        let source = if ask.echo {
            tokio::time::sleep(service.to_std()).await;
            Source::echo(body)
        } else {
            let Some(()) = reply::drain(body, &mut ticket).await else { return };
            tokio::time::sleep(service.to_std()).await;
            self.source(&ask, &ticket, service)
        };
        let mut headers = self.signed(&ticket, service);
        if !ask.echo {
            headers.insert("x-demo-received", text(&ticket.received().to_string()));
        }
        let mut response = Reply::response(ask.status, &method, source, ticket);
        response.headers_mut().extend(headers);
        // An answer that nobody waits for is dropped, and its ticket ends as cut.
        let _ = reply.send(response);
        let _ = ended.await;
    }

    fn source(&self, ask: &Ask, ticket: &Ticket, service: Span) -> Source {
        match ask.bytes {
            Some(end) => Source::Content { next: 0, end },
            None => {
                let (id, n, ms, received) = (&self.id, ticket.number(), service.as_millis(), ticket.received().len());
                let body = if received > 0 { format!(", body {received} bytes") } else { String::new() };
                Source::Text(format!("dyno {id}, request {n}, {ms} ms{body}\n").into())
            }
        }
    }

    /// The headers that tell who answers whom.
    fn signed(&self, ticket: &Ticket, service: Span) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert("x-demo-dyno", text(&self.id));
        headers.insert("x-demo-service-ms", text(&format!("{:.3}", service.as_millis_f64())));
        // A name that is no text is not said again, and its client sees that.
        if let Some(key) = ticket.key().and_then(|key| HeaderValue::from_str(key).ok()) {
            headers.insert("x-demo-key", key);
        }
        headers
    }

    pub(super) fn draw(&mut self) -> Span {
        let uniform: f64 = self.rng.random();
        let nanos = -(1.0 - uniform).ln() * self.mean.as_nanos() as f64;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast from f64 saturates and the value is positive")]
        let exponential = Span::from_nanos(nanos as u64);
        self.floor + exponential
    }
}

fn text(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("dyno ids, digests and numbers are header values")
}
