//! The calls of the admin API, each with the role it takes, handed to the file of their noun.

use dynomesh_proto::admin::v1 as wire;
use dynomesh_proto::admin::v1::admin_server::Admin;
use futures::stream::BoxStream;
use tonic::{Request, Response, Status, async_trait};

use super::Api;
use super::nodes::Kind;
use crate::auth::Role::{Admin as Administer, Operate, Read};

#[async_trait]
impl Admin for Api {
    async fn create_app(&self, request: Request<wire::CreateAppRequest>) -> Result<Response<wire::CreateAppResponse>, Status> {
        self.answer("CreateApp", Operate, request, |api, call, it| async move { api.create_app(&call, it).await }).await
    }

    async fn update_app(&self, request: Request<wire::UpdateAppRequest>) -> Result<Response<wire::UpdateAppResponse>, Status> {
        self.answer("UpdateApp", Operate, request, |api, call, it| async move { api.update_app(&call, it).await }).await
    }

    async fn get_app(&self, request: Request<wire::GetAppRequest>) -> Result<Response<wire::App>, Status> {
        self.answer("GetApp", Read, request, |api, _, it| async move { api.app(it).await }).await
    }

    async fn list_apps(&self, request: Request<wire::ListAppsRequest>) -> Result<Response<wire::ListAppsResponse>, Status> {
        self.answer("ListApps", Read, request, |api, _, it| async move { api.apps(it).await }).await
    }

    async fn delete_app(&self, request: Request<wire::DeleteAppRequest>) -> Result<Response<wire::DeleteAppResponse>, Status> {
        self.answer("DeleteApp", Administer, request, |api, call, it| async move { api.delete_app(&call, it).await }).await
    }

    async fn add_dyno(&self, request: Request<wire::AddDynoRequest>) -> Result<Response<wire::AddDynoResponse>, Status> {
        self.answer("AddDyno", Operate, request, |api, call, it| async move { api.add_dyno(&call, it).await }).await
    }

    async fn add_dynos(&self, request: Request<wire::AddDynosRequest>) -> Result<Response<wire::AddDynosResponse>, Status> {
        self.answer("AddDynos", Operate, request, |api, call, it| async move { api.add_dynos(&call, it).await }).await
    }

    async fn get_dyno(&self, request: Request<wire::GetDynoRequest>) -> Result<Response<wire::Dyno>, Status> {
        self.answer("GetDyno", Read, request, |api, _, it| async move { api.one_dyno(it).await }).await
    }

    async fn list_dynos(&self, request: Request<wire::ListDynosRequest>) -> Result<Response<wire::ListDynosResponse>, Status> {
        self.answer("ListDynos", Read, request, |api, _, it| async move { api.dynos(it).await }).await
    }

    async fn drain_dyno(&self, request: Request<wire::DrainDynoRequest>) -> Result<Response<wire::DrainDynoResponse>, Status> {
        self.answer("DrainDyno", Operate, request, |api, call, it| async move { api.drain_dyno(&call, it).await }).await
    }

    async fn undrain_dyno(&self, request: Request<wire::UndrainDynoRequest>) -> Result<Response<wire::UndrainDynoResponse>, Status> {
        self.answer("UndrainDyno", Operate, request, |api, call, it| async move { api.undrain_dyno(&call, it).await }).await
    }

    async fn move_dyno(&self, request: Request<wire::MoveDynoRequest>) -> Result<Response<wire::MoveDynoResponse>, Status> {
        self.answer("MoveDyno", Operate, request, |api, call, it| async move { api.move_dyno(&call, it).await }).await
    }

    async fn remove_dyno(&self, request: Request<wire::RemoveDynoRequest>) -> Result<Response<wire::RemoveDynoResponse>, Status> {
        self.answer("RemoveDyno", Administer, request, |api, call, it| async move { api.remove_dyno(&call, it).await }).await
    }

    async fn add_block(&self, request: Request<wire::AddBlockRequest>) -> Result<Response<wire::AddBlockResponse>, Status> {
        self.answer("AddBlock", Administer, request, |api, call, it| async move { api.add_block(&call, it).await }).await
    }

    async fn get_block(&self, request: Request<wire::GetBlockRequest>) -> Result<Response<wire::Block>, Status> {
        self.answer("GetBlock", Read, request, |api, _, it| async move { api.block(it).await }).await
    }

    async fn list_blocks(&self, request: Request<wire::ListBlocksRequest>) -> Result<Response<wire::ListBlocksResponse>, Status> {
        self.answer("ListBlocks", Read, request, |api, _, it| async move { api.blocks(it).await }).await
    }

    async fn drain_block(&self, request: Request<wire::DrainBlockRequest>) -> Result<Response<wire::DrainBlockResponse>, Status> {
        self.answer("DrainBlock", Operate, request, |api, call, it| async move { api.drain_block(&call, it).await }).await
    }

    async fn undrain_block(&self, request: Request<wire::UndrainBlockRequest>) -> Result<Response<wire::UndrainBlockResponse>, Status> {
        self.answer("UndrainBlock", Operate, request, |api, call, it| async move { api.undrain_block(&call, it).await }).await
    }

