//! What keeps this replica out of the lead: an operator's wish that it be drained, and a data thread that is stuck (the module `keep`).
//!
//! A replica that is wanted drained hands over whenever it finds itself leading, does not stand for election, goes on following and voting,
//! and finishes what it streams. It never leaves its block mute: while no other replica can lead it keeps the office or takes it again,
//! and says `Draining`. One whose data thread is stuck does the same unasked, for as long as that lasts.

use std::sync::Arc;

use dynomesh_core::id::NodeName;
use dynomesh_runtime::gossip::Gossip;
use tokio::sync::watch;
use tracing::info;

use crate::grant::Shared;

/// Obeys until the process ends. Runs on the housekeeping thread.
pub(crate) async fn run(shared: Arc<Shared>, gossip: Gossip, me: NodeName, mut stuck: watch::Receiver<bool>) {
    let mut changes = gossip.subscribe();
    let (mut drained, mut abstains) = (false, false);
    loop {
        let wanted = gossip.view().wants_drained(&me);
        if wanted != drained {
            info!(drain = wanted, "an operator's wish was heard");
            drained = wanted;
        }
        let abstain = drained || *stuck.borrow_and_update();
        if abstain != abstains {
            shared.replica().abstain(abstain);
            abstains = abstain;
        }
        let lives = tokio::select! {
            changed = changes.changed() => changed.is_ok(),
            changed = stuck.changed() => changed.is_ok(),
        };
        if !lives {
            return;
        }
    }
}
