//! The admin API: writes go through the log, reads come from what this replica has applied and heard.
//!
//! Whatever comes from outside is checked once, by the conversions of `proto`; what only the directory can know (taken names, hosts and
//! addresses, missing apps) the directory refuses when it applies the command, and nobody before it: an earlier look could be wrong.
//!
//! Connections are served by the consensus thread, which they share with the peers, so that one address serves both. Calls are answered
//! on the control runtime: however large a list is, it delays no heartbeat.

mod apps;
mod blocks;
mod call;
mod calls;
mod dynos;
mod events;
mod groups;
mod map;
mod node_rows;
mod nodes;
mod page;
mod plan;
mod read;
mod recover;
mod refusal;
mod rows;
mod serve;
mod settings;
mod status;
mod write;

use std::future::Future;
use std::sync::Arc;

use dynomesh_consensus::Replica;
use dynomesh_core::id::NodeName;
use dynomesh_runtime::clock::Clock;
use dynomesh_runtime::gossip::Gossip;
use dynomesh_runtime::shutdown::Shutdown;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tonic::{Request, Response, Status};

use crate::auth::Role;
use crate::directory::{Directory, DirectoryMachine};
use crate::metrics::Metrics;
use crate::sight::{Mesh, Sight};
use crate::standing::Watch;
use call::Call;

pub(crate) use serve::{Front, code_word};

/// Answers the admin API. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) node: NodeName,
    pub(crate) replica: Replica<DirectoryMachine>,
    pub(crate) directory: Directory,
    pub(crate) gossip: Gossip,
    pub(crate) watch: Watch,
    pub(crate) metrics: Metrics,
    pub(crate) clock: Clock,
    pub(crate) sight: Sight,
    /// Where calls are answered.
    pub(crate) runtime: Handle,
    /// Ends streams.
    pub(crate) stopping: Shutdown,
    /// Places for streams.
    pub(crate) watches: Arc<Semaphore>,
}

impl Api {
    /// Places for as many streams as there may be.
    pub(crate) fn places() -> Arc<Semaphore> {
        Arc::new(Semaphore::new(events::WATCHES_MAX))
    }

    /// Answers one call on the control runtime, and counts it. A caller that leaves ends it; a write it has proposed stands.
    async fn answer<Q, T, F>(
        &self,
        method: &'static str,
        needed: Role,
        request: Request<Q>,
        answer: impl FnOnce(Api, Call, Q) -> F,
    ) -> Result<Response<T>, Status>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Status>> + Send + 'static,
    {
        let timer = self.metrics.begin();
        let (metadata, extensions, request) = request.into_parts();
        let result = match Call::new(method, needed, &metadata, &extensions) {
            Ok(call) => self.on_runtime(answer(self.clone(), call, request)).await,
            Err(status) => Err(status),
        };
        timer.end(method, result.as_ref().err().map(Status::code));
        if let Err(status) = &result {
            tracing::debug!(method, code = ?status.code(), message = status.message(), "call refused");
        }
        result.map(Response::new)
    }

    async fn on_runtime<T: Send + 'static>(&self, answer: impl Future<Output = Result<T, Status>> + Send + 'static) -> Result<T, Status> {
        let mut task = JoinSet::new();
        task.spawn_on(answer, &self.runtime);
        match task.join_next().await {
            Some(Ok(result)) => result,
            // A panic has been printed; a cancelled task means that the runtime is going down.
            _ => Err(refusal::stopping()),
        }
    }

    /// What is heard of the mesh now.
    fn mesh(&self) -> Mesh {
        self.sight.mesh(&self.gossip)
    }
}
