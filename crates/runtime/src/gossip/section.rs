//! The `[gossip]` section, the same in every daemon's configuration.

use std::net::SocketAddr;
use std::path::PathBuf;

use dynomesh_core::id::{Address, NodeName};
use dynomesh_core::time::Span;
use serde::{Deserialize, Serialize};

use super::{GossipConfig, INTERVAL, Key};

/// `[gossip]` of a configuration, checked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct GossipSection(Written);

/// `[gossip]` as it stands in the file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    /// Where datagrams are received.
    listen: SocketAddr,
    /// Where others send them; needed only where `listen` names no one host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    advertise: Option<Address>,
    /// `HOST:PORT` of some nodes.
    #[serde(default)]
    seeds: Vec<String>,
    /// The cluster's key, or a list of keys of which the first seals and all open (P20). Either this or `keys_file`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<OneOrMore>,
    /// A file with the keys, one on a line; it is read again when it has changed, so that keys change without a stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keys_file: Option<PathBuf>,
    /// The cluster's name.
    #[serde(default = "cluster")]
    cluster: String,
    /// Time between two rounds.
    #[serde(default = "interval")]
    interval: Span,
}

/// One key, or several.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged, expecting = "must be a key of 64 hexadecimal digits, or a list of such keys")]
enum OneOrMore {
    /// One.
    One(Key),
    /// Several; the first seals.
    More(Vec<Key>),
}

impl GossipSection {
    /// The configuration of `node`; its generation is kept in `generation_file`.
    pub fn config(self, node: NodeName, generation_file: Option<PathBuf>) -> GossipConfig {
        let Written { listen, advertise, seeds, key, keys_file, cluster, interval } = self.0;
        let keys = match key {
            Some(OneOrMore::One(key)) => vec![key],
            Some(OneOrMore::More(keys)) => keys,
            None => Vec::new(),
        };
        GossipConfig { advertise, seeds, interval, keys_file, generation_file, ..GossipConfig::new(node, cluster, listen, keys) }
    }
}

impl TryFrom<Written> for GossipSection {
    type Error = &'static str;
    fn try_from(written: Written) -> Result<Self, Self::Error> {
        match (&written.key, &written.keys_file) {
            (None, None) => Err("missing field `key` (or `keys_file`)"),
            (Some(_), Some(_)) => Err("has both `key` and `keys_file`; must have one of them"),
            _ => Ok(GossipSection(written)),
        }
    }
}

impl From<GossipSection> for Written {
    fn from(section: GossipSection) -> Self {
        section.0
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
        let file: GossipSection = toml::from_str("listen = \"127.0.0.1:1\"\nkeys_file = \"/etc/keys\"").unwrap();
        assert_eq!(file.config(NodeName::new("edge-1").unwrap(), None).keys_file, Some("/etc/keys".into()));
        let none = toml::from_str::<GossipSection>("listen = \"127.0.0.1:1\"").unwrap_err();
        assert_eq!(none.message(), "missing field `key` (or `keys_file`)");
    }
}
