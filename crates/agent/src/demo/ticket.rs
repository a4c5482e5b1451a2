//! One request's life in the books, from its arrival to its one end, whatever way it ends.
//!
//! A [`Ticket`] that is dropped has ended early. Its end is counted and written before anyone can see the last byte of the answer:
//! a router may send the next request the moment it sees that byte, and that one is no overlap.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::header::HeaderMap;
use hyper::{Request, StatusCode};
use tokio::sync::{oneshot, watch};
use tracing::error;

use super::Config;
use super::digest::Digest;
use super::journal::{Arrival, Ending, Event, Journal, Outcome};
use super::tally::Stats;

/// The counts and the journal, which always agree.
pub(super) struct Book {
    pages: Mutex<Pages>,
    closed: watch::Sender<bool>,
}

struct Pages {
    stats: Stats,
    journal: Journal,
}

/// A request in flight.
pub(super) struct Ticket {
    book: Arc<Book>,
    arrival: Arrival,
    status: Option<StatusCode>,
    received: Digest,
    sent: Digest,
    ended: Option<oneshot::Sender<()>>,
    open: bool,
}

impl Book {
    /// Opens the books of a run.
    pub(super) fn open(config: &Config, address: SocketAddr) -> io::Result<Self> {
        let pid = std::process::id();
        let mut journal = Journal::open(config.id.clone(), config.journal.as_deref())?;
        journal.write(Event::Listen { address, pid })?;
        let stats = Stats { id: config.id.to_string(), pid, ..Stats::default() };
        Ok(Book { pages: Mutex::new(Pages { stats, journal }), closed: watch::Sender::new(false) })
    }

    /// Counts a request in and writes its arrival.
    pub(super) fn arrive<B>(book: &Arc<Book>, request: &Request<B>) -> io::Result<Ticket> {
        let headers = request.headers();
        let number = |name| text(headers, name).and_then(|number| number.parse().ok());
        let epoch = number("x-dynomesh-epoch");
        let mut pages = book.pages();
        let n = pages.stats.arrive(request.method().as_str(), epoch);
        let arrival = Arrival {
            n,
            method: request.method().to_string(),
            path: request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            request: text(headers, "x-request-id"),
            key: text(headers, "x-demo-key"),
            block: text(headers, "x-dynomesh-block"),
            epoch,
            term: number("x-dynomesh-term"),
            slot: text(headers, "x-dynomesh-slot"),
            in_flight: pages.stats.running,
            overlaps: pages.stats.overlaps,
        };
        if let Err(error) = pages.journal.write(Event::Start(arrival.clone())) {
            pages.stats.end(false);
            return Err(error);
        }
        drop(pages);
        let (received, sent) = Default::default();
        Ok(Ticket { book: book.clone(), arrival, status: None, received, sent, ended: None, open: true })
    }

    /// Counts a question whether the dyno is idle.
    pub(super) fn idle_asked(&self) {
        self.pages().stats.idle_asked += 1;
    }

    /// The counts now.
    pub(super) fn stats(&self) -> Stats {
        self.pages().stats.clone()
    }

    /// Tells connections that have sent nothing that nothing more is served.
    pub(super) fn close(&self) {
        self.closed.send_replace(true);
    }

    /// Waits for [`Book::close`].
    pub(super) async fn closed(&self) {
        // The sender lives in this book, so waiting ends only with the news.
        let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        // A panic between two counts could leave them a step apart, which is no reason to lose the rest.
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// The request's number in this run.
    pub(super) fn number(&self) -> u64 {
        self.arrival.n
    }

    /// The name that its client gave the request.
    pub(super) fn key(&self) -> Option<&str> {
        self.arrival.key.as_deref()
    }

    /// A piece of the request's body has arrived.
    pub(super) fn receive(&mut self, piece: &[u8]) {
        self.received.add(piece);
    }

    /// What has arrived of the request's body.
    pub(super) fn received(&self) -> Digest {
        self.received
    }

    /// A piece of the answer's body is about to be handed over.
    pub(super) fn send(&mut self, piece: &[u8]) {
        self.sent.add(piece);
    }

    /// Resolves when the request has ended, whatever way.
    pub(super) fn ended(&mut self) -> oneshot::Receiver<()> {
        let (ended, heard) = oneshot::channel();
        self.ended = Some(ended);
        heard
    }

    /// Remembers the status of the answer.
    pub(super) fn answered(&mut self, status: StatusCode) {
        self.status = Some(status);
    }

    /// The answer's last byte is about to be handed over.
    pub(super) fn done(&mut self) {
        self.close(Outcome::Done);
    }

    fn close(&mut self, outcome: Outcome) {
        if !std::mem::take(&mut self.open) {
            return;
        }
        let mut pages = self.book.pages();
        pages.stats.end(outcome == Outcome::Done);
        let (status, received, sent) = (self.status.map(|status| status.as_u16()), Some(self.received), Some(self.sent));
        let ending = Ending { n: self.arrival.n, outcome, status, received, sent };
        if let Err(error) = pages.journal.write(Event::End(ending)) {
            error!(%error, "the end of a request is missing in the journal");
        }
        drop(pages);
        if let Some(ended) = self.ended.take() {
            // Nobody listens once the dyno stops.
            let _ = ended.send(());
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.close(Outcome::Cut);
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}
