//! Taking networks away: a run's own at its end, and those of runs that died before they could.

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::PREFIX;
use crate::shell::run;

/// Where runs show that they go on.
const LOCKS: &str = "/run/dynomesh-chaos";

/// Removes all namespaces of a run. Their links go with them.
pub(super) fn remove(id: &str) -> Result<()> {
    for name in names()?.iter().filter(|name| owner(name).is_some_and(|pid| format!("{PREFIX}{pid}") == id)) {
        run(&["ip", "netns", "del", name])?;
    }
    Ok(())
}

/// Removes what runs have left behind whose process is gone; returns how many namespaces that were.
pub(crate) fn remove_dead() -> Result<usize> {
    remove_mounts()?;
    remove_groups();
    let names = names()?;
    let owners: BTreeSet<u32> = names.iter().filter_map(|name| owner(name)).collect();
    let mut removed = 0;
    for pid in owners.into_iter().filter(|pid| !runs(*pid)) {
        // Not there where the machine was started anew since.
        let _ = fs::remove_file(lock(pid));
        removed += names.iter().filter(|name| owner(name) == Some(pid)).count();
        remove(&format!("{PREFIX}{pid}"))?;
    }
    Ok(removed)
}

/// Small disks, whose source is named after their run.
fn remove_mounts() -> Result<()> {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    for line in mounts.lines() {
        let mut words = line.split(' ');
        let is_dead = words.next().and_then(of_run).is_some_and(|pid| !runs(pid));
        if let Some(dir) = words.next().filter(|_| is_dead) {
            run(&["umount", "-l", dir])?;
        }
    }
    Ok(())
}

/// Control groups in which processes were kept short.
fn remove_groups() {
    for parent in ["/sys/fs/cgroup", "/sys/fs/cgroup/cpu"] {
        for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if name.to_str().and_then(owner).is_some_and(|pid| !runs(pid)) {
                // One that still holds a process stays until that is gone.
                let _ = fs::remove_dir(entry.path());
            }
        }
    }
}

/// The process that a name without a host stands for.
fn of_run(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.parse().ok()
}

fn names() -> Result<Vec<String>> {
    let listed = run(&["ip", "netns", "list"])?;
    Ok(listed.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
}

/// The process that made a namespace, if it was made by a run.
fn owner(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split_once('-')?.0.parse().ok()
}

/// Shows as long as it is held that the run of this process goes on.
pub(super) fn hold() -> Result<File> {
    let path = lock(std::process::id());
    fs::create_dir_all(LOCKS).with_context(|| LOCKS.to_owned())?;
    let file = File::create(&path).with_context(|| path.display().to_string())?;
    file.try_lock().with_context(|| format!("{} is held by another run of this number", path.display()))?;
    Ok(file)
}

fn lock(pid: u32) -> PathBuf {
    Path::new(LOCKS).join(pid.to_string())
}

/// Whether a run goes on: its lock is held. The kernel lets go of it when its process ends, however that was.
fn runs(pid: u32) -> bool {
    File::open(lock(pid)).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
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
}
