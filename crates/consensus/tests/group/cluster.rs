//! A group to test with: starts, kills and restarts replicas.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails as a test does")]

use std::future::Future;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dynomesh_consensus::*;
use dynomesh_core::id::{Address, GroupId, Index, ReplicaId, Term};
use dynomesh_runtime::clock::Clock;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::sync::oneshot;

/// Longest wait for anything that should happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// A cluster that still lives after so long hangs where no other bound reaches, a thread in a lock for one. The process ends then.
const LIFE_MAX: Duration = Duration::from_secs(240);

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Command {
    Add(u64),
    Sum,
}

/// A machine that remembers every number, in order, and every leader.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(crate) struct Journal {
    pub(crate) numbers: Vec<u64>,
    pub(crate) leaders: Vec<(u64, u64)>,
    #[serde(skip)]
    shared: Shared,
}

/// What tests look at from outside.
pub(crate) type Shared = Arc<std::sync::Mutex<(Vec<u64>, Vec<(u64, u64)>)>>;

impl Machine for Journal {
    type Command = Command;
    type Reply = u64;

    fn apply(&mut self, _at: Index, command: Command) -> u64 {
        if let Command::Add(number) = command {
            self.numbers.push(number);
            self.shared.lock().unwrap().0.push(number);
        }
        self.numbers.iter().sum()
    }

    fn lead(&mut self, term: Term, leader: ReplicaId) {
        self.leaders.push((term.0, leader.0));
        self.shared.lock().unwrap().1.push((term.0, leader.0));
    }

    fn save(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap()
    }

    fn load(&mut self, bytes: &[u8]) -> Result<(), String> {
        let loaded: Journal = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        *self.shared.lock().unwrap() = (loaded.numbers.clone(), loaded.leaders.clone());
        (self.numbers, self.leaders) = (loaded.numbers, loaded.leaders);
        Ok(())
    }
}

/// A running replica.
pub(crate) struct Node {
    pub(crate) replica: Replica<Journal>,
    pub(crate) shared: Shared,
    pub(crate) cut: Cut,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Node {
    /// Ends it without any goodbye.
    pub(crate) fn kill(mut self) {
        self.end.take();
        let thread = self.thread.take();
        drop(self);
        thread.unwrap().join().unwrap();
    }

    pub(crate) fn role(&self) -> Role {
        self.replica.role().borrow().clone()
    }

    pub(crate) fn numbers(&self) -> Vec<u64> {
        self.shared.lock().unwrap().0.clone()
    }
}

/// Places and disks of a group; replicas come and go.
pub(crate) struct Cluster {
    pub(crate) dir: TempDir,
    pub(crate) addresses: Vec<Address>,
    pub(crate) nodes: Vec<Option<Node>>,
    pub(crate) tune: fn(&mut Options),
    /// Dropped last, when no thread of a replica is left.
    _alive: std::sync::mpsc::Sender<()>,
}

impl Drop for Cluster {
    /// Ends the replicas before their disks go: one that cannot write its snapshot would end the whole process.
    fn drop(&mut self) {
        for node in self.nodes.iter_mut().flatten() {
            node.end.take();
        }
        for thread in self.nodes.iter_mut().flatten().filter_map(|node| node.thread.take()) {
            // What it panicked of, if it did, has been printed.
            let _ = thread.join();
        }
    }
}

static SEED: AtomicU64 = AtomicU64::new(1);

impl Cluster {
    /// Starts `count` pristine replicas.
    pub(crate) fn start(count: usize, tune: fn(&mut Options)) -> Self {
        let free = || TcpListener::bind("127.0.0.1:0").unwrap();
        let listeners: Vec<TcpListener> = (0..count).map(|_| free()).collect();
        let addresses = listeners.iter().map(|l| Address::new(l.local_addr().unwrap()).unwrap()).collect();
        let mut cluster = Cluster { dir: TempDir::new().unwrap(), addresses, nodes: Vec::new(), tune, _alive: watched() };
        for (at, listener) in listeners.into_iter().enumerate() {
            let node = cluster.launch(at, listener);
            cluster.nodes.push(Some(node));
        }
        cluster
    }

    /// Starts `count` replicas and makes them a group.
    pub(crate) async fn group(count: usize, tune: fn(&mut Options)) -> Self {
        let cluster = Cluster::start(count, tune);
        bootstrap_group(&cluster.addresses).await.unwrap();
        cluster
    }

    pub(crate) fn path(&self, at: usize) -> PathBuf {
        self.dir.path().join(format!("r{at}"))
    }

