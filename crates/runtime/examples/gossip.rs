//! How fast a fact reaches all nodes, and what that costs: whole nodes in one process, real sockets on loopback.
//!
//! `cargo run -p dynomesh-runtime --example gossip -- 5 20 50` prints one line per number of nodes.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use dynomesh_core::app::{AppSpec, Policy};
use dynomesh_core::id::{AppName, Host, NodeName, Version};
use dynomesh_core::map::Fact;
use dynomesh_core::map::fact::AppFact;
use dynomesh_runtime::clock::Clock;
use dynomesh_runtime::gossip::{Gossip, GossipConfig, Key};

/// Facts published one after the other, by nodes in turn.
const FACTS: u64 = 100;
/// How long nodes that have just met still compare themselves often.
const SETTLE: Duration = Duration::from_secs(3);
/// How long an idle mesh is watched.
const IDLE: Duration = Duration::from_secs(5);
/// Between two looks at all views.
const LOOK: Duration = Duration::from_micros(200);

fn main() {
    println!(
        "{:>5} {:>9} {:>8} {:>8} {:>8} {:>14} {:>17}",
        "nodes", "joined s", "p50 ms", "p99 ms", "max ms", "idle B/s, node", "B per fact, node"
    );
    for nodes in std::env::args().skip(1).map(|text| text.parse().expect("a number of nodes")) {
        measure(nodes);
    }
}

fn measure(count: usize) {
    let begun = Instant::now();
    let mut nodes: Vec<Gossip> = Vec::new();
    for nth in 0..count {
        let key = Key::new([7; 32]);
        let name = NodeName::new(&format!("node-{nth}")).expect("a name");
        let mut config = GossipConfig::new(name, "measured", (Ipv4Addr::LOCALHOST, 0).into(), vec![key]);
        config.seeds = nodes.iter().take(1).map(|seed| seed.address().to_string()).collect();
        nodes.push(Gossip::start(config, &Clock::system()).expect("a node starts"));
    }
    while nodes.iter().any(|node| node.peers().len() + 1 < count) {
        std::thread::sleep(LOOK);
    }
    let joined = begun.elapsed();
    std::thread::sleep(SETTLE);
    let before = sent(&nodes);
    std::thread::sleep(IDLE);
    let per_second = (sent(&nodes) - before) as f64 / IDLE.as_secs_f64() / count as f64;

    let (started, before) = (Instant::now(), sent(&nodes));
    let mut took: Vec<Duration> = (1..=FACTS).map(|version| one(&nodes, version)).collect();
    let idle = per_second * started.elapsed().as_secs_f64();
    let per_fact = ((sent(&nodes) - before) as f64 / count as f64 - idle) / FACTS as f64;
    took.sort();
    let at = |part: usize| took[(took.len() * part / 100).min(took.len() - 1)].as_secs_f64() * 1e3;
    println!(
        "{count:>5} {:>9.1} {:>8.1} {:>8.1} {:>8.1} {per_second:>14.0} {per_fact:>17.0}",
        joined.as_secs_f64(),
        at(50),
        at(99),
        at(100)
    );
}

/// Publishes one fact at one node; tells how long it took to be in all views.
fn one(nodes: &[Gossip], version: u64) -> Duration {
    let name = AppName::new("measured").expect("a name");
    let spec = AppSpec { name: name.clone(), hosts: vec![Host::new("*").expect("a host")], policy: Policy::default() };
    let fact = AppFact { name: name.clone(), version: Version(version), spec: Some(spec) };
    // At another moment between two rounds each time.
    std::thread::sleep(Duration::from_millis(20 + version * 37 % 100));
    let begun = Instant::now();
    nodes[usize::try_from(version).expect("a small number") % nodes.len()].publish([Fact::App(fact)]);
    let knows = |node: &Gossip| node.view().app(&name).is_some_and(|fact| fact.version.0 >= version);
    while !nodes.iter().all(knows) {
        std::thread::sleep(LOOK);
    }
    begun.elapsed()
}

fn sent(nodes: &[Gossip]) -> u64 {
    nodes.iter().map(|node| node.counts().bytes_sent()).sum()
}
