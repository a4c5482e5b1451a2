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

    async fn update_app(&self, _: Request<wire::UpdateAppRequest>) -> Result<Response<wire::UpdateAppResponse>, Status> {
        Err(Status::unimplemented("to come"))
    }

    async fn get_app(&self, _: Request<wire::GetAppRequest>) -> Result<Response<wire::App>, Status> {
        Err(Status::unimplemented("to come"))
    }

    async fn add_dynos(&self, _: Request<wire::AddDynosRequest>) -> Result<Response<wire::AddDynosResponse>, Status> {
        Err(Status::unimplemented("to come"))
    }

    async fn get_dyno(&self, _: Request<wire::GetDynoRequest>) -> Result<Response<wire::Dyno>, Status> {
        Err(Status::unimplemented("to come"))
    }

    async fn undrain_dyno(&self, _: Request<wire::UndrainDynoRequest>) -> Result<Response<wire::UndrainDynoResponse>, Status> {
        Err(Status::unimplemented("to come"))
    }

    async fn move_dyno(&self, _: Request<wire::MoveDynoRequest>) -> Result<Response<wire::MoveDynoResponse>, Status> {
        Err(Status::unimplemented("to come"))
    }

    async fn add_block(&self, _: Request<wire::AddBlockRequest>) -> Result<Response<wire::AddBlockResponse>, Status> {
        Err(Status::unimplemented("to come"))
    }

    async fn get_block(&self, _: Request<wire::GetBlockRequest>) -> Result<Response<wire::Block>, Status> {
        Err(Status::unimplemented("to come"))
    }

    async fn drain_block(&self, _: Request<wire::DrainBlockRequest>) -> Result<Response<wire::DrainBlockResponse>, Status> {
        Err(Status::unimplemented("to come"))
    }

    async fn undrain_block(&self, _: Request<wire::UndrainBlockRequest>) -> Result<Response<wire::UndrainBlockResponse>, Status> {
        Err(Status::unimplemented("to come"))
    }

    async fn remove_block(&self, _: Request<wire::RemoveBlockRequest>) -> Result<Response<wire::RemoveBlockResponse>, Status> {
        Err(Status::unimplemented("to come"))
    }

    async fn evict_block(&self, _: Request<wire::EvictBlockRequest>) -> Result<Response<wire::EvictBlockResponse>, Status> {
        Err(Status::unimplemented("to come"))
    }

    async fn list_replicas(&self, _: Request<wire::ListReplicasRequest>) -> Result<Response<wire::ListReplicasResponse>, Status> {
        Err(Status::unimplemented("to come"))
    }

    async fn replace_replica(&self, _: Request<wire::ReplaceReplicaRequest>) -> Result<Response<wire::ReplaceReplicaResponse>, Status> {
        Err(Status::unimplemented("to come"))
    }

    async fn drain_replica(&self, _: Request<wire::DrainReplicaRequest>) -> Result<Response<wire::DrainReplicaResponse>, Status> {
        Err(Status::unimplemented("to come"))
    }

    async fn undrain_replica(&self, _: Request<wire::UndrainReplicaRequest>) -> Result<Response<wire::UndrainReplicaResponse>, Status> {
        Err(Status::unimplemented("to come"))
    }

    async fn list_edges(&self, _: Request<wire::ListEdgesRequest>) -> Result<Response<wire::ListEdgesResponse>, Status> {
        Err(Status::unimplemented("to come"))
    }

    async fn drain_edge(&self, _: Request<wire::DrainEdgeRequest>) -> Result<Response<wire::DrainEdgeResponse>, Status> {
        Err(Status::unimplemented("to come"))
    }

    async fn undrain_edge(&self, _: Request<wire::UndrainEdgeRequest>) -> Result<Response<wire::UndrainEdgeResponse>, Status> {
        Err(Status::unimplemented("to come"))
    }

    async fn get_map(&self, _: Request<wire::GetMapRequest>) -> Result<Response<wire::GetMapResponse>, Status> {
        Err(Status::unimplemented("to come"))
    }

    async fn get_plan(&self, _: Request<wire::GetPlanRequest>) -> Result<Response<wire::GetPlanResponse>, Status> {
        Err(Status::unimplemented("to come"))
    }

    async fn rebalance(&self, _: Request<wire::RebalanceRequest>) -> Result<Response<wire::RebalanceResponse>, Status> {
        Err(Status::unimplemented("to come"))
    }

    async fn list_settings(&self, _: Request<wire::ListSettingsRequest>) -> Result<Response<wire::ListSettingsResponse>, Status> {
        Err(Status::unimplemented("to come"))
    }

    async fn set_settings(&self, _: Request<wire::SetSettingsRequest>) -> Result<Response<wire::SetSettingsResponse>, Status> {
        Err(Status::unimplemented("to come"))
    }

    type WatchEventsStream = futures::stream::BoxStream<'static, Result<wire::Event, Status>>;

    async fn watch_events(&self, _: Request<wire::WatchEventsRequest>) -> Result<Response<Self::WatchEventsStream>, Status> {
        Err(Status::unimplemented("to come"))
    }

    async fn recover(&self, _: Request<wire::RecoverRequest>) -> Result<Response<wire::RecoverResponse>, Status> {
        Err(Status::unimplemented("to come"))
    }
}
