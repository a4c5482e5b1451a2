//! `dynomesh dev`: the whole mesh on this machine, as real processes of this very binary.
//!
//! One task, [`run`], owns everything and is told by one channel: it waits for the next [`Event`] and applies it. Around it run
//! - one task per child, which waits for its end and reports [`Event::Exited`];
//! - one task per replica of a block ([`leaders::follow`]), which reports [`Event::Claims`];
//! - one task ([`boot::run`]) that turns started processes into a mesh, reports each step as [`Event::Reached`], and ends when requests
//!   are routed; then the mesh is announced and the ready file appears.
//!
//! The channel has no limit because its senders do: a child reports once per start, a replica once per change of its claim.
//! Whatever ends `dev`, the children end too: in order when it is asked to stop, by the [`reaper`] and by themselves when it is killed.

mod announce;
mod boot;
mod certificates;
mod child;
mod command;
mod config;
mod http;
mod layout;
mod leaders;
mod mesh;
mod plan;
mod ports;
mod ready;
mod reaper;

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Instant;

use dynomesh_runtime::shutdown;
use tempfile::TempDir;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{self, UnboundedReceiver};

use crate::args;
use crate::error::Failure;
use layout::{Layout, LayoutError};
use mesh::Mesh;

/// What the owner of the mesh is told.
#[derive(Debug)]
pub(crate) enum Event {
    /// A child has ended.
    Exited { child: usize, how: String },
    /// The time has come to start a child again.
    Respawn { child: usize },
    /// A replica of a block claims to lead in a term, or no longer does.
    Claims { block: usize, replica: usize, term: Option<u64> },
    /// The mesh was set up a step further.
    Reached(Step),
}

/// A step that is done once in the life of a mesh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// The members of this group know each other.
    Founded(String),
    /// The app `demo` exists.
    AppCreated,
    /// This dyno is in the directory.
    Added(String),
}

/// Why there is no mesh, or no longer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DevError {
    #[error("{path}")]
    File {
        path: String,
        #[source]
        cause: io::Error,
    },
    #[error("another `dynomesh dev` runs with {path}")]
    Locked { path: String },
    #[error("listen for signals")]
    Signals {
        #[source]
        cause: io::Error,
    },
    #[error(transparent)]
    Layout(#[from] LayoutError),
    #[error("{name} cannot listen on {address}: {}", if *.edge { "something else does; choose another --port" } else { "something else does" })]
    Taken { name: String, address: std::net::SocketAddr, edge: bool },
    #[error("start {program}")]
    Start {
        program: String,
        #[source]
        cause: io::Error,
    },
    #[error("{name} {how}; its log ends with:\n{tail}")]
    Died { name: String, how: String, tail: String },
    #[error(transparent)]
    Tls(#[from] dynomesh_runtime::tls::TlsError),
    #[error(transparent)]
    Certificates(#[from] certificates::CertificateError),
    #[error(transparent)]
    Boot(#[from] boot::BootError),
}

/// Runs the mesh until it is told to stop.
pub(crate) fn run(args: args::Dev) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::failed("dev", error);
    shutdown::exit_with_parent().map_err(failed)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    runtime.block_on(supervise(&args)).map_err(|error| Failure::failed("dev", error))
}

/// The process behind [`reaper::Reaper`].
pub(crate) fn reap(leftovers: &[PathBuf]) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.and_then(|runtime| runtime.block_on(reaper::run(leftovers))).map_err(|error| Failure::failed("reap", error))
}

async fn supervise(args: &args::Dev) -> Result<(), DevError> {
    let started = Instant::now();
    let mut signals = Signals::listen().map_err(|cause| DevError::Signals { cause })?;
    let home = Home::open(args.data_dir.as_deref())?;
    let (layout, _claimed) = Layout::open(&home.path, args)?;
    if let Some(file) = &args.ready_file {
        remove_stale(file)?;
    }
    let (sender, mut events) = mpsc::unbounded_channel();
    let mut mesh = Mesh::prepare(args, &home, layout, sender).await?;
    let outcome = serve(&mut mesh, started, &mut events, &mut signals).await;
    mesh.stop(&mut events, &mut signals).await;
    outcome
}

/// Starts the processes, makes them a mesh, and goes on until it is told to stop.
async fn serve(
    mesh: &mut Mesh<'_>,
    started: Instant,
    events: &mut UnboundedReceiver<Event>,
    signals: &mut Signals,
) -> Result<(), DevError> {
    mesh.start()?;
    let mut boot = pin!(boot::run(mesh.plan_boot()));
    let mut booted = false;
    loop {
        if booted && !mesh.is_announced() && mesh.has_leaders() {
            mesh.announce(started.elapsed())?;
        }
        tokio::select! {
            () = signals.next() => {
                eprintln!("dynomesh: stopping; a second signal kills what still runs");
                return Ok(());
            }
            done = &mut boot, if !booted => {
                done?;
                booted = true;
            }
            event = events.recv() => mesh.apply(event.expect("the mesh holds a sender"))?,
        }
    }
}

/// What asks `dev` to stop: Ctrl-C, SIGTERM, or the end of its terminal.
pub(crate) struct Signals([Signal; 3]);

impl Signals {
    fn listen() -> io::Result<Self> {
        let [interrupt, terminate, hangup] = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
        Ok(Signals([interrupt?, terminate?, hangup?]))
    }

    pub(crate) async fn next(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// The ready file of a mesh that was killed must not be taken for ours.
fn remove_stale(file: &Path) -> Result<(), DevError> {
    match fs::remove_file(file) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(DevError::File { path: file.display().to_string(), cause }),
        _ => Ok(()),
    }
}

/// The data directory, for this process alone.
#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) path: PathBuf,
    /// Removed at the end, where no directory was given.
    pub(crate) temporary: Option<TempDir>,
    _lock: File,
}

impl Home {
    fn open(dir: Option<&Path>) -> Result<Self, DevError> {
        let refused = |path: &Path| {
            let path = path.display().to_string();
            move |cause| DevError::File { path, cause }
        };
        let temporary = match dir {
            Some(_) => None,
            None => Some(tempfile::Builder::new().prefix("dynomesh-dev-").tempdir().map_err(refused(&std::env::temp_dir()))?),
        };
        let path = dir.or(temporary.as_ref().map(TempDir::path)).expect("one of both is there");
        for part in [path, &path.join("log"), &path.join("config")] {
            fs::create_dir_all(part).map_err(refused(part))?;
        }
        // Children run in their own directories of old, so what is written into their files must not depend on where `dev` was started.
        let path = path.canonicalize().map_err(refused(path))?;
        let lock_path = path.join("lock");
        let lock = File::create(&lock_path).map_err(refused(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Home { path, temporary, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(DevError::Locked { path: path.display().to_string() }),
            Err(TryLockError::Error(cause)) => Err(refused(&lock_path)(cause)),
        }
    }

    /// Where the output of a process goes.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.path.join("log").join(format!("{name}.log"))
    }
}
