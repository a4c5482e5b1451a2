//! Opening the disk and starting the tasks.

use std::sync::Arc;

use dynomesh_core::time::{Span, Time};
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::Fatal;
use openraft::{Config, Raft, SnapshotPolicy};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::watch;

use super::{Inner, RaftServer, Replica, abstain};
use crate::batcher::{self, Batcher};
use crate::candidacy::Candidacy;
use crate::engine::seed_thread;
use crate::error::StartError;
use crate::identity::Identity;
use crate::keeper::Keeper;
use crate::lease::Lease;
use crate::log::Log;
use crate::machine::Machine;
use crate::metrics::Counters;
use crate::options::Options;
use crate::role::{self, Role};
use crate::snapshot::Shelf;
use crate::transport::{Muzzle, Network, Peers, Server};

/// Entries per request to a follower; their bytes are bounded by the log reader.
const REQUEST_ENTRIES_MAX: u64 = 64;
/// Entries are purged this many at a time: each purge is flushed.
const PURGE_BATCH: u64 = 256;

pub(super) async fn start<M: Machine>(options: Options, machine: M) -> Result<(Replica<M>, RaftServer<M>), StartError> {
    options.timers.check().map_err(StartError::Options)?;
    seed_thread(options.seed);
    let mut identity = Identity::open(&options, &mut StdRng::seed_from_u64(options.seed))?;
    let shelf = Shelf::open(&options.dir)?;
    let log = Log::open(&options.dir.join("log"), options.segment_len, options.on_fatal.clone())?;
    let covered = shelf.present().and_then(|snapshot| snapshot.meta.last_log_id);
    if log.purged() > covered {
        let problem = "the log was purged behind a snapshot that is gone".to_owned();
        return Err(StartError::Corrupt { path: options.dir, problem });
    }
    identity.settle(covered.is_some() || !log.is_blank()).map_err(StartError::disk(&options.dir))?;
    let identity = Arc::new(identity);

    let keeper = Keeper::new(machine, shelf, log.clone());
    let applied = keeper.watched();
    let lease = Arc::new(Lease::default());
    let peers = Peers::new(identity.clone(), lease.clone(), options.clock.clone(), options.cut.clone());
    // Whether it stands for election is the candidacy's to say, once it is there.
    let config = config(&options)?;
    let network = Network(peers.clone());
    let raft = Raft::new(identity.replica().0, config, network, log.clone(), keeper);
    let raft = raft.await.map_err(|e| StartError::Raft(e.to_string()))?;

    let (role_tx, role) = watch::channel(Role::default());
    let (closed, closed_rx) = watch::channel(0);
    let (proposer, queue) = batcher::channel();
    let counters = Arc::new(Counters::default());
    let following = role::follow(raft.server_metrics(), applied.clone(), lease.clone(), identity.removed(), role_tx);
    let (core, on_fatal) = (raft.metrics(), options.on_fatal.clone());
    tokio::spawn(async move {
        following.await;
        // A replica whose core broke (a snapshot that cannot be written, an entry that cannot be read) must not linger.
        if let Err(fatal) = core.borrow_watched().running_state.clone()
            && fatal != Fatal::Stopped
        {
            on_fatal.report(&std::io::Error::other(fatal));
        }
    });
    tokio::spawn(Batcher::new(raft.clone(), queue, role.clone(), closed_rx, counters.clone(), options.clock.clone()).run());
    let candidacy = candidacy(&raft, &options, &identity);
    let muzzle = muzzle(&candidacy, &options, &identity, identity.promised());

    tracing::info!(
        kind = options.kind, name = options.name, replica = %identity.replica(), incarnation = %identity.incarnation(),
        group = ?identity.group().map(|g| g.to_string()), grpc = %options.grpc, http = %options.http, timers = ?options.timers,
        "replica started"
    );
    let (handing_over, changing) = (tokio::sync::Mutex::default(), std::sync::Mutex::default());
    let inner =
        Inner { raft, log, proposer, role, closed, handing_over, lease, identity, options, peers, counters, applied, candidacy, changing };
    let replica = Replica(Arc::new(inner));
    tokio::spawn(abstain::run(replica.0.clone()));
    let server = Server::new(replica.clone(), &replica.0, muzzle);
    let len = dynomesh_proto::MESSAGE_LEN_MAX;
    let server = RaftServer::new(server).max_decoding_message_size(len).max_encoding_message_size(len);
    Ok((replica, server))
}

fn config(options: &Options) -> Result<Arc<Config>, StartError> {
    let timers = options.timers;
    let config = Config {
        cluster_name: options.name.clone(),
        heartbeat_interval: timers.heartbeat.as_millis(),
        election_timeout_min: timers.election_min.as_millis(),
        election_timeout_max: timers.election_max.as_millis(),
        max_payload_entries: REQUEST_ENTRIES_MAX,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(options.snapshot_every),
        max_in_snapshot_log_to_keep: options.snapshot_keep,
        purge_batch_size: PURGE_BATCH,
        // A follower is sent a snapshot only when the entries it lacks are gone.
        replication_lag_threshold: u64::MAX,
        broadcast_submitted_on_append: Some(true),
        enable_elect: false,
        // A leader removed from the group would hand over by itself, past its lease. openraft does not export the type.
        removed_leader_step_down: serde_json::from_str("\"Never\"").expect("a variant of openraft's StepDownPolicy"),
        enable_pre_vote: Some(true),
        enable_leader_restore: Some(false),
        ..Config::default()
    };
    Ok(Arc::new(config.validate().map_err(|e| StartError::Options(e.to_string()))?))
}

/// Lets the replica stand for election unless something speaks against it.
fn candidacy<M: Machine>(raft: &Raft<crate::engine::Engine, Keeper<M>>, options: &Options, identity: &Identity) -> Arc<Candidacy> {
    let mut removed = identity.removed();
    let (muzzled, gone) = (identity.promised().is_some(), *removed.borrow_and_update());
    let switched = raft.clone();
    let switch = move |on| switched.runtime_config().elect(on);
    let candidacy = Arc::new(Candidacy::new(muzzled, gone, options.timers.election_max, options.clock.clone(), switch));
    let told = candidacy.clone();
    tokio::spawn(async move {
        // It ends with an error when the replica is gone, which needs nothing any more.
        if removed.wait_for(|removed| *removed).await.is_ok() {
            told.remove();
        }
    });
    candidacy
}

/// A voter that was restarted neither votes nor stands for as long as it may have promised to follow (P4).
fn muzzle(candidacy: &Arc<Candidacy>, options: &Options, identity: &Arc<Identity>, promised: Option<Span>) -> Muzzle {
    let Some(promised) = promised else { return Muzzle { until: Time::ZERO } };
    let (candidacy, identity, lease) = (candidacy.clone(), Arc::downgrade(identity), options.timers.election_max);
    tokio::spawn(async move {
        tokio::time::sleep(promised.to_std()).await;
        candidacy.unmuzzle();
        let Some(identity) = identity.upgrade() else { return };
        // Beside the consensus thread, which a slow disk must not keep. If it fails, the next start is silent for longer than it must.
        let kept = tokio::task::spawn_blocking(move || identity.outlive(lease)).await.map_err(std::io::Error::other).flatten();
        if let Err(error) = kept {
            tracing::info!(error = &error as &dyn std::error::Error, "a lower lease was not kept");
        }
    });
    Muzzle { until: options.clock.now() + promised }
}
