//! Puts an edge together and runs it until it is told to stop.

use std::cell::Cell;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use dynomesh_core::map::NodeTelling;
use dynomesh_core::map::fact::NodeRole;
use dynomesh_core::time::Time;
use dynomesh_runtime::clock::Clock;
use dynomesh_runtime::descriptors;
use dynomesh_runtime::gossip::Gossip;
use dynomesh_runtime::http::admin::{Admin, Readiness};
use dynomesh_runtime::http::client::{Pool, PoolSettings};
use dynomesh_runtime::http::door::Door;
use dynomesh_runtime::http::serve::{Refused, ServeSettings, serve};
use dynomesh_runtime::net::reachable;
use dynomesh_runtime::shutdown::Shutdown;
use dynomesh_runtime::telemetry::Registry;
use dynomesh_runtime::tls;
use dynomesh_runtime::workers::Workers;
use http::HeaderValue;
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::info;

use crate::access_log::AccessLog;
use crate::attempt::Means;
use crate::beat::Beats;
use crate::config::{Config, told};
use crate::error::Error;
use crate::metrics::Metrics;
use crate::presence::{self, Presence};
use crate::record;
use crate::routes::Directory;
use crate::secure::{Listeners, Secure};
use crate::service::{Service, ServiceSettings, chance};
use crate::unread::Unread;

/// How often the gauges that nobody counts by events are read.
const GAUGES_EVERY: Duration = Duration::from_secs(1);

/// Pause between two changes of the map that are taken over: at most this late is a change, and at most so often are routes made.
const MAP_PAUSE: Duration = Duration::from_millis(10);
/// Longest wait for the first words of the map before clients are served.
const FIRST_WORD_MAX: Duration = Duration::from_millis(500);

/// What the data threads share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) directory: Arc<Directory>,
    pub(crate) metrics: Metrics,
    pub(crate) log: AccessLog,
    pub(crate) shutdown: Shutdown,
    pub(crate) door: Door,
    pub(crate) secure: Secure,
}

/// Runs an edge until `shutdown` is set and what runs is finished, or until it cannot go on.
pub async fn run(config: Config, shutdown: Shutdown) -> Result<(), Error> {
    let clock = Clock::system();
    let registry = Registry::new("edge", config.name.as_str());
    let metrics = Metrics::register(&registry);
    let secure = Secure::load(&config, &registry)?;
    let listeners = Listeners::open(&config)?;
    let listen = listeners[0].plain.local_addr().unwrap_or(config.listen);
    let listen_tls = listeners[0].tls.as_ref().and_then(|tls| tls.local_addr().ok());
    let gossip = Gossip::start(config.gossip.clone(), &clock).map_err(Error::Gossip)?;
    gossip.register(&registry);
    let (ready, readiness) = watch::channel(Readiness::not_ready("no leader of any block is known yet"));
    let admin = Admin::serve(config.admin, registry, readiness)?;
    let (log, writer) = AccessLog::start(&config.access_log).map_err(Error::AccessLog)?;
    info!(
        edge = %config.name, %listen, ?listen_tls, tiers_tls = secure.blocks.is_some(), admin = %admin.address(), gossip = %gossip.address(), seeds = ?config.gossip.seeds,
        cluster = config.gossip.cluster, threads = config.threads, block_choice = ?config.block_choice, access_log = ?config.access_log,
        limits = told(&config.limits), http2 = ?config.http2, retry = told(&config.retry), beat = told(&config.beat),
        "edge started"
    );
    // Each may need one to a block beside its own.
    descriptors::expect(config.limits.connections_max.saturating_mul(2 * config.threads), "limits.connections_max");
    let directory = Arc::new(Directory::new(config.retry.budget()));
    let files = secure.files();
    let shared = Shared { config, clock, directory, metrics, log, shutdown: shutdown.clone(), door: Door::default(), secure };
    let threads = shared.clone();
    let workers = Workers::start_each("edge", listeners, move |_, listener| carry(threads.clone(), listener)).map_err(Error::Threads)?;
    let presence = presence(&shared, &gossip, admin.address(), listen, ready);
    let watching = tokio::spawn(tls::watch(files));
    let ended = tokio::select! {
        ended = workers.join() => ended,
        never = follow(&shared, &gossip) => match never {},
        never = presence::run(presence) => match never {},
    };
    watching.abort();
    drop(shared);
    info!("edge stopped");
    ended?;
    writer.finish().await;
    Ok(())
}

fn presence(shared: &Shared, gossip: &Gossip, admin: SocketAddr, listen: SocketAddr, ready: watch::Sender<Readiness>) -> Presence {
    let Shared { config, clock, door, metrics, .. } = shared;
    let [admin, http] = [admin, listen].map(|bound| reachable(bound, gossip.address()));
    Presence {
        me: config.name.clone(),
        clock: clock.clone(),
        gossip: gossip.clone(),
        telling: NodeTelling::new(config.name.clone(), gossip.run(), env!("CARGO_PKG_VERSION"), config.zone.clone(), admin),
        role: NodeRole::Edge { http },
        door: door.clone(),
        metrics: metrics.clone(),
        ready,
    }
}

