//! Processes: replicas and edges, as they speak of themselves, and what operators want of them.

use dynomesh_core::directory::{Command, Reply};
use dynomesh_core::id::NodeName;
use dynomesh_core::map::fact::NodeRole;
use dynomesh_proto::admin::v1 as wire;
use dynomesh_proto::convert::admin as convert;
use dynomesh_proto::convert::write::{Demands, demands};
use tonic::Status;

use super::call::Call;
use super::page::page;
use super::refusal::invalid;
use super::write::{Change, wrong};
use super::{Api, node_rows};

/// What kind of process a call speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Edge,
    Replica,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Kind::Edge => "edge",
            Kind::Replica => "replica",
        }
    }

    fn of(role: &NodeRole) -> Self {
        match role {
            NodeRole::Edge { .. } => Kind::Edge,
            NodeRole::Block { .. } | NodeRole::Control { .. } => Kind::Replica,
        }
    }
}

impl Api {
    /// Replicas of blocks and of the control plane, by name.
    pub(super) async fn replicas(&self, request: wire::ListReplicasRequest) -> Result<wire::ListReplicasResponse, Status> {
        let block = (!request.block.is_empty()).then(|| convert::block_name("block", &request.block)).transpose().map_err(invalid)?;
        let (mesh, members) = (self.mesh(), self.watch.role().members);
        let rows = self.read(|state| node_rows::replicas(block.as_ref(), state, &mesh, &members)).await?;
        let (rows, next_page_token) = page(rows.into_iter(), |(key, _)| key.as_str(), request.page_size, &request.page_token);
        Ok(wire::ListReplicasResponse { replicas: rows.into_iter().map(|(_, row)| row).collect(), next_page_token })
    }

    /// Edges by name.
    pub(super) async fn edges(&self, request: wire::ListEdgesRequest) -> Result<wire::ListEdgesResponse, Status> {
        let mesh = self.mesh();
        let rows = self.read(|state| node_rows::edges(state, &mesh)).await?;
        let (edges, next_page_token) = page(rows.into_iter(), |row| row.node.as_str(), request.page_size, &request.page_token);
        Ok(wire::ListEdgesResponse { edges, next_page_token })
    }

    /// Says what is wanted of a process of this kind; whether that was news.
    pub(super) async fn wish(
        &self,
        call: &Call,
        kind: Kind,
        drain: bool,
        node: &str,
        options: Option<wire::WriteOptions>,
    ) -> Result<bool, Status> {
        let demands: Demands = demands(options).map_err(invalid)?;
        let node = convert::node_name(node).map_err(invalid)?;
        self.caught_up().await?;
        self.check_kind(kind, drain, &node)?;
        match self.write(call, Change::new(Command::DrainNode { node, drain }, demands)).await? {
            Reply::Done { changed, .. } => Ok(changed),
            other => Err(wrong(&other)),
        }
    }

    /// Refuses a name that no process of this kind has. A wish about one that is gone can always be taken back.
    fn check_kind(&self, kind: Kind, drain: bool, node: &NodeName) -> Result<(), Status> {
        let word = kind.word();
        match self.gossip.view().node(node).map(|fact| Kind::of(&fact.role)) {
            Some(is) if is == kind => Ok(()),
            Some(is) => {
                let (verb, is) = (if drain { "drain" } else { "undrain" }, is.word());
                Err(Status::not_found(format!(
                    "no {word} is called {node}: it is a process of another kind; use `dynomesh {is} {verb} {node}`"
                )))
            }
            None if !drain && self.directory.read(|state| state.wishes().any(|(known, _)| known == node)) => Ok(()),
            None => Err(Status::not_found(format!("no {word} called {node} was ever heard; `dynomesh {word} list` names those that were"))),
        }
    }
}
