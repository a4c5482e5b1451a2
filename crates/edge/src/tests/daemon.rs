//! The whole daemon, heard of by gossip only.

use std::time::Duration;

use dynomesh_core::app::{AppSpec, Policy};
use dynomesh_core::id::{Address, AppName, BlockName, GroupId, NodeName, ReplicaId, Term, Version};
use dynomesh_core::map::fact::{AppFact, Fact, LeaderFact, LoadFact, NodeRole, NodeState, ReplicaFact, WishFact};
use dynomesh_runtime::clock::Clock;
use dynomesh_runtime::gossip::{Gossip, GossipConfig, Key};
use dynomesh_runtime::net::listen;
use dynomesh_runtime::shutdown::channel;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

async fn ask(address: std::net::SocketAddr, path: &str) -> String {
    let Ok(mut stream) = TcpStream::connect(address).await else { return String::new() };
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").as_bytes()).await.unwrap();
    let mut got = String::new();
    let _ = stream.read_to_string(&mut got).await;
    got
}

/// An address that was free a moment ago.
fn free() -> std::net::SocketAddr {
    listen("127.0.0.1:0".parse().unwrap(), "test").unwrap().local_addr().unwrap()
}

#[test]
fn an_edge_serves_what_gossip_tells_it_and_stops_in_order() {
    run(async {
        let b1 = PlayedBlock::answering("b1").await;
        let (key, clock) = (Key::new([7; 32]), Clock::system());
        let told = GossipConfig::new(NodeName::new("b1-1").unwrap(), "test", "127.0.0.1:0".parse().unwrap(), vec![key.clone()]);
        let gossip = Gossip::start(told, &clock).unwrap();
        let mut config = mesh::config();
        (config.listen, config.admin, config.threads) = (free(), free(), 2);
        config.gossip = GossipConfig::new(config.name.clone(), "test", "127.0.0.1:0".parse().unwrap(), vec![key]);
        config.gossip.seeds = vec![gossip.address().to_string()];
        let (listen, admin) = (config.listen, config.admin);
        let (stop, shutdown) = channel();
        let edge = crate::run(config, shutdown);
        let play = async {
            while !ask(admin, "/readyz").await.contains("503") {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            assert!(ask(listen, "/").await.contains("404"), "no app is known yet");
            gossip.publish(facts(&b1));
            while !ask(admin, "/readyz").await.contains("200 OK") {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            while !ask(listen, "/").await.contains("200 OK") {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let metrics = ask(admin, "/metrics").await;
            assert!(metrics.contains("dynomesh_edge_requests_total{app=\"demo\",status=\"2xx\"}"), "{metrics}");
            stop.set();
        };
        let (ended, ()) = within(async { tokio::join!(edge, play) }).await;
        ended.unwrap();
        assert!(TcpStream::connect(listen).await.is_err(), "the listener is closed");
    });
}

fn facts(block: &PlayedBlock) -> Vec<Fact> {
    let (app, name) = (AppName::new("demo").unwrap(), BlockName::new("b1").unwrap());
    let spec = AppSpec { name: app.clone(), hosts: vec!["*".parse().unwrap()], policy: Policy::default() };
    let replicas = vec![ReplicaFact { id: ReplicaId(1), http: block.address, grpc: block.address }];
    vec![
        Fact::App(AppFact { name: app.clone(), version: Version(1), spec: Some(spec) }),
        Fact::Leader(LeaderFact {
            block: name.clone(),
            group: GroupId(1),
            term: Term(1),
            seq: 1,
            leader: ReplicaId(1),
            replicas,
            zone: None,
        }),
        Fact::Load(LoadFact { block: name, app, term: Term(1), seq: 1, slots: 4, used: 0, queued: 0, dynos: 4 }),
    ]
}

#[test]
fn an_address_in_use_is_a_clear_error() {
    run(async {
        let taken = listen("127.0.0.1:0".parse().unwrap(), "test").unwrap();
        let mut config = mesh::config();
        config.listen = taken.local_addr().unwrap();
        let (_stop, shutdown) = channel();
        let error = crate::run(config, shutdown).await.unwrap_err().to_string();
        assert_eq!(error, format!("{} is in use; change `listen`", taken.local_addr().unwrap()));
    });
}

/// A client that keeps its connection is asked to leave by the next answer, one that says nothing is closed, and who comes is served all the
/// same. Fails when a drained edge keeps connections alive, or stays ready.
#[test]
fn a_drained_edge_serves_on_asks_its_clients_to_leave_and_says_when_nobody_is_left() {
    run(async {
        let b1 = PlayedBlock::answering("b1").await;
        let (key, clock) = (Key::new([7; 32]), Clock::system());
        let told = GossipConfig::new(NodeName::new("b1-1").unwrap(), "test", "127.0.0.1:0".parse().unwrap(), vec![key.clone()]);
        let gossip = Gossip::start(told, &clock).unwrap();
        let mut config = mesh::config();
        (config.listen, config.admin, config.zone) = (free(), free(), Some("z1".parse().unwrap()));
        config.gossip = GossipConfig::new(config.name.clone(), "test", "127.0.0.1:0".parse().unwrap(), vec![key]);
        config.gossip.seeds = vec![gossip.address().to_string()];
        let (listen, admin, name) = (config.listen, config.admin, config.name.clone());
        let wish = |version, drain| {
            let node = config.name.clone();
            let wish = Fact::Wish(WishFact { node, version: Version(version), drain });
            gossip.publish(facts(&b1).into_iter().chain([wish]));
        };
        let node = || gossip.view().node(&name).cloned();
        let (stop, shutdown) = channel();
        let edge = crate::run(config.clone(), shutdown);
        let play = async {
            gossip.publish(facts(&b1));
            while !ask(listen, "/").await.contains("200 OK") {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let mut kept = TcpStream::connect(listen).await.unwrap();
            let answer = ask_on(&mut kept).await;
            assert!(!answer.contains("connection: close"), "{answer}");
            let mut silent = TcpStream::connect(listen).await.unwrap();
            ask_on(&mut silent).await;
            mesh::until(|| node().is_some_and(|node| node.state == NodeState::Serving)).await;
            let said = node().unwrap();
            assert_eq!((said.zone, said.admin.socket()), (Some("z1".parse().unwrap()), admin));
            assert_eq!(said.role, NodeRole::Edge { http: Address::new(listen).unwrap() });

            // A connection in the middle of a head is not idle: it outlives the beginning of the drain however slow this machine is.
            kept.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
            wish(1, true);
            while !ask(admin, "/readyz").await.contains("503") {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let answer = ask(admin, "/readyz").await;
            assert!(answer.ends_with("draining\n"), "{answer}");
            mesh::until(|| node().is_some_and(|node| node.state == NodeState::Draining)).await;
            kept.write_all(b"host: a\r\n\r\n").await.unwrap();
            let answer = answer_on(&mut kept).await;
            assert!(answer.contains("200 OK") && answer.contains("connection: close"), "{answer}");
            let closed = within(silent.read(&mut [0; 16])).await.unwrap();
            assert_eq!(closed, 0, "an idle connection stays open");
            mesh::until(|| node().is_some_and(|node| node.state == NodeState::Drained)).await;
            let answer = ask(admin, "/readyz").await;
            assert!(answer.contains("503") && answer.ends_with("drained\n"), "{answer}");
            assert!(ask(listen, "/").await.contains("200 OK"), "who comes all the same is served");

            wish(2, false);
            mesh::until(|| node().is_some_and(|node| node.state == NodeState::Serving)).await;
            assert!(ask(admin, "/readyz").await.contains("200 OK"));
            let mut stays = TcpStream::connect(listen).await.unwrap();
            let answer = ask_on(&mut stays).await;
            assert!(!answer.contains("connection: close"), "{answer}");
            stop.set();
        };
        let (ended, ()) = within(async { tokio::join!(edge, play) }).await;
        ended.unwrap();
    });
}

/// Asks on a connection that is kept, for an answer that ends in the block's name.
async fn ask_on(stream: &mut TcpStream) -> String {
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    answer_on(stream).await
}

async fn answer_on(stream: &mut TcpStream) -> String {
    let mut got = Vec::new();
    while !got.ends_with(b"\r\n\r\nb1") {
        assert_ne!(within(stream.read_buf(&mut got)).await.unwrap(), 0, "closed after {:?}", String::from_utf8_lossy(&got));
    }
    String::from_utf8(got).unwrap()
}
