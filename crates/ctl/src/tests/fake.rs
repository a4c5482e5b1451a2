//! A control plane that only remembers what it was asked and answers what it was told to.

use std::collections::VecDeque;
use std::io::Write;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use dynomesh_proto::admin::v1 as wire;
use dynomesh_proto::admin::v1::admin_server::{Admin, AdminServer};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_stream::{Stream, iter};
use tonic::{Request, Response, Status};

use super::parse;
use crate::{CliError, Output};

/// One call as it came: its name, its request as text, its token.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) call: &'static str,
    pub(super) text: String,
    pub(super) token: Option<String>,
}

/// What a stream of events does: some events, then an end or an error.
pub(super) type Script = Vec<Result<wire::Event, Status>>;

#[derive(Default)]
struct State {
    asked: Vec<Asked>,
    /// Told to the next calls instead of an answer.
    failures: VecDeque<Status>,
    streams: VecDeque<Script>,
    watched: Vec<wire::WatchEventsRequest>,
    dynos: VecDeque<wire::Dyno>,
}

/// A fake control plane; it dies with this.
pub(super) struct Fake {
    pub(super) address: SocketAddr,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

impl Fake {
    pub(super) async fn start() -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let server = AdminServer::new(Served(Arc::clone(&state)));
        let serve = tonic::transport::Server::builder().add_service(server).serve_with_incoming(TcpListenerStream::new(listener));
        let task = tokio::spawn(async move { serve.await.unwrap() });
        Fake { address, state, task }
    }

    /// The next calls fail so, one each.
    pub(super) fn fail(&self, failures: impl IntoIterator<Item = Status>) {
        self.state.lock().unwrap().failures.extend(failures);
    }

    /// The next streams of events go so, one each.
    pub(super) fn stream(&self, scripts: impl IntoIterator<Item = Script>) {
        self.state.lock().unwrap().streams.extend(scripts);
    }

    /// The next lists of dynos hold this one, one list each; the last one stays.
    pub(super) fn list(&self, dynos: impl IntoIterator<Item = wire::Dyno>) {
        self.state.lock().unwrap().dynos.extend(dynos);
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.state.lock().unwrap().asked.clone()
    }

    pub(super) fn watched(&self) -> Vec<wire::WatchEventsRequest> {
        self.state.lock().unwrap().watched.clone()
    }

