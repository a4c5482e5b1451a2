//! The sample dyno: an HTTP server that runs one request at a time, or as many as it has threads, and tells on routers that send it more.
//!
//! It refuses to be helpful. It never answers more at once, it runs a request to its end though the client left (as a
//! synchronous server does), and it neither rejects nor hides a request too many: that one waits, and is counted as an overlap.
//! Only `GET /demo/stats` is answered at once and not counted.
//!
//! Tasks: one accept loop ([`Demo::run`]); one task per connection, ended by its response, its client or [`FIRST_BYTE_MAX`]; a
//! worker per thread, fed by a channel of [`CONNECTIONS_MAX`] places that the connections share, ended when the last of them is gone.
//!
//! A connection that closes its sending half without a byte is a question whether the dyno is idle: it waits its turn like a
//! request and is then closed.

mod ask;
pub mod content;
pub mod digest;
pub mod journal;
mod reply;
mod tally;
mod ticket;
mod worker;

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use dynomesh_core::id::DynoId;
use dynomesh_core::time::Span;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tracing::{debug, info};

use ask::Ask;
use reply::Reply;
pub use tally::Stats;
use ticket::Book;
use worker::{Job, Work, Worker};

/// Connections open at once. Past it none is accepted until one ends, so that arrivals wait in the listener's backlog.
pub const CONNECTIONS_MAX: usize = 1024;
/// How long a connection may stay open before its first byte, and how long its head may take.
pub const FIRST_BYTE_MAX: Span = Span::from_secs(60);
/// How long requests may go on once shutdown was asked for; what runs longer is cut.
pub const DRAIN_MAX: Span = Span::from_secs(5);
/// Where the dyno's counts are read.
pub const STATS_PATH: &str = "/demo/stats";

/// What kind of dyno this is.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// What it calls itself in answers and in the journal.
    pub id: DynoId,
    /// Seed of its service times.
    pub seed: u64,
    /// Shortest service time.
    pub floor: Span,
    /// Mean of the exponential time on top of the floor.
    pub mean: Span,
    /// Requests that it runs at once. With more than one it answers a question whether it is idle while it runs others, as threaded servers do.
    pub threads: u16,
    /// Where the journal is appended, if it is wanted.
    pub journal: Option<PathBuf>,
}

impl Config {
    /// The dyno of the reference model: 20 ms and an exponential 100 ms on top.
    pub fn reference(listen: SocketAddr, id: DynoId) -> Self {
        Config { listen, id, seed: 1, floor: Span::from_millis(20), mean: Span::from_millis(100), threads: 1, journal: None }
    }
}

/// Why the sample dyno did not start.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The address is taken or not ours.
    #[error("listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// The journal cannot be written.
    #[error("open the journal {path}")]
    Journal {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
}

/// A sample dyno that has its port and its journal and has not begun to serve.
pub struct Demo {
    listener: TcpListener,
    address: SocketAddr,
    book: Arc<Book>,
    workers: Vec<Worker>,
    work: mpsc::Sender<Work>,
}

/// Serves until `shutdown` is done and what runs then has ended.
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> Result<(), DemoError> {
    Demo::bind(config).await?.run(shutdown).await;
    Ok(())
}

impl Demo {
    /// Takes the port and opens the journal.
    pub async fn bind(config: Config) -> Result<Self, DemoError> {
        let refused = |cause| DemoError::Listen { address: config.listen, cause };
        let listener = TcpListener::bind(config.listen).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let book =
            Book::open(&config, address).map_err(|cause| DemoError::Journal { path: config.journal.clone().unwrap_or_default(), cause })?;
        let (work, queue) = mpsc::channel(CONNECTIONS_MAX);
        let book = Arc::new(book);
        let queue = Arc::new(Mutex::new(queue));
        let workers = (0..config.threads).map(|number| Worker::new(&config, number, book.clone(), queue.clone())).collect();
        let Config { id, floor, mean, seed, threads, .. } = &config;
        info!(dyno = %id, %address, %floor, %mean, seed, threads, "sample dyno listens");
        Ok(Demo { listener, address, book, workers, work })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` is done and what runs then has ended, at most [`DRAIN_MAX`] later.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Demo { listener, book, workers, work, .. } = self;
        let mut running: JoinSet<()> = workers.into_iter().map(Worker::run).collect();
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        tokio::select! {
            () = accept(&listener, &book, &work, &places) => {}
            () = shutdown => {}
        }
        drop((listener, work));
        book.close();
        // All places are free again once every connection has had its last byte written.
        let all = u32::try_from(CONNECTIONS_MAX).expect("a small constant");
        if tokio::time::timeout(DRAIN_MAX.to_std(), places.acquire_many(all)).await.is_err() {
            info!("requests still run after {DRAIN_MAX}: they are cut");
        }
        running.abort_all();
    }
}

async fn accept(listener: &TcpListener, book: &Arc<Book>, work: &mpsc::Sender<Work>, places: &Arc<Semaphore>) {
    loop {
        let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(connection(stream, book.clone(), work.clone(), place));
            }
            Err(error) => {
                // Out of file descriptors, most likely: what runs must end before another connection can be had.
                debug!(%error, "accept failed");
                tokio::time::sleep(Span::from_millis(50).to_std()).await;
            }
        }
    }
}

/// One connection: a request, a question whether the dyno is idle, or nothing at all.
async fn connection(stream: TcpStream, book: Arc<Book>, work: mpsc::Sender<Work>, place: OwnedSemaphorePermit) {
    let first = tokio::select! {
        read = tokio::time::timeout(FIRST_BYTE_MAX.to_std(), async { stream.peek(&mut [0]).await }) => read,
        () = book.closed() => return,
    };
    match first {
        Ok(Ok(0)) => {
            // Fails only when the worker is gone, and then the connection is closed all the same.
            let _ = work.send(Work::Idle(stream, place)).await;
        }
        Ok(Ok(_)) => serve(stream, book, work, place).await,
        Ok(Err(_)) | Err(_) => {}
    }
}

async fn serve(stream: TcpStream, book: Arc<Book>, work: mpsc::Sender<Work>, _place: OwnedSemaphorePermit) {
    // Frees of slots ride on the last byte of a response, so it must not wait for more.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| answer(request, &book, &work));
    let served = http1::Builder::new()
        .keep_alive(false)
        .half_close(true)
        .timer(TokioTimer::new())
        .header_read_timeout(FIRST_BYTE_MAX.to_std())
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        debug!(%error, "connection ended early");
    }
}

async fn answer(request: Request<Incoming>, book: &Arc<Book>, work: &mpsc::Sender<Work>) -> Result<Response<Reply>, Infallible> {
    if request.uri().path() == STATS_PATH {
        return Ok(reply::stats(&book.stats()));
    }
    let ask = match Ask::read(request.headers()) {
        Ok(ask) => ask,
        Err(problem) => return Ok(reply::bad_request(&problem)),
    };
    let ticket = match Book::arrive(book, &request) {
        Ok(ticket) => ticket,
        Err(error) => return Ok(reply::failed(&format!("journal: {error}"))),
    };
    let (reply, answered) = oneshot::channel();
    // The worker owns the request from here on, so that a client that leaves does not end it.
    let job = Job { ask, method: request.method().clone(), body: request.into_body(), ticket, reply };
    if work.send(Work::Request(Box::new(job))).await.is_err() {
        return Ok(reply::failed("the dyno stops"));
    }
    Ok(answered.await.unwrap_or_else(|_| reply::failed("the request body ended early")))
}
