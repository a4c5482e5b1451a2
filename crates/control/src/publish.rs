//! Publishes the directory's word in the map: apps and assignments.
//!
//! Only the leader does, from what it has applied, so nothing is published that is not committed. A replica that no longer leads takes
//! its facts back: they stay in every view that has joined them, and the next leader says them again.

use std::time::Duration;

use dynomesh_core::directory::DirectoryState;

use crate::directory::Directory;
use crate::standing::Watch;
use dynomesh_runtime::gossip::Gossip;

/// Least time between two publications: a burst of writes becomes one. Far less than a gossip interval.
const PACE: Duration = Duration::from_millis(20);

/// Runs until it is dropped.
pub(crate) async fn run(directory: Directory, gossip: Gossip, mut watch: Watch) {
    let mut published = false;
    loop {
        let leads = watch.leads();
        if leads {
            gossip.publish(directory.read(DirectoryState::facts));
        } else if published {
            gossip.publish(Vec::new());
        }
        published = leads;
        tokio::time::sleep(PACE).await;
        watch.changed().await;
    }
}
