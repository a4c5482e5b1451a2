//! The mesh of a seed: two edges, two blocks of three replicas, a control replica, dynos; each process on a host of its own.

mod admin;
mod config;
mod leader;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use dynomesh_agent::demo;
use dynomesh_core::id::{DynoId, ReplicaId};
use dynomesh_core::time::{Span, Time};
use dynomesh_proto::admin::v1 as wire;
use dynomesh_runtime::shutdown;
use dynomesh_testkit::history::History;
use serde::de::DeserializeOwned;
use tokio::runtime::{Builder, Runtime};

pub(crate) use admin::{Api, api};

use crate::kernel::{self, Addr, calls, run_in, with};

/// The app that all dynos belong to.
pub(crate) const APP: &str = "shop";
/// The host that clients ask for.
pub(crate) const HOST: &str = "shop.test";
/// How long the mesh may take, in its own time, until it routes.
const START_MAX: Duration = Duration::from_secs(20);
/// Longest wait for an answer of the admin API.
const CALL_MAX: Duration = Duration::from_secs(2);
const KEY: &str = "5f1c2b3a4d5e6f708192a3b4c5d6e7f85f1c2b3a4d5e6f708192a3b4c5d6e7f8";
const GOSSIP_PORT: u16 = 7000;
const HTTP_PORT: u16 = 8000;
const GRPC_PORT: u16 = 7070;

/// What a process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Role {
    Edge,
    Replica { block: String },
    Control,
    Dyno { max_conns: u32 },
}

/// A process, whether it runs or not.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) host: u32,
    /// Its id in its group, of a replica of a block.
    pub(crate) id: Option<ReplicaId>,
    /// Its number in the world, while it runs.
    pub(crate) process: usize,
    /// When its processes were started, one after the other.
    pub(crate) starts: Vec<Time>,
}

/// What meshes may differ in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// How the blocks grant slots.
    pub(crate) slots: &'static str,
    /// Whether the blocks are told that the dynos take one request at a time, or have to find out.
    pub(crate) serial: wire::Serial,
    /// The path of the GET by which blocks ask whether a dyno is up; without one they only connect.
    pub(crate) probe: Option<&'static str>,
}

pub(crate) struct Mesh {
    pub(crate) nodes: Vec<Node>,
    dir: PathBuf,
    settings: Settings,
    runtime: Runtime,
    admin: Api,
}

// === impl Node ===

impl Node {
    fn at(&self, port: u16) -> SocketAddr {
        Addr { host: self.host, port }.into()
    }
}

// === impl Mesh ===

impl Mesh {
    /// Starts every process and waits until the blocks own their dynos and the edges route.
    pub(crate) fn start(dir: &Path, dynos: &[u32], settings: Settings) -> Result<Self, String> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
        let nodes = nodes(dynos);
        let control = nodes.iter().find(|node| node.role == Role::Control).expect("there is one");
        let admin = api(&runtime, control.at(GRPC_PORT), CALL_MAX);
        let mut mesh = Mesh { nodes, dir: dir.into(), settings, runtime, admin };
        for node in 0..mesh.nodes.len() {
            mesh.run(node);
        }
        mesh.found()?;
        mesh.fill()?;
        mesh.await_owned(START_MAX, false)?;
        mesh.learn_ids()?;
        Ok(mesh)
    }

    /// Runs a process that does not run.
    pub(crate) fn run(&mut self, node: usize) {
        let it = &self.nodes[node];
        let (name, host) = (it.name.clone(), it.host);
        let started = Time::from_nanos(with(|world| world.now));
        let process = match it.role {
            Role::Edge => {
                let text = self.edge(it);
                run_in(&name, host, move || daemon(&text, dynomesh_edge::run))
            }
            Role::Replica { ref block } => {
                let text = self.replica(it, block);
                run_in(&name, host, move || daemon(&text, dynomesh_block::run))
            }
            Role::Control => {
                let text = self.control(it);
                run_in(&name, host, move || daemon(&text, dynomesh_control::run))
            }
            Role::Dyno { .. } => {
                let config = demo::Config {
                    listen: it.at(HTTP_PORT),
                    id: DynoId::new(&it.name).expect("a name is an id"),
                    seed: 1,
                    floor: Span::from_millis(5),
                    mean: Span::from_millis(15),
                    threads: 1,
                    journal: Some(self.journal(it)),
                };
                run_in(&name, host, move || serve(demo::run(config, std::future::pending())))
            }
        };
        self.nodes[node].process = process;
        self.nodes[node].starts.push(started);
    }

    pub(crate) fn runs(&self, node: usize) -> bool {
        let process = self.nodes[node].process;
        with(|world| !world.processes[process].dead)
    }

    /// Kills a process at once.
    pub(crate) fn kill(&self, node: usize) {
        let process = self.nodes[node].process;
        with(|world| world.kill(process));
    }

    /// The folder on a node's disk.
    pub(crate) fn disk(&self, node: &Node) -> PathBuf {
        self.dir.join("disk").join(&node.name)
    }

    fn journal(&self, node: &Node) -> PathBuf {
        self.dir.join(format!("{}.jsonl", node.name))
    }

    /// Where clients connect to.
    pub(crate) fn edges(&self) -> Vec<SocketAddr> {
        self.nodes.iter().filter(|node| node.role == Role::Edge).map(|node| node.at(HTTP_PORT)).collect()
    }

    /// Adds what the dynos wrote down.
    pub(crate) fn read_journals(&self, history: &mut History) -> Result<(), String> {
        for node in &self.nodes {
            if let Role::Dyno { max_conns } = node.role {
                let id = DynoId::new(&node.name).expect("a name is an id");
                history.add_dyno(id, max_conns, &self.journal(node)).map_err(|error| format!("the journal of {}: {error}", node.name))?;
            }
        }
        Ok(())
    }
}

