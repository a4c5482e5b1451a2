//! An operator's wish that this replica be drained: another one leads.
//!
//! A replica that is wanted drained hands over whenever it finds itself leading, does not stand for election, goes on following and voting,
//! and finishes what it streams. It never leaves its block mute: while no other replica can lead it keeps the office or takes it again,
//! and says `Draining`.

use std::sync::Arc;

use dynomesh_core::id::NodeName;
use dynomesh_runtime::gossip::Gossip;
use tracing::info;

use crate::grant::Shared;

/// Obeys until the process ends. Runs on the housekeeping thread.
pub(crate) async fn run(shared: Arc<Shared>, gossip: Gossip, me: NodeName) {
    let mut changes = gossip.subscribe();
    let mut obeyed = false;
    loop {
        let wanted = gossip.view().wants_drained(&me);
        if wanted != obeyed {
            info!(drain = wanted, "an operator's wish was heard");
            shared.replica().abstain(wanted);
            obeyed = wanted;
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}
