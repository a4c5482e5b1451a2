//! Writes: proposed to whoever leads, answered when committed.
//!
//! Every command may be repeated without harm, so a lost leader costs the caller time, not certainty: the command is proposed again
//! until a leader answers or the time is up, and only then does the caller hear whether it may have been written. One that demands a
//! version would be refused the second time because of its own first, so it is given a key.

use std::time::Duration;

use dynomesh_consensus::ProposeError;
use dynomesh_core::directory::ask::told;
use dynomesh_core::directory::{Ask, Command, Reply};
use dynomesh_core::id::AppName;
use dynomesh_proto::convert::write::Demands;
use tokio::time::{Instant, timeout_at};
use tonic::Status;
use tracing::info;

use super::call::Call;
use super::{Api, refusal};

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
}

impl Api {
    /// Commits one change, or says what became of it.
    pub(super) async fn write(&self, call: &Call, change: Change) -> Result<Reply, Status> {
        self.may_write(call.end).await?;
        self.propose(call, change).await
    }

    /// Commits one change whatever the map says of the directory.
    pub(super) async fn propose(&self, call: &Call, change: Change) -> Result<Reply, Status> {
        let Change { command, demands, app } = change;
        let key = demands.key.or_else(|| demands.expect.map(|_| format!("~{:032x}", rand::random::<u128>())));
        let ask = Ask {
            caller: call.caller.to_string(),
            at_ms: self.clock.wall_millis(),
            key,
            expect: demands.expect,
            app,
            command: command.clone(),
        };
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
    /// given out before (P17, P19).
    async fn may_write(&self, end: Instant) -> Result<(), Status> {
        if self.replica.is_pristine() {
            return Err(refusal::not_bootstrapped());
        }
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
