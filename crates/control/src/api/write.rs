//! Writes: proposed to whoever leads, answered when committed.
//!
//! A lost leader costs the caller time, not certainty: the command is proposed again until a leader answers or the time is up, and only
//! then does the caller hear whether it may have been written. The first proposal may have been committed all the same, and somebody else's
//! word after it: said a second time, the command would undo that, or be refused because of its own first. So every command is proposed
//! under a key, its caller's or one that is drawn here, and takes effect once.

use std::time::Duration;

use dynomesh_consensus::ProposeError;
use dynomesh_core::directory::ask::told;
use dynomesh_core::directory::{Ask, Command, Reply, may_say};
use dynomesh_core::id::AppName;
use dynomesh_proto::convert::write::Demands;
use tokio::time::{Instant, timeout_at};
use tonic::Status;
use tracing::info;

use super::call::Call;
use super::{Api, refusal};
use crate::hearing::heard;

/// Longest wait for a leader: some elections long, and shorter than the limit of a call, so that the caller hears a reason.
pub(super) const LEADER_WAIT: Duration = Duration::from_secs(5);
/// Pause before a command is proposed again.
const PROPOSE_PAUSE: Duration = Duration::from_millis(25);
/// Longest wait of a follower for what it has heard of by gossip to come by the log.
const LAG_MAX: Duration = Duration::from_secs(1);

/// A change that somebody asks for.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) command: Command,
    pub(super) demands: Demands,
    pub(super) app: Option<AppName>,
}

impl Change {
    /// A change without demands.
    pub(super) fn plain(command: Command) -> Self {
        Change { command, demands: Demands::default(), app: None }
    }

    /// A change under these demands.
    pub(super) fn new(command: Command, demands: Demands) -> Self {
        Change { command, demands, app: None }
    }

    /// The same, if its dyno is of this app.
    pub(super) fn of(self, app: Option<AppName>) -> Self {
        Change { app, ..self }
    }

    /// What is proposed, however often. Only the parts of a recovery go without a key: they are large, and one that comes late is refused
    /// by its generation.
    fn asked(self, caller: &str, at_ms: u64) -> Ask {
        let Change { command, demands: Demands { key, expect }, app } = self;
        let part = matches!(command, Command::Recover { last: false, .. });
        let key = key.or_else(|| (!part).then(|| format!("~{:032x}", rand::random::<u128>())));
        Ask { caller: caller.to_owned(), at_ms, key, expect, app, command }
    }
}

impl Api {
    /// Commits one change, or says what became of it.
    pub(super) async fn write(&self, call: &Call, change: Change) -> Result<Reply, Status> {
        self.may_write(call.end).await?;
        let view = self.gossip.view();
        self.directory.read(|state| may_say(&view, state, &change.command)).map_err(refusal::refused)?;
        self.propose(call, change).await
    }

    /// Commits one change whatever the map says of the directory.
    pub(super) async fn propose(&self, call: &Call, change: Change) -> Result<Reply, Status> {
        let command = change.command.clone();
        let ask = change.asked(&call.caller, self.clock.wall_millis());
        let reply = self.commit(call, Command::Asked(Box::new(ask))).await?;
        let (verb, subject, detail) = told(&command, &reply);
        let (caller, method, changed, version) = (&call.caller, call.method, reply.changed(), reply.stamp());
        info!(%caller, method, verb, subject, detail, changed, version, "directory written");
        Ok(reply)
    }

    async fn commit(&self, call: &Call, command: Command) -> Result<Reply, Status> {
        let mut unknown = false;
        loop {
            match timeout_at(call.end, self.replica.propose_anywhere(command.clone())).await {
                Ok(Ok(Reply::Refused(no))) => return Err(refusal::refused(no)),
                Ok(Ok(reply)) => return Ok(reply),
                Ok(Err(ProposeError::Stopping)) if self.leads_here() => {
                    return Err(if unknown { refusal::outcome_unknown() } else { refusal::stopping() });
                }
                Ok(Err(ProposeError::NotLeader { .. } | ProposeError::NotAppended(_) | ProposeError::Stopping)) => {}
                Ok(Err(ProposeError::Unknown(_))) | Err(_) => unknown = true,
            }
            if Instant::now() + PROPOSE_PAUSE >= call.end {
                return Err(refusal::late(call.hurried, unknown));
            }
            tokio::time::sleep(PROPOSE_PAUSE).await;
        }
    }

