//! The control daemon: one replica of the directory, which says which block should own which dyno.
//!
//! It is never in the path of a request, and nothing waits for it: edges and blocks go on by what they know while it is away. What it
//! wants it publishes in the map; what blocks do it hears from the map, and from nowhere else.
//!
//! Threads and tasks, who starts each, what ends it:
//!
//! | where | task | started by | ends |
//! |---|---|---|---|
//! | thread `consensus` | the replica; the gRPC server for peers and callers; health | [`Control::start`] | last, after leadership was handed over |
//! | caller's runtime | one task per call of the admin API, at most as many as its limit | the API | with its answer or its caller |
//! | caller's runtime | `publish`: what this replica has applied, while it leads | [`Control::start`] | [`Control::stop`] |
//! | caller's runtime | `observe`: what the map says and the directory does not know, while it leads | [`Control::start`] | [`Control::stop`] |
//! | caller's runtime | `sight`: what happens when, for whoever asks since when | [`Control::start`] | [`Control::stop`] |
//! | caller's runtime | `reconcile`: moves dynos, while it leads | [`Control::start`] | [`Control::stop`] |
//! | caller's runtime | one task per stream of events, at most as many as its limit | the API | with its reader, or [`Control::stop`] |
//! | caller's runtime | the gRPC server under TLS, and the reader of the tokens file, where configured | [`Control::start`] | [`Control::stop`] |
//! | caller's runtime | `readiness`: standing to `/readyz` | [`Control::start`] | [`Control::stop`] |
//!
//! They share the applied directory behind a lock that is held for one command or one look, and watch channels that hold one value.

mod api;
mod auth;
mod config;
mod directory;
mod error;
mod hearing;
mod metrics;
mod observation;
mod observe;
mod publish;
mod reconcile;
mod replica;
mod secure;
mod sight;
mod standing;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;

use dynomesh_core::id::{Address, GroupId, ReplicaId};
use dynomesh_runtime::clock::Clock;
use dynomesh_runtime::gossip::Gossip;
use dynomesh_runtime::http::admin::{Admin, Readiness};
use dynomesh_runtime::net;
use dynomesh_runtime::shutdown::{self, Shutdown, Trigger};
use dynomesh_runtime::telemetry::Registry;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::info;

pub use auth::Role;
pub use config::{ApiSettings, Config, FileConfig, RaftSettings};
pub use error::Error;
pub use standing::Standing;

use api::{Api, Front};
use directory::Directory;
use metrics::{Metrics, Present};
use publish::Speaker;
use replica::Consensus;
use sight::Sight;

/// Runs one replica until `shutdown`, then hands leadership over.
pub async fn run(config: Config, shutdown: Shutdown) -> Result<(), Error> {
    let mut control = Control::start(config).await?;
    tokio::select! {
        () = shutdown.wait() => {}
        () = control.consensus.ended() => return Err(Error::Ended),
    }
    info!("control replica stops: handing leadership over");
    control.stop().await;
    info!("control replica stopped");
    Ok(())
}

/// A running control replica. Ends in order by [`Control::stop`].
pub struct Control {
    grpc: Address,
    admin: Admin,
    gossip: SocketAddr,
    present: Arc<Present>,
    consensus: Consensus,
    secure: Option<SocketAddr>,
    tasks: JoinSet<()>,
    stop: Trigger,
}

