//! The calls of the admin API as one table: which request goes to which call, which carry the options of a write, which are read page
//! by page. What is common to all calls is then written once, in [`crate::client`].

use dynomesh_proto::admin::v1 as wire;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

/// The generated client.
pub(crate) type Api = wire::admin_client::AdminClient<Channel>;

/// A request with one answer.
pub(crate) trait Call: Clone {
    /// What is answered.
    type Answer;
    /// Sends it.
    async fn send(api: &mut Api, request: Request<Self>) -> Result<Response<Self::Answer>, Status>;
}

/// A request that changes something.
pub(crate) trait Write: Call {
    /// Sets what every write may carry.
    fn set_options(&mut self, options: wire::WriteOptions);
}

/// A request that is answered page by page.
pub(crate) trait Paged: Call {
    /// What the list is of.
    type Item;
    /// Asks for the page after `token`.
    fn set_page(&mut self, token: String);
    /// What the page holds, and the token of the next, empty if there is none.
    fn split(answer: Self::Answer) -> (Vec<Self::Item>, String);
}

macro_rules! calls {
    ($($request:ident $method:ident $answer:ident),+ $(,)?) => { $(
        impl Call for wire::$request {
            type Answer = wire::$answer;
            async fn send(api: &mut Api, request: Request<Self>) -> Result<Response<Self::Answer>, Status> {
                api.$method(request).await
            }
        }
    )+ };
}

macro_rules! writes {
    ($($request:ident $method:ident $answer:ident),+ $(,)?) => { $(
        calls!($request $method $answer);
        impl Write for wire::$request {
            fn set_options(&mut self, options: wire::WriteOptions) {
                self.options = Some(options);
            }
        }
    )+ };
}

macro_rules! lists {
    ($($request:ident $method:ident $answer:ident $items:ident $item:ident),+ $(,)?) => { $(
        calls!($request $method $answer);
        impl Paged for wire::$request {
            type Item = wire::$item;
            fn set_page(&mut self, token: String) {
                self.page_token = token;
            }
            fn split(answer: Self::Answer) -> (Vec<wire::$item>, String) {
                (answer.$items, answer.next_page_token)
            }
        }
    )+ };
}

writes! {
    CreateAppRequest create_app CreateAppResponse,
    UpdateAppRequest update_app UpdateAppResponse,
    DeleteAppRequest delete_app DeleteAppResponse,
    AddDynoRequest add_dyno AddDynoResponse,
    DrainDynoRequest drain_dyno DrainDynoResponse,
    UndrainDynoRequest undrain_dyno UndrainDynoResponse,
    MoveDynoRequest move_dyno MoveDynoResponse,
    RemoveDynoRequest remove_dyno RemoveDynoResponse,
    AddBlockRequest add_block AddBlockResponse,
    DrainBlockRequest drain_block DrainBlockResponse,
    UndrainBlockRequest undrain_block UndrainBlockResponse,
    RemoveBlockRequest remove_block RemoveBlockResponse,
    EvictBlockRequest evict_block EvictBlockResponse,
    ReplaceReplicaRequest replace_replica ReplaceReplicaResponse,
    DrainReplicaRequest drain_replica DrainReplicaResponse,
    UndrainReplicaRequest undrain_replica UndrainReplicaResponse,
    DrainEdgeRequest drain_edge DrainEdgeResponse,
    UndrainEdgeRequest undrain_edge UndrainEdgeResponse,
    RebalanceRequest rebalance RebalanceResponse,
    SetSettingsRequest set_settings SetSettingsResponse,
}

lists! {
    ListAppsRequest list_apps ListAppsResponse apps App,
    ListDynosRequest list_dynos ListDynosResponse dynos Dyno,
    ListBlocksRequest list_blocks ListBlocksResponse blocks Block,
    ListReplicasRequest list_replicas ListReplicasResponse replicas Replica,
    ListEdgesRequest list_edges ListEdgesResponse edges Edge,
    GetMapRequest get_map GetMapResponse facts MapFact,
}

calls! {
    GetAppRequest get_app App,
    GetDynoRequest get_dyno Dyno,
    GetBlockRequest get_block Block,
    // Each of its dynos carries its own options.
    AddDynosRequest add_dynos AddDynosResponse,
    GetPlanRequest get_plan GetPlanResponse,
    ListSettingsRequest list_settings ListSettingsResponse,
    GetStatusRequest get_status GetStatusResponse,
    // Taking back twice what the map knows changes nothing.
    RecoverRequest recover RecoverResponse,
}
