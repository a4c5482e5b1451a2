//! Whole nodes on loopback.

use std::net::Ipv4Addr;
use std::time::Duration;

use dynomesh_core::app::{AppSpec, Policy};
use dynomesh_core::id::{AppName, Host, Version};
use dynomesh_core::id::{BlockName, Term};
use dynomesh_core::map::fact::{AppFact, LoadFact};
use rand::SeedableRng;

use super::*;

fn key(seed: u64) -> Key {
    Key::random(&mut rand::rngs::StdRng::seed_from_u64(seed))
}

fn config(name: &str, seeds: &[&Gossip]) -> GossipConfig {
    GossipConfig {
        seeds: seeds.iter().map(|seed| seed.address().to_string()).collect(),
        interval: Span::from_millis(20),
        ..GossipConfig::new(NodeName::new(name).unwrap(), "test", (Ipv4Addr::LOCALHOST, 0).into(), vec![key(1)])
    }
}

fn start(config: GossipConfig) -> Gossip {
    Gossip::start(config, &Clock::system()).unwrap()
}

fn app(name: &str, version: u64) -> Fact {
    let name = AppName::new(name).unwrap();
    let spec = AppSpec { name: name.clone(), hosts: vec![Host::new("*").unwrap()], policy: Policy::default() };
    Fact::App(AppFact { name, version: Version(version), spec: Some(spec) })
}

fn version_in(gossip: &Gossip, name: &str) -> Option<u64> {
    gossip.view().app(&AppName::new(name).unwrap()).map(|fact| fact.version.0)
}