/// One data thread.
async fn carry(shared: Shared, listeners: Listeners) {
    let taken = |listener| TcpListener::from_std(listener).expect("a listener that is bound and does not block is taken by the runtime");
    let limits = &shared.config.limits;
    let settings = ServeSettings {
        head_timeout: limits.head_timeout,
        head_max: limits.head_max,
        buffer_max: limits.head_max.max(64 * 1024),
        connections_max: limits.connections_max,
        idle: limits.idle,
        finish: limits.drain,
        door: shared.door.clone(),
        write_idle: limits.idle_stream,
        http2: shared.config.http2.clone(),
        date: true,
        refused: Some(refused(&shared)),
        ..ServeSettings::default()
    };
    tokio::select! {
        () = knows_the_way(&shared.directory) => {}
        () = sleep(FIRST_WORD_MAX) => {}
        () = shared.shutdown.wait() => {}
    }
    let service = service(&shared);
    let answer = move |request: http::Request<Incoming>, peer| {
        let service = service.clone();
        async move { Ok::<_, Infallible>(service.answer(request, peer).await) }
    };
    let by_tls = ServeSettings { tls: shared.secure.clients.clone(), ..settings.clone() };
    let plain = serve(taken(listeners.plain), settings, shared.shutdown.clone(), answer.clone());
    match listeners.tls {
        None => plain.await,
        Some(listener) => drop(tokio::join!(plain, serve(taken(listener), by_tls, shared.shutdown.clone(), answer))),
    }
}

/// Tells of what clients sent that was no request.
fn refused(shared: &Shared) -> Refused {
    let (metrics, log) = (shared.metrics.clone(), shared.log.clone());
    let edge: Arc<str> = shared.config.name.as_str().into();
    Refused(Arc::new(move |client, violation| record::refused(&metrics, &log, &edge, client, violation)))
}

/// Waits for the first words of the map: until then clients wait in the kernel's queue, instead of being told that nobody is there.
async fn knows_the_way(directory: &Directory) {
    loop {
        let changed = directory.seats.changed();
        if directory.routes().lead_somewhere() {
            return;
        }
        // Apps may come after the leaders of their blocks.
        tokio::select! {
            () = changed => {}
            () = sleep(MAP_PAUSE) => {}
        }
    }
}

/// The service of one data thread. On that thread.
pub(crate) fn service(shared: &Shared) -> Rc<Service<Incoming>> {
    let Shared { config, clock, directory, metrics, log, .. } = shared;
    let tls = shared.secure.blocks.clone();
    let beats = Beats::new(config.beat, clock.clone(), metrics.clone(), tls.clone());
    let pool =
        PoolSettings { connect_timeout: config.limits.connect_timeout, idle_max: config.limits.pool_max, tls, ..PoolSettings::default() };
    Rc::new(Service {
        settings: ServiceSettings {
            choice: config.block_choice,
            limits: config.retry.limits(),
            deadline: config.limits.deadline,
            patience: config.retry.patience,
            replay_buffer: config.limits.replay_buffer,
            body_idle: config.limits.body_idle,
            idle_stream: config.limits.idle_stream,
            manner: config.manner,
        },
        edge: config.name.as_str().into(),
        edge_header: HeaderValue::try_from(config.name.as_str()).expect("a node's name is visible ASCII"),
        directory: directory.clone(),
        means: Means {
            clock: clock.clone(),
            pool: Pool::new(pool, clock.clone()),
            beats,
            metrics: metrics.clone(),
            missed_max: config.beat.missed,
        },
        log: log.clone(),
        unread: Unread::start(config.limits.idle_stream),
        rng: chance(),
        told_unknown: Cell::new(Time::ZERO),
    })
}

/// Takes changes of the map over, for ever.
async fn follow(shared: &Shared, gossip: &Gossip) -> Infallible {
    let mut changes = gossip.subscribe();
    let mut gauges = interval(GAUGES_EVERY);
    gauges.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut known: Vec<String> = Vec::new();
    loop {
        tokio::select! {
            changed = changes.changed() => {
                changed.expect("gossip lives as long as its handle");
                let view = gossip.view();
                shared.directory.update(&view, shared.clock.now());
                let routes = shared.directory.routes();
                if routes.known() != known {
                    known = routes.known().into_iter().map(str::to_owned).collect();
                    info!(hosts = ?known, "hosts changed");
                }
                sleep(MAP_PAUSE).await;
            }
            _ = gauges.tick() => {}
        }
        read_gauges(shared);
    }
}

fn read_gauges(shared: &Shared) {
    let Shared { metrics, directory, log, .. } = shared;
    let (led, blocks) = directory.seats.counts();
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    metrics.blocks_led.set(count(led));
    metrics.blocks_known.set(count(blocks));
    metrics.hosts_known.set(count(directory.routes().len()));
    metrics.leader_changes.set(directory.seats.changes_total());
    metrics.at_blocks.set(directory.loads.own_total());
    metrics.log_dropped.set(log.dropped());
}
