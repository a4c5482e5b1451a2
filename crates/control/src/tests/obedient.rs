//! A block that does what it is told and carries no requests.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use dynomesh_core::app::Phase;
use dynomesh_core::id::{DynoId, Epoch, GroupId, ReplicaId, Term};
use dynomesh_core::map::fact::{AssignedFact, NodeRole, OwnedFact, ReleasedFact};
use dynomesh_core::map::{Fact, MapView};
use tokio::task::JoinSet;

use super::Block;
use crate::Control;

/// A node that leads a block, adopts what it is given and releases what is taken from it.
pub(super) struct Obedient {
    block: Arc<Block>,
    _task: JoinSet<()>,
}

impl Obedient {
    pub(super) fn start(name: &str, group: u128, control: &Control) -> Self {
        let block = Arc::new(Block::start(name, group, control));
        block.introduce(group, |block| NodeRole::Block {
            block,
            group: Some(GroupId(group)),
            replica: ReplicaId(1),
            http: "127.0.0.1:8001".parse().unwrap(),
            grpc: "127.0.0.1:9001".parse().unwrap(),
            leads: true,
        });
        let mut task = JoinSet::new();
        task.spawn(obey(block.clone()));
        Obedient { block, _task: task }
    }
}

impl Deref for Obedient {
    type Target = Block;

    fn deref(&self) -> &Block {
        &self.block
    }
}

async fn obey(block: Arc<Block>) {
    let (me, mut owned) = (block.name(), BTreeMap::<DynoId, Epoch>::new());
    let mut changes = block.gossip.subscribe();
    let mut seq = 0;
    loop {
        let view = block.gossip.view();
        for fact in view.assigned() {
            let (id, epoch) = (&fact.dyno.id, fact.epoch);
            let has = owned.get(id).copied();
            if fact.block.as_ref() == Some(&me) && has < Some(epoch) && clear(&view, fact) {
                owned.insert(id.clone(), epoch);
                seq += 1;
                let phase = if fact.drain { Phase::Draining } else { Phase::Active };
                let (dyno, block_name) = (id.clone(), me.clone());
                let own =
                    OwnedFact { dyno, block: block_name, group: None, epoch, term: Term(1), seq, phase, up: Some(true), in_flight: 0 };
                block.say(Fact::Owned(own));
                block.say(Fact::Assigned(fact.clone()));
            } else if fact.block.as_ref() != Some(&me) && (has < Some(epoch) && has.is_some() || awaited(&view, fact, &block)) {
                owned.remove(id);
                block.unsay(&format!("owned/{id}"));
                block.unsay(&format!("assigned/{id}"));
                block.say(Fact::Released(ReleasedFact { dyno: id.clone(), block: me.clone(), group: None, epoch }));
            }
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

fn clear(view: &MapView, fact: &AssignedFact) -> bool {
    fact.after.iter().all(|earlier| view.released(&fact.dyno.id, &earlier.block) >= Some(earlier.epoch))
}

/// Whether somebody waits for a promise of this block that was not made.
fn awaited(view: &MapView, fact: &AssignedFact, block: &Block) -> bool {
    let earlier = fact.after.iter().find(|earlier| earlier.block == block.name());
    earlier.is_some_and(|earlier| view.released(&fact.dyno.id, &earlier.block) < Some(earlier.epoch))
}