    /// Performs one line against it: what is written, and how it ended.
    pub(super) async fn run(&self, line: &str) -> (String, Result<(), CliError>) {
        run(&self.address.to_string(), line).await
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Performs one line: what is written, and how it ended.
pub(super) async fn run(admin: &str, line: &str) -> (String, Result<(), CliError>) {
    let line = parse(&format!("dynomesh --admin {admin} {line}")).unwrap_or_else(|error| panic!("{line}: {error}"));
    let sink = Sink::default();
    let result = crate::perform(line.command, &line.global, |format| Output::new(format, Box::new(sink.clone()))).await;
    let written = sink.0.lock().unwrap().clone();
    (String::from_utf8(written).unwrap(), result)
}

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct Served(Arc<Mutex<State>>);

impl Served {
    fn note<R: std::fmt::Debug>(&self, call: &'static str, request: &Request<R>) -> Result<(), Status> {
        let token = request.metadata().get("authorization").map(|value| value.to_str().unwrap().to_owned());
        let mut state = self.0.lock().unwrap();
        state.asked.push(Asked { call, text: format!("{:?}", request.get_ref()), token });
        state.failures.pop_front().map_or(Ok(()), Err)
    }
}

pub(super) fn dyno(id: &str, block: &str) -> wire::Dyno {
    let (app, addr) = ("shop".into(), "127.0.0.1:3000".into());
    wire::Dyno { id: id.into(), app, addr, block: block.into(), epoch: 7, owner: block.into(), owned_epoch: 7, ..Default::default() }
}

fn app(name: String) -> wire::App {
    wire::App { name, hosts: vec!["shop.test".into()], version: 3, ..Default::default() }
}

fn replica(node: &str) -> wire::Replica {
    let state = "drained".into();
    wire::Replica { id: 9, node: node.into(), block: "b1".into(), live: true, state, drain: true, ..Default::default() }
}

fn block(name: String) -> wire::Block {
    wire::Block { name, drain: true, replicas: vec![replica("b1-1")], ..Default::default() }
}

fn plan() -> wire::Plan {
    let load = wire::PlannedLoad { block: "b1".into(), app: "shop".into(), load_before: 0.9, load_after: 0.6, ..Default::default() };
    let planned = wire::PlannedMove { dyno: "a".into(), to: "b2".into(), reason: "b1 is full".into(), ..Default::default() };
    wire::Plan { moves: vec![planned], loads: vec![load], text: "a: b1 -> b2, b1 is full\n".into(), ..Default::default() }
}

fn setting() -> wire::Setting {
    wire::Setting { name: "drain".into(), value: "30s".into(), default: "30s".into(), meaning: "how long".into() }
}

fn added(request: wire::AddDynoRequest) -> wire::AddedDyno {
    match request.addr.as_str() {
        "taken" => wire::AddedDyno { error: "addr: taken".into(), code: 6, ..Default::default() },
        _ => wire::AddedDyno { dyno: Some(dyno(&request.id, "b1")), changed: true, ..Default::default() },
    }
}

/// Every call: noted, then refused or answered.
macro_rules! calls {
    ($state:ident; $($method:ident($request:ident: $input:ident) -> $output:ident $answer:block)+) => {
        #[tonic::async_trait]
        impl Admin for Served {
            $(async fn $method(&self, request: Request<wire::$input>) -> Result<Response<wire::$output>, Status> {
                self.note(stringify!($method), &request)?;
                Ok(Response::new(answer::$method(&self.0, request.into_inner())))
            })+

            type WatchEventsStream = Pin<Box<dyn Stream<Item = Result<wire::Event, Status>> + Send>>;

            async fn watch_events(&self, request: Request<wire::WatchEventsRequest>) -> Result<Response<Self::WatchEventsStream>, Status> {
                self.note("watch_events", &request)?;
                let mut state = self.0.lock().unwrap();
                state.watched.push(request.into_inner());
                Ok(Response::new(Box::pin(iter(state.streams.pop_front().unwrap_or_default()))))
            }
        }

        /// What each call answers.
        mod answer {
            use super::*;
            $(#[allow(unused_variables)]
            pub(super) fn $method($state: &Mutex<State>, $request: wire::$input) -> wire::$output $answer)+
        }
    };
}

calls! {
    state;
    create_app(asked: CreateAppRequest) -> CreateAppResponse { wire::CreateAppResponse { app: Some(app(asked.name)), changed: true } }
    update_app(asked: UpdateAppRequest) -> UpdateAppResponse { wire::UpdateAppResponse { app: Some(app(asked.name)), changed: true } }
    get_app(asked: GetAppRequest) -> App { app(asked.name) }
    list_apps(asked: ListAppsRequest) -> ListAppsResponse {
        // Two pages, so that both have to be asked for.
        match asked.page_token.as_str() {
            "" => wire::ListAppsResponse { apps: vec![app("one".into())], next_page_token: "second".into() },
            _ => wire::ListAppsResponse { apps: vec![app("two".into())], next_page_token: String::new() },
        }
    }
    delete_app(asked: DeleteAppRequest) -> DeleteAppResponse { wire::DeleteAppResponse { changed: true } }
    add_dyno(asked: AddDynoRequest) -> AddDynoResponse { wire::AddDynoResponse { dyno: Some(dyno("a", "b1")), changed: true } }
    add_dynos(asked: AddDynosRequest) -> AddDynosResponse {
        wire::AddDynosResponse { dynos: asked.dynos.into_iter().map(added).collect() }
    }
    get_dyno(asked: GetDynoRequest) -> Dyno { dyno(&asked.id, "b1") }
    list_dynos(asked: ListDynosRequest) -> ListDynosResponse {
        let mut state = state.lock().unwrap();
        let last = state.dynos.len() <= 1;
        let dyno = if last { state.dynos.front().cloned() } else { state.dynos.pop_front() };
        wire::ListDynosResponse { dynos: dyno.into_iter().collect(), ..Default::default() }
    }
    drain_dyno(asked: DrainDynoRequest) -> DrainDynoResponse { wire::DrainDynoResponse { dyno: Some(dyno(&asked.id, "b1")), changed: true } }
    undrain_dyno(asked: UndrainDynoRequest) -> UndrainDynoResponse {
        wire::UndrainDynoResponse { dyno: Some(dyno(&asked.id, "b1")), changed: true }
    }
    move_dyno(asked: MoveDynoRequest) -> MoveDynoResponse {
        let dyno = wire::Dyno { block: asked.to, epoch: 8, ..dyno(&asked.id, "b1") };
        wire::MoveDynoResponse { dyno: Some(dyno), changed: true }
    }
    remove_dyno(asked: RemoveDynoRequest) -> RemoveDynoResponse { wire::RemoveDynoResponse { changed: true } }
    add_block(asked: AddBlockRequest) -> AddBlockResponse { wire::AddBlockResponse { block: Some(block(asked.name)), changed: true } }
    get_block(asked: GetBlockRequest) -> Block { block(asked.name) }
    list_blocks(asked: ListBlocksRequest) -> ListBlocksResponse {
        wire::ListBlocksResponse { blocks: vec![block("b1".into())], ..Default::default() }
    }
    drain_block(asked: DrainBlockRequest) -> DrainBlockResponse { wire::DrainBlockResponse { block: Some(block(asked.name)), changed: true } }
    undrain_block(asked: UndrainBlockRequest) -> UndrainBlockResponse {
        wire::UndrainBlockResponse { block: Some(block(asked.name)), changed: true }
    }
    remove_block(asked: RemoveBlockRequest) -> RemoveBlockResponse { wire::RemoveBlockResponse { changed: true } }
    evict_block(asked: EvictBlockRequest) -> EvictBlockResponse {
        wire::EvictBlockResponse { block: Some(block(asked.name)), changed: true, dynos: 4 }
    }
    list_replicas(asked: ListReplicasRequest) -> ListReplicasResponse {
        wire::ListReplicasResponse { replicas: vec![replica("b1-1")], ..Default::default() }
    }
    replace_replica(asked: ReplaceReplicaRequest) -> ReplaceReplicaResponse {
        wire::ReplaceReplicaResponse { replicas: vec![replica("b1-4")], changed: true }
    }
    drain_replica(asked: DrainReplicaRequest) -> DrainReplicaResponse { wire::DrainReplicaResponse { changed: true } }
    undrain_replica(asked: UndrainReplicaRequest) -> UndrainReplicaResponse { wire::UndrainReplicaResponse { changed: true } }
    list_edges(asked: ListEdgesRequest) -> ListEdgesResponse {
        let edge = wire::Edge { node: "edge-1".into(), live: true, state: "drained".into(), drain: true, ..Default::default() };
        wire::ListEdgesResponse { edges: vec![edge], ..Default::default() }
    }
    drain_edge(asked: DrainEdgeRequest) -> DrainEdgeResponse { wire::DrainEdgeResponse { changed: true } }
    undrain_edge(asked: UndrainEdgeRequest) -> UndrainEdgeResponse { wire::UndrainEdgeResponse { changed: true } }
    get_map(asked: GetMapRequest) -> GetMapResponse {
        let fact = wire::MapFact { key: "owned/a".into(), json: "{\"epoch\":7}".into() };
        wire::GetMapResponse { facts: vec![fact], ..Default::default() }
    }
    get_plan(asked: GetPlanRequest) -> GetPlanResponse { wire::GetPlanResponse { plan: Some(plan()) } }
    rebalance(asked: RebalanceRequest) -> RebalanceResponse { wire::RebalanceResponse { plan: Some(plan()), started: 1 } }
    list_settings(asked: ListSettingsRequest) -> ListSettingsResponse { wire::ListSettingsResponse { settings: vec![setting()], version: 5 } }
    set_settings(asked: SetSettingsRequest) -> SetSettingsResponse {
        wire::SetSettingsResponse { settings: vec![setting()], version: 6, changed: true }
    }
    get_status(asked: GetStatusRequest) -> GetStatusResponse { wire::GetStatusResponse { node: "control-1".into(), ..Default::default() } }
    recover(asked: RecoverRequest) -> RecoverResponse {
        wire::RecoverResponse { generation: 2, apps: 1, dynos: 8, left_out: vec!["app idle had no dynos; create it anew".into()] }
    }
}
