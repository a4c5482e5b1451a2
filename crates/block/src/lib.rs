//! The block daemon: one replica of a block.
//!
//! Threads and tasks, who starts each, what ends it:
//!
//! | where | task | started by | ends |
//! |---|---|---|---|
//! | consensus thread | the replica and its gRPC server; the watch of the data threads | [`run`] | last, after leadership was handed over |
//! | data threads | `Ingress` on the HTTP listener; one exchange task per request at a dyno, one driver per connection to one, one carrier per switched connection | [`run`] | shutdown, when what runs is finished, also what other threads run over its connections |
//! | calling thread | `keep`: holds, renewals, frees, lease | [`run`] | with the process |
//! | calling thread | `health`, `takeover`, `adopt`, `wishes`, TLS files, metrics, admin listener | [`run`] | with the process |
//!
//! All of them meet in one place, the router behind its mutex (the module `grant`); the way to the log is a channel that never blocks. Raft has
//! a thread and runtime of its own so that load on the data path cannot starve heartbeats; a data thread that is late makes the replica
//! give up its lease, so that a leader whose data path is wedged grants nothing (P6). One that stays late makes it give up its office too,
//! and keeps it from taking it again until it is back.

mod adopt;
mod config;
mod error;
mod evictions;
mod facts;
mod grant;
mod health;
mod ingress;
mod keep;
mod machine;
mod metrics;
mod takeover;
#[cfg(test)]
mod tests;
mod upstream;
mod wishes;

use std::net::SocketAddr;
use std::sync::Arc;

use dynomesh_consensus::{OnFatal, Options, Replica, State, Timers};
use dynomesh_core::block::{BlockSettings, SlotsMode};
use dynomesh_core::id::Holder;
use dynomesh_core::map::{Hearing, NodeTelling};
use dynomesh_runtime::clock::Clock;
use dynomesh_runtime::descriptors;
use dynomesh_runtime::gossip::Gossip;
use dynomesh_runtime::http::admin::{Admin, Readiness};
use dynomesh_runtime::http::headers;
use dynomesh_runtime::http::serve::{ServeSettings, serve};
use dynomesh_runtime::net;
use dynomesh_runtime::shutdown::{self, Shutdown, Trigger};
use dynomesh_runtime::telemetry::Registry;
use dynomesh_runtime::tls::{self, ServerTls, TlsMetrics};
use dynomesh_runtime::workers::Workers;
use tokio::sync::{oneshot, watch};
use tracing::{info, warn};

pub use config::{Config, FileConfig, Limits, RaftSettings, Slots};
pub use error::RunError;

use adopt::Look;
use evictions::Evictions;
use facts::Voice;
use grant::{Proposer, Right, Router, Shared};
use ingress::Ingress;
use keep::{ThreadWatch, Ticks};
use machine::BlockMachine;

