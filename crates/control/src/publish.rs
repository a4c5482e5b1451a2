//! Publishes what this replica has to say in the map: what it is itself, and, while it leads, the directory's word.
//!
//! The directory's facts are those that are applied, so nothing is published that is not committed. A replica that no longer leads takes
//! them back: they stay in every view that has joined them, and the next leader says them again.
//!
//! Here too an operator's wish is obeyed that this replica take nothing new: it hands leadership over and does not stand.

use std::time::Duration;

use dynomesh_consensus::Replica;
use dynomesh_core::directory::DirectoryState;
use dynomesh_core::id::{Address, NodeName, ReplicaId, Zone};
use dynomesh_core::map::Fact;
use dynomesh_core::map::fact::{NodeFact, NodeRole, NodeState};

use crate::directory::{Directory, DirectoryMachine};
use crate::standing::{Standing, Watch};
use dynomesh_runtime::gossip::Gossip;

/// Least time between two publications: a burst of writes becomes one. Far less than a gossip interval.
const PACE: Duration = Duration::from_millis(20);

/// What a replica says of itself and never changes.
#[derive(Debug, Clone)]
pub(crate) struct Speaker {
    pub(crate) node: NodeName,
    /// Larger than that of every earlier run.
    pub(crate) run: u64,
    pub(crate) replica: ReplicaId,
    pub(crate) zone: Option<Zone>,
    pub(crate) grpc: Address,
    pub(crate) admin: Address,
}

impl Speaker {
    fn fact(&self, seq: u64, standing: Standing, drain: bool, keys: &[String]) -> NodeFact {
        let leads = standing == Standing::Leads;
        NodeFact {
            node: self.node.clone(),
            run: self.run,
            seq,
            version: env!("CARGO_PKG_VERSION").into(),
            zone: self.zone.clone(),
            admin: self.admin,
            state: match standing {
                Standing::NotBootstrapped | Standing::Behind => NodeState::Starting,
                _ if drain && leads => NodeState::Draining,
                _ if drain => NodeState::Drained,
                Standing::Follows | Standing::Leads => NodeState::Serving,
            },
            in_flight: 0,
            keys: keys.to_vec(),
            role: NodeRole::Control { replica: self.replica, grpc: self.grpc, leads },
        }
    }
}

/// Runs until it is dropped.
pub(crate) async fn run(me: Speaker, replica: Replica<DirectoryMachine>, directory: Directory, gossip: Gossip, mut watch: Watch) {
    let mut heard = gossip.subscribe();
    let mut seq = 0;
    let mut said: Option<NodeFact> = None;
    loop {
        let standing = watch.now();
        let drain = gossip.view().wants_drained(&me.node);
        replica.abstain(drain);
        let keys = gossip.keys();
        let own = me.fact(seq, standing, drain, &keys);
        if said.as_ref() != Some(&own) {
            seq += 1;
            said = Some(NodeFact { seq, ..own });
        }
        let own = said.clone().map(Fact::Node);
        let facts = if standing == Standing::Leads { directory.read(DirectoryState::facts) } else { Vec::new() };
        gossip.publish(facts.into_iter().chain(own));
        tokio::time::sleep(PACE).await;
        let same = || gossip.view().wants_drained(&me.node) == drain && *gossip.keys() == *keys;
        wait(&mut watch, &mut heard, same).await;
    }
}

/// Returns when there may be something else to say.
async fn wait(watch: &mut Watch, heard: &mut tokio::sync::watch::Receiver<u64>, same: impl Fn() -> bool) {
    loop {
        tokio::select! {
            () = watch.changed() => return,
            changed = heard.changed() => match changed {
                // Most of what is heard is nothing to this replica.
                Ok(()) if same() => {}
                Ok(()) => return,
                Err(_) => return watch.changed().await,
            },
        }
    }
}
