//! Hosts of one run: network namespaces with an address each, linked to one bridge.
//!
//! Nothing outside changes: the bridge lies in a namespace of the run's own, and the thread that drives the run enters the namespace
//! of the users. What it starts from there, threads and commands, is there too. A host whose packets are to be hurt hangs on the bridge
//! by the [`relay`] instead of a pair of virtual cables.

pub(crate) mod address;
pub(crate) mod bandwidth;
pub(crate) mod clean;
pub(crate) mod filter;
pub(crate) mod impair;
mod lock;
pub(crate) mod relay;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::shell::{command, run, run_with};
use relay::Relay;

/// The host from which requests and commands come.
pub(crate) const USERS: &str = "users";
/// The namespace of the bridge.
const BRIDGE: &str = "bridge";
/// How the names of all namespaces begin, followed by the number of the process that runs.
pub(crate) const PREFIX: &str = "dmchaos";

/// The hosts of a run. They are taken away when it is dropped.
pub(crate) struct Network {
    id: String,
    hosts: BTreeMap<String, Ipv4Addr>,
    relay: Option<Relay>,
    home: File,
    _lock: File,
}

// === impl Network ===

impl Network {
    /// Makes the hosts and enters that of the users. The hosts in `relayed` get a relay in their cable, whose files lie in `dir`.
    pub(crate) fn create(hosts: BTreeMap<String, Ipv4Addr>, relayed: &BTreeSet<String>, dir: &Path) -> Result<Self> {
        let id = format!("{PREFIX}{}", std::process::id());
        let lock = lock::hold()?;
        let home = File::open("/proc/thread-self/ns/net").context("open the network namespace of this thread")?;
        let mut net = Network { id, hosts, relay: None, home, _lock: lock };
        net.add_bridge()?;
        if !relayed.is_empty() {
            net.relay = Some(Relay::start(&net.namespace(BRIDGE), relayed, dir)?);
        }
        for (host, address) in &net.hosts {
            net.add_host(host, *address, relayed.contains(host)).with_context(|| format!("make the host {host}"))?;
        }
        net.enter(USERS)?;
        Ok(net)
    }

    /// The address of a host.
    pub(crate) fn address(&self, host: &str) -> Result<Ipv4Addr> {
        self.hosts.get(host).copied().with_context(|| format!("there is no host {host}"))
    }

    /// A program on a host. The process has the number that its start tells.
    pub(crate) fn command(&self, host: &str, program: &Path) -> Command {
        let mut command = command("ip");
        command.args(["netns", "exec", &self.namespace(host)]).arg(program);
        command
    }

    /// The relay, where there is one.
    pub(crate) fn relay(&self) -> Result<&Relay> {
        self.relay.as_ref().context("no host of this run has a relay in its cable")
    }

    /// The namespace of a host.
    fn namespace(&self, host: &str) -> String {
        format!("{}-{host}", self.id)
    }

    fn add_bridge(&self) -> Result<()> {
        let bridge = self.namespace(BRIDGE);
        run(&["ip", "netns", "add", &bridge])?;
        run_with(&["ip", "-n", &bridge, "-batch", "-"], "link add br0 type bridge\nlink set br0 up\nlink set lo up\n")?;
        Ok(())
    }

    fn add_host(&self, host: &str, address: Ipv4Addr, relayed: bool) -> Result<()> {
        let (bridge, own) = (self.namespace(BRIDGE), self.namespace(host));
        run(&["ip", "netns", "add", &own])?;
        let cable = if relayed {
            format!("link set {} netns {own} name eth0\n", relay::inner(host))
        } else {
            format!("link add {host} type veth peer name eth0 netns {own}\n")
        };
        run_with(&["ip", "-n", &bridge, "-batch", "-"], &format!("{cable}link set {host} master br0 up\n"))?;
        let up = format!("addr add {address}/{} dev eth0\nlink set eth0 up\nlink set lo up\n", address::PREFIX_LEN);
        run_with(&["ip", "-n", &own, "-batch", "-"], &up)?;
        Ok(())
    }

    /// Moves this thread, and the threads and processes it starts from now on, to a host.
    fn enter(&self, host: &str) -> Result<()> {
        let path = format!("/run/netns/{}", self.namespace(host));
        let namespace = File::open(&path).with_context(|| path.clone())?;
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).context("enter a network namespace")
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if let Err(error) = move_into_link_name_space(self.home.as_fd(), Some(LinkNameSpaceType::Network)) {
            eprintln!("chaos: this thread cannot leave the network of its run: {error}");
        }
        self.relay = None;
        if let Err(error) = clean::remove(std::process::id()) {
            eprintln!("chaos: the network of this run stays behind: {error:#}; `dynomesh-chaos clean` takes it away");
        }
        lock::release(std::process::id());
    }
}
