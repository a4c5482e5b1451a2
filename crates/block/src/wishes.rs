//! An operator's wish that this replica be drained: another one leads.
//!
//! A replica that is wanted drained hands over whenever it finds itself leading, goes on following and voting, and finishes what it
//! streams. It never leaves its block mute: while no other replica that may lead is heard, it keeps the office, and says `Draining`.

use std::sync::Arc;

use dynomesh_core::id::NodeName;
use dynomesh_core::map::MapView;
use dynomesh_core::map::fact::NodeRole;
use dynomesh_core::time::Span;
use dynomesh_runtime::gossip::Gossip;
use tracing::info;

use crate::grant::Shared;

/// How often a wish is compared with what is.
const LOOK: Span = Span::from_millis(100);
/// After a handover that failed the block elects anew; it gets this long before the next try.
const PAUSE: Span = Span::from_secs(2);

/// Obeys until the process ends. Runs on the housekeeping thread.
pub(crate) async fn run(shared: Arc<Shared>, gossip: Gossip, me: NodeName) {
    let mut tick = tokio::time::interval(LOOK.to_std());
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut was = false;
    loop {
        tick.tick().await;
        let view = gossip.view();
        let wanted = view.wants_drained(&me);
        if wanted != std::mem::replace(&mut was, wanted) {
            info!(drain = wanted, "an operator's wish was heard");
        }
        let heard = |node: &NodeName| gossip.peers().iter().any(|peer| peer.node == node.as_str());
        let leads = shared.router().leads().is_some();
        if wanted && leads && somebody_can(&view, &shared, &me, heard) {
            if let Err(error) = shared.replica().transfer(None).await {
                info!(error = &error as &dyn std::error::Error, "leadership was not handed over; tried again soon");
            }
            tokio::time::sleep(PAUSE.to_std()).await;
        }
    }
}

/// Whether another replica of the block lives and may lead.
fn somebody_can(view: &MapView, shared: &Shared, me: &NodeName, heard: impl Fn(&NodeName) -> bool) -> bool {
    let fellow = |role: &NodeRole| matches!(role, NodeRole::Block { block, group, .. } if *block == shared.block && *group == shared.replica().group());
    view.nodes().any(|node| node.node != *me && fellow(&node.role) && heard(&node.node) && !view.wants_drained(&node.node))
}
