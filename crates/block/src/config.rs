//! What a block replica is told at start: the file as written, and the same checked and typed.
//!
//! Relations between settings are checked here, once; the rest of the crate trusts them.

use std::net::SocketAddr;
use std::path::PathBuf;

use dynomesh_core::block::SlotsMode;
use dynomesh_core::dispatch::DYNO_ATTEMPTS_PER_BLOCK_MAX;
use dynomesh_core::gossip::Interest;
use dynomesh_core::id::{Address, BlockName, Invalid, NodeName, Zone};
use dynomesh_core::time::Span;
use dynomesh_runtime::gossip::{GossipConfig, GossipSection};
use dynomesh_runtime::tls::TiersSection;
use serde::{Deserialize, Serialize};

/// The configuration as written.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileConfig {
    /// Name of the block, the same for all its replicas.
    pub block: BlockName,
    /// Name of this replica, unique in the mesh, for logs and gossip: for example `b1-2`.
    pub replica: NodeName,
    /// Where it runs: replicas in one zone are lost together.
    #[serde(default)]
    pub zone: Option<Zone>,
    /// Folder of the replica's log, snapshots and identity. Lost, the replica is lost: it joins again only as a new one.
    pub data_dir: PathBuf,
    /// Where edges send requests.
    pub http: SocketAddr,
    /// The address edges reach `http` at, where that differs.
    #[serde(default)]
    pub http_advertise: Option<SocketAddr>,
    /// Where the other replicas of the block connect to.
    pub grpc: SocketAddr,
    /// The address other replicas reach `grpc` at, where that differs.
    #[serde(default)]
    pub grpc_advertise: Option<SocketAddr>,
    /// Health, readiness and metrics.
    pub admin: SocketAddr,
    /// Threads that carry requests.
    #[serde(default = "one")]
    pub threads: usize,
    /// `committed`: a slot is replicated before it is used. `leased`: it is used at once and replicated within 10 ms.
    #[serde(default)]
    pub slots: Slots,
    /// With `leased`: whether a new leader counts every dyno as full until it is proven idle.
    #[serde(default = "yes")]
    pub leased_quarantine: bool,
    /// How facts travel.
    pub gossip: GossipSection,
    /// How the replicas agree.
    #[serde(default)]
    pub raft: RaftSettings,
    /// Limits of time and number.
    #[serde(default)]
    pub limits: Limits,
    /// Mutual TLS with edges: then `http` speaks nothing else.
    #[serde(default)]
    pub tiers: Option<TiersSection>,
}

/// When a slot counts as granted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Slots {
    /// Once the group has committed it.
    #[default]
    Committed,
    /// At once, under the leader's lease.
    Leased,
}

/// How the replicas of a block agree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RaftSettings {
    /// How often a leader shows that it is alive.
    pub heartbeat: Span,
    /// Shortest wait of a follower before it stands for election; at least three heartbeats.
    pub election_min: Span,
    /// Longest such wait, and the length of a leader's lease.
    pub election_max: Span,
    /// Log entries between two snapshots.
    pub snapshot_every: u64,
}

/// Limits of a block replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Time a slot stays counted after an error whose end was seen.
    pub hold: Span,
    /// Time the slots of a dead holder stay counted at least where their dyno cannot be proven idle. Longer than `dispatch_by`.
    pub orphan_hold: Span,
    /// Longest wait for a connection to a dyno.
    pub connect: Span,
    /// Longest wait for the head of a dyno's response.
    pub first_byte: Span,
    /// Longest silence within a response that streams.
    pub idle_stream: Span,
    /// Longest time between a grant and the first byte to the dyno.
    pub dispatch_by: Span,
    /// Longest wait for a withheld body to start once a dyno is connected.
    pub body_start: Span,
    /// Longest time a response is read on for a client that left.
    pub abandon_limit: Span,
    /// Deadline of a request that brings none.
    pub deadline: Span,
    /// Time a slot is granted for; renewed while a response streams.
    pub slot_span: Span,
    /// Longest wait for a grant to commit.
    pub grant_wait: Span,
    /// Dynos tried for one request in this block.
    pub dyno_attempts: u32,
    /// Longest request head, in bytes. Larger than the edges' own limit: they add some headers to what a client may send.
    pub head_max: usize,
    /// Connections from edges.
    pub connections_max: usize,
    /// Time that running requests get at a graceful stop.
    pub drain: Span,
    /// A data thread later than this makes the replica give up its lease, and one that stays so for five times as long its office (P6).
    pub worker_late: Span,
    /// Longest time from the start of the process in which a leader waits to hear the map before it grants slots: its block may have
    /// been evicted while it was away (P16).
    pub map_wait: Span,
}

fn one() -> usize {
    1
}

fn yes() -> bool {
    true
}

