//! Dynos.

use dynomesh_core::directory::{Command, DirectoryState, DynoRecord, Reply};
use dynomesh_core::id::AppName;
use dynomesh_proto::admin::v1 as wire;
use dynomesh_proto::convert::admin as convert;
use dynomesh_proto::convert::write::{cut, demands};
use dynomesh_proto::convert::{FieldError, admin::DynoWish};
use futures::{StreamExt, stream};
use tonic::Status;

use super::call::Call;
use super::page::page;
use super::refusal::invalid;
use super::write::{Change, wrong};
use super::{Api, rows};

/// Most dynos of one batch.
const BATCH_MAX: usize = 1_000;
/// Writes of one batch that wait for their commit at once: enough to share entries of the log, and to leave others room.
const BATCH_AT_ONCE: usize = 256;

impl Api {
    pub(super) async fn add_dyno(&self, call: &Call, request: wire::AddDynoRequest) -> Result<wire::AddDynoResponse, Status> {
        let (dyno, changed) = self.dyno(self.write(call, addition(request).map_err(invalid)?).await?)?;
        Ok(wire::AddDynoResponse { dyno: Some(dyno), changed })
    }

    /// All are checked before the first is written.
    pub(super) async fn add_dynos(&self, call: &Call, request: wire::AddDynosRequest) -> Result<wire::AddDynosResponse, Status> {
        let many = request.dynos.len();
        if many == 0 || many > BATCH_MAX {
            return Err(invalid(FieldError::new("dynos", format!("has {many} dynos; must have 1 to {BATCH_MAX}"))));
        }
        let checked = |(nth, dyno)| addition(dyno).map_err(|error| invalid(error.within(&format!("dynos[{nth}]"))));
        let changes: Vec<Change> = request.dynos.into_iter().enumerate().map(checked).collect::<Result<_, _>>()?;
        let writes = stream::iter(changes).map(|change| self.write(call, change)).buffered(BATCH_AT_ONCE);
        let dynos = writes.map(|reply| added(reply.and_then(|reply| self.dyno(reply)))).collect().await;
        Ok(wire::AddDynosResponse { dynos })
    }

    pub(super) async fn drain_dyno(&self, call: &Call, request: wire::DrainDynoRequest) -> Result<wire::DrainDynoResponse, Status> {
        let (change, cut) = (demands(request.options), cut(request.deadline_ms).map_err(invalid)?);
        let id = convert::dyno_id(&request.id).map_err(invalid)?;
        let change = Change::new(Command::DrainDyno { id, cut }, change.map_err(invalid)?).of(thought(&request.app)?);
        let (dyno, changed) = self.dyno(self.write(call, change).await?)?;
        Ok(wire::DrainDynoResponse { dyno: Some(dyno), changed })
    }

    pub(super) async fn undrain_dyno(&self, call: &Call, request: wire::UndrainDynoRequest) -> Result<wire::UndrainDynoResponse, Status> {
        let demands = demands(request.options).map_err(invalid)?;
        let id = convert::dyno_id(&request.id).map_err(invalid)?;
        let change = Change::new(Command::UndrainDyno { id }, demands).of(thought(&request.app)?);
        let (dyno, changed) = self.dyno(self.write(call, change).await?)?;
        Ok(wire::UndrainDynoResponse { dyno: Some(dyno), changed })
    }

    pub(super) async fn move_dyno(&self, call: &Call, request: wire::MoveDynoRequest) -> Result<wire::MoveDynoResponse, Status> {
        let demands = demands(request.options).map_err(invalid)?;
        let id = convert::dyno_id(&request.id).map_err(invalid)?;
        let to = convert::block_name("to", &request.to).map_err(invalid)?;
        let change = Change::new(Command::MoveDyno { id, to, why: String::new() }, demands).of(thought(&request.app)?);
        let (dyno, changed) = self.dyno(self.write(call, change).await?)?;
        Ok(wire::MoveDynoResponse { dyno: Some(dyno), changed })
    }

    pub(super) async fn remove_dyno(&self, call: &Call, request: wire::RemoveDynoRequest) -> Result<wire::RemoveDynoResponse, Status> {
        let demands = demands(request.options).map_err(invalid)?;
        let id = convert::dyno_id(&request.id).map_err(invalid)?;
        let change = Change::new(Command::RemoveDyno { id, force: request.force }, demands).of(thought(&request.app)?);
        match self.write(call, change).await? {
            Reply::Done { changed, .. } => Ok(wire::RemoveDynoResponse { changed }),
            other => Err(wrong(&other)),
        }
    }

    pub(super) async fn one_dyno(&self, request: wire::GetDynoRequest) -> Result<wire::Dyno, Status> {
        let id = convert::dyno_id(&request.id).map_err(invalid)?;
        let view = self.gossip.view();
        let dyno = self.read(|state| state.dyno(&id).map(|dyno| rows::dyno(dyno, &view))).await?;
        dyno.ok_or_else(|| Status::not_found(format!("dyno {id} is not known")))
    }

    /// Dynos by id.
    pub(super) async fn dynos(&self, request: wire::ListDynosRequest) -> Result<wire::ListDynosResponse, Status> {
        let filter = convert::dyno_filter(&request).map_err(invalid)?;
        let view = self.gossip.view();
        let token = request.page_token.as_str();
        let wanted = |dyno: &&DynoRecord| {
            dyno.spec.id.as_str() > token
                && filter.app.as_ref().is_none_or(|app| dyno.spec.app == *app)
                && filter.block.as_ref().is_none_or(|block| dyno.block() == Some(block))
                && filter.id.as_ref().is_none_or(|id| dyno.spec.id == *id)
        };
        let told = |row: &wire::Dyno| {
            filter.phase.is_none_or(|phase| row.phase() == phase) && filter.state.is_none_or(|state| row.state() == state)
        };
        let look = |state: &DirectoryState| {
            let rows = state.dynos().filter(wanted).map(|dyno| rows::dyno(dyno, &view)).filter(told);
            let (dynos, next_page_token) = page(rows, |row| row.id.as_str(), request.page_size, token);
            wire::ListDynosResponse { dynos, next_page_token }
        };
        self.read(look).await
    }

    /// The dyno of a reply, and whether the call changed it.
    fn dyno(&self, reply: Reply) -> Result<(wire::Dyno, bool), Status> {
        match reply {
            Reply::Dyno { changed, dyno } => Ok((rows::dyno(&dyno, &self.gossip.view()), changed)),
            other => Err(wrong(&other)),
        }
    }
}

fn addition(mut request: wire::AddDynoRequest) -> Result<Change, FieldError> {
    let demands = demands(request.options.take())?;
    let DynoWish { id, app, address, max_conns, block } = convert::dyno_wish(&request)?;
    Ok(Change::new(Command::AddDyno { id, app, address, max_conns, block }, demands))
}

fn thought(app: &str) -> Result<Option<AppName>, Status> {
    convert::app_thought(app).map_err(invalid)
}

/// What became of one of a batch.
fn added(outcome: Result<(wire::Dyno, bool), Status>) -> wire::AddedDyno {
    match outcome {
        Ok((dyno, changed)) => wire::AddedDyno { dyno: Some(dyno), changed, ..wire::AddedDyno::default() },
        Err(status) => {
            let code = i32::from(status.code());
            wire::AddedDyno { error: status.message().to_owned(), code, ..wire::AddedDyno::default() }
        }
    }
}
