//! The mesh of a seed: two edges, two blocks of three replicas, a control replica, dynos; each process on a host of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use dynomesh_agent::demo;
use dynomesh_core::id::{Address, DynoId, ReplicaId};
use dynomesh_core::time::{Span, Time};
use dynomesh_proto::admin::v1 as wire;
use dynomesh_runtime::shutdown;
use dynomesh_testkit::history::{Census, History, Listed};
use serde::de::DeserializeOwned;
use tokio::runtime::{Builder, Runtime};
use tonic::transport::{Channel, Endpoint};

use crate::kernel::{self, Addr, calls, run_in, with};
use crate::leader;

/// A client of the admin API.
pub(crate) type Api = wire::admin_client::AdminClient<Channel>;

/// The app that all dynos belong to.
pub(crate) const APP: &str = "shop";
/// The host that clients ask for.
pub(crate) const HOST: &str = "shop.test";
/// Pause between two looks at something that is awaited.
const LOOK: Duration = Duration::from_millis(20);
/// How long the mesh may take, in its own time, until it routes.
const START_MAX: Duration = Duration::from_secs(20);
/// Longest wait for an answer of the admin API.
const CALL_MAX: Duration = Duration::from_secs(2);
/// The same for calls between faults, which are not to wait for it.
const FAULT_CALL_MAX: Duration = Duration::from_millis(200);
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
    /// When its process was started last.
    pub(crate) started: Time,
}

