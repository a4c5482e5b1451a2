//! What a control replica is told at start: the file as written, and the same checked and typed.
//!
//! Relations between settings are checked here, once; the rest of the crate trusts them.

use std::net::SocketAddr;
use std::path::PathBuf;

use dynomesh_core::id::{Address, NodeName};
use dynomesh_core::time::Span;
use dynomesh_runtime::config::ConfigError;
use dynomesh_runtime::gossip::{GossipConfig, GossipSection};
use serde::{Deserialize, Serialize};

/// Fewest log entries between two snapshots: a snapshot holds the whole directory.
const SNAPSHOT_EVERY_MIN: u64 = 100;

/// Numbers this replica's runs for gossip; stands beside the directory's files.
const GENERATION_FILE: &str = "gossip-generation";

/// The configuration as written.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileConfig {
    /// Name of this replica, unique in the mesh, for logs and gossip: for example `control-1`.
    pub name: NodeName,
    /// Folder of the directory's log, snapshots and identity. Lost on most replicas, the directory is lost.
    pub data_dir: PathBuf,
    /// Where operators, the command line and the other control replicas connect to.
    #[serde(default = "grpc_default")]
    pub grpc: SocketAddr,
    /// The address others reach `grpc` at, where that differs; needed when `grpc` listens on every address of the machine.
    #[serde(default)]
    pub grpc_advertise: Option<SocketAddr>,
    /// Health, readiness and metrics.
    #[serde(default = "admin_default")]
    pub admin: SocketAddr,
    /// How facts travel.
    pub gossip: GossipSection,
    /// How the replicas agree.
    #[serde(default)]
    pub raft: RaftSettings,
}

/// How the replicas agree. The same on every replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RaftSettings {
    /// A leader shows itself this often; at most a third of `election_min`.
    pub heartbeat: Span,
    /// A follower that hears nothing for this long may stand for election; less than `election_max`.
    pub election_min: Span,
    /// It stands no later than this; also the lease it gives its leader.
    pub election_max: Span,
    /// A snapshot is taken after this many log entries.
    pub snapshot_every: u64,
}

/// The configuration, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// See [`FileConfig::name`].
    pub name: NodeName,
    /// See [`FileConfig::data_dir`].
    pub data_dir: PathBuf,
    /// Where to listen for operators and peers. Port 0 lets the system choose.
    pub grpc: SocketAddr,
    /// Where they reach it; `None` means where it listens.
    pub grpc_advertise: Option<Address>,
    /// Where to listen for health, readiness and metrics.
    pub admin: SocketAddr,
    /// How facts travel.
    pub gossip: GossipConfig,
    /// See [`RaftSettings`].
    pub raft: RaftSettings,
}

impl Default for RaftSettings {
    fn default() -> Self {
        RaftSettings {
            heartbeat: Span::from_millis(30),
            election_min: Span::from_millis(90),
            election_max: Span::from_millis(120),
            snapshot_every: 5_000,
        }
    }
}

impl TryFrom<FileConfig> for Config {
    type Error = ConfigError;

    fn try_from(file: FileConfig) -> Result<Self, ConfigError> {
        file.raft.check()?;
        let grpc_advertise = file.grpc_advertise.map(Address::new).transpose();
        let grpc_advertise = grpc_advertise.map_err(|invalid| ConfigError::setting("grpc_advertise", invalid))?;
        if grpc_advertise.is_none() && file.grpc.ip().is_unspecified() {
            let problem = format!("must be set, since grpc = {} listens on every address and others need one", file.grpc);
            return Err(ConfigError::setting("grpc_advertise", problem));
        }
        Ok(Config {
            gossip: file.gossip.config(file.name.clone(), Some(file.data_dir.join(GENERATION_FILE))),
            name: file.name,
            data_dir: file.data_dir,
            grpc: file.grpc,
            grpc_advertise,
            admin: file.admin,
            raft: file.raft,
        })
    }
}

impl RaftSettings {
    fn check(&self) -> Result<(), ConfigError> {
        let RaftSettings { heartbeat, election_min, election_max, snapshot_every } = self;
        if *heartbeat < Span::from_millis(5) {
            return Err(ConfigError::setting("raft.heartbeat", format!("{heartbeat} must be at least 5ms")));
        }
        if heartbeat.times(3) > *election_min {
            let problem = format!("{election_min} must be at least three times raft.heartbeat = {heartbeat}");
            return Err(ConfigError::setting("raft.election_min", problem));
        }
        if election_max <= election_min {
            let problem = format!("{election_max} must be longer than raft.election_min = {election_min}");
            return Err(ConfigError::setting("raft.election_max", problem));
        }
        if *snapshot_every < SNAPSHOT_EVERY_MIN {
            let problem = format!("{snapshot_every} must be at least {SNAPSHOT_EVERY_MIN}");
            return Err(ConfigError::setting("raft.snapshot_every", problem));
        }
        Ok(())
    }
}

fn grpc_default() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 7070))
}

fn admin_default() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 7071))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raft(change: impl Fn(&mut RaftSettings)) -> Result<(), ConfigError> {
        let mut settings = RaftSettings::default();
        change(&mut settings);
        settings.check()
    }

    #[test]
    fn timers_no_group_could_live_with_are_refused_by_name_and_value() {
        raft(|_| {}).unwrap();
        let error = raft(|raft| raft.heartbeat = Span::from_millis(31)).unwrap_err().to_string();
        assert_eq!(error, "`raft.election_min`: 90ms must be at least three times raft.heartbeat = 31ms");
        assert!(raft(|raft| raft.heartbeat = Span::from_millis(4)).is_err());
        assert!(raft(|raft| raft.election_max = raft.election_min).is_err());
        assert!(raft(|raft| raft.snapshot_every = 0).is_err());
    }
}
