//! What the nodes of a mesh have to say.

use std::sync::Arc;

use dynomesh_core::app::{AppSpec, DynoSpec, Phase, Policy};
use dynomesh_core::gossip::{Interest, Item, topics};
use dynomesh_core::id::{Address, AppName, BlockName, DynoId, Epoch, GroupId, Host, NodeName, ReplicaId, Term, Version};
use dynomesh_core::map::fact::*;
use dynomesh_core::map::{Fact, MapView};

use super::{Role, Scale};

/// Name of the `nth` block.
pub fn block(nth: usize) -> BlockName {
    BlockName::new(&format!("block-{nth}")).expect("a name")
}

fn app(nth: usize) -> AppName {
    AppName::new(&format!("app-{nth}")).expect("a name")
}

/// A dyno of a block.
pub fn dyno(of: usize, nth: usize) -> DynoId {
    DynoId::new(&format!("block-{of}-dyno-{nth}")).expect("a dyno's id")
}

/// Where something is: a machine of its own for each number.
pub fn address(nth: usize, port: u16) -> Address {
    let bytes = u32::try_from(nth + 1).expect("a small number").to_be_bytes();
    Address::new(([10, bytes[1], bytes[2], bytes[3]], port).into()).expect("an address")
}

/// Name and interest of a node.
pub fn node(scale: &Scale, nth: usize) -> (NodeName, Interest) {
    let (name, wants) = match scale.role(nth) {
        Role::Control => (format!("control-{nth}"), Interest::Everything),
        Role::Edge => (format!("edge-{nth}"), Interest::edge()),
        Role::Replica(of) => (format!("block-{of}-{nth}"), Interest::block(&block(of))),
    };
    (NodeName::new(&name).expect("a name"), wants)
}

/// The fact that a block's leader says it is.
pub fn leader(scale: &Scale, of: usize, term: u64) -> Fact {
    let first = scale.leader(of);
    let replica = |nth| ReplicaFact { id: ReplicaId(mixed(nth)), http: address(nth, 8080), grpc: address(nth, 8081) };
    let replicas: Vec<_> = (first..first + scale.replicas).map(replica).collect();
    let leader = replicas[usize::try_from(term).expect("a small number") % replicas.len()].id;
    let group = GroupId(u128::from(mixed(of)) << 64 | u128::from(mixed(of + 7)));
    Fact::Leader(LeaderFact { block: block(of), group, term: Term(term), seq: 1, leader, replicas, zone: None })
}

/// An app as it is now.
pub fn app_fact(nth: usize) -> Fact {
    let name = app(nth);
    let hosts = vec![Host::new(&format!("{name}.example.com")).expect("a host")];
    Fact::App(AppFact { name: name.clone(), version: Version(1 << 48), spec: Some(AppSpec { name, hosts, policy: Policy::default() }) })
}

/// The apps that a block has dynos of.
pub fn apps_of(scale: &Scale, of: usize) -> impl Iterator<Item = usize> {
    let (apps, all) = (scale.apps, scale.apps_total);
    (0..apps).map(move |nth| (of * apps + nth) % all)
}

/// A block's load, app by app.
pub fn loads(scale: &Scale, of: usize, seq: u64) -> Vec<Fact> {
    let dynos = u32::try_from(scale.dynos / scale.apps).expect("a small number");
    let used = u32::try_from(seq % u64::from(dynos.max(1))).expect("a small number");
    let load = |nth| LoadFact { block: block(of), app: app(nth), term: Term(7), seq, slots: dynos, used, queued: 0, dynos };
    apps_of(scale, of).map(|nth| Fact::Load(load(nth))).collect()
}

/// Who should own a dyno.
pub fn assigned(scale: &Scale, of: usize, nth: usize, to: usize, epoch: u64) -> Fact {
    let app = app(apps_of(scale, of).nth(nth % scale.apps).expect("a block has apps"));
    let spec = DynoSpec { id: dyno(of, nth), app, address: address(of * scale.dynos + nth, 3000), max_conns: 1 };
    let after = if to == of { Vec::new() } else { vec![Predecessor { block: block(of), epoch: Epoch(1 << 48) }] };
    Fact::Assigned(AssignedFact {
        dyno: spec,
        epoch: Epoch((1 << 48) + epoch),
        block: Some(block(to)),
        drain: false,
        after,
        cut: CUT_DEFAULT,
    })
}

/// What a block says of its dynos.
pub fn owned(scale: &Scale, of: usize, seq: u64) -> Vec<Fact> {
    let fact = |nth| OwnedFact {
        dyno: dyno(of, nth),
        block: block(of),
        group: None,
        epoch: Epoch(1 << 48),
        term: Term(7),
        seq,
        phase: Phase::Active,
        up: Some(true),
        in_flight: u32::try_from(seq % 2).expect("less than two"),
    };
    (0..scale.dynos).map(|nth| Fact::Owned(fact(nth))).collect()
}

/// All that the leader of a block has to say, at the `seq`th load and the `counts`th count of requests in flight.
pub fn of_leader(scale: &Scale, of: usize, term: u64, seq: u64, counts: u64) -> Vec<Fact> {
    let mut facts = vec![leader(scale, of, term)];
    facts.extend(apps_of(scale, of).map(app_fact));
    facts.extend(loads(scale, of, seq));
    facts.extend(owned(scale, of, counts));
    facts
}

/// All that the directory's leader has to say.
pub fn of_control(scale: &Scale) -> Vec<Fact> {
    let dynos = (0..scale.blocks).flat_map(|of| (0..scale.dynos).map(move |nth| (of, nth)));
    let assigned = dynos.map(|(of, nth)| assigned(scale, of, nth, of, 0));
    (0..scale.apps_total).map(app_fact).chain(assigned).collect()
}

/// The item of a fact, as a node with this view publishes it.
pub fn item(fact: &Fact, view: &MapView) -> Arc<Item> {
    Arc::new(Item::fact(fact, topics(fact, view)).expect("short enough"))
}

/// A number that looks like one drawn by chance, as ids do.
fn mixed(nth: usize) -> u64 {
    (nth as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
