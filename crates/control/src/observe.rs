//! Takes note of what blocks report: new blocks are bound to their name, promises to keep off are noted.
//!
//! All it knows comes by gossip, and nothing is concluded from silence (P18). It runs on every replica and acts on the one that leads;
//! what is lost with a leader is proposed again by the next, since the map still says so.

use std::time::Duration;

use dynomesh_consensus::Replica;
use dynomesh_core::directory::{Command, Reply};
use dynomesh_core::map::{MapView, directory_steps};
use futures::future::join_all;
use tracing::{info, warn};

use crate::directory::{Directory, DirectoryMachine};
use crate::standing::Watch;
use dynomesh_runtime::gossip::Gossip;

/// Most commands proposed in one round; the rest comes with the next.
const STEPS_MAX: usize = 512;
/// Least time between two rounds: gossip changes many times a second, mostly in what does not concern the directory.
const PACE: Duration = Duration::from_millis(50);
/// Most refused commands that are remembered so as not to propose them again.
const REFUSED_MAX: usize = 1_000;

/// Runs until it is dropped.
pub(crate) async fn run(replica: Replica<DirectoryMachine>, directory: Directory, gossip: Gossip, mut watch: Watch) {
    let mut map_changes = gossip.subscribe();
    let mut refused = Vec::new();
    loop {
        if watch.leads() {
            note(&replica, &directory, &gossip.view(), &mut refused).await;
        } else {
            refused.clear();
        }
        tokio::time::sleep(PACE).await;
        tokio::select! {
            () = watch.changed() => {}
            changed = map_changes.changed() => if changed.is_err() { watch.changed().await },
        }
    }
}

/// One round: proposes what is missing and tells what came of it.
async fn note(replica: &Replica<DirectoryMachine>, directory: &Directory, view: &MapView, refused: &mut Vec<Command>) {
    let steps = directory.read(|state| if state.must_recover(view) { Vec::new() } else { directory_steps(view, state) });
    let steps: Vec<Command> = steps.into_iter().filter(|step| !refused.contains(step)).take(STEPS_MAX).collect();
    let replies = join_all(steps.iter().map(|step| replica.propose(step.clone()))).await;
    for (step, reply) in steps.into_iter().zip(replies) {
        match reply {
            Ok(Reply::Refused(no)) => {
                warn!(command = ?step, reason = %no, "what the map says was refused");
                if refused.len() < REFUSED_MAX {
                    refused.push(step);
                }
            }
            Ok(_) => tell(&step),
            // Proposed again in the next round, here or by the next leader.
            Err(error) => tracing::debug!(command = ?step, %error, "not proposed"),
        }
    }
}

fn tell(step: &Command) {
    match step {
        Command::BindBlock { name, group } => info!(block = %name, %group, "block bound"),
        Command::Released { dyno, block, epoch } => info!(%dyno, %block, %epoch, "dyno released"),
        _ => {}
    }
}
