//! The admin API: writes go through the log, reads come from what this replica has applied and heard.
//!
//! Whatever comes from outside is checked once, by the conversions of `proto`; what only the directory can know (taken names, hosts and
//! addresses, missing apps) the directory refuses when it applies the command, and nobody before it: an earlier look could be wrong.
//!
//! Connections are served by the consensus thread, which they share with the peers, so that one address serves both. Calls are answered
//! on the control runtime: however large a list is, it delays no heartbeat.

mod page;
mod read;
mod refusal;
mod rows;
mod serve;
mod status;
mod write;

use std::future::Future;

use dynomesh_consensus::Replica;
use dynomesh_core::id::NodeName;
use dynomesh_proto::admin::v1 as wire;
use dynomesh_proto::admin::v1::admin_server::Admin;
use dynomesh_proto::convert::admin as convert;
use dynomesh_runtime::gossip::Gossip;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tonic::{Request, Response, Status, async_trait};

use crate::directory::{Directory, DirectoryMachine};
use crate::metrics::Metrics;
use crate::standing::Watch;

pub(crate) use serve::{code_word, routes};
pub(crate) use write::is_foreign;

/// Answers the admin API. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) node: NodeName,
    pub(crate) replica: Replica<DirectoryMachine>,
    pub(crate) directory: Directory,
    pub(crate) gossip: Gossip,
    pub(crate) watch: Watch,
    pub(crate) metrics: Metrics,
    /// Where calls are answered.
    pub(crate) runtime: Handle,
}

impl Api {
    /// Answers one call on the control runtime, and counts it. A caller that leaves ends it; a write it has proposed stands.
    async fn answer<T, F>(&self, method: &'static str, call: impl FnOnce(Api) -> F) -> Result<Response<T>, Status>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Status>> + Send + 'static,
    {
        let timer = self.metrics.begin();
        let mut task = JoinSet::new();
        task.spawn_on(call(self.clone()), &self.runtime);
        let result = match task.join_next().await {
            Some(Ok(result)) => result,
            // A panic has been printed; a cancelled task means that the runtime is going down.
            _ => Err(refusal::stopping()),
        };
        timer.end(method, result.as_ref().err().map(Status::code));
        if let Err(status) = &result {
            tracing::debug!(method, code = ?status.code(), message = status.message(), "call refused");
        }
        result.map(Response::new)
    }
}

#[async_trait]
impl Admin for Api {
    async fn create_app(&self, request: Request<wire::CreateAppRequest>) -> Result<Response<wire::CreateAppResponse>, Status> {
        let request = request.into_inner();
        let call = |api: Api| async move { api.create_app(convert::app_spec(request).map_err(refusal::invalid)?).await };
        self.answer("CreateApp", call).await
    }

    async fn list_apps(&self, request: Request<wire::ListAppsRequest>) -> Result<Response<wire::ListAppsResponse>, Status> {
        let request = request.into_inner();
        self.answer("ListApps", |api| async move { api.apps(&request).await }).await
    }

    async fn delete_app(&self, request: Request<wire::DeleteAppRequest>) -> Result<Response<wire::DeleteAppResponse>, Status> {
        let request = request.into_inner();
        let call = |api: Api| async move { api.delete_app(convert::app_name("name", &request.name).map_err(refusal::invalid)?).await };
        self.answer("DeleteApp", call).await
    }

    async fn add_dyno(&self, request: Request<wire::AddDynoRequest>) -> Result<Response<wire::AddDynoResponse>, Status> {
        let request = request.into_inner();
        let call = |api: Api| async move { api.add_dyno(convert::dyno_wish(&request).map_err(refusal::invalid)?).await };
        self.answer("AddDyno", call).await
    }

    async fn list_dynos(&self, request: Request<wire::ListDynosRequest>) -> Result<Response<wire::ListDynosResponse>, Status> {
        let request = request.into_inner();
        let call = |api: Api| async move {
            let filter = convert::dyno_filter(&request).map_err(refusal::invalid)?;
            api.dynos(filter, request.page_size, &request.page_token).await
        };
        self.answer("ListDynos", call).await
    }

    async fn drain_dyno(&self, request: Request<wire::DrainDynoRequest>) -> Result<Response<wire::DrainDynoResponse>, Status> {
        let request = request.into_inner();
        let call = |api: Api| async move { api.drain_dyno(convert::dyno_id(&request.id).map_err(refusal::invalid)?).await };
        self.answer("DrainDyno", call).await
    }

    async fn remove_dyno(&self, request: Request<wire::RemoveDynoRequest>) -> Result<Response<wire::RemoveDynoResponse>, Status> {
        let request = request.into_inner();
        let call = |api: Api| async move { api.remove_dyno(convert::dyno_id(&request.id).map_err(refusal::invalid)?).await };
        self.answer("RemoveDyno", call).await
    }

    async fn list_blocks(&self, request: Request<wire::ListBlocksRequest>) -> Result<Response<wire::ListBlocksResponse>, Status> {
        let request = request.into_inner();
        self.answer("ListBlocks", |api| async move { api.blocks(&request).await }).await
    }

    async fn get_status(&self, _: Request<wire::GetStatusRequest>) -> Result<Response<wire::GetStatusResponse>, Status> {
        // Answered in every state: an operator asks it when something is wrong.
        self.answer("GetStatus", |api| async move { Ok(api.status()) }).await
    }
}
