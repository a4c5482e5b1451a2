//! A whole replica, and requests as an edge sends them.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use dynomesh_consensus::bootstrap_group;
use dynomesh_core::block::SlotsMode;
use dynomesh_core::id::{Address, GroupId, NodeName};
use dynomesh_core::time::Span;
use dynomesh_runtime::gossip::GossipConfig;
use dynomesh_runtime::net::listen;
use dynomesh_runtime::shutdown::{Trigger, channel};

use super::directory::{APP, CLUSTER, block, key};
use super::{TEST_TIME_MAX, until};
use crate::config::{Config, Limits, RaftSettings};

/// A replica on a thread of its own. Stopped in order when dropped.
pub(super) struct Running {
    pub(super) config: Config,
    stop: Option<Trigger>,
    thread: Option<JoinHandle<()>>,
}

/// An address that nobody has, and that nobody gets meanwhile: a replica must know its addresses before it listens there, so they lie below
/// those that the system gives out by itself, and each is given out here once.
pub(super) fn free() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = (std::process::id() * 61).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = 20_000 + u16::try_from(number % 10_000).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if listen(address, "test").is_ok() {
            return address;
        }
    }
}

fn config(dir: &Path, number: usize, seeds: &[SocketAddr]) -> Config {
    let name = NodeName::new(&format!("b1-{number}")).unwrap();
    let (http, grpc) = (free(), free());
    let mut gossip = GossipConfig::new(name.clone(), CLUSTER, free(), vec![key()]);
    gossip.seeds = seeds.iter().map(ToString::to_string).collect();
    gossip.generation_file = Some(dir.join(format!("{name}.generation")));
    Config {
        block: block(),
        data_dir: dir.join(name.as_str()),
        replica: name,
        zone: Some("z1".parse().unwrap()),
        http,
        http_advertise: Address::new(http).unwrap(),
        grpc,
        grpc_advertise: Address::new(grpc).unwrap(),
        admin: free(),
        threads: 1,
        slots: SlotsMode::Committed,
        leased_quarantine: true,
        gossip,
        // Tests share their machine.
        raft: RaftSettings {
            heartbeat: Span::from_millis(60),
            election_min: Span::from_millis(300),
            election_max: Span::from_millis(500),
            ..RaftSettings::default()
        },
        limits: Limits { drain: Span::from_millis(100), ..Limits::default() },
        tiers: None,
    }
}

/// Founds a block of so many replicas.
pub(super) fn found(dir: &Path, replicas: usize, seeds: &[SocketAddr]) -> (Vec<Running>, GroupId) {
    found_with(dir, replicas, seeds, |_| {})
}

/// As [`found`], with a word on their configuration.
pub(super) fn found_with(dir: &Path, replicas: usize, seeds: &[SocketAddr], adjust: impl Fn(&mut Config)) -> (Vec<Running>, GroupId) {
    let adjusted = |number| {
        let mut config = config(dir, number, seeds);
        adjust(&mut config);
        config
    };
    let running: Vec<Running> = (1..=replicas).map(|number| Running::start(adjusted(number))).collect();
    let addresses: Vec<Address> = running.iter().map(|replica| replica.config.grpc_advertise).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let group = until("the block is founded", || runtime.block_on(bootstrap_group(&addresses)).ok());
    (running, group)
}

impl Running {
    pub(super) fn start(config: Config) -> Self {
        let (stop, shutdown) = channel();
        let own = config.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(crate::run(own, shutdown)).unwrap();
        });
        Running { config, stop: Some(stop), thread: Some(thread) }
    }

    pub(super) fn name(&self) -> &str {
        self.config.replica.as_str()
    }

    /// Stops it; what it was can be started again.
    pub(super) fn stop(mut self) -> Config {
        self.end();
        self.config.clone()
    }

    fn end(&mut self) {
        if let Some(stop) = self.stop.take() {
            stop.set();
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            eprintln!("a replica panicked");
        }
    }

    /// What its admin listener says.
    pub(super) fn admin(&self, path: &str) -> String {
        let Ok(mut stream) = TcpStream::connect(self.config.admin) else { return String::new() };
        let mut answer = String::new();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")
            .and_then(|()| stream.read_to_string(&mut answer))
            .map_or_else(|_| String::new(), |_| answer)
    }

    /// The value of a metric without labels of its own.
    pub(super) fn metric(&self, name: &str) -> f64 {
        let text = self.admin("/metrics");
        let line = text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_else(|| panic!("no {name} in\n{text}"))
    }

    /// Sends a request as an edge does.
    pub(super) fn send(&self, path: &str) -> io::Result<Hop> {
        self.begin(&format!("GET {path}"), "connection: close\r\n", "")
    }

    /// Sends a request as an edge does that knows no other block: method and target, more header lines, and what of its body goes with the
    /// head.
    pub(super) fn begin(&self, line: &str, more: &str, body: &str) -> io::Result<Hop> {
        let mut stream = TcpStream::connect(self.config.http)?;
        stream.set_read_timeout(Some(TEST_TIME_MAX))?;
        let own = format!("x-dynomesh-app: {APP}\r\nx-dynomesh-deadline-ms: 20000\r\nx-dynomesh-must-queue: 1\r\n");
        write!(stream, "{line} HTTP/1.1\r\nhost: h\r\n{own}{more}\r\n{body}")?;
        Ok(Hop { stream, got: String::new() })
    }

    /// Sends a request and reads the answer.
    pub(super) fn ask(&self, path: &str) -> String {
        self.send(path).map(Hop::finish).map_or_else(|error| error.to_string(), |(got, _)| got)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// A request on its way.
pub(super) struct Hop {
    stream: TcpStream,
    got: String,
}

impl Hop {
    /// Says more.
    #[track_caller]
    pub(super) fn say(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).expect("the connection goes on");
    }

    /// Says no more.
    #[track_caller]
    pub(super) fn end(&mut self) {
        self.stream.shutdown(std::net::Shutdown::Write).expect("the connection goes on");
    }

    /// What has come by now and in the next moments.
    pub(super) fn got_within(&mut self, ms: u64) -> String {
        self.stream.set_read_timeout(Some(Duration::from_millis(ms))).unwrap();
        let mut buf = [0; 1024];
        while let Ok(read) = self.stream.read(&mut buf)
            && read > 0
        {
            self.got += &String::from_utf8_lossy(&buf[..read]);
        }
        self.stream.set_read_timeout(Some(TEST_TIME_MAX)).unwrap();
        self.got.clone()
    }

    /// Reads until this has come.
    #[track_caller]
    pub(super) fn read_until(&mut self, text: &str) {
        let mut buf = [0; 1024];
        while !self.got.contains(text) {
            let read = self.stream.read(&mut buf).expect("the answer goes on");
            assert_ne!(read, 0, "ended before {text:?}: {}", self.got);
            self.got += &String::from_utf8_lossy(&buf[..read]);
        }
    }

    /// Reads to the end, however it comes.
    pub(super) fn finish(mut self) -> (String, io::Result<()>) {
        let mut buf = [0; 1024];
        loop {
            match self.stream.read(&mut buf) {
                Ok(0) => return (self.got, Ok(())),
                Ok(read) => self.got += &String::from_utf8_lossy(&buf[..read]),
                Err(error) => return (self.got, Err(error)),
            }
        }
    }
}

/// Whether an answer in chunks came to its proper end.
pub(super) fn is_whole(got: &str) -> bool {
    got.ends_with("0\r\n\r\n")
}

/// Lets time pass where time itself is what a test is about.
pub(super) fn pass(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}