    /// Whether no other replica is known to lead, so that a word about stopping is this replica's own.
    fn leads_here(&self) -> bool {
        self.watch.role().leader.is_none_or(|leader| leader.id == self.replica.id())
    }

    /// Refuses writes that would be lost or wrong: a directory that is older than its own words in the map gives out stamps that it has
    /// given out before (P17, P19). One that has just started has yet to hear them.
    pub(super) async fn may_write(&self, end: Instant) -> Result<(), Status> {
        if self.replica.is_pristine() {
            return Err(refusal::not_bootstrapped());
        }
        timeout_at(end, heard(&self.sight, &self.gossip)).await.map_err(|_| refusal::unheard())?;
        if self.lacks(end).await { Err(refusal::foreign()) } else { Ok(()) }
    }

    /// Whether the directory lacks words that the map holds. A follower may hear by gossip what has yet to come by its log: it waits.
    pub(super) async fn lacks(&self, end: Instant) -> bool {
        if !self.must_recover() {
            return false;
        }
        let mut changes = self.directory.changes();
        let caught_up = async {
            while self.must_recover() {
                if self.watch.leads() || changes.changed().await.is_err() {
                    return false;
                }
            }
            true
        };
        !matches!(timeout_at(end.min(Instant::now() + LAG_MAX), caught_up).await, Ok(true))
    }

    /// Waits until what was written under `stamp` is applied here too, as far as the caller's time goes.
    pub(super) async fn applied(&self, stamp: u64, end: Instant) {
        let mut changes = self.directory.changes();
        let applied = async { while self.directory.read(|state| state.last_stamp() < stamp) && changes.changed().await.is_ok() {} };
        let _ = timeout_at(end, applied).await;
    }

    /// Whether the map holds words that this directory, as far as it is applied here, never said.
    pub(crate) fn must_recover(&self) -> bool {
        let view = self.gossip.view();
        self.directory.read(|state| state.must_recover(&view))
    }
}

/// A reply of another kind than the command asks for: a bug here or in the core.
pub(super) fn wrong(reply: &Reply) -> Status {
    Status::internal(format!("the directory answered with {reply:?}"))
}

#[cfg(test)]
mod tests {
    use dynomesh_core::app::{AppSpec, Policy};
    use dynomesh_core::directory::DirectoryState;
    use dynomesh_core::id::{Host, Index};

    use super::*;

    fn shop(max_conns: u32) -> Box<AppSpec> {
        let policy = Policy { max_conns, ..Policy::default() };
        Box::new(AppSpec { name: AppName::new("shop").unwrap(), hosts: vec![Host::new("*").unwrap()], policy })
    }

    fn max_conns(state: &DirectoryState) -> u32 {
        state.app(&shop(1).name).unwrap().spec.policy.max_conns
    }

    /// The answer to the first proposal is lost with its leader, another caller is answered, then the first is proposed again.
    #[test]
    fn what_is_proposed_again_does_not_undo_what_others_were_told_meanwhile() {
        let mut state = DirectoryState::new(0);
        state.apply(Index(1), Command::CreateApp { spec: shop(1) });
        let ask = |max_conns| {
            let change = Change::plain(Command::UpdateApp { spec: shop(max_conns) });
            Command::Asked(Box::new(change.asked("ann", 1)))
        };
        let (first, other) = (ask(2), ask(3));
        let lost = state.apply(Index(2), first.clone());
        assert!(lost.changed() && state.apply(Index(3), other).changed());
        assert_eq!(state.apply(Index(4), first), lost, "the caller hears something else than what came of it");
        assert_eq!(max_conns(&state), 3, "an acknowledged write is undone");
        // Said again by the caller himself it is a new wish.
        assert!(state.apply(Index(5), ask(2)).changed());
        assert_eq!(max_conns(&state), 2);
    }

    #[test]
    fn a_callers_own_key_stays_and_the_parts_of_a_recovery_have_none() {
        let key = |change: Change| change.asked("ann", 1).key;
        let demands = Demands { key: Some("k1".into()), expect: None };
        assert_eq!(key(Change::new(Command::UpdateApp { spec: shop(1) }, demands)).as_deref(), Some("k1"));
        let part = |last| Command::Recover { generation: 1, apps: Vec::new(), dynos: Vec::new(), evicted: Vec::new(), last };
        assert!(key(Change::plain(part(false))).is_none() && key(Change::plain(part(true))).is_some());
        let drawn = key(Change::plain(part(true))).unwrap();
        assert!(dynomesh_core::directory::ask::check_key(&drawn).is_ok());
    }
}
