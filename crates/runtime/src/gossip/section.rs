//! The `[gossip]` section, the same in every daemon's configuration.

use std::net::SocketAddr;
use std::path::PathBuf;

use dynomesh_core::id::{Address, NodeName};
use dynomesh_core::time::Span;
use serde::{Deserialize, Serialize};

use super::{GossipConfig, INTERVAL, Key};

/// `[gossip]` as it stands in the file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GossipSection {
    /// Where datagrams are received.
    pub listen: SocketAddr,
    /// Where others send them; needed only where `listen` names no one host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advertise: Option<Address>,
    /// `HOST:PORT` of some nodes.
    #[serde(default)]
    pub seeds: Vec<String>,
    /// The cluster's key, or a list of keys of which the first seals and all open (P20).
    pub key: OneOrMore,
    /// The cluster's name.
    #[serde(default = "cluster")]
    pub cluster: String,
    /// Time between two rounds.
    #[serde(default = "interval")]
    pub interval: Span,
}

/// One key, or several.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged, expecting = "must be a key of 64 hexadecimal digits, or a list of such keys")]
pub enum OneOrMore {
    /// One.
    One(Key),
    /// Several; the first seals.
    More(Vec<Key>),
}

impl GossipSection {
    /// The configuration of `node`; its generation is kept in `generation_file`.
    pub fn config(self, node: NodeName, generation_file: Option<PathBuf>) -> GossipConfig {
        let keys = match self.key {
            OneOrMore::One(key) => vec![key],
            OneOrMore::More(keys) => keys,
        };
        GossipConfig {
            advertise: self.advertise,
            seeds: self.seeds,
            interval: self.interval,
            generation_file,
            ..GossipConfig::new(node, self.cluster, self.listen, keys)
        }
    }
}

fn cluster() -> String {
    "dynomesh".into()
}

fn interval() -> Span {
    INTERVAL
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_or_more_are_read_and_bad_ones_explained() {
        let key = "ab".repeat(32);
        let one: GossipSection = toml::from_str(&format!("listen = \"127.0.0.1:1\"\nkey = \"{key}\"")).unwrap();
        let config = one.config(NodeName::new("edge-1").unwrap(), None);
        assert_eq!((config.keys.len(), config.cluster.as_str(), config.interval), (1, "dynomesh", INTERVAL));
        let more: GossipSection = toml::from_str(&format!("listen = \"127.0.0.1:1\"\nkey = [\"{key}\", \"{key}\"]")).unwrap();
        assert_eq!(more.config(NodeName::new("edge-1").unwrap(), None).keys.len(), 2);
        let error = toml::from_str::<GossipSection>("listen = \"127.0.0.1:1\"\nkey = \"short\"").unwrap_err();
        assert_eq!(error.message(), "must be a key of 64 hexadecimal digits, or a list of such keys");
    }
}
