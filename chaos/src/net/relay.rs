//! A process in the cables of some hosts, which delays, loses, doubles and reorders packets as a file tells it.
//!
//! The kernels that this runs on often lack the queueing discipline made for that, so frames pass through two TAP devices per host: one
//! on the bridge, one in the host. Threads of the process: two per direction of a cable, one that reads and one that writes what was
//! kept back; one that reads the file and writes the counts. It ends with its parent.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use dynomesh_core::time::Span;
use serde::{Deserialize, Serialize};

use super::impair::Impairment;
use crate::making::spawn;
use crate::program;
use crate::shell::{command, run};
use crate::waiting::until;

/// Longest time until the devices are there.
const START_MAX: Span = Span::from_secs(10);

/// The relay of a run, seen from the run.
pub(crate) struct Relay {
    child: Child,
    told: PathBuf,
    counts: PathBuf,
    impairments: Mutex<BTreeMap<String, Impairment>>,
}

/// What the relay has done to the packets of a host since it was started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) lost: u64,
    pub(crate) delayed: u64,
    pub(crate) doubled: u64,
    pub(crate) overtaken: u64,
}

/// The name of the device that becomes a host's own, before it is moved there.
pub(super) fn inner(host: &str) -> String {
    format!("x-{host}")
}

// === impl Relay ===

impl Relay {
    /// Starts the process in a namespace and waits until the devices of all hosts are there.
    pub(super) fn start(namespace: &str, hosts: &BTreeSet<String>, dir: &Path) -> Result<Self> {
        let (told, counts) = (dir.join("relay.toml"), dir.join("relay-counts.json"));
        let log = fs::File::create(dir.join("relay.log")).context("the log of the relay")?;
        let mut command = command("ip");
        command
            .args(["netns", "exec", namespace])
            .arg(program::own()?)
            .arg(program::RELAY)
            .args([&told, &counts])
            .args(hosts)
            .env(program::PARENT, std::process::id().to_string())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let child = spawn(&mut command).context("start the relay")?;
        let relay = Relay { child, told, counts, impairments: Mutex::default() };
        until("the devices of the relay", START_MAX, || {
            let links = run(&["ip", "-n", namespace, "-o", "link", "show"]).unwrap_or_default();
            hosts.iter().all(|host| links.contains(&format!(" {}:", inner(host))) && links.contains(&format!(" {host}:"))).then_some(())
        })?;
        Ok(relay)
    }

    /// Has the packets of a host treated so from now on.
    pub(crate) fn impair(&self, host: &str, impairment: Impairment) -> Result<()> {
        let mut all = self.impairments.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(host.to_owned(), impairment);
        let next = self.told.with_extension("next");
        fs::write(&next, toml::to_string(&*all).context("an impairment is plain numbers")?)?;
        fs::rename(&next, &self.told).context("tell the relay")
    }

    /// What it has done to the packets of a host.
    pub(crate) fn counts(&self, host: &str) -> Counts {
        let read = || -> Option<Counts> {
            let all: BTreeMap<String, Counts> = serde_json::from_slice(&fs::read(&self.counts).ok()?).ok()?;
            all.get(host).copied()
        };
        read().unwrap_or_default()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // It may have ended with an error, which stands in its log.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