impl Default for RaftSettings {
    fn default() -> Self {
        RaftSettings {
            heartbeat: Span::from_millis(30),
            election_min: Span::from_millis(90),
            election_max: Span::from_millis(120),
            snapshot_every: 20_000,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            hold: Span::from_secs(1),
            orphan_hold: Span::from_secs(2),
            connect: Span::from_millis(500),
            first_byte: Span::from_secs(30),
            idle_stream: Span::from_secs(55),
            dispatch_by: Span::from_secs(1),
            body_start: Span::from_secs(1),
            abandon_limit: Span::from_secs(60),
            deadline: Span::from_secs(60),
            slot_span: Span::from_secs(60),
            grant_wait: Span::from_millis(300),
            dyno_attempts: DYNO_ATTEMPTS_PER_BLOCK_MAX,
            head_max: 80 * 1024,
            connections_max: 20_000,
            drain: Span::from_secs(30),
            worker_late: Span::from_millis(300),
            map_wait: Span::from_secs(1),
        }
    }
}

/// The settings that differ from their defaults, for the log at start.
pub(crate) fn told<T: Serialize + Default>(settings: &T) -> String {
    let (set, default) = (serde_json::to_value(settings), serde_json::to_value(T::default()));
    let (Ok(serde_json::Value::Object(set)), Ok(serde_json::Value::Object(default))) = (set, default) else { return String::new() };
    let changed: Vec<String> =
        set.iter().filter(|(key, value)| default.get(*key) != Some(value)).map(|(key, value)| format!("{key}={value}")).collect();
    if changed.is_empty() { "defaults".into() } else { changed.join(" ") }
}

/// The configuration, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// See [`FileConfig::block`].
    pub block: BlockName,
    /// See [`FileConfig::replica`].
    pub replica: NodeName,
    /// See [`FileConfig::zone`].
    pub zone: Option<Zone>,
    /// See [`FileConfig::data_dir`].
    pub data_dir: PathBuf,
    /// Where to listen for edges.
    pub http: SocketAddr,
    /// Where edges find it.
    pub http_advertise: Address,
    /// Where to listen for peers.
    pub grpc: SocketAddr,
    /// Where peers find it.
    pub grpc_advertise: Address,
    /// Where to listen for operators.
    pub admin: SocketAddr,
    /// Data threads, 1 to 64.
    pub threads: usize,
    /// See [`FileConfig::slots`].
    pub slots: SlotsMode,
    /// See [`FileConfig::leased_quarantine`].
    pub leased_quarantine: bool,
    /// How facts travel.
    pub gossip: GossipConfig,
    /// See [`RaftSettings`].
    pub raft: RaftSettings,
    /// See [`Limits`].
    pub limits: Limits,
    /// See [`FileConfig::tiers`].
    pub tiers: Option<TiersSection>,
}

impl TryFrom<FileConfig> for Config {
    type Error = Invalid;

    fn try_from(file: FileConfig) -> Result<Self, Invalid> {
        if !(1..=64).contains(&file.threads) {
            return Err(Invalid::new("threads", &file.threads.to_string(), "must be from 1 to 64"));
        }
        let RaftSettings { heartbeat, election_min, election_max, snapshot_every } = &file.raft;
        if *heartbeat < Span::from_millis(5) || *election_min < heartbeat.times(3) {
            return Err(Invalid::new(
                "raft.election_min",
                &election_min.to_string(),
                "must be at least three times raft.heartbeat, and that at least 5ms",
            ));
        }
        if election_max <= election_min {
            return Err(Invalid::new("raft.election_max", &election_max.to_string(), "must be longer than raft.election_min"));
        }
        if *snapshot_every < 100 {
            return Err(Invalid::new("raft.snapshot_every", &snapshot_every.to_string(), "must be at least 100"));
        }
        if file.limits.slot_span < Span::from_secs(1) {
            return Err(Invalid::new("limits.slot_span", &file.limits.slot_span.to_string(), "must be at least 1s"));
        }
        if file.limits.orphan_hold <= file.limits.dispatch_by {
            return Err(Invalid::new("limits.orphan_hold", &file.limits.orphan_hold.to_string(), "must be longer than limits.dispatch_by"));
        }
        if !(1..=6).contains(&file.limits.dyno_attempts) {
            return Err(Invalid::new("limits.dyno_attempts", &file.limits.dyno_attempts.to_string(), "must be from 1 to 6"));
        }
        Ok(Config {
            http_advertise: Address::new(file.http_advertise.unwrap_or(file.http))?,
            grpc_advertise: Address::new(file.grpc_advertise.unwrap_or(file.grpc))?,
            gossip: GossipConfig {
                wants: Interest::block(&file.block),
                ..file.gossip.config(file.replica.clone(), Some(file.data_dir.join("gossip.generation")))
            },
            slots: match file.slots {
                Slots::Committed => SlotsMode::Committed,
                Slots::Leased => SlotsMode::Leased,
            },
            block: file.block,
            replica: file.replica,
            zone: file.zone,
            data_dir: file.data_dir,
            http: file.http,
            grpc: file.grpc,
            admin: file.admin,
            threads: file.threads,
            leased_quarantine: file.leased_quarantine,
            raft: file.raft,
            limits: file.limits,
            tiers: file.tiers,
        })
    }
}
