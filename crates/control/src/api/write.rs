//! Writes: proposed to whoever leads, answered when committed.
//!
//! Every command may be repeated without harm, so a lost leader costs the caller time, not certainty: the command is proposed again
//! until a leader answers or the time is up, and only then does the caller hear whether it may have been written.

use std::time::Duration;

use dynomesh_consensus::ProposeError;
use dynomesh_core::app::AppSpec;
use dynomesh_core::directory::{Command, DirectoryState, DynoRecord, Reply};
use dynomesh_core::id::{AppName, DynoId};
use dynomesh_core::map::MapView;
use dynomesh_proto::admin::v1 as wire;
use dynomesh_proto::convert::admin as convert;
use tokio::time::Instant;
use tonic::Status;

use super::{Api, refusal, rows};

/// Longest wait for a leader: some elections long, and shorter than the limit of a call, so that the caller hears a reason.
pub(super) const LEADER_WAIT: Duration = Duration::from_secs(5);
/// Pause before a command is proposed again.
const PROPOSE_PAUSE: Duration = Duration::from_millis(25);

impl Api {
    pub(super) async fn create_app(&self, spec: AppSpec) -> Result<wire::CreateAppResponse, Status> {
        match self.write(Command::CreateApp { spec: Box::new(spec) }).await? {
            Reply::App { changed, app } => {
                Ok(wire::CreateAppResponse { app: Some(convert::app(&app.spec, app.version, app.dynos)), changed })
            }
            other => Err(wrong(&other)),
        }
    }

    pub(super) async fn delete_app(&self, name: AppName) -> Result<wire::DeleteAppResponse, Status> {
        match self.write(Command::DeleteApp { name }).await? {
            Reply::Done { changed, .. } => Ok(wire::DeleteAppResponse { changed }),
            other => Err(wrong(&other)),
        }
    }

    pub(super) async fn add_dyno(&self, wish: convert::DynoWish) -> Result<wire::AddDynoResponse, Status> {
        let convert::DynoWish { id, app, address, max_conns, block } = wish;
        match self.write(Command::AddDyno { id, app, address, max_conns, block }).await? {
            Reply::Dyno { changed, dyno } => Ok(wire::AddDynoResponse { dyno: Some(self.row(&dyno)), changed }),
            other => Err(wrong(&other)),
        }
    }

    pub(super) async fn drain_dyno(&self, id: DynoId) -> Result<wire::DrainDynoResponse, Status> {
        match self.write(Command::DrainDyno { id, cut: None }).await? {
            Reply::Dyno { changed, dyno } => Ok(wire::DrainDynoResponse { dyno: Some(self.row(&dyno)), changed }),
            other => Err(wrong(&other)),
        }
    }

    pub(super) async fn remove_dyno(&self, id: DynoId) -> Result<wire::RemoveDynoResponse, Status> {
        match self.write(Command::RemoveDyno { id, force: true }).await? {
            Reply::Done { changed, .. } => Ok(wire::RemoveDynoResponse { changed }),
            other => Err(wrong(&other)),
        }
    }

    fn row(&self, dyno: &DynoRecord) -> wire::Dyno {
        rows::dyno(dyno, &self.gossip.view())
    }

    /// Commits one command, or says what became of it.
    async fn write(&self, command: Command) -> Result<Reply, Status> {
        let end = Instant::now() + LEADER_WAIT;
        let mut unknown = false;
        loop {
            self.may_write()?;
            match tokio::time::timeout_at(end, self.replica.propose_anywhere(command.clone())).await {
                Ok(Ok(Reply::Refused(no))) => return Err(refusal::refused(no)),
                Ok(Ok(reply)) => return Ok(reply),
                Ok(Err(ProposeError::Stopping)) if self.leads_here() => {
                    return Err(if unknown { refusal::outcome_unknown() } else { refusal::stopping() });
                }
                Ok(Err(ProposeError::NotLeader { .. } | ProposeError::NotAppended(_) | ProposeError::Stopping)) => {}
                Ok(Err(ProposeError::Unknown(_))) | Err(_) => unknown = true,
            }
            if Instant::now() + PROPOSE_PAUSE >= end {
                return Err(if unknown { refusal::outcome_unknown() } else { refusal::not_written() });
            }
            tokio::time::sleep(PROPOSE_PAUSE).await;
        }
    }

    /// Whether no other replica is known to lead, so that a word about stopping is this replica's own.
    fn leads_here(&self) -> bool {
        self.watch.role().leader.is_none_or(|leader| leader.id == self.replica.id())
    }

    /// Refuses writes that would be lost or wrong.
    fn may_write(&self) -> Result<(), Status> {
        if self.replica.is_pristine() {
            return Err(refusal::not_bootstrapped());
        }
        // Only a leader knows that the directory is empty rather than not yet read.
        if self.watch.leads() && self.directory.read(|state| is_foreign(state, &self.gossip.view())) {
            return Err(refusal::foreign());
        }
        Ok(())
    }
}

/// Whether a directory that was never written looks at a mesh that others have filled (P19).
pub(crate) fn is_foreign(state: &DirectoryState, view: &MapView) -> bool {
    let filled = view.owned().len() > 0 || view.assigned().len() > 0;
    // One that has been emptied still publishes the end of what it had.
    let empty = || state.apps().len() == 0 && state.dynos().len() == 0 && state.blocks().len() == 0;
    filled && empty() && state.facts().is_empty()
}

/// A reply of another kind than the command asks for: a bug here or in the core.
fn wrong(reply: &Reply) -> Status {
    Status::internal(format!("the directory answered with {reply:?}"))
}
