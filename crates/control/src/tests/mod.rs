//! The control daemon end to end over loopback: real disk, real log, real gRPC, real gossip. A block is a node of the gossip that says
//! what a block would say.

mod apps;
mod dynos;
mod group;
mod lasting;
mod seen;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use dynomesh_consensus::bootstrap_group;
use dynomesh_core::id::{Address, BlockName, GroupId, NodeName, ReplicaId, Term};
use dynomesh_core::map::fact::{LeaderFact, ReplicaFact};
use dynomesh_core::map::{Fact, MapView};
use dynomesh_core::time::Span;
use dynomesh_proto::admin::v1 as wire;
use dynomesh_proto::admin::v1::admin_client::AdminClient;
use dynomesh_runtime::clock::Clock;
use dynomesh_runtime::gossip::{Gossip, GossipConfig, Key};
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::{Config, Control, RaftSettings};

pub(super) type Client = AdminClient<Channel>;

/// Longest wait for anything that should come soon; a test that needs it has failed.
const SOON: Duration = Duration::from_secs(20);

/// A control replica called `name` on ports the system chooses, with its disk in `dir`.
pub(super) async fn start(name: &str, dir: &Path) -> Control {
    Control::start(config(name, dir, &[])).await.unwrap()
}

pub(super) fn config(name: &str, dir: &Path, seeds: &[SocketAddr]) -> Config {
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let name = NodeName::new(name).unwrap();
    let mut gossip = gossip_config(&name);
    gossip.seeds = seeds.iter().map(SocketAddr::to_string).collect();
    Config { name, data_dir: dir.into(), grpc: any, grpc_advertise: None, admin: any, gossip, raft: RaftSettings::default() }
}

fn gossip_config(node: &NodeName) -> GossipConfig {
    let any = "127.0.0.1:0".parse().unwrap();
    let config = GossipConfig::new(node.clone(), "test", any, vec![Key::new([7; 32])]);
    GossipConfig { interval: Span::from_millis(20), ..config }
}

/// A started and bootstrapped control plane of one replica, and a client of it.
pub(super) async fn alone(dir: &Path) -> (Control, Client) {
    let control = start("control-1", dir).await;
    bootstrap_group(&[control.grpc()]).await.unwrap();
    let client = connect(&control);
    (control, client)
}

pub(super) fn connect(control: &Control) -> Client {
    Client::new(channel(control))
}

pub(super) fn channel(control: &Control) -> Channel {
    dynomesh_runtime::grpc::channel(control.grpc(), Span::from_secs(5), Some(Span::from_secs(20)))
}

/// What a block would say, by gossip.
pub(super) struct Block {
    name: BlockName,
    gossip: Gossip,
    said: Mutex<Vec<Fact>>,
}

impl Block {
    /// A node that gossips with `control` and says that it leads the block `name`.
    pub(super) fn start(name: &str, group: u128, control: &Control) -> Self {
        let block = Block::silent(name, group, control);
        block.lead(group);
        block
    }

    /// A node that gossips with `control` and says nothing yet.
    pub(super) fn silent(name: &str, group: u128, control: &Control) -> Self {
        let mut config = gossip_config(&NodeName::new(&format!("{name}-{group}")).unwrap());
        config.seeds = vec![control.gossip().to_string()];
        let gossip = Gossip::start(config, &Clock::system()).unwrap();
        Block { name: BlockName::new(name).unwrap(), gossip, said: Mutex::default() }
    }

    /// Says that it leads.
    pub(super) fn lead(&self, group: u128) {
        let address = |port: u16| Address::new(SocketAddr::from(([127, 0, 0, 1], port))).unwrap();
        let replica = ReplicaFact { id: ReplicaId(1), http: address(8001), grpc: address(9001) };
        let (block, group, leader) = (self.name.clone(), GroupId(group), replica.id);
        self.say(Fact::Leader(LeaderFact { block, group, term: Term(1), seq: 1, leader, replicas: vec![replica], zone: None }));
    }

    pub(super) fn name(&self) -> BlockName {
        self.name.clone()
    }

    /// Says one thing more.
    pub(super) fn say(&self, fact: Fact) {
        let mut said = self.said.lock().unwrap();
        said.retain(|old| old.key() != fact.key());
        said.push(fact);
        self.gossip.publish(said.clone());
    }

    /// Waits until this node has heard something for which `found` has an answer.
    pub(super) async fn hears<T>(&self, found: impl Fn(&MapView) -> Option<T>) -> T {
        let mut changes = self.gossip.subscribe();
        let wait = async {
            loop {
                if let Some(answer) = found(&self.gossip.view()) {
                    return answer;
                }
                changes.changed().await.unwrap();
            }
        };
        tokio::time::timeout(SOON, wait).await.expect("the fact was not heard in time")
    }
}

/// Asks again until there is an answer.
pub(super) async fn soon<T, F: Future<Output = Option<T>>>(ask: impl Fn() -> F) -> T {
    let wait = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, wait).await.expect("the condition did not come in time")
}

pub(super) fn shop() -> wire::CreateAppRequest {
    wire::CreateAppRequest { name: "shop".into(), hosts: vec!["shop.example".into()], policy: None, ..Default::default() }
}

pub(super) fn dyno(id: &str, port: u16) -> wire::AddDynoRequest {
    wire::AddDynoRequest { app: "shop".into(), addr: format!("127.0.0.1:{port}"), id: id.into(), ..Default::default() }
}

pub(super) async fn dynos(client: &Client) -> Vec<wire::Dyno> {
    client.clone().list_dynos(wire::ListDynosRequest::default()).await.unwrap().into_inner().dynos
}

/// Asserts a refusal and that its sentence names something.
#[track_caller]
pub(super) fn refused<T: std::fmt::Debug>(result: Result<T, Status>, code: Code, names: &str) {
    let status = result.expect_err("it should have been refused");
    assert_eq!(status.code(), code, "{status}");
    assert!(status.message().contains(names), "{:?} does not name {names:?}", status.message());
}
