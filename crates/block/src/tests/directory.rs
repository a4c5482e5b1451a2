//! A node of the mesh that says what a directory would say.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use dynomesh_core::app::{AppSpec, DynoSpec, Phase, Policy, Serial};
use dynomesh_core::id::{Address, AppName, BlockName, DynoId, Epoch, GroupId, NodeName, ReplicaId, Version};
use dynomesh_core::map::fact::{AppFact, AssignedFact, BoundFact, EvictedFact, NodeFact, NodeRole, NodeState, Predecessor, WishFact};
use dynomesh_core::map::{Fact, MapView};
use dynomesh_core::time::Span;
use dynomesh_runtime::clock::Clock;
use dynomesh_runtime::gossip::{Gossip, GossipConfig, Key};

use super::{PlayedDyno, until};

pub(super) const CLUSTER: &str = "test";
pub(super) const APP: &str = "shop";

pub(super) fn key() -> Key {
    Key::new([7; 32])
}

pub(super) fn block() -> BlockName {
    BlockName::new("b1").unwrap()
}

pub(super) fn d1() -> DynoId {
    DynoId::new("d1").unwrap()
}

pub(super) struct PlayedDirectory {
    gossip: Gossip,
    said: BTreeMap<String, Fact>,
    epoch: u64,
    described: u64,
    owners: BTreeMap<DynoId, Predecessor>,
}

impl PlayedDirectory {
    /// One that knows the app, and which listens at `address`.
    pub(super) fn start(address: SocketAddr) -> Self {
        let name = NodeName::new("control-1").unwrap();
        let gossip = Gossip::start(GossipConfig::new(name.clone(), CLUSTER, address, vec![key()]), &Clock::system()).unwrap();
        let mut directory = PlayedDirectory { gossip, said: BTreeMap::new(), epoch: 0, described: 0, owners: BTreeMap::new() };
        let at = Address::new(directory.address()).unwrap();
        directory.describe(Policy { serial: Serial::Yes, ..Policy::default() });
        let node = NodeFact {
            node: name,
            run: 1,
            seq: 1,
            version: "0".into(),
            zone: None,
            admin: at,
            state: NodeState::Serving,
            in_flight: 0,
            keys: Vec::new(),
            role: NodeRole::Control { replica: ReplicaId(1), grpc: at, leads: true },
        };
        directory.say([Fact::Node(node)]);
        directory
    }

    /// Says how the app is to be treated from now on.
    pub(super) fn describe(&mut self, policy: Policy) {
        self.described += 1;
        let name = AppName::new(APP).unwrap();
        let spec = AppSpec { name: name.clone(), hosts: vec!["*".parse().unwrap()], policy };
        self.say([Fact::App(AppFact { name, version: Version(self.described), spec: Some(spec) })]);
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.gossip.address()
    }

    pub(super) fn say(&mut self, facts: impl IntoIterator<Item = Fact>) {
        self.said.extend(facts.into_iter().map(|fact| (fact.key(), fact)));
        self.gossip.publish(self.said.values().cloned());
    }

    /// Assigns the dyno to `block` under the next epoch, and returns that.
    pub(super) fn assign(&mut self, dyno: &PlayedDyno, block: Option<&str>, drain: bool, cut: Span) -> Epoch {
        let app = AppName::new(APP).unwrap();
        self.assign_spec(DynoSpec { id: dyno.id.clone(), app, address: dyno.address, max_conns: 1 }, block, drain, cut)
    }

    pub(super) fn assign_spec(&mut self, spec: DynoSpec, block: Option<&str>, drain: bool, cut: Span) -> Epoch {
        if block == Some("b1") {
            self.bind();
        }
        self.epoch += 1;
        let dyno = spec.id.clone();
        let block = block.map(|name| BlockName::new(name).unwrap());
        let epoch = Epoch(self.epoch);
        // As long as the directory waits for a promise, the block does not forget it.
        let after = self.owners.get(&dyno).filter(|owner| Some(&owner.block) != block.as_ref()).cloned().into_iter().collect();
        if let Some(block) = block.clone() {
            self.owners.insert(dyno, Predecessor { block, epoch });
        }
        self.say([Fact::Assigned(AssignedFact { dyno: spec, epoch, block, drain, after, cut })]);
        epoch
    }

    /// Says that the block is the group that shows itself under its name.
    #[track_caller]
    fn bind(&mut self) {
        let group = until("the block shows itself", || self.view().leader(&block()).map(|leader| leader.group));
        self.say([Fact::Bound(BoundFact { block: block(), group, version: Version(1) })]);
    }

    pub(super) fn wish(&mut self, node: &str, drain: bool) {
        self.epoch += 1;
        let node = NodeName::new(node).unwrap();
        self.say([Fact::Wish(WishFact { node, version: Version(self.epoch), drain })]);
    }

    pub(super) fn evict(&mut self, group: GroupId) {
        self.epoch += 1;
        self.say([Fact::Evicted(EvictedFact { block: block(), group, version: Version(self.epoch) })]);
    }

    pub(super) fn view(&self) -> Arc<MapView> {
        self.gossip.view()
    }

    /// Waits until the block says that it owns a dyno under `epoch` in this phase.
    #[track_caller]
    pub(super) fn await_owned(&self, epoch: Epoch, phase: Phase) {
        let owned = || self.view().owned().any(|owned| owned.epoch == epoch && owned.phase == phase).then_some(());
        until(&format!("a dyno is owned under {epoch} and {phase:?}"), owned);
    }

    #[track_caller]
    pub(super) fn await_released(&self, epoch: Epoch) {
        until("d1 is released", || self.view().released(&d1(), &block()).filter(|released| *released >= epoch).map(drop));
    }

    /// Which replica says that it leads.
    pub(super) fn leader(&self) -> Option<NodeName> {
        let view = self.view();
        let leads = |node: &&NodeFact| matches!(node.role, NodeRole::Block { leads: true, .. });
        view.nodes().find(leads).map(|node| node.node.clone())
    }

    pub(super) fn state_of(&self, node: &str) -> Option<NodeState> {
        self.view().node(&NodeName::new(node).unwrap()).map(|node| node.state)
    }
}