pub(crate) struct Mesh {
    pub(crate) nodes: Vec<Node>,
    dir: PathBuf,
    /// How the blocks grant slots.
    slots: &'static str,
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
    pub(crate) fn start(dir: &Path, dynos: &[u32], slots: &'static str) -> Result<Self, String> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
        let nodes = nodes(dynos);
        let control = nodes.iter().find(|node| node.role == Role::Control).expect("there is one");
        let admin = api(&runtime, control.at(GRPC_PORT), CALL_MAX);
        let mut mesh = Mesh { nodes, dir: dir.into(), slots, runtime, admin };
        for node in 0..mesh.nodes.len() {
            mesh.run(node);
        }
        mesh.found()?;
        mesh.fill()?;
        mesh.await_owned(START_MAX)?;
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
                    journal: Some(self.journal(it)),
                };
                run_in(&name, host, move || serve(demo::run(config, std::future::pending())))
            }
        };
        self.nodes[node].process = process;
        self.nodes[node].started = started;
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

    // === The control plane ===

    /// Makes the replicas groups.
    fn found(&self) -> Result<(), String> {
        for group in [Some("b1"), Some("b2"), None] {
            let member = |node: &&Node| match (&node.role, group) {
                (Role::Replica { block }, Some(group)) => block == group,
                (Role::Control, None) => true,
                _ => false,
            };
            let members: Vec<Address> =
                self.nodes.iter().filter(member).map(|node| Address::new(node.at(GRPC_PORT)).expect("one host")).collect();
            self.until(&format!("bootstrap of {}", group.unwrap_or("control")), START_MAX, async || {
                use dynomesh_consensus::BootstrapError;
                match dynomesh_consensus::bootstrap_group(&members).await {
                    Ok(_) | Err(BootstrapError::NotPristine { .. }) => Ok(()),
                    Err(error) => Err(error.to_string()),
                }
            })?;
        }
        Ok(())
    }

    /// Creates the app and adds its dynos once both blocks are known, so that they are spread.
    fn fill(&self) -> Result<(), String> {
        let refused = |status: tonic::Status| status.message().to_string();
        self.until("all blocks in the directory", START_MAX, async || {
            let answer = self.admin.clone().list_blocks(wire::ListBlocksRequest::default()).await.map_err(refused)?;
            let bound = answer.into_inner().blocks.iter().filter(|block| block.bound).count();
            if bound == 2 { Ok(()) } else { Err(format!("{bound} bound")) }
        })?;
        // Declared, for a dyno whose nature is not learned yet stays counted after a takeover until its slots' deadlines (P9, P14): longer
        // than a seed lasts.
        let policy = wire::Policy { max_conns: Some(1), serial: wire::Serial::Yes.into(), ..Default::default() };
        let app = wire::CreateAppRequest { name: APP.into(), hosts: vec![HOST.into()], policy: Some(policy), ..Default::default() };
        self.until("the app", START_MAX, async || self.admin.clone().create_app(app.clone()).await.map(drop).map_err(refused))?;
        for node in &self.nodes {
            let Role::Dyno { max_conns } = node.role else { continue };
            let dyno = wire::AddDynoRequest {
                app: APP.into(),
                addr: node.at(HTTP_PORT).to_string(),
                id: node.name.clone(),
                max_conns: Some(max_conns),
                ..Default::default()
            };
            self.until(&node.name, START_MAX, async || self.admin.clone().add_dyno(dyno.clone()).await.map(drop).map_err(refused))?;
        }
        Ok(())
    }

    /// Waits until every dyno is owned by the block it is assigned to, is answering, and nothing of it is in flight.
    pub(crate) fn await_owned(&self, limit: Duration) -> Result<(), String> {
        self.until("blocks that own all dynos", limit, async || {
            for dyno in self.dynos().await? {
                let owned = dyno.phase() == wire::DynoPhase::Active && dyno.owner == dyno.block && dyno.owned_epoch == dyno.epoch;
                if !owned || dyno.state() != wire::DynoState::Up {
                    return Err(format!("{dyno:?}"));
                }
            }
            Ok(())
        })
    }

    /// Which replica has which id.
    fn learn_ids(&mut self) -> Result<(), String> {
        let answer = self.runtime.block_on(async { self.admin.clone().list_blocks(wire::ListBlocksRequest::default()).await });
        let blocks = answer.map_err(|status| status.message().to_string())?.into_inner().blocks;
        for replica in blocks.iter().flat_map(|block| &block.replicas) {
            if let Some(node) = self.nodes.iter_mut().find(|node| node.name == replica.node) {
                node.id = Some(ReplicaId(replica.id));
            }
        }
        Ok(())
    }

    async fn dynos(&self) -> Result<Vec<wire::Dyno>, String> {
        let request = wire::ListDynosRequest { app: APP.into(), page_size: 100, ..Default::default() };
        let answer = self.admin.clone().list_dynos(request).await.map_err(|status| status.message().to_string())?;
        Ok(answer.into_inner().dynos)
    }

    /// Asks for a move of a dyno, and says whether the control plane took it.
    pub(crate) fn move_dyno(&self, id: &str, to: &str) -> bool {
        let request = wire::MoveDynoRequest { id: id.into(), to: to.into(), app: APP.into(), ..Default::default() };
        let mut admin = self.admin.clone();
        self.soon(async { admin.move_dyno(request).await }).is_some_and(|answer| answer.into_inner().changed)
    }

    /// The block that a dyno is assigned to.
    pub(crate) fn block_of(&self, id: &str) -> Option<String> {
        let dynos = self.soon(self.dynos())?;
        dynos.into_iter().find(|dyno| dyno.id == id).map(|dyno| dyno.block)
    }

    /// The answer of a call, if it comes soon.
    fn soon<T, E>(&self, call: impl Future<Output = Result<T, E>>) -> Option<T> {
        self.runtime.block_on(async { tokio::time::timeout(FAULT_CALL_MAX, call).await }).ok()?.ok()
    }

    /// The replica that leads a block, by the word of the replicas; the first one where none says so.
    pub(crate) fn leading(&self, block: &str) -> Option<usize> {
        let role = Role::Replica { block: block.into() };
        let of_block: Vec<usize> = (0..self.nodes.len()).filter(|node| self.nodes[*node].role == role).collect();
        let claim = |node: &usize| self.runtime.block_on(leader::claim(self.nodes[*node].at(HTTP_PORT)));
        let claims = of_block.iter().filter_map(|node| Some((claim(node)?, *node)));
        claims.max().map(|(_, node)| node).or(of_block.first().copied())
    }

    /// Where the admin API is.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.nodes.iter().find(|node| node.role == Role::Control).expect("there is one").at(GRPC_PORT)
    }

    /// The names of all dynos.
    pub(crate) fn dyno_names(&self) -> Vec<String> {
        self.nodes.iter().filter(|node| matches!(node.role, Role::Dyno { .. })).map(|node| node.name.clone()).collect()
    }

    /// What the control plane lists.
    pub(crate) fn census(&self, at: Time) -> Result<Census, String> {
        let listed = |dyno: wire::Dyno| Listed {
            dyno: DynoId::new(&dyno.id).expect("the control plane lists ids"),
            block: Some(dyno.block).filter(|block| !block.is_empty()),
            epoch: dyno.epoch,
            owner: Some(dyno.owner).filter(|owner| !owner.is_empty()),
            owned_epoch: dyno.owned_epoch,
            serves: true,
        };
        Ok(Census { at, dynos: self.runtime.block_on(self.dynos())?.into_iter().map(listed).collect() })
    }

    fn until(&self, what: &str, limit: Duration, look: impl AsyncFn() -> Result<(), String>) -> Result<(), String> {
        let end = with(|world| world.now) + u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        loop {
            match self.runtime.block_on(look()) {
                Ok(()) => return Ok(()),
                Err(seen) if with(|world| world.now) > end => return Err(format!("{what}: not within {} s: {seen}", limit.as_secs())),
                Err(_) => std::thread::sleep(LOOK),
            }
        }
    }

    // === Configurations ===

    fn edge(&self, node: &Node) -> String {
        let own = format!(
            "name = \"{}\"\nlisten = \"{}\"\nadmin = \"{}\"\naccess_log = \"off\"\n[limits]\ndeadline = \"{}\"\n",
            node.name,
            node.at(HTTP_PORT),
            node.at(7071),
            crate::story::DEADLINE
        );
        own + &self.gossip(node)
    }

    fn replica(&self, node: &Node, block: &str) -> String {
        let own = format!(
            "block = \"{block}\"\nreplica = \"{}\"\ndata_dir = \"{}\"\nhttp = \"{}\"\ngrpc = \"{}\"\nadmin = \"{}\"\nslots = \"{}\"\n",
            node.name,
            self.disk(node).display(),
            node.at(HTTP_PORT),
            node.at(GRPC_PORT),
            node.at(7071),
            self.slots
        );
        own + &self.gossip(node)
    }

    fn control(&self, node: &Node) -> String {
        let own = format!(
            "name = \"{}\"\ndata_dir = \"{}\"\ngrpc = \"{}\"\nadmin = \"{}\"\n[api]\nopen = true\n",
            node.name,
            self.disk(node).display(),
            node.at(GRPC_PORT),
            node.at(7071)
        );
        own + &self.gossip(node)
    }

    fn gossip(&self, node: &Node) -> String {
        let seed = |other: &&Node| other.name != node.name && (other.role == Role::Control || other.name.ends_with("-1"));
        let seeds: Vec<String> = self.nodes.iter().filter(seed).map(|node| format!("\"{}\"", node.at(GOSSIP_PORT))).collect();
        format!(
            "[gossip]\nlisten = \"{}\"\nseeds = [{}]\ncluster = \"simulated\"\nkey = \"{KEY}\"\n",
            node.at(GOSSIP_PORT),
            seeds.join(", ")
        )
    }
}

/// A client of the admin API at an address, which connects when it is used.
pub(crate) fn api(runtime: &Runtime, at: SocketAddr, answer_max: Duration) -> Api {
    let endpoint = Endpoint::from_shared(format!("http://{at}")).expect("an address makes a URI");
    let _context = runtime.enter();
    Api::new(endpoint.connect_timeout(answer_max).timeout(answer_max).tcp_nodelay(true).connect_lazy())
}

fn nodes(dynos: &[u32]) -> Vec<Node> {
    let host = |tier: u8, number: u8| u32::from(Ipv4Addr::new(10, 0, tier, number));
    let node = |name: String, role, host| Node { name, role, host, id: None, process: 0, started: Time::ZERO };
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