/// Runs one replica until `shutdown`, then hands leadership over and finishes what runs.
pub async fn run(config: Config, shutdown: Shutdown) -> Result<(), RunError> {
    let clock = Clock::system();
    let registry = Registry::new("block", config.replica.as_str());
    let metrics = metrics::Metrics::new(&registry);
    let tls = config.tiers.as_ref().map(|tiers| ServerTls::for_tiers(tiers, &TlsMetrics::register(&registry))).transpose()?;
    let listeners = net::listen_each(config.http, "http", config.threads, net::Peers::Tier)?;
    let (ready, readiness) = watch::channel(Readiness::not_ready("starting"));
    let admin = Admin::serve(config.admin, registry.clone(), readiness)?;

    let proposer = Proposer::default();
    let wanted = BlockSettings { slots: config.slots, leased_quarantine: config.leased_quarantine };
    let router = Router::new(config.limits.clone(), wanted, proposer.clone(), metrics.clone(), rand::random());
    let shared = Shared::new(config.block.clone(), clock.clone(), config.limits.clone(), metrics, proposer.clone(), router);
    let consensus = Consensus::start(&config, &clock, BlockMachine::new(shared.clone())).await?;
    let replica = consensus.replica.clone();
    info!(
        block = %config.block, replica = %config.replica, id = %replica.id(), http = %config.http, grpc = %config.grpc, admin = %admin.address(),
        gossip = %config.gossip.listen, data_dir = %config.data_dir.display(), slots = ?config.slots, threads = config.threads, tiers_tls = tls.is_some(),
        limits = %config::told(&config.limits), raft = %config::told(&config.raft), "block replica starts"
    );

    descriptors::expect(config.limits.connections_max.saturating_mul(config.threads), "limits.connections_max");
    let evictions = Evictions::open(&config.data_dir).map_err(RunError::Evictions)?;
    let gossip = Gossip::start(config.gossip.clone(), &clock).map_err(RunError::Gossip)?;
    gossip.register(&registry);
    let (stop_data, data_stopping) = shutdown::channel();
    let ticks = Ticks::new(config.threads);
    let workers = start_workers(&config, &shared, tls.clone(), listeners, data_stopping, ticks.clone())?;
    let mut workers = tokio::spawn(workers.join());
    let (tell_stuck, stuck) = watch::channel(false);
    consensus.runtime.spawn(ThreadWatch::new(&shared, ticks, tell_stuck).run());
    tokio::spawn(keep::run(shared.clone()));
    if config.slots == SlotsMode::Leased {
        tokio::spawn(keep::checkpoint(shared.clone()));
    }
    tokio::spawn(tls::watch(tls.iter().map(ServerTls::files).collect()));
    tokio::spawn(health::run(shared.clone()));
    tokio::spawn(takeover::run(shared.clone()));
    tokio::spawn(adopt::run(shared.clone(), gossip.clone(), look(&config, &shared, &gossip, admin.address(), evictions)));
    tokio::spawn(wishes::run(shared.clone(), gossip.clone(), config.replica.clone(), stuck));
    tokio::spawn(keep::report(shared.clone(), ready));

    let mut consensus_ended = consensus.ended;
    tokio::select! {
        () = shutdown.wait() => {}
        ended = &mut workers => return Err(data_threads_ended(ended)),
        _ = &mut consensus_ended => return Err(RunError::Consensus),
    }
    info!("block replica stops: handing leadership over");
    shared.router().stop();
    if let Err(error) = replica.transfer(None).await {
        info!(error = &error as &dyn std::error::Error, "leadership was not handed over");
    }
    stop_data.set();
    let finished = tokio::time::timeout(config.limits.drain.to_std(), workers).await;
    if finished.is_err() {
        warn!(drain = %config.limits.drain, "requests still run at the end of the drain; they are cut");
    }
    let _ = tokio::time::timeout(LAST_FREES.to_std(), keep::settled(&shared)).await;
    replica.stop(false).await;
    consensus.stop.set();
    let _ = consensus.thread.await;
    info!("block replica stopped");
    Ok(())
}

fn look(config: &Config, shared: &Shared, gossip: &Gossip, admin: SocketAddr, evictions: Evictions) -> Look {
    let admin = net::reachable(admin, gossip.address());
    let telling = NodeTelling::new(config.replica.clone(), gossip.run(), env!("CARGO_PKG_VERSION"), config.zone.clone(), admin);
    Look {
        me: config.replica.clone(),
        // Two rounds bring what a peer passes on; a third is for the one that was lost.
        hearing: Hearing::new(shared.clock.now(), config.limits.map_wait, config.gossip.interval.times(3)),
        voice: Voice::new(telling, config.zone.clone(), config.http_advertise, config.grpc_advertise),
        evictions,
    }
}

/// Longest wait for the last frees to reach whoever leads now.
const LAST_FREES: dynomesh_core::time::Span = dynomesh_core::time::Span::from_millis(500);

fn data_threads_ended(ended: Result<Result<(), dynomesh_runtime::workers::Panicked>, tokio::task::JoinError>) -> RunError {
    match ended {
        Ok(Err(panicked)) => RunError::Panicked(panicked),
        _ => RunError::Thread(std::io::Error::other("the data threads ended by themselves")),
    }
}

fn start_workers(
    config: &Config,
    shared: &Arc<Shared>,
    tls: Option<ServerTls>,
    listeners: Vec<std::net::TcpListener>,
    stopping: Shutdown,
    ticks: Ticks,
) -> Result<Workers, RunError> {
    let settings = ServeSettings {
        head_max: config.limits.head_max,
        fields_max: headers::TIER_FIELDS_MAX,
        buffer_max: config.limits.head_max,
        connections_max: config.limits.connections_max,
        finish: config.limits.drain,
        // Edges close idle connections; a block that closes first races with a request on its way (P26).
        idle: config.limits.deadline.times(10),
        tls,
        ..ServeSettings::default()
    };
    let shared = shared.clone();
    let work = move |number: usize, listener: std::net::TcpListener| {
        let (shared, settings, stopping, ticks) = (shared.clone(), settings.clone(), stopping.clone(), ticks.clone());
        async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener made for tokio is taken by it");
            tokio::task::spawn_local(ticks.tick(number, shared.clock.clone()));
            let ingress = Ingress::new(shared);
            let host = ingress.host();
            serve(listener, settings, stopping, move |request, peer| {
                let ingress = ingress.clone();
                async move { Ok::<_, std::convert::Infallible>(ingress.answer(request, peer).await) }
            })
            .await;
            // Connections to dynos end with the thread that drives them, and another may have a request there.
            host.until_alone().await;
        }
    };
    Workers::start_each("data", listeners, work).map_err(RunError::Thread)
}

