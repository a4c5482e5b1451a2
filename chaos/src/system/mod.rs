//! The system under test: a mesh on hosts of its own.
//!
//! Which processes there are is data ([`layout`]); the rest works on processes by their names. The mesh is a black box: it is spoken to
//! by requests, by its command line, and by the two questions that faults need an answer to, who leads and what its metrics say.

pub(crate) mod admin;
pub(crate) mod boot;
mod config;
pub(crate) mod layout;
mod process;
pub(crate) mod question;
pub(crate) mod rival;
pub(crate) mod select;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use dynomesh_core::id::ReplicaId;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::net::Network;
use crate::program;
use crate::scenario::{Needs, Scenario, Serial, Shape};
use admin::Admin;
use layout::{Layout, Member, Role};
pub(crate) use process::Process;

/// Where requests for dynos with journals go.
pub(crate) const HOST: &str = "shop.test";
/// Where WebSockets go.
pub(crate) const SOCKETS_HOST: &str = "sockets.test";

/// A running mesh, or its rival. Dropped, nothing is left of it but its files.
pub(crate) struct Mesh {
    pub(crate) kind: rival::Kind,
    pub(crate) layout: Layout,
    processes: BTreeMap<String, Process>,
    pub(crate) admin: Admin,
    /// Draws what a fault leaves open.
    pub(crate) rng: StdRng,
    /// Who died by itself, and how.
    pub(crate) deaths: Vec<String>,
    /// What faults found that should not be.
    pub(crate) complaints: Vec<String>,
    /// By which ids dynos hear of replicas.
    pub(crate) replica_ids: BTreeMap<String, ReplicaId>,
    named: u32,
    mounts: Vec<PathBuf>,
    dir: PathBuf,
    // Behind the processes: they go before their network does.
    pub(crate) net: Network,
}

// === impl Mesh ===

impl Mesh {
    /// Starts the mesh of a scenario and waits until it routes. Its files lie in `dir`.
    pub(crate) fn start(scenario: &Scenario, needs: &Needs, seed: u64, dir: &Path) -> Result<Self> {
        for part in ["config", "data", "log", "journal", "faults"] {
            fs::create_dir_all(dir.join(part)).with_context(|| dir.join(part).display().to_string())?;
        }
        let layout = Layout::new(&scenario.mesh)?;
        let relayed =
            if needs.relay { layout.hosts()?.into_keys().filter(|host| host != crate::net::USERS).collect() } else { Default::default() };
        let net = Network::create(layout.hosts()?, &relayed, dir)?;
        let admin = Admin::new(program::mesh()?, layout.admin());
        let mut mesh = Mesh {
            kind: scenario.mesh.system,
            processes: BTreeMap::new(),
            admin,
            rng: StdRng::seed_from_u64(seed),
            deaths: Vec::new(),
            complaints: Vec::new(),
            replica_ids: BTreeMap::new(),
            named: 0,
            mounts: Vec::new(),
            dir: dir.to_owned(),
            net,
            layout: layout.clone(),
        };
        for member in &layout.members {
            mesh.add(member, &scenario.mesh, needs)?;
        }
        mesh.boot(&scenario.mesh)?;
        Ok(mesh)
    }

    /// The process of this name.
    pub(crate) fn process(&mut self, name: &str) -> Result<&mut Process> {
        self.processes.get_mut(name).with_context(|| format!("there is no {name}"))
    }

    /// Starts a process that does not run.
    pub(crate) fn start_process(&mut self, name: &str) -> Result<()> {
        let process = self.processes.get_mut(name).with_context(|| format!("there is no {name}"))?;
        process.start(&self.net)?;
        process.may_die = false;
        Ok(())
    }

    /// The numbers of all processes that run.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.processes.values().filter_map(Process::pid).collect()
    }

    /// Looks who has died by itself since the last look.
    pub(crate) fn look_for_deaths(&mut self) {
        let deaths = self.processes.values_mut().filter_map(Process::death);
        self.deaths.extend(deaths);
    }

    /// A name that nothing of this run has yet.
    pub(crate) fn next_name(&mut self, kind: &str) -> String {
        self.named += 1;
        format!("{kind}{}", self.named)
    }

    /// The file by which faults are put into a process.
    pub(crate) fn fault_file(&self, name: &str) -> PathBuf {
        self.dir.join("faults").join(format!("{name}.toml"))
    }

    /// The journal of a dyno.
    pub(crate) fn journal(&self, name: &str) -> PathBuf {
        self.dir.join("journal").join(format!("{name}.jsonl"))
    }

    fn add(&mut self, member: &Member, shape: &Shape, needs: &Needs) -> Result<()> {
        let (name, dir) = (&member.name, self.dir.clone());
        let data = dir.join("data").join(name);
        let (mut program, mut args) = program::mesh()?;
        let word = |text: &str| OsString::from(text);
        match &member.role {
            Role::Dyno => {
                let listen = member.socket().to_string();
                args.extend(["agent", "--demo", "--listen", &listen, "--id", name, "--seed", "1"].map(word));
                let threads = if shape.serial == Serial::Yes { 1 } else { shape.max_conns };
                args.extend(["--threads", &threads.to_string()].map(word));
                args.extend(["--floor", &shape.floor.to_string(), "--mean", &shape.mean.to_string(), "--log"].map(word));
                args.push(self.journal(name).into());
            }
            Role::Sockets => {
                program = program::own()?;
                args = [program::SOCKETS, &member.socket().to_string(), name].map(word).into();
                args.push(self.journal(name).into());
            }
            Role::Edge => args.extend(["edge", "--config"].map(word)),
            Role::Control => args.extend(["control", "--config"].map(word)),
            Role::Replica(_) => args.extend(["block", "--config"].map(word)),
        }
        let mut env = Vec::new();
        if let Some(text) = self.kind.text(&self.layout, member) {
            let file = dir.join("config").join(format!("{name}.cfg"));
            fs::write(&file, text).with_context(|| file.display().to_string())?;
            (program, args) = (program::RIVAL.into(), vec![word("-db"), word("-f"), file.into()]);
        } else if let Some(text) = config::text(&self.layout, shape, member, &data) {
            let file = dir.join("config").join(format!("{name}.toml"));
            fs::write(&file, text).with_context(|| file.display().to_string())?;
            args.push(file.into());
            if needs.faults {
                env.push(("DYNOMESH_FAULTS", self.fault_file(name).into_os_string()));
            }
        }
        let keeps = self.kind.is_mesh() && matches!(member.role, Role::Control | Role::Replica(_));
        if keeps && let Some(size) = &needs.small_disks {
            self.mount(&data, size)?;
        }
        let log = dir.join("log").join(format!("{name}.log"));
        let data = keeps.then_some(data);
        let process = Process { member: member.clone(), program, args, env, data, log, child: None, may_die: false };
        self.processes.insert(name.clone(), process);
        Ok(())
    }

    /// A disk of its own in memory.
    fn mount(&mut self, dir: &Path, size: &str) -> Result<()> {
        fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
        let source = format!("{}{}", crate::net::PREFIX, std::process::id());
        crate::shell::run(&["mount", "-t", "tmpfs", "-o", &format!("size={size}"), &source, &dir.display().to_string()])?;
        self.mounts.push(dir.to_owned());
        Ok(())
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        self.processes.clear();
        for mount in &self.mounts {
            if let Err(error) = crate::shell::run(&["umount", "-l", &mount.display().to_string()]) {
                eprintln!("chaos: {error:#}");
            }
        }
    }
}