/// Waits until the view of `gossip` is as wanted.
async fn seen(gossip: &Gossip, wanted: impl Fn(&Gossip) -> bool) {
    let mut changes = gossip.subscribe();
    let wait = async {
        while !wanted(gossip) {
            changes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.expect("the view did not become as wanted");
}

/// Waits for what no change of a view tells.
async fn until(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.expect("the condition did not come true");
}

#[tokio::test]
async fn three_nodes_hear_of_each_other_and_of_changes() {
    let a = start(config("a", &[]));
    let b = start(config("b", &[&a]));
    let c = start(config("c", &[&a]));
    for (node, name) in [(&a, "app-a"), (&b, "app-b"), (&c, "app-c")] {
        node.publish([app(name, 1)]);
        assert_eq!(version_in(node, name), Some(1), "own facts are in the own view at once");
    }
    for node in [&a, &b, &c] {
        seen(node, |node| ["app-a", "app-b", "app-c"].iter().all(|name| version_in(node, name) == Some(1))).await;
    }
    until(|| b.peers().iter().map(|peer| peer.node.as_str()).eq(["a", "c"])).await;

    c.publish([app("app-c", 2), app("app-d", 1)]);
    for node in [&a, &b, &c] {
        seen(node, |node| version_in(node, "app-c") == Some(2) && version_in(node, "app-d") == Some(1)).await;
    }
    // What is published no more is not forgotten.
    c.publish([]);
    b.publish([app("app-b", 2)]);
    seen(&a, |a| version_in(a, "app-b") == Some(2)).await;
    assert_eq!(version_in(&a, "app-c"), Some(2));
}

#[tokio::test]
async fn a_node_that_comes_late_hears_everything() {
    let a = start(config("a", &[]));
    a.publish((0..500).map(|number| app(&format!("app-{number}"), 1)));
    let b = start(config("b", &[&a]));
    seen(&b, |b| b.view().apps().count() == 500).await;
}

#[tokio::test]
async fn a_node_with_another_key_is_neither_heard_nor_told() {
    let a = start(config("a", &[]));
    a.publish([app("secret", 1)]);
    let stranger = start(GossipConfig { keys: vec![key(2)], ..config("stranger", &[&a]) });
    stranger.publish([app("forged", 1)]);
    until(|| a.counts().datagrams_dropped(DropReason::UnknownKey) > 3).await;
    assert_eq!((version_in(&a, "forged"), version_in(&stranger, "secret")), (None, None));
    assert_eq!(a.counts().datagrams_received(), 0);
}

#[tokio::test]
async fn keys_are_changed_without_a_break() {
    let old = start(config("old", &[]));
    let both = start(GossipConfig { keys: vec![key(1), key(2)], ..config("both", &[&old]) });
    let new = start(GossipConfig { keys: vec![key(2), key(1)], ..config("new", &[&both]) });
    both.publish([app("app-b", 1)]);
    new.publish([app("app-n", 1)]);
    seen(&both, |both| version_in(both, "app-n") == Some(1)).await;
    seen(&old, |old| version_in(old, "app-b") == Some(1)).await;
    seen(&new, |new| version_in(new, "app-b") == Some(1)).await;
}

#[tokio::test]
async fn a_datagram_is_taken_once() {
    let listener = tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let sender = start(GossipConfig { seeds: vec![listener.local_addr().unwrap().to_string()], ..config("sender", &[]) });
    let target = start(config("target", &[]));
    let mut datagram = vec![0; 65_535];
    let (len, from) = listener.recv_from(&mut datagram).await.unwrap();
    assert_eq!(from, sender.address());
    for _ in 0..3 {
        listener.send_to(&datagram[..len], target.address()).await.unwrap();
    }
    until(|| target.counts().datagrams_dropped(DropReason::Replayed) == 2).await;
    assert!(target.counts().datagrams_received() >= 1, "the first of the three is taken");
}

#[tokio::test]
async fn muted_nodes_are_not_heard() {
    let mute = vec!["control".to_string()];
    let a = start(GossipConfig { drop_from: mute.clone(), ..config("a", &[]) });
    let b = start(GossipConfig { drop_from: mute, ..config("b", &[&a]) });
    let control = start(config("control-1", &[&a, &b]));
    control.publish([app("by-control", 1)]);
    b.publish([app("by-b", 1)]);
    seen(&a, |a| version_in(a, "by-b") == Some(1)).await;
    until(|| a.counts().datagrams_dropped(DropReason::Muted) > 3).await;
    assert_eq!((version_in(&a, "by-control"), version_in(&b, "by-control")), (None, None));
}

#[tokio::test]
async fn a_restarted_node_is_heard_again() {
    let dir = tempfile::tempdir().unwrap();
    let generation_file = Some(dir.path().join("generation"));
    let a = start(config("a", &[]));
    let b = start(GossipConfig { generation_file: generation_file.clone(), ..config("b", &[&a]) });
    b.publish([app("app-b", 1)]);
    seen(&a, |a| version_in(a, "app-b") == Some(1)).await;
    let listen = b.address();
    drop(b);
    let again = || Gossip::start(GossipConfig { listen, generation_file: generation_file.clone(), ..config("b", &[&a]) }, &Clock::system());
    // The thread of the first closes its socket when it has noticed.
    until(|| crate::net::datagrams(listen, "gossip.listen").is_ok()).await;
    let b = again().unwrap();
    b.publish([app("app-b", 2)]);
    seen(&a, |a| version_in(a, "app-b") == Some(2)).await;
}

#[tokio::test]
async fn facts_too_long_are_not_published() {
    let a = start(config("a", &[]));
    let mut long = app("long", 1);
    if let Fact::App(fact) = &mut long {
        let hosts = (0..64).map(|number| Host::new(&format!("{number}.{}", "h".repeat(100))).unwrap());
        fact.spec.as_mut().unwrap().hosts = hosts.collect();
    }
    a.publish([long, app("short", 1)]);
    seen(&a, |a| version_in(a, "short") == Some(1)).await;
    assert_eq!(version_in(&a, "long"), None);
}

#[tokio::test]
async fn loads_travel_too() {
    let a = start(config("a", &[]));
    let b = start(config("b", &[&a]));
    let (block, name) = (BlockName::new("b1").unwrap(), AppName::new("shop").unwrap());
    let load = |seq| LoadFact { block: block.clone(), app: name.clone(), term: Term(1), seq, slots: 4, used: 1, queued: 0, dynos: 4 };
    for seq in 1..5 {
        b.publish([Fact::Load(load(seq))]);
        seen(&a, |a| a.view().loads(&name).any(|fact| fact.seq == seq)).await;
    }
}

#[test]
fn what_cannot_work_is_refused_with_its_setting() {
    let refused = |config| Gossip::start(config, &Clock::system()).unwrap_err().to_string();
    let no_key = GossipConfig { keys: vec![], ..config("a", &[]) };
    assert_eq!(refused(no_key), "`gossip.key`: needs 1 to 4 keys of 64 hexadecimal digits, has 0");
    let nowhere = GossipConfig { listen: (Ipv4Addr::UNSPECIFIED, 0).into(), ..config("a", &[]) };
    assert!(refused(nowhere).starts_with("`gossip.advertise`: must be set where `gossip.listen` is 0.0.0.0:"));
    let taken = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let in_use = GossipConfig { listen: taken.local_addr().unwrap(), ..config("a", &[]) };
    assert!(refused(in_use).ends_with("is in use; change `gossip.listen`"));
}
