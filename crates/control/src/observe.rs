//! Takes note of what blocks report: new blocks are bound to their name, promises to keep off are noted.
//!
//! All it knows comes by gossip, and nothing is concluded from silence (P18). It runs on every replica and acts on the one that leads;
//! what is lost with a leader is proposed again by the next, since the map still says so.

use std::time::Duration;

use dynomesh_consensus::Replica;
use dynomesh_core::directory::{Command, Reply};
use dynomesh_core::map::{MapView, directory_steps};
use futures::future::join_all;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::directory::{Directory, DirectoryMachine};
use crate::hearing::heard;
use crate::sight::Sight;
use crate::standing::Watch;
use dynomesh_runtime::gossip::Gossip;

/// Most commands proposed in one round; the rest comes with the next.
const STEPS_MAX: usize = 512;
/// Least time between two rounds: gossip changes many times a second, mostly in what does not concern the directory.
const PACE: Duration = Duration::from_millis(50);
/// Most refused commands that are remembered so as not to propose them again.
const REFUSED_MAX: usize = 1_000;
/// How long they are remembered: what stood against one, such as a limit, may be gone by then.
const REFUSED_FOR: Duration = Duration::from_secs(10);

/// Commands that were refused a short while ago.
#[derive(Debug, Default)]
struct Refused(Vec<(Command, Instant)>);

impl Refused {
    /// Forgets what was refused too long ago.
    fn expire(&mut self, now: Instant) {
        self.0.retain(|(_, since)| now.saturating_duration_since(*since) < REFUSED_FOR);
    }

    fn contains(&self, command: &Command) -> bool {
        self.0.iter().any(|(refused, _)| refused == command)
    }

    fn remember(&mut self, command: Command, now: Instant) {
        if self.0.len() < REFUSED_MAX {
            self.0.push((command, now));
        }
    }

    /// When the first of them is forgotten.
    fn next(&self) -> Option<Instant> {
        self.0.first().map(|(_, since)| *since + REFUSED_FOR)
    }
}

/// Runs until it is dropped.
pub(crate) async fn run(replica: Replica<DirectoryMachine>, directory: Directory, gossip: Gossip, mut watch: Watch, sight: Sight) {
    heard(&sight, &gossip).await;
    let mut map_changes = gossip.subscribe();
    let mut refused = Refused::default();
    loop {
        if watch.leads() {
            refused.expire(Instant::now());
            note(&replica, &directory, &gossip.view(), &mut refused).await;
        } else {
            refused = Refused::default();
        }
        tokio::time::sleep(PACE).await;
        let again = refused.next();
        tokio::select! {
            () = watch.changed() => {}
            () = tokio::time::sleep_until(again.unwrap_or_else(Instant::now)), if again.is_some() => {}
            changed = map_changes.changed() => if changed.is_err() { watch.changed().await },
        }
    }
}

/// One round: proposes what is missing and tells what came of it.
async fn note(replica: &Replica<DirectoryMachine>, directory: &Directory, view: &MapView, refused: &mut Refused) {
    let steps = directory.read(|state| if state.must_recover(view) { Vec::new() } else { directory_steps(view, state) });
    let steps: Vec<Command> = steps.into_iter().filter(|step| !refused.contains(step)).take(STEPS_MAX).collect();
    let replies = join_all(steps.iter().map(|step| replica.propose(step.clone()))).await;
    for (step, reply) in steps.into_iter().zip(replies) {
        match reply {
            Ok(Reply::Refused(no)) => {
                warn!(command = ?step, reason = %no, "what the map says was refused");
                refused.remember(step, Instant::now());
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

#[cfg(test)]
mod tests {
    use dynomesh_core::directory::{BLOCKS_MAX, DirectoryState};
    use dynomesh_core::id::{BlockName, GroupId, Index, ReplicaId, Term};
    use dynomesh_core::map::Fact;
    use dynomesh_core::map::fact::{LeaderFact, ReplicaFact};

    use super::*;

    fn bind(nth: u128) -> Command {
        Command::BindBlock { name: BlockName::new(&format!("b{nth}")).unwrap(), group: GroupId(nth) }
    }

    fn leader(nth: u128) -> Fact {
        let replica = ReplicaFact { id: ReplicaId(1), http: "127.0.0.1:8001".parse().unwrap(), grpc: "127.0.0.1:9001".parse().unwrap() };
        let (block, group) = (BlockName::new(&format!("b{nth}")).unwrap(), GroupId(nth));
        Fact::Leader(LeaderFact { block, group, term: Term(1), seq: 1, leader: replica.id, replicas: vec![replica], zone: None })
    }

    #[test]
    fn a_block_for_which_there_was_no_room_is_bound_once_there_is() {
        let mut state = DirectoryState::new(0);
        let full = u128::try_from(BLOCKS_MAX).unwrap();
        for nth in 0..full {
            state.apply(Index(1), bind(nth));
        }
        let mut view = MapView::new();
        view.absorb(leader(full));
        let (mut refused, start) = (Refused::default(), Instant::now());
        let steps = directory_steps(&view, &state);
        assert_eq!(steps, [bind(full)]);
        assert!(matches!(state.apply(Index(2), bind(full)), Reply::Refused(_)));
        refused.remember(bind(full), start);
        refused.expire(start + REFUSED_FOR / 2);
        assert!(refused.contains(&steps[0]), "it is proposed at every turn");
        assert_eq!(refused.next(), Some(start + REFUSED_FOR));

        state.apply(Index(3), Command::RemoveBlock { name: BlockName::new("b0").unwrap() });
        refused.expire(start + REFUSED_FOR);
        assert!(!refused.contains(&steps[0]) && refused.next().is_none());
        assert!(state.apply(Index(4), bind(full)).changed());
    }
}