/// The processes of a mesh with these dynos, none of which runs.
pub(crate) fn nodes(dynos: &[u32]) -> Vec<Node> {
    let host = |tier: u8, number: u8| u32::from(Ipv4Addr::new(10, 0, tier, number));
    let node = |name: String, role, host| Node { name, role, host, id: None, process: 0, starts: Vec::new() };
    let mut nodes = vec![node("control-1".into(), Role::Control, host(3, 1))];
    for block in 1..=2 {
        for replica in 1..=3 {
            let role = Role::Replica { block: format!("b{block}") };
            nodes.push(node(format!("b{block}-{replica}"), role, host(20 + block, replica)));
        }
    }
    for edge in 1..=2 {
        nodes.push(node(format!("edge-{edge}"), Role::Edge, host(1, edge)));
    }
    for (number, max_conns) in (1..).zip(dynos) {
        nodes.push(node(format!("d{number}"), Role::Dyno { max_conns: *max_conns }, host(4, number)));
    }
    nodes
}

/// The main thread of a daemon's process.
fn daemon<F, C, E>(text: &str, run: impl AsyncFnOnce(C, shutdown::Shutdown) -> Result<(), E>)
where
    F: DeserializeOwned,
    C: TryFrom<F>,
    C: Configured<File = F>,
    <C as TryFrom<F>>::Error: std::fmt::Display,
    E: std::error::Error,
{
    let written: F = toml::from_str(text).unwrap_or_else(|error| panic!("{error} in\n{text}"));
    let config = C::try_from(written).unwrap_or_else(|error| panic!("{error} in\n{text}"));
    // Nobody stops it in order: it ends by being killed.
    let (trigger, shutdown) = shutdown::channel();
    std::mem::forget(trigger);
    serve(run(config, shutdown));
}

/// Which file a configuration is made of.
trait Configured {
    type File;
}

impl Configured for dynomesh_edge::Config {
    type File = dynomesh_edge::FileConfig;
}

impl Configured for dynomesh_block::Config {
    type File = dynomesh_block::FileConfig;
}

impl Configured for dynomesh_control::Config {
    type File = dynomesh_control::FileConfig;
}

/// Runs a process's main task; the process ends with it.
fn serve<E: std::error::Error>(main: impl Future<Output = Result<(), E>>) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    let how = match runtime.block_on(main) {
        Ok(()) => "ended".to_string(),
        Err(error) => format!("ended: {}", chain(&error)),
    };
    calls::end_process(&how, 1);
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |told, cause| format!("{told}: {cause}"))
}

/// Milliseconds since the mesh's machines were booted, for humans.
pub(crate) fn millis() -> u64 {
    with(|world| (world.now - kernel::BEGIN) / kernel::MS)
}
