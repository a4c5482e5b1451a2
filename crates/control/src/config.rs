//! What a control replica is told at start: the file as written, and the same checked and typed.
//!
//! Relations between settings are checked here, once; the rest of the crate trusts them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use dynomesh_core::id::{Address, NodeName, Zone};
use dynomesh_core::time::Span;
use dynomesh_runtime::config::ConfigError;
use dynomesh_runtime::gossip::{GossipConfig, GossipSection};
use serde::{Deserialize, Serialize};

use crate::auth::Role;

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
    /// Who may call.
    #[serde(default)]
    pub api: ApiSettings,
    /// Where this replica runs, for example a data centre.
    #[serde(default)]
    pub zone: Option<Zone>,
}

/// Who may call. With nothing set everybody may do everything, which is refused where other machines can connect.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApiSettings {
    /// Lets everybody do everything, from any machine. Not beside `tokens_file` or `client_ca`.
    pub open: bool,
    /// Known tokens: `ROLE NAME SHA256HEX` on each line. Read again when it changes.
    pub tokens_file: Option<PathBuf>,
    /// A second address for callers, under TLS; takes `cert` and `key`. Peers go on using `grpc`.
    pub listen: Option<SocketAddr>,
    /// The server's certificate chain, PEM.
    pub cert: Option<PathBuf>,
    /// The certificate's key, PEM.
    pub key: Option<PathBuf>,
    /// Who signs client certificates, PEM; takes `roles`.
    pub client_ca: Option<PathBuf>,
    /// Role by name in a client certificate: common name or alternative name.
    pub roles: BTreeMap<String, Role>,
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
    /// See [`ApiSettings`].
    pub api: ApiSettings,
    /// See [`FileConfig::zone`].
    pub zone: Option<Zone>,
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
        file.api.check(file.grpc)?;
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
            api: file.api,
            zone: file.zone,
        })
    }
}

impl ApiSettings {
    /// Whether callers are asked who they are.
    pub fn asks(&self) -> bool {
        self.tokens_file.is_some() || self.client_ca.is_some()
    }

    fn check(&self, grpc: SocketAddr) -> Result<(), ConfigError> {
        for (key, is_set) in [("api.cert", self.cert.is_some()), ("api.key", self.key.is_some())] {
            if is_set != self.listen.is_some() {
                return Err(ConfigError::setting(
                    key,
                    "goes with `api.listen`: TLS takes an address, a certificate and its key, or none of them",
                ));
            }
        }
        if self.client_ca.is_some() && self.listen.is_none() {
            return Err(ConfigError::setting("api.client_ca", "takes `api.listen`: certificates are only shown under TLS"));
        }
        if self.client_ca.is_some() == self.roles.is_empty() {
            return Err(ConfigError::setting(
                "api.roles",
                "goes with `api.client_ca`: a name in a client certificate means nothing without its role",
            ));
        }
        if self.open && self.asks() {
            return Err(ConfigError::setting(
                "api.open",
                "cannot be set beside `api.tokens_file` or `api.client_ca`, which it would make useless",
            ));
        }
        let reached = [Some(grpc), self.listen].into_iter().flatten().find(|address| !address.ip().is_loopback());
        match reached.filter(|_| !self.open && !self.asks()) {
            None => Ok(()),
            Some(address) => {
                let problem = format!(
                    "{address} can be reached from other machines and nothing tells who calls; set `api.tokens_file`, or `api.listen` with \
                     `api.client_ca`, or let everybody administer this mesh with `api.open = true`"
                );
                Err(ConfigError::setting("api", problem))
            }
        }
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

    #[test]
    fn nobody_administers_a_mesh_from_afar_unless_somebody_said_so() {
        let (here, afar): (SocketAddr, SocketAddr) = ("127.0.0.1:7070".parse().unwrap(), "10.0.0.1:7070".parse().unwrap());
        let api = ApiSettings::default();
        api.check(here).unwrap();
        let error = api.check(afar).unwrap_err().to_string();
        assert!(error.starts_with("`api`: 10.0.0.1:7070 can be reached") && error.contains("api.open = true"), "{error}");
        ApiSettings { open: true, ..api.clone() }.check(afar).unwrap();
        let tokens = ApiSettings { tokens_file: Some("tokens".into()), ..api.clone() };
        tokens.check(afar).unwrap();
        assert!(ApiSettings { open: true, ..tokens }.check(here).is_err());
    }

    #[test]
    fn tls_settings_go_together() {
        let here: SocketAddr = "127.0.0.1:7070".parse().unwrap();
        let path = || Some(PathBuf::from("x.pem"));
        let whole = ApiSettings {
            listen: Some("10.0.0.1:7443".parse().unwrap()),
            cert: path(),
            key: path(),
            client_ca: path(),
            roles: BTreeMap::from([("ops".into(), Role::Admin)]),
            ..ApiSettings::default()
        };
        whole.check(here).unwrap();
        let lacking = [
            ("api.key", ApiSettings { key: None, ..whole.clone() }),
            ("api.cert", ApiSettings { listen: None, ..whole.clone() }),
            ("api.roles", ApiSettings { roles: BTreeMap::new(), ..whole.clone() }),
            ("api.roles", ApiSettings { client_ca: None, ..whole.clone() }),
            ("api", ApiSettings { client_ca: None, roles: BTreeMap::new(), ..whole.clone() }),
        ];
        for (key, settings) in lacking {
            let error = settings.check(here).unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{key}`: ")), "{error}");
        }
    }
}
