//! An edge of one data thread with a map made by hand, and clients for it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dynomesh_core::app::{AppSpec, Policy};
use dynomesh_core::dispatch::BlockChoice;
use dynomesh_core::id::{AppName, BlockName, GroupId, NodeName, ReplicaId, Term, Version};
use dynomesh_core::map::MapView;
use dynomesh_core::map::fact::{AppFact, Fact, LeaderFact, LoadFact, ReplicaFact};
use dynomesh_core::time::Span;
use dynomesh_runtime::clock::Clock;
use dynomesh_runtime::gossip::GossipConfig;
use dynomesh_runtime::http::client::Connection;
use dynomesh_runtime::http::door::Door;
use dynomesh_runtime::http::serve::{Http2Settings, ServeSettings, serve};
use dynomesh_runtime::shutdown::{Trigger, channel};
use dynomesh_runtime::telemetry::Registry;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;

use super::PlayedBlock;
use crate::access_log::{AccessLog, Target};
use crate::body::BoxError;
use crate::config::{Config, Limits, RetrySettings};
use crate::metrics::Metrics;
use crate::routes::Directory;
use crate::secure::Secure;
use crate::start::{Shared, service};

/// Longer than anything here takes on a busy machine, shorter than patience.
const TEST_TIME_MAX: Duration = Duration::from_secs(30);

/// A whole answer.
#[derive(Debug)]
pub(super) struct Got {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Got {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// An edge and what it knows.
pub(super) struct Mesh {
    pub(super) edge: SocketAddr,
    pub(super) shared: Shared,
    log: PathBuf,
    map: MapView,
    seq: u64,
    _stop: Trigger,
    _dir: TempDir,
}

pub(super) fn config() -> Config {
    let (any, name) = ("127.0.0.1:0".parse().unwrap(), NodeName::new("edge-1").unwrap());
    Config {
        name: name.clone(),
        zone: None,
        listen: any,
        admin: any,
        threads: 1,
        block_choice: BlockChoice::Two,
        access_log: Target::Off,
        manner: Default::default(),
        gossip: GossipConfig::new(name, "test", any, Vec::new()),
        limits: Limits::default(),
        http2: Some(Http2Settings::default()),
        retry: RetrySettings::default(),
        beat: crate::BeatSettings::default(),
        tls: None,
        tiers: None,
    }
}

impl Mesh {
    /// An edge that serves app `demo` on any host, from these blocks, one replica each.
    pub(super) async fn start(blocks: &[&PlayedBlock]) -> Self {
        Self::with(blocks, |_| {}).await
    }

