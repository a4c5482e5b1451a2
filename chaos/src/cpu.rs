//! How busy the machine is: where processors are short, a slow answer says nothing of the mesh.

use std::fs;

use crate::program::process;

/// Ticks of all processors since the machine started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Ticks {
    busy: u64,
    all: u64,
}

// === impl Ticks ===

impl Ticks {
    /// Now.
    pub(crate) fn now() -> Self {
        fs::read_to_string("/proc/stat").map(|text| Self::read(&text)).unwrap_or_default()
    }

    fn read(text: &str) -> Self {
        let line = text.lines().next().unwrap_or_default();
        let ticks: Vec<u64> = line.split_whitespace().skip(1).take(8).filter_map(|word| word.parse().ok()).collect();
        let idle = ticks.get(3).copied().unwrap_or(0) + ticks.get(4).copied().unwrap_or(0);
        let all = ticks.iter().sum();
        Ticks { busy: all - idle, all }
    }

    /// The share of all processors that so many ticks since `earlier` are.
    #[expect(clippy::cast_precision_loss, reason = "ticks of days")]
    pub(crate) fn share_of(self, earlier: Ticks, used: u64) -> f64 {
        let all = self.all.saturating_sub(earlier.all);
        if all == 0 { 0.0 } else { used as f64 / all as f64 }
    }

    /// The share of all processors that was busy since `earlier`.
    #[expect(clippy::cast_precision_loss, reason = "ticks of days")]
    pub(crate) fn share_since(self, earlier: Ticks) -> f64 {
        let all = self.all.saturating_sub(earlier.all);
        if all == 0 { 0.0 } else { self.busy.saturating_sub(earlier.busy) as f64 / all as f64 }
    }
}

/// Ticks that this process, those it has waited for, and these have used.
pub(crate) fn used(pids: &[u32]) -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    let own: u64 = fields.split(' ').skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum();
    own + pids.iter().filter_map(|pid| process::ticks(*pid)).sum::<u64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_idle_is_busy() {
        let earlier = Ticks::read("cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 1 1 1 1\n");
        let later = Ticks::read("cpu  160 0 70 900 70 0 0 0 0 0\n");
        assert!((later.share_since(earlier) - 0.4).abs() < 1e-9);
        assert!(later.share_since(later).abs() < 1e-9);
    }
}