impl Control {
    /// Starts a replica on the present runtime and a thread of its own. It is up, not yet ready: that takes a bootstrap and an election.
    pub async fn start(config: Config) -> Result<Self, Error> {
        let clock = Clock::system();
        let registry = Registry::new("control", config.name.as_str());
        let metrics = Metrics::new(&registry, clock.clone());
        let made = std::fs::create_dir_all(&config.data_dir);
        made.map_err(|cause| Error::DataDir { dir: config.data_dir.clone(), cause })?;
        let listener = net::listen(config.grpc, "grpc")?;
        let grpc = advertised(&config, &listener)?;
        let (ready, readiness) = watch::channel(Readiness::not_ready("starting"));
        let admin = Admin::serve(config.admin, registry.clone(), readiness)?;
        let gossip = Gossip::start(config.gossip.clone(), &clock).map_err(Error::Gossip)?;
        gossip.register(&registry);

        let (stop, stopping) = shutdown::channel();
        let secure::Secure { guard, tokens, tls } = secure::prepare(&config.api)?;
        let (directory, machine) = Directory::new();
        let sight = Sight::new(clock.clone(), config.name.clone());
        let prepare = {
            let (directory, gossip, guard, sight, stopping) =
                (directory.clone(), gossip.clone(), guard.clone(), sight.clone(), stopping.clone());
            let (node, clock, runtime, watches) = (config.name.clone(), clock.clone(), tokio::runtime::Handle::current(), Api::places());
            move |replica, watch| {
                let api = Api { node, replica, directory, gossip, watch, metrics, clock, sight, runtime, stopping, watches };
                Front { api, guard }
            }
        };
        let front = prepare.clone();
        let consensus = Consensus::start(&config, grpc, clock.clone(), machine, &directory, listener, prepare).await?;
        let (replica, watch) = (consensus.replica.clone(), consensus.watch.clone());
        let present = Arc::new(Present { replica: replica.clone(), directory: directory.clone(), watch, gossip: gossip.clone() });
        registry.register_collector(present.reader());
        let group = replica.group().map_or_else(|| "none yet, to be bootstrapped".into(), |group: GroupId| group.to_string());
        info!(
            name = %config.name, id = %replica.id(), %group, %grpc, admin = %admin.address(), gossip = %gossip.address(),
            data_dir = %config.data_dir.display(), raft = %told(&config.raft), "control replica starts"
        );

        let address = gossip.address();
        let mut tasks = JoinSet::new();
        let watch = &present.watch;
        let front = front(replica.clone(), watch.clone());
        tasks.spawn(reconcile::run(front.api.clone()));
        let secure = secure::serve(front, tls, &config.api, stopping, &mut tasks)?;
        if let (Some(tokens), Some(path)) = (tokens, config.api.tokens_file.clone()) {
            tasks.spawn(tokens.follow(path));
        }
        let speaker = Speaker {
            node: config.name.clone(),
            run: gossip.run(),
            replica: replica.id(),
            zone: config.zone.clone(),
            grpc,
            admin: secure::told(admin.address(), grpc),
        };
        tasks.spawn(publish::run(speaker, replica.clone(), directory.clone(), gossip.clone(), watch.clone()));
        tasks.spawn(sight::run(sight.clone(), directory.clone(), gossip.clone(), watch.clone()));
        tasks.spawn(observe::run(replica, directory, gossip, watch.clone(), sight));
        tasks.spawn(standing::report(watch.clone(), ready));
        Ok(Control { grpc, admin, gossip: address, present, consensus, secure, tasks, stop })
    }

    /// The id of this replica.
    pub fn id(&self) -> ReplicaId {
        self.consensus.replica.id()
    }

    /// Where callers and peers reach it.
    pub fn grpc(&self) -> Address {
        self.grpc
    }

    /// Where callers reach it under TLS, if anywhere.
    pub fn secure(&self) -> Option<SocketAddr> {
        self.secure
    }

    /// Where health, readiness and metrics are.
    pub fn admin(&self) -> SocketAddr {
        self.admin.address()
    }

    /// Where others send it their gossip.
    pub fn gossip(&self) -> SocketAddr {
        self.gossip
    }

    /// Where it stands in its group now.
    pub fn standing(&self) -> Standing {
        self.present.watch.now()
    }

    /// Hands leadership over, ends what runs and waits for it.
    pub async fn stop(mut self) {
        self.stop.set();
        self.tasks.shutdown().await;
        self.consensus.stop().await;
    }

    /// Ends the thread and gives the disk free without a word to anybody, as near to a killed process as a test in one process comes.
    #[cfg(test)]
    async fn abandon(mut self) {
        self.stop.set();
        self.tasks.shutdown().await;
        self.consensus.abandon().await;
    }
}

/// Where others reach the listener.
fn advertised(config: &Config, listener: &std::net::TcpListener) -> Result<Address, Error> {
    let bound = listener.local_addr().map_err(|cause| Error::Thread { thread: "consensus", cause })?;
    match config.grpc_advertise {
        Some(address) => Ok(address),
        None => {
            Address::new(bound).map_err(|invalid| Error::Config(dynomesh_runtime::config::ConfigError::setting("grpc_advertise", invalid)))
        }
    }
}

/// The settings that differ from their defaults, for the log.
fn told(raft: &RaftSettings) -> String {
    let default = RaftSettings::default();
    let spans = [
        ("heartbeat", raft.heartbeat, default.heartbeat),
        ("election_min", raft.election_min, default.election_min),
        ("election_max", raft.election_max, default.election_max),
    ];
    let mut told: Vec<String> =
        spans.iter().filter(|(_, is, was)| is != was).map(|(name, is, was)| format!("{name}={is} (default {was})")).collect();
    if raft.snapshot_every != default.snapshot_every {
        told.push(format!("snapshot_every={} (default {})", raft.snapshot_every, default.snapshot_every));
    }
    if told.is_empty() { "defaults".into() } else { told.join(" ") }
}