    pub(super) async fn with(blocks: &[&PlayedBlock], adjust: impl FnOnce(&mut Config)) -> Self {
        let mut config = config();
        adjust(&mut config);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("access.log");
        let (log, _) = AccessLog::start(&Target::File(path.clone())).unwrap();
        let (stop, shutdown) = channel();
        let metrics = Metrics::register(&Registry::new("edge", "edge-1"));
        let directory = Arc::new(Directory::new(config.retry.budget()));
        let shared = Shared {
            config,
            clock: Clock::system(),
            directory,
            metrics,
            log,
            shutdown: shutdown.clone(),
            door: Door::default(),
            secure: Secure::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let edge = listener.local_addr().unwrap();
        let service = service(&shared);
        let answer = move |request, client| {
            let service = service.clone();
            async move { Ok::<_, Infallible>(service.answer(request, client).await) }
        };
        let settings = ServeSettings { http2: shared.config.http2.clone(), ..ServeSettings::default() };
        spawn_local(serve(listener, settings, shutdown, answer));
        let mut mesh = Mesh { edge, shared, log: path, map: MapView::new(), seq: 0, _stop: stop, _dir: dir };
        mesh.app("demo", "*");
        for block in blocks {
            mesh.group(block.name, 1, &[block]);
            mesh.load(block.name, block.slots, 0);
        }
        mesh
    }

    pub(super) fn app(&mut self, name: &str, host: &str) {
        let name = AppName::new(name).unwrap();
        let spec = AppSpec { name: name.clone(), hosts: vec![host.parse().unwrap()], policy: Policy::default() };
        self.learn(Fact::App(AppFact { name, version: Version(1), spec: Some(spec) }));
    }

    /// A block of these replicas; their ids count from 1, and the first one leads in `term`.
    pub(super) fn group(&mut self, block: &str, term: u64, replicas: &[&PlayedBlock]) {
        let replica = |(at, replica): (usize, &&PlayedBlock)| ReplicaFact {
            id: ReplicaId(at as u64 + 1),
            http: replica.address,
            grpc: replica.address,
        };
        let replicas: Vec<_> = replicas.iter().enumerate().map(replica).collect();
        let block = BlockName::new(block).unwrap();
        let leader = LeaderFact { block, group: GroupId(1), term: Term(term), seq: 1, leader: ReplicaId(1), replicas, zone: None };
        self.learn(Fact::Leader(leader));
    }

    pub(super) fn load(&mut self, block: &str, slots: u32, used: u32) {
        self.seq += 1;
        let (block, app) = (BlockName::new(block).unwrap(), AppName::new("demo").unwrap());
        self.learn(Fact::Load(LoadFact { block, app, term: Term(1), seq: self.seq, slots, used, queued: 0, dynos: slots }));
    }

    fn learn(&mut self, fact: Fact) {
        assert!(self.map.absorb(fact));
        self.shared.directory.update(&self.map, self.shared.clock.now());
    }

    pub(super) async fn connect(&self) -> Connection<Full<Bytes>> {
        Connection::over(TcpStream::connect(self.edge).await.unwrap()).await.unwrap()
    }

    /// A connection that speaks HTTP/2.
    pub(super) async fn http2(&self) -> Http2 {
        let stream = TokioIo::new(TcpStream::connect(self.edge).await.unwrap());
        let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        spawn_local(connection);
        Http2(sender)
    }

    /// Sends one request on a connection of its own and reads the whole answer.
    pub(super) async fn send(&self, request: Request<Full<Bytes>>) -> Got {
        let response = within(self.connect().await.send(request)).await.unwrap();
        let (head, body) = response.into_parts();
        let body = within(body.collect()).await.unwrap().to_bytes();
        Got { status: head.status, headers: head.headers, body }
    }

    pub(super) async fn get(&self, path: &str) -> Got {
        self.send(Request::get(path).header("host", "any").body(Full::default()).unwrap()).await
    }

    pub(super) async fn post(&self, path: &str, body: &'static str) -> Got {
        self.send(Request::post(path).header("host", "any").body(Full::from(body)).unwrap()).await
    }

    /// Sends bytes and returns all that comes until the connection ends, and how it ended.
    pub(super) async fn raw(&self, bytes: &[u8]) -> (String, std::io::Result<()>) {
        let mut stream = TcpStream::connect(self.edge).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut got = Vec::new();
        let end = within(stream.read_to_end(&mut got)).await;
        (String::from_utf8_lossy(&got).into_owned(), end.map(drop))
    }

    /// The access log once it has `count` lines.
    pub(super) async fn logged(&self, count: usize) -> Vec<serde_json::Value> {
        within(async {
            loop {
                let text = std::fs::read_to_string(&self.log).unwrap();
                let lines: Vec<_> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
                if lines.len() >= count {
                    return lines;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await
    }
}

/// A client's connection that speaks HTTP/2.
#[derive(Clone)]
pub(super) struct Http2(SendRequest<UnsyncBoxBody<Bytes, BoxError>>);

impl Http2 {
    /// Sends a request and waits for the answer's head.
    pub(super) async fn begin(&mut self, request: Request<UnsyncBoxBody<Bytes, BoxError>>) -> hyper::Result<Response<Incoming>> {
        within(self.0.send_request(request)).await
    }

    /// Sends a request and reads the whole answer, trailers and all.
    pub(super) async fn send(&mut self, request: Request<UnsyncBoxBody<Bytes, BoxError>>) -> (Got, Option<HeaderMap>) {
        let (head, body) = self.begin(request).await.unwrap().into_parts();
        let collected = within(body.collect()).await.unwrap();
        let trailers = collected.trailers().cloned();
        (Got { status: head.status, headers: head.headers, body: collected.to_bytes() }, trailers)
    }
}

/// The limits of an impatient test.
pub(super) fn hasty(deadline: Span, patience: Span) -> impl FnOnce(&mut Config) {
    move |config| {
        config.limits.deadline = deadline;
        config.retry.patience = patience;
    }
}

/// `future`, which must be done in the time of a test.
pub(super) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(TEST_TIME_MAX, future).await.expect("not done in the time of a test")
}

/// Waits until `holds` does.
pub(super) async fn until(mut holds: impl FnMut() -> bool) {
    within(async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}