/// The consensus thread.
struct Consensus {
    replica: Replica<BlockMachine>,
    /// What runs on its thread.
    runtime: tokio::runtime::Handle,
    thread: tokio::task::JoinHandle<()>,
    ended: oneshot::Receiver<()>,
    /// Ends the gRPC server, and with it the thread.
    stop: Trigger,
}

impl Consensus {
    async fn start(config: &Config, clock: &Clock, machine: BlockMachine) -> Result<Self, RunError> {
        let listener = net::listen(config.grpc, "grpc")?;
        let options = options(config, clock);
        let (started, starting) = oneshot::channel();
        let (ending, ended) = oneshot::channel();
        let (stop, stopping) = shutdown::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(RunError::Thread)?;
        let handle = runtime.handle().clone();
        let thread = std::thread::Builder::new()
            .name("consensus".into())
            .spawn(move || {
                runtime.block_on(consensus_thread(options, machine, listener, started, stopping));
                drop(ending);
            })
            .map_err(RunError::Thread)?;
        let replica = starting.await.map_err(|_| RunError::Consensus)?.map_err(RunError::Start)?;
        let thread = tokio::task::spawn_blocking(move || drop(thread.join()));
        Ok(Consensus { replica, runtime: handle, thread, ended, stop })
    }
}

async fn consensus_thread(
    options: Options,
    machine: BlockMachine,
    listener: std::net::TcpListener,
    started: oneshot::Sender<Result<Replica<BlockMachine>, dynomesh_consensus::StartError>>,
    stopping: Shutdown,
) {
    let shared = machine.shared();
    let (replica, server) = match Replica::start(options, machine).await {
        Ok(running) => running,
        Err(error) => return drop(started.send(Err(error))),
    };
    shared.proposer.set(replica.clone());
    let me = Holder { replica: replica.id(), incarnation: replica.incarnation() };
    shared.router().identify(shared.clock.now(), me);
    let _ = started.send(Ok(replica.clone()));
    let routes = tonic::service::Routes::new(server);
    if let Err(error) = dynomesh_runtime::grpc::serve(listener, routes, stopping).await {
        warn!(error = &error as &dyn std::error::Error, "peers cannot be served");
    }
}

fn options(config: &Config, clock: &Clock) -> Options {
    let mut options = Options::new(
        config.data_dir.clone(),
        "block",
        config.block.to_string(),
        config.http_advertise,
        config.grpc_advertise,
        clock.clone(),
        rand::random(),
    );
    options.timers =
        Timers { heartbeat: config.raft.heartbeat, election_min: config.raft.election_min, election_max: config.raft.election_max };
    options.snapshot_every = config.raft.snapshot_every;
    options.on_fatal = OnFatal::abort();
    options
}

/// Whether this replica can do its job: lead with a lease, or refer to a leader it knows.
fn readiness(shared: &Shared) -> Readiness {
    let role = shared.replica().role().borrow().clone();
    match role.state {
        State::Leader { .. } if shared.router().right() == Right::Evicted => {
            Readiness::not_ready("the block was evicted: remove its data and start with empty disks")
        }
        State::Leader { .. } if shared.router().right() == Right::Stranger => {
            Readiness::not_ready("another group has this block's name: set it up under a name of its own, with empty disks")
        }
        State::Leader { .. } if shared.router().right() == Right::Unheard => Readiness::not_ready("waits to hear the map"),
        State::Leader { ready: true } if shared.lease().valid(shared.clock.now()) => Readiness::ready(),
        State::Follower if role.leader.is_some() => Readiness::ready(),
        _ if shared.replica().is_pristine() => Readiness::not_ready("the block is not bootstrapped"),
        _ if shared.replica().is_removed() => Readiness::not_ready("the block removed this replica: empty its data directory"),
        State::Learner => Readiness::not_ready("learning, not yet a member that votes"),
        _ => Readiness::not_ready("no leader"),
    }
}
