//! A sample dyno as a process of its own, with its journal.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use dynomesh_agent::demo::journal::{self, Event, Line};
use dynomesh_core::id::DynoId;
use dynomesh_core::time::Span;

use crate::cluster::process;
use crate::wait;

/// How long the process may take to listen.
const START_MAX: Span = Span::from_secs(20);
/// Ports are taken from here ...
const PORT_MIN: u16 = 4_096;
/// ... to here: below those that `dynomesh dev` takes, and below those of outgoing connections.
const PORT_MAX: u16 = 10_000;

/// A sample dyno. It is killed when it is dropped.
#[derive(Debug)]
pub struct SampleDyno {
    /// Its id.
    pub id: DynoId,
    /// Where it listens, also after a restart.
    pub address: SocketAddr,
    /// Requests it may have in flight, as the mesh was told.
    pub max_conns: u32,
    binary: PathBuf,
    journal: PathBuf,
    log: PathBuf,
    child: Child,
}

impl SampleDyno {
    /// Starts a dyno and waits until it listens. Its journal and its log lie in `dir`.
    pub fn start(binary: &Path, dir: &Path, id: DynoId, max_conns: u32) -> Self {
        let (journal, log) = (dir.join(format!("{id}.jsonl")), dir.join(format!("{id}.log")));
        let address = free_address();
        let child = spawn(binary, address, &id, &journal, &log);
        let dyno = SampleDyno { id, address, max_conns, binary: binary.into(), journal, log, child };
        dyno.await_listening();
        dyno
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills the process at once.
    pub fn kill(&mut self) {
        // It may be dead already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts a killed dyno again on its address; the journal goes on.
    pub fn restart(&mut self) {
        self.kill();
        self.child = spawn(&self.binary, self.address, &self.id, &self.journal, &self.log);
        self.await_listening();
    }

    /// What it wrote down.
    pub fn journal(&self) -> Vec<Line> {
        journal::read(&self.journal).unwrap_or_default()
    }

    /// The file of its journal.
    pub fn journal_path(&self) -> &Path {
        &self.journal
    }

    /// Requests in flight, by its own journal.
    pub fn in_flight(&self) -> usize {
        self.journal().iter().fold(0_usize, |count, line| match line.event {
            Event::Listen { .. } => 0,
            Event::Start(_) => count + 1,
            Event::End(_) => count.saturating_sub(1),
        })
    }

    fn await_listening(&self) {
        let (id, pid) = (&self.id, self.pid());
        wait::until(&format!("{id} listens at {}", self.address), START_MAX, || {
            assert!(process::is_alive(pid), "{id} died at its start:\n{}", process::tail(&self.log));
            self.journal().iter().any(|line| matches!(line.event, Event::Listen { pid: told, .. } if told == pid)).then_some(())
        });
    }
}

impl Drop for SampleDyno {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(binary: &Path, address: SocketAddr, id: &DynoId, journal: &Path, log: &Path) -> Child {
    let log = File::options().create(true).append(true).open(log).expect("the log can be written");
    Command::new(binary)
        .args(["agent", "--demo", "--listen", &address.to_string(), "--id", id.as_str(), "--seed", "1", "--log"])
        .arg(journal)
        .env("DYNOMESH_PARENT", std::process::id().to_string())
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a file can be shared"))
        .stderr(log)
        .spawn()
        .unwrap_or_else(|error| panic!("start {}: {error}", binary.display()))
}

/// An address that nothing listens on. Test processes that run at once begin at different places, and none asks for the same port twice.
fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let ports = u32::from(PORT_MAX - PORT_MIN);
    let first = std::process::id().wrapping_mul(257) % ports;
    for _ in 0..ports {
        let place = (first + u32::from(NEXT.fetch_add(1, Ordering::Relaxed))) % ports;
        let port = PORT_MIN + u16::try_from(place).expect("less than the number of ports");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
    panic!("no port from {PORT_MIN} to {PORT_MAX} is free");
}
