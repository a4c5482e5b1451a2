//! Apps.

use dynomesh_core::directory::{AppRecord, Command, DirectoryState, Reply};
use dynomesh_proto::admin::v1 as wire;
use dynomesh_proto::convert::admin as convert;
use dynomesh_proto::convert::write::demands;
use tonic::Status;

use super::Api;
use super::call::Call;
use super::page::page;
use super::refusal::invalid;
use super::write::{Change, wrong};

impl Api {
    pub(super) async fn create_app(&self, call: &Call, mut request: wire::CreateAppRequest) -> Result<wire::CreateAppResponse, Status> {
        let demands = demands(request.options.take()).map_err(invalid)?;
        let spec = Box::new(convert::app_spec(request).map_err(invalid)?);
        match self.write(call, Change::new(Command::CreateApp { spec }, demands)).await? {
            Reply::App { changed, app } => Ok(wire::CreateAppResponse { app: Some(row(&app)), changed }),
            other => Err(wrong(&other)),
        }
    }

    pub(super) async fn update_app(&self, call: &Call, mut request: wire::UpdateAppRequest) -> Result<wire::UpdateAppResponse, Status> {
        let demands = demands(request.options.take()).map_err(invalid)?;
        let spec = Box::new(convert::app_update(request).map_err(invalid)?);
        match self.write(call, Change::new(Command::UpdateApp { spec }, demands)).await? {
            Reply::App { changed, app } => Ok(wire::UpdateAppResponse { app: Some(row(&app)), changed }),
            other => Err(wrong(&other)),
        }
    }

    pub(super) async fn delete_app(&self, call: &Call, request: wire::DeleteAppRequest) -> Result<wire::DeleteAppResponse, Status> {
        let demands = demands(request.options).map_err(invalid)?;
        let name = convert::app_name("name", &request.name).map_err(invalid)?;
        match self.write(call, Change::new(Command::DeleteApp { name }, demands)).await? {
            Reply::Done { changed, .. } => Ok(wire::DeleteAppResponse { changed }),
            other => Err(wrong(&other)),
        }
    }

    pub(super) async fn app(&self, request: wire::GetAppRequest) -> Result<wire::App, Status> {
        let name = convert::app_name("name", &request.name).map_err(invalid)?;
        let app = self.read(|state| state.app(&name).map(row)).await?;
        app.ok_or_else(|| Status::not_found(format!("app {name} is not known")))
    }

    /// Apps by name.
    pub(super) async fn apps(&self, request: wire::ListAppsRequest) -> Result<wire::ListAppsResponse, Status> {
        let look = |state: &DirectoryState| {
            let (apps, next_page_token) = page(state.apps(), |app| app.spec.name.as_str(), request.page_size, &request.page_token);
            wire::ListAppsResponse { apps: apps.into_iter().map(row).collect(), next_page_token }
        };
        self.read(look).await
    }
}

fn row(app: &AppRecord) -> wire::App {
    convert::app(&app.spec, app.version, app.dynos)
}