    pub(crate) fn options(&self, at: usize) -> Options {
        let seed = SEED.fetch_add(1, Ordering::Relaxed) * 1_000_003 + u64::from(std::process::id());
        let address = self.addresses[at];
        let mut options = Options::new(self.path(at), "block", "b1", address, address, Clock::system(), seed);
        // Tests run many groups at once on few cores.
        options.timers = Timers { heartbeat: ms(50), election_min: ms(250), election_max: ms(400) };
        options.segment_len = 64 * 1024;
        (self.tune)(&mut options);
        options
    }

    /// Starts one more replica, on an empty disk and an address of its own; it belongs to no group.
    pub(crate) fn pristine(&mut self) -> usize {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        self.addresses.push(Address::new(listener.local_addr().unwrap()).unwrap());
        let at = self.nodes.len();
        let node = self.launch(at, listener);
        self.nodes.push(Some(node));
        at
    }

    fn launch(&self, at: usize, listener: TcpListener) -> Node {
        launch(self.options(at), listener).unwrap()
    }

    pub(crate) fn kill(&mut self, at: usize) {
        self.nodes[at].take().unwrap().kill();
    }

    pub(crate) fn restart(&mut self, at: usize) {
        let listener = TcpListener::bind(self.addresses[at].socket()).unwrap();
        let node = self.launch(at, listener);
        self.nodes[at] = Some(node);
    }

    pub(crate) fn node(&self, at: usize) -> &Node {
        self.nodes[at].as_ref().unwrap()
    }

    pub(crate) fn alive(&self) -> impl Iterator<Item = (usize, &Node)> {
        self.nodes.iter().enumerate().filter_map(|(at, node)| Some((at, node.as_ref()?)))
    }

    /// Waits until some replica leads and is ready.
    pub(crate) async fn leader(&self) -> usize {
        self.leader_among(&(0..self.nodes.len()).collect::<Vec<_>>()).await
    }

    pub(crate) async fn leader_among(&self, among: &[usize]) -> usize {
        let ready = || self.alive().filter(|(at, _)| among.contains(at)).filter(|(_, n)| n.role().is_ready_leader());
        until("a leader", || ready().max_by_key(|(_, n)| n.role().term).map(|(at, _)| at)).await
    }

    /// Adds a number through whoever leads, trying again until it is known to be in.
    pub(crate) async fn add(&self, number: u64) {
        let begun = Instant::now();
        loop {
            let leader = self.leader().await;
            match self.node(leader).replica.propose(Command::Add(number)).await {
                Ok(_) => return,
                Err(error) => assert!(begun.elapsed() < PATIENCE, "{error}"),
            }
        }
    }

    /// Waits until all living replicas have the same numbers.
    pub(crate) async fn converge(&self, expected: &[u64]) {
        until("all replicas to agree", || self.alive().all(|(_, n)| n.numbers() == expected).then_some(())).await;
    }
}

/// Ends the process unless what it returns is dropped in time.
fn watched() -> std::sync::mpsc::Sender<()> {
    let (alive, watch) = std::sync::mpsc::channel();
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    std::thread::spawn(move || {
        if watch.recv_timeout(LIFE_MAX) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            // Past the capture of what tests print.
            let _ = writeln!(std::io::stderr(), "{test} hangs: its replicas still live after {LIFE_MAX:?}");
            std::process::abort();
        }
    });
    alive
}

/// Starts one replica on a thread of its own.
pub(crate) fn launch(options: Options, listener: TcpListener) -> Result<Node, StartError> {
    let (started, start) = std::sync::mpsc::channel();
    let (end, ended) = oneshot::channel::<()>();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let cut = options.cut.clone();
        runtime.block_on(async move {
            let journal = Journal::default();
            let shared = journal.shared.clone();
            let (replica, service) = match Replica::start(options, journal).await {
                Ok(it) => it,
                Err(error) => return drop(started.send(Err(error))),
            };
            listener.set_nonblocking(true).unwrap();
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let incoming = tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true));
            tokio::spawn(tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming));
            started.send(Ok((replica, shared, cut))).unwrap();
            let _ = ended.await;
        });
        // A snapshot that is on its way to the disk would else arrive there after the death of the process.
        runtime.shutdown_timeout(PATIENCE);
    });
    let (replica, shared, cut) = start.recv().unwrap()?;
    Ok(Node { replica, shared, cut, end: Some(end), thread: Some(thread) })
}

pub(crate) fn ms(ms: u64) -> dynomesh_core::time::Span {
    dynomesh_core::time::Span::from_millis(ms)
}

/// Waits until `probe` finds something.
pub(crate) async fn until<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Fails if `future` takes longer than anything should.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("took too long")
}

pub(crate) fn group_id(number: u128) -> GroupId {
    GroupId(number)
}

pub(crate) fn files(dir: &Path, suffix: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    found.retain(|path| path.to_str().unwrap().ends_with(suffix));
    found.sort();
    found
}
