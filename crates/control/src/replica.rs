//! The consensus thread: the replica of the directory, and the gRPC server that its peers and all callers connect to.
//!
//! The thread and its runtime are the replica's own, so that nothing else delays a heartbeat; the server only passes calls on.

use std::net::TcpListener;

use dynomesh_consensus::{Options, RaftServer, Replica, StartError, Timers};
use dynomesh_core::id::Address;
use dynomesh_runtime::clock::Clock;
use dynomesh_runtime::grpc;
use dynomesh_runtime::shutdown::{self, Shutdown, Trigger};
use tokio::sync::oneshot;

use crate::api::Front;
use crate::config::Config;
use crate::directory::{Directory, DirectoryMachine};
use crate::error::Error;
use crate::standing::Watch;

/// Kind of the group, and its name: a mesh has one directory.
const KIND: &str = "control";

/// The running thread.
pub(crate) struct Consensus {
    pub(crate) replica: Replica<DirectoryMachine>,
    pub(crate) watch: Watch,
    ended: oneshot::Receiver<()>,
    stop: Trigger,
}

impl Consensus {
    /// Starts the thread; returns when the replica runs and its server listens.
    pub(crate) async fn start(
        config: &Config,
        grpc: Address,
        clock: Clock,
        machine: DirectoryMachine,
        directory: &Directory,
        listener: TcpListener,
        front: impl FnOnce(Replica<DirectoryMachine>, Watch) -> Front + Send + 'static,
    ) -> Result<Self, Error> {
        let options = options(config, grpc, clock);
        let (started, starting) = oneshot::channel();
        let (ending, ended) = oneshot::channel();
        let (stop, stopping) = shutdown::channel();
        let directory = directory.clone();
        let thread = Thread { options, machine, directory, listener, stopping };
        let spawned = std::thread::Builder::new().name("consensus".into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a thread gets a runtime");
            runtime.block_on(thread.run(started, front));
            // With the runtime end its tasks, and with them the last holds on the disk.
            drop(runtime);
            drop(ending);
        });
        spawned.map_err(|cause| Error::Thread { thread: "consensus", cause })?;
        let (replica, watch) = starting.await.map_err(|_| Error::Ended)?.map_err(Error::Replica)?;
        Ok(Consensus { replica, watch, ended, stop })
    }

    /// Returns when the thread has ended, which it does only when it is stopped or broken.
    pub(crate) async fn ended(&mut self) {
        let _ = (&mut self.ended).await;
    }

    /// Hands leadership over, then ends the server and the thread.
    pub(crate) async fn stop(mut self) {
        // The server still runs: the successor's vote comes through it.
        self.replica.stop(true).await;
        self.stop.set();
        self.ended().await;
    }
}

#[cfg(test)]
impl Consensus {
    /// Ends the thread with everything on it where it stands.
    pub(crate) async fn abandon(mut self) {
        self.stop.set();
        self.ended().await;
    }
}

type Started = oneshot::Sender<Result<(Replica<DirectoryMachine>, Watch), StartError>>;

/// What the thread is given.
struct Thread {
    options: Options,
    machine: DirectoryMachine,
    directory: Directory,
    listener: TcpListener,
    stopping: Shutdown,
}

impl Thread {
    async fn run(self, started: Started, front: impl FnOnce(Replica<DirectoryMachine>, Watch) -> Front) {
        let (replica, peers): (Replica<_>, RaftServer<_>) = match Replica::start(self.options, self.machine).await {
            Ok(running) => running,
            Err(error) => return drop(started.send(Err(error))),
        };
        let watch = Watch::new(replica.clone(), &self.directory);
        let front = front(replica.clone(), watch.clone());
        let routes = front.routes(Some(peers)).expect("the descriptions this program was built with can be read");
        let _ = started.send(Ok((replica, watch)));
        if let Err(error) = grpc::serve(self.listener, routes, self.stopping).await {
            tracing::error!(error = &error as &dyn std::error::Error, "the gRPC server ended");
        }
    }
}

fn options(config: &Config, grpc: Address, clock: Clock) -> Options {
    let raft = &config.raft;
    let mut options = Options::new(&config.data_dir, KIND, KIND, grpc, grpc, clock, rand::random());
    options.timers = Timers { heartbeat: raft.heartbeat, election_min: raft.election_min, election_max: raft.election_max };
    options.snapshot_every = raft.snapshot_every;
    options
}
