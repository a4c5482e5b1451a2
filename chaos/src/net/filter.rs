//! Packets that the bridge drops: a chain of rules per partition, which counts what it dropped.

use anyhow::{Context, Result};

use super::{BRIDGE, Network};
use crate::shell::run_with;

/// Packets from one set of hosts to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cut {
    /// Their senders.
    pub(crate) from: Vec<String>,
    /// Their receivers.
    pub(crate) to: Vec<String>,
    /// Only datagrams, which is gossip.
    pub(crate) datagrams: bool,
}

// === impl Network: its filter ===

impl Network {
    /// Drops the packets of all `cuts` from now on.
    pub(crate) fn cut(&self, chain: &str, cuts: &[Cut]) -> Result<()> {
        let mut rules =
            format!("add table bridge chaos\nadd chain bridge chaos {chain} {{ type filter hook forward priority 0; policy accept; }}\n");
        for cut in cuts.iter().filter(|cut| !cut.from.is_empty() && !cut.to.is_empty()) {
            let only = if cut.datagrams { " ip protocol udp" } else { "" };
            let [from, to] = [self.set(&cut.from)?, self.set(&cut.to)?];
            rules += &format!("add rule bridge chaos {chain} ip saddr {from} ip daddr {to}{only} counter drop\n");
        }
        self.nft(&["-f", "-"], &rules).map(drop)
    }

    /// How many packets a chain has dropped so far.
    pub(crate) fn dropped(&self, chain: &str) -> Result<u64> {
        let listed = self.nft(&["-j", "list", "chain", "bridge", "chaos", chain], "")?;
        packets(&listed).context("nft lists no counters")
    }

    /// Takes a chain away.
    pub(crate) fn mend(&self, chain: &str) -> Result<()> {
        self.nft(&["-f", "-"], &format!("delete chain bridge chaos {chain}\n")).map(drop)
    }

    fn set(&self, hosts: &[String]) -> Result<String> {
        let addresses = hosts.iter().map(|host| self.address(host).map(|address| address.to_string())).collect::<Result<Vec<_>>>()?;
        Ok(format!("{{ {} }}", addresses.join(", ")))
    }

    fn nft(&self, args: &[&str], input: &str) -> Result<String> {
        let namespace = self.namespace(BRIDGE);
        run_with(&[&["ip", "netns", "exec", &namespace, "nft"], args].concat(), input)
    }
}

/// The sum of all counters in a listing.
fn packets(listed: &str) -> Option<u64> {
    let listed: serde_json::Value = serde_json::from_str(listed).ok()?;
    let entries = listed.get("nftables")?.as_array()?;
    let expressions = entries.iter().filter_map(|entry| entry.pointer("/rule/expr")?.as_array()).flatten();
    Some(expressions.filter_map(|expression| expression.pointer("/counter/packets")?.as_u64()).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_all_rules_are_added_up() {
        let listed = r#"{"nftables":[{"metainfo":{}},{"chain":{}},{"rule":{"expr":[{"match":{}},{"counter":{"packets":3,"bytes":9}},{"drop":null}]}},
            {"rule":{"expr":[{"counter":{"packets":4,"bytes":9}}]}}]}"#;
        assert_eq!(packets(listed), Some(7));
        assert_eq!(packets("{}"), None);
    }
}