    async fn remove_block(&self, request: Request<wire::RemoveBlockRequest>) -> Result<Response<wire::RemoveBlockResponse>, Status> {
        self.answer("RemoveBlock", Administer, request, |api, call, it| async move { api.remove_block(&call, it).await }).await
    }

    async fn evict_block(&self, request: Request<wire::EvictBlockRequest>) -> Result<Response<wire::EvictBlockResponse>, Status> {
        self.answer("EvictBlock", Administer, request, |api, call, it| async move { api.evict_block(&call, it).await }).await
    }

    async fn list_replicas(&self, request: Request<wire::ListReplicasRequest>) -> Result<Response<wire::ListReplicasResponse>, Status> {
        self.answer("ListReplicas", Read, request, |api, _, it| async move { api.replicas(it).await }).await
    }

    async fn replace_replica(
        &self,
        request: Request<wire::ReplaceReplicaRequest>,
    ) -> Result<Response<wire::ReplaceReplicaResponse>, Status> {
        self.answer("ReplaceReplica", Administer, request, |api, call, it| async move { api.replace_replica(&call, it).await }).await
    }

    async fn drain_replica(&self, request: Request<wire::DrainReplicaRequest>) -> Result<Response<wire::DrainReplicaResponse>, Status> {
        self.answer("DrainReplica", Operate, request, |api, call, it| async move {
            Ok(wire::DrainReplicaResponse { changed: api.wish(&call, Kind::Replica, true, &it.node, it.options).await? })
        })
        .await
    }

    async fn undrain_replica(
        &self,
        request: Request<wire::UndrainReplicaRequest>,
    ) -> Result<Response<wire::UndrainReplicaResponse>, Status> {
        self.answer("UndrainReplica", Operate, request, |api, call, it| async move {
            Ok(wire::UndrainReplicaResponse { changed: api.wish(&call, Kind::Replica, false, &it.node, it.options).await? })
        })
        .await
    }

    async fn list_edges(&self, request: Request<wire::ListEdgesRequest>) -> Result<Response<wire::ListEdgesResponse>, Status> {
        self.answer("ListEdges", Read, request, |api, _, it| async move { api.edges(it).await }).await
    }

    async fn drain_edge(&self, request: Request<wire::DrainEdgeRequest>) -> Result<Response<wire::DrainEdgeResponse>, Status> {
        self.answer("DrainEdge", Operate, request, |api, call, it| async move {
            Ok(wire::DrainEdgeResponse { changed: api.wish(&call, Kind::Edge, true, &it.node, it.options).await? })
        })
        .await
    }

    async fn undrain_edge(&self, request: Request<wire::UndrainEdgeRequest>) -> Result<Response<wire::UndrainEdgeResponse>, Status> {
        self.answer("UndrainEdge", Operate, request, |api, call, it| async move {
            Ok(wire::UndrainEdgeResponse { changed: api.wish(&call, Kind::Edge, false, &it.node, it.options).await? })
        })
        .await
    }

    async fn get_map(&self, request: Request<wire::GetMapRequest>) -> Result<Response<wire::GetMapResponse>, Status> {
        self.answer("GetMap", Read, request, |api, _, it| async move { api.map(&it) }).await
    }

    async fn get_plan(&self, request: Request<wire::GetPlanRequest>) -> Result<Response<wire::GetPlanResponse>, Status> {
        self.answer("GetPlan", Read, request, |api, _, _| async move { api.plan().await }).await
    }

    async fn rebalance(&self, request: Request<wire::RebalanceRequest>) -> Result<Response<wire::RebalanceResponse>, Status> {
        self.answer("Rebalance", Operate, request, |api, call, it| async move { api.rebalance(&call, it).await }).await
    }

    async fn list_settings(&self, request: Request<wire::ListSettingsRequest>) -> Result<Response<wire::ListSettingsResponse>, Status> {
        self.answer("ListSettings", Read, request, |api, _, _| async move { api.settings().await }).await
    }

    async fn set_settings(&self, request: Request<wire::SetSettingsRequest>) -> Result<Response<wire::SetSettingsResponse>, Status> {
        self.answer("SetSettings", Administer, request, |api, call, it| async move { api.set_settings(&call, it).await }).await
    }

    async fn get_status(&self, request: Request<wire::GetStatusRequest>) -> Result<Response<wire::GetStatusResponse>, Status> {
        // Answered in every state: an operator asks it when something is wrong.
        self.answer("GetStatus", Read, request, |api, _, _| async move { Ok(api.status()) }).await
    }

    async fn recover(&self, request: Request<wire::RecoverRequest>) -> Result<Response<wire::RecoverResponse>, Status> {
        self.answer("Recover", Administer, request, |api, call, it| async move { api.recover(&call, it).await }).await
    }

    type WatchEventsStream = BoxStream<'static, Result<wire::Event, Status>>;

    async fn watch_events(&self, request: Request<wire::WatchEventsRequest>) -> Result<Response<Self::WatchEventsStream>, Status> {
        self.answer("WatchEvents", Read, request, |api, _, it| async move { api.watch_events(it).await }).await
    }
}
