//! Whole meshes under virtual time, over links that lose, delay and part.

mod bytes;
mod mesh;
mod scale;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::app::{AppSpec, DynoSpec, Policy};
use crate::id::{AppName, BlockName, DynoId, Epoch, GroupId, Host, NodeName, ReplicaId, Term, Version};
use crate::map::fact::*;
use crate::map::{Fact, MapView};
use crate::time::{Span, Time};

const ROUND: Span = Span::from_millis(100);

/// Some nodes, and the network between them.
pub(super) struct World {
    pub(super) now: Time,
    pub(super) rng: StdRng,
    pub(super) nodes: Vec<Spread>,
    names: Vec<NodeName>,
    /// When each node's next round is; `None` while it is stopped.
    rounds: Vec<Option<Time>>,
    wire: BTreeMap<(Time, u64), (usize, usize, Vec<u8>)>,
    sent: u64,
    pub(super) bytes: Vec<usize>,
    /// Share of messages lost.
    pub(super) loss: f64,
    /// The side each node is on; nothing crosses.
    pub(super) side: Vec<u8>,
    /// What each node's map holds.
    pub(super) views: Vec<MapView>,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        World {
            now: Time::ZERO + Span::from_secs(1000),
            rng: StdRng::seed_from_u64(seed),
            nodes: Vec::new(),
            names: Vec::new(),
            rounds: Vec::new(),
            wire: BTreeMap::new(),
            sent: 0,
            bytes: Vec::new(),
            loss: 0.0,
            side: Vec::new(),
            views: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, name: &str, wants: Interest) -> usize {
        let nth = self.nodes.len();
        self.names.push(NodeName::new(name).unwrap());
        self.nodes.push(self.fresh(nth, 1, wants));
        self.rounds.push(Some(self.now + ROUND.over(20).times(self.rng.random_range(0..20))));
        self.bytes.push(0);
        self.side.push(0);
        self.views.push(MapView::new());
        nth
    }

    fn fresh(&self, nth: usize, run: u64, wants: Interest) -> Spread {
        let settings = Settings { node: self.names[nth].clone(), run, address: address(nth), wants, keys: vec!["k1".into()] };
        Spread::new(settings, self.now)
    }

    /// A node starts anew, with nothing.
    pub(super) fn restart(&mut self, nth: usize, run: u64) {
        let wants = self.nodes[nth].me().wants.clone();
        self.nodes[nth] = self.fresh(nth, run, wants);
        self.rounds[nth] = Some(self.now);
        self.views[nth] = MapView::new();
    }

    pub(super) fn stop(&mut self, nth: usize) {
        self.rounds[nth] = None;
    }

    pub(super) fn publish(&mut self, nth: usize, facts: &[Fact]) {
        for fact in facts {
            self.views[nth].absorb(fact.clone());
        }
        let items: Vec<_> = facts.iter().map(|fact| Arc::new(Item::fact(fact, topics(fact, &self.views[nth])).unwrap())).collect();
        self.nodes[nth].publish(self.now, items);
        self.perform(nth, false);
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, span: Span) {
        let end = self.now + span;
        loop {
            let round = self.rounds.iter().enumerate().filter_map(|(nth, at)| Some((at.as_ref().copied()?, nth))).min();
            let arrival = self.wire.keys().next().copied();
            match (round, arrival) {
                (Some((at, nth)), arrival) if at <= end && arrival.is_none_or(|(first, _)| at <= first) => {
                    self.now = at;
                    self.rounds[nth] = Some(at + ROUND);
                    self.nodes[nth].tick(at, &mut self.rng, &[address(0), address(1)]);
                    self.perform(nth, true);
                }
                (_, Some(key)) if key.0 <= end => {
                    self.now = key.0;
                    let (from, to, bytes) = self.wire.remove(&key).unwrap();
                    self.deliver(from, to, &bytes);
                }
                _ => break,
            }
        }
        self.now = end;
    }

    /// Lets time pass until `done`, and tells how long that took; at most a minute.
    pub(super) fn until(&mut self, done: impl Fn(&World) -> bool) -> Span {
        let begun = self.now;
        while !done(self) {
            assert!(self.now.since(begun) < Span::from_secs(60), "it did not come about within a minute");
            self.run(Span::from_millis(10));
        }
        self.now.since(begun)
    }

