//! Taking networks away: a run's own at its end, and those of runs that died before they could.

use std::collections::BTreeSet;
use std::fs;

use anyhow::Result;

use super::PREFIX;
use crate::shell::run;

/// Removes all namespaces of a run. Their links go with them.
pub(super) fn remove(id: &str) -> Result<()> {
    for name in
        names()?.iter().filter(|name| name.rsplit_once('-').is_some() && owner(name).is_some_and(|pid| format!("{PREFIX}{pid}") == id))
    {
        run(&["ip", "netns", "del", name])?;
    }
    Ok(())
}

/// Removes what runs have left behind whose process is gone; returns how many namespaces that were.
pub(crate) fn remove_dead() -> Result<usize> {
    let names = names()?;
    let owners: BTreeSet<u32> = names.iter().filter_map(|name| owner(name)).collect();
    let mut removed = 0;
    for pid in owners.into_iter().filter(|pid| !runs(*pid)) {
        removed += names.iter().filter(|name| owner(name) == Some(pid)).count();
        remove(&format!("{PREFIX}{pid}"))?;
    }
    Ok(removed)
}

fn names() -> Result<Vec<String>> {
    let listed = run(&["ip", "netns", "list"])?;
    Ok(listed.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
}

/// The process that made a namespace, if it was made by a run.
fn owner(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split_once('-')?.0.parse().ok()
}

/// Whether a process is a run: its number may be another's by now.
fn runs(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.starts_with("dynomesh-chaos"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_runs_are_ours() {
        assert_eq!(owner("dmchaos12-edge-1"), Some(12));
        for other in ["dmchaos-edge-1", "dmchaosx-a", "other", "dmchaos12"] {
            assert_eq!(owner(other), None, "{other}");
        }
        assert!(!runs(std::process::id()), "a test is no run");
    }
}
