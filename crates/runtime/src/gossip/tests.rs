//! Whole nodes on loopback.

use std::net::Ipv4Addr;
use std::time::Duration;

use dynomesh_core::app::{AppSpec, Phase, Policy};
use dynomesh_core::id::{AppName, Host, Version};
use dynomesh_core::id::{BlockName, DynoId, Epoch, Term};
use dynomesh_core::map::fact::{AppFact, LoadFact, OwnedFact};
use rand::SeedableRng;

use super::seal::{MESSAGE_MAX, Sealer};
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

/// Whether every node hears every other.
fn whole(nodes: &[&Gossip]) -> bool {
    nodes.iter().all(|node| node.peers().len() + 1 == nodes.len())
}

#[tokio::test]
async fn keys_are_changed_by_their_files_while_all_is_running() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name);
    let write = |name: &str, keys: &[Key]| {
        let text: Vec<String> = keys.iter().map(Key::reveal).collect();
        std::fs::write(file(name), text.join("\n")).unwrap();
    };
    let (old, new) = (key(1), key(2));
    let names = ["a", "b", "c"];
    names.iter().for_each(|name| write(name, std::slice::from_ref(&old)));
    let from_file =
        |name: &str, seeds: &[&Gossip]| start(GossipConfig { keys: vec![], keys_file: Some(file(name)), ..config(name, seeds) });
    let a = from_file("a", &[]);
    let b = from_file("b", &[&a]);
    let c = from_file("c", &[&a]);
    let nodes = [&a, &b, &c];
    until(|| whole(&nodes)).await;
    let first = a.keys();

    let steps = [vec![old.clone(), new.clone()], vec![new.clone(), old.clone()], vec![new.clone()]];
    for (version, keys) in (1..).zip(&steps) {
        // One after the other, as an operator would, and a fact at each node when some have changed and some have not.
        for (nth, name) in names.iter().enumerate() {
            write(name, keys);
            until(|| nodes[nth].keys().len() == keys.len() && (keys[0] == old) == (nodes[nth].keys()[0] == first[0])).await;
            let fact = format!("app-{name}");
            nodes[(nth + 1) % 3].publish([app(&fact, version)]);
            for node in nodes {
                seen(node, |node| version_in(node, &fact) == Some(version)).await;
                assert_eq!(node.peers().len(), 2, "nobody is ever out of reach");
            }
        }
        until(|| nodes.iter().all(|node| node.peers().iter().all(|peer| peer.keys == *node.keys()))).await;
    }
    assert!(nodes.iter().all(|node| node.counts().datagrams_dropped(DropReason::UnknownKey) == 0));
    // A file that is broken changes nothing, and the dropped key opens nothing.
    write("a", &[]);
    let late = start(GossipConfig { keys: vec![old], ..config("late", &[&a]) });
    late.publish([app("late", 1)]);
    until(|| a.counts().datagrams_dropped(DropReason::UnknownKey) > 3).await;
    assert_eq!((version_in(&a, "late"), a.keys().len(), whole(&nodes)), (None, 1, true));
}

#[tokio::test]
async fn a_partition_only_delays() {
    let x1 = start(config("x-1", &[]));
    let x2 = start(config("x-2", &[&x1]));
    let y1 = start(config("y-1", &[&x1]));
    let y2 = start(config("y-2", &[&x1]));
    let nodes = [&x1, &x2, &y1, &y2];
    until(|| whole(&nodes)).await;
    x1.publish([app("app", 1)]);
    for node in nodes {
        seen(node, |node| version_in(node, "app") == Some(1)).await;
    }
    [&x1, &x2].iter().for_each(|node| node.mute(&["y-"]));
    [&y1, &y2].iter().for_each(|node| node.mute(&["x-"]));
    x2.publish([app("x", 1)]);
    y1.publish([app("app", 2), app("y", 1)]);
    seen(&x1, |node| version_in(node, "x") == Some(1)).await;
    seen(&y2, |node| version_in(node, "app") == Some(2)).await;
    until(|| nodes.iter().all(|node| node.peers().len() == 1)).await;
    assert_eq!((version_in(&x2, "app"), version_in(&y2, "x")), (Some(1), None));
    nodes.iter().for_each(|node| node.mute(&[]));
    for node in nodes {
        seen(node, |node| ["x", "y", "app"].map(|name| version_in(node, name)) == [Some(1), Some(1), Some(2)]).await;
    }
    assert!(nodes.iter().all(|node| node.view() == x1.view()));
    until(|| whole(&nodes)).await;
}

#[tokio::test]
async fn datagrams_of_all_the_wrong_kinds_are_counted_and_change_nothing() {
    let a = start(config("a", &[]));
    a.publish([app("app", 1)]);
    let view = a.view();
    let socket = tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let mut sealer = Sealer::new(&key(1), "test", "b", 1);
    let mut replayed = Vec::new();
    let dropped = |reason| a.counts().datagrams_dropped(reason);
    let cases: [(DropReason, Vec<u8>); 6] = [
        (DropReason::Foreign, b"short".to_vec()),
        (DropReason::Foreign, vec![7; 65_507]),
        (DropReason::UnknownKey, [vec![2], vec![7; 60_000]].concat()),
        (DropReason::Forged, {
            let mut forged = sealer.seal(b"x").unwrap();
            *forged.last_mut().unwrap() ^= 1;
            forged
        }),
        (DropReason::Malformed, sealer.seal(&[6, 0, 255, 255, 255, 255, 15]).unwrap()),
        (DropReason::Malformed, sealer.seal(&vec![6; MESSAGE_MAX]).unwrap()),
    ];
    for (reason, datagram) in cases {
        let before = dropped(reason);
        socket.send_to(&datagram, a.address()).await.unwrap();
        until(|| dropped(reason) > before).await;
        replayed.push(datagram);
    }
    let before = dropped(DropReason::Replayed);
    for datagram in &replayed[4..] {
        socket.send_to(datagram, a.address()).await.unwrap();
    }
    until(|| dropped(DropReason::Replayed) == before + 2).await;
    assert!(a.view() == view && a.peers().is_empty());
}

#[tokio::test]
async fn a_node_is_told_what_it_wants() {
    let control = start(config("control-1", &[]));
    let wants = |name: &str| Interest::block(&BlockName::new(name).unwrap());
    let one = start(GossipConfig { wants: wants("one"), ..config("one-1", &[&control]) });
    let two = start(GossipConfig { wants: wants("two"), ..config("two-1", &[&control]) });
    let edge = start(GossipConfig { wants: Interest::edge(), ..config("edge-1", &[&control]) });
    until(|| whole(&[&control, &one, &two, &edge])).await;
    let owned = |block: &str, epoch| {
        let (dyno, block, term) = (DynoId::new("d").unwrap(), BlockName::new(block).unwrap(), Term(1));
        Fact::Owned(OwnedFact { dyno, block, group: None, epoch: Epoch(epoch), term, seq: 1, phase: Phase::Active, up: None, in_flight: 0 })
    };
    one.publish([owned("one", 3), app("last", 1)]);
    for node in [&control, &two, &edge] {
        seen(node, |node| version_in(node, "last") == Some(1)).await;
    }
    seen(&control, |node| node.view().owned().len() == 1).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!((two.view().owned().len(), edge.view().owned().len()), (0, 0));
    // It is told all the same to one that says it owns the dyno under an older epoch.
    two.publish([owned("two", 2)]);
    seen(&two, |node| node.view().owned().any(|fact| fact.epoch == Epoch(3))).await;
}