    fn deliver(&mut self, from: usize, to: usize, bytes: &[u8]) {
        if self.rounds[to].is_none() {
            return;
        }
        let message = wire::read(bytes).expect("what a node writes can be read");
        assert_eq!(wire::write(&message), bytes, "reading and writing are each other's inverse");
        self.nodes[to].receive(self.now, &mut self.rng, address(from), &self.names[from], message);
        self.perform(to, false);
    }

    fn perform(&mut self, nth: usize, round: bool) {
        for output in self.nodes[nth].outputs(self.now, &mut self.rng, round) {
            match output {
                Output::Send { to, message } => self.send(nth, to, &message),
                Output::News(item) => match item.content() {
                    Some(Content::Fact(fact)) => drop(self.views[nth].absorb(fact.clone())),
                    other => panic!("{other:?} is no news of the map"),
                },
                Output::Peers => {}
            }
        }
    }

    fn send(&mut self, from: usize, to: SocketAddr, message: &Message) {
        let (to, bytes) = (usize::from(to.port()) - 1, wire::write(message));
        self.bytes[from] += bytes.len();
        if to < self.nodes.len() && self.side[from] == self.side[to] && !self.rng.random_bool(self.loss) {
            let at = self.now + Span::from_micros(self.rng.random_range(500..5_000));
            self.sent += 1;
            self.wire.insert((at, self.sent), (from, to, bytes));
        }
    }

    pub(super) fn check(&self) {
        self.nodes.iter().for_each(Spread::check_invariants);
    }
}

fn address(nth: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], u16::try_from(nth + 1).unwrap()))
}

pub(super) fn block(nth: usize) -> BlockName {
    BlockName::new(&format!("b{nth}")).unwrap()
}

pub(super) fn app(version: u64) -> Fact {
    let name = AppName::new("shop").unwrap();
    let spec = AppSpec { name: name.clone(), hosts: vec![Host::new("*").unwrap()], policy: Policy::default() };
    Fact::App(AppFact { name, version: Version(version), spec: Some(spec) })
}

pub(super) fn leader(nth: usize, term: u64) -> Fact {
    let replica = ReplicaFact { id: ReplicaId(term), http: "10.0.0.2:80".parse().unwrap(), grpc: "10.0.0.2:81".parse().unwrap() };
    let (group, term) = (GroupId(nth as u128), Term(term));
    Fact::Leader(LeaderFact { block: block(nth), group, term, seq: 1, leader: replica.id, replicas: vec![replica], zone: None })
}

pub(super) fn load(nth: usize, seq: u64) -> Fact {
    let app = AppName::new("shop").unwrap();
    Fact::Load(LoadFact { block: block(nth), app, term: Term(1), seq, slots: 4, used: 0, queued: 0, dynos: 4 })
}

pub(super) fn dyno(name: &str) -> DynoSpec {
    let app = AppName::new("shop").unwrap();
    DynoSpec { id: DynoId::new(name).unwrap(), app, address: "10.0.0.1:3000".parse().unwrap(), max_conns: 1 }
}

pub(super) fn assigned(name: &str, epoch: u64, to: usize, after: &[(usize, u64)]) -> Fact {
    let after = after.iter().map(|(nth, epoch)| Predecessor { block: block(*nth), epoch: Epoch(*epoch) }).collect();
    Fact::Assigned(AssignedFact { dyno: dyno(name), epoch: Epoch(epoch), block: Some(block(to)), drain: false, after, cut: CUT_DEFAULT })
}

pub(super) fn released(name: &str, by: usize, epoch: u64) -> Fact {
    Fact::Released(ReleasedFact { dyno: dyno(name).id, block: block(by), group: None, epoch: Epoch(epoch) })
}

/// A small mesh: two of control, one edge, some blocks of two replicas each. Block `nth`'s replicas are the nodes `3 + 2 * nth` and the next.
pub(super) fn mesh(seed: u64, blocks: usize) -> World {
    let mut world = World::new(seed);
    world.add("control-1", Interest::Everything);
    world.add("control-2", Interest::Everything);
    world.add("edge-1", Interest::edge());
    for nth in 0..blocks {
        for replica in 1..3 {
            world.add(&format!("b{nth}-{replica}"), Interest::block(&block(nth)));
        }
    }
    world
}
