//! Taking away what runs have made: a run's own networks at its end, and everything of runs that died before they could.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::ops::AddAssign;
use std::path::PathBuf;

use anyhow::Result;
use dynomesh_core::time::Span;

use super::{PREFIX, lock};
use crate::program::process;
use crate::shell::run;
use crate::waiting::until;

/// Where control groups are, by both versions.
const GROUPS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/cpu"];
/// Longest time until what was killed is gone.
const GONE_MAX: Span = Span::from_secs(5);

/// What was taken away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Removed {
    pub(crate) namespaces: usize,
    pub(crate) processes: usize,
}

/// Removes all namespaces of a run. Their links go with them.
pub(super) fn remove(pid: u32) -> Result<usize> {
    let names = names_of(pid)?;
    names.iter().try_for_each(|name| run(&["ip", "netns", "del", name]).map(drop))?;
    Ok(names.len())
}

/// Removes what runs have left behind whose process is gone.
pub(crate) fn remove_dead() -> Result<Removed> {
    let namespaces = names()?;
    let found = namespaces.iter().filter_map(|name| owner(name)).chain(mounts().into_iter().map(|(pid, _)| pid));
    let found: BTreeSet<u32> = found.chain(groups().into_iter().map(|(pid, _)| pid)).chain(lock::all()).collect();
    let mut removed = Removed::default();
    for pid in found {
        // Held until all is gone, so that nobody cleans the same at once.
        if let Some(_lock) = lock::take_dead(pid)? {
            removed += remove_all(pid)?;
        }
    }
    Ok(removed)
}

/// Removes what this process has made, while no other thread of it makes anything.
pub(crate) fn remove_own() -> Result<Removed> {
    remove_all(std::process::id())
}

/// Removes all of a run: first what runs on its hosts or is kept short, since a daemon that is no mesh outlives whoever started it.
fn remove_all(pid: u32) -> Result<Removed> {
    let processes = end_processes(pid)?;
    for (_, dir) in mounts().into_iter().filter(|(owner, _)| *owner == pid) {
        run(&["umount", "-l", &dir])?;
    }
    for (_, dir) in groups().into_iter().filter(|(owner, _)| *owner == pid) {
        // A process leaves its group a moment after it has died.
        until(&format!("{} to be empty", dir.display()), GONE_MAX, || fs::remove_dir(&dir).ok())?;
    }
    let namespaces = remove(pid)?;
    lock::release(pid);
    Ok(Removed { namespaces, processes })
}

/// Kills all processes of a run but the one that asks for it, and waits until they are gone; returns how many that were.
fn end_processes(pid: u32) -> Result<usize> {
    let mut killed = BTreeSet::new();
    until("the processes of a run to end", GONE_MAX, || {
        let left = processes(pid);
        left.iter().for_each(|process| process::kill(*process));
        killed.extend(left.iter().copied());
        left.is_empty().then_some(())
    })?;
    Ok(killed.len())
}

/// The processes on the hosts of a run and in its control groups, without this one.
fn processes(pid: u32) -> BTreeSet<u32> {
    // A namespace that is just being removed holds nobody.
    let on_hosts = names_of(pid).unwrap_or_default().into_iter().map(|name| run(&["ip", "netns", "pids", &name]).unwrap_or_default());
    let kept_short = groups().into_iter().filter(|(owner, _)| *owner == pid);
    let kept_short = kept_short.map(|(_, dir)| fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default());
    let listed: Vec<String> = on_hosts.chain(kept_short).collect();
    listed.iter().flat_map(|text| numbers(text)).filter(|process| *process != std::process::id() && process::is_alive(*process)).collect()
}

fn numbers(text: &str) -> impl Iterator<Item = u32> {
    // Zero stands for a process that this one cannot see, one for the first of all.
    text.split_whitespace().filter_map(|word| word.parse().ok()).filter(|number| *number > 1)
}

/// Small disks, whose source is named after their run.
fn mounts() -> Vec<(u32, String)> {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let mount = |line: &str| {
        let mut words = line.split(' ');
        Some((of_run(words.next()?)?, words.next()?.to_owned()))
    };
    mounts.lines().filter_map(mount).collect()
}

/// Control groups in which processes were kept short.
fn groups() -> Vec<(u32, PathBuf)> {
    let entries = GROUPS.iter().flat_map(|parent| fs::read_dir(parent).into_iter().flatten().flatten());
    entries.filter_map(|entry| Some((owner(entry.file_name().to_str()?)?, entry.path()))).collect()
}

/// The process that a name without a host stands for.
fn of_run(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.parse().ok()
}

fn names() -> Result<Vec<String>> {
    let listed = run(&["ip", "netns", "list"])?;
    Ok(listed.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
}

/// The namespaces of a run.
fn names_of(pid: u32) -> Result<Vec<String>> {
    Ok(names()?.into_iter().filter(|name| owner(name) == Some(pid)).collect())
}

/// The process that made a namespace or a control group, if it was made by a run.
fn owner(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split_once('-')?.0.parse().ok()
}

// === impl Removed ===

impl AddAssign for Removed {
    fn add_assign(&mut self, other: Self) {
        self.namespaces += other.namespaces;
        self.processes += other.processes;
    }
}

impl fmt::Display for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} namespaces taken away, {} processes in them ended", self.namespaces, self.processes)
    }
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
        assert_eq!((of_run("dmchaos12"), of_run("dmchaos12-edge-1"), of_run("tmpfs")), (Some(12), None, None));
    }

    #[test]
    fn only_processes_that_can_be_killed_are_listed() {
        assert_eq!(numbers("12\n0\n1\nx 34\n").collect::<Vec<_>>(), [12, 34]);
    }
}
