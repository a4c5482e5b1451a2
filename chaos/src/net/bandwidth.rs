//! Narrow cables: the kernel's token bucket on both ends of a host's cable.

use anyhow::Result;

use super::{BRIDGE, Network};
use crate::shell::run;

/// Bytes that may go at once.
const BURST: &str = "16kb";
/// How long a packet may wait for its turn before it is dropped.
const WAIT_MAX: &str = "200ms";

// === impl Network: the width of its cables ===

impl Network {
    /// Lets a host send and receive at most so much, for example `1mbit`.
    pub(crate) fn narrow(&self, host: &str, rate: &str) -> Result<()> {
        for (namespace, device) in self.ends(host) {
            let bucket = ["root", "tbf", "rate", rate, "burst", BURST, "latency", WAIT_MAX];
            run(&[&["tc", "-n", &namespace, "qdisc", "replace", "dev", &device][..], &bucket].concat())?;
        }
        Ok(())
    }

    /// How many packets had to wait or were dropped since.
    pub(crate) fn slowed(&self, host: &str) -> Result<u64> {
        let mut slowed = 0;
        for (namespace, device) in self.ends(host) {
            let told = run(&["tc", "-n", &namespace, "-s", "-j", "qdisc", "show", "dev", &device])?;
            slowed += overlimits(&told);
        }
        Ok(slowed)
    }

    /// Takes the limit away.
    pub(crate) fn widen(&self, host: &str) -> Result<()> {
        for (namespace, device) in self.ends(host) {
            run(&["tc", "-n", &namespace, "qdisc", "del", "dev", &device, "root"])?;
        }
        Ok(())
    }

    fn ends(&self, host: &str) -> [(String, String); 2] {
        [(self.namespace(BRIDGE), host.to_owned()), (self.namespace(host), "eth0".to_owned())]
    }
}

fn overlimits(told: &str) -> u64 {
    let told: serde_json::Value = serde_json::from_str(told).unwrap_or_default();
    let count = |entry: &serde_json::Value| Some(entry.get("overlimits")?.as_u64()? + entry.get("drops")?.as_u64()?);
    told.as_array().into_iter().flatten().filter_map(count).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waited_and_what_was_dropped_counts() {
        assert_eq!(overlimits(r#"[{"kind":"tbf","overlimits":5,"drops":2}]"#), 7);
        assert_eq!(overlimits("no JSON"), 0);
    }
}
