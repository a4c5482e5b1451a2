//! Blocks: what they are, that they are drained, removed, and given up for lost.

use dynomesh_core::directory::{Command, DirectoryState, Proof, Reply, may_evict};
use dynomesh_core::id::BlockName;
use dynomesh_proto::admin::v1 as wire;
use dynomesh_proto::convert::admin as convert;
use dynomesh_proto::convert::write::{demands, proof};
use tonic::Status;

use super::call::Call;
use super::page::page;
use super::refusal::{invalid, refused};
use super::write::{Change, wrong};
use super::{Api, rows};

impl Api {
    /// Blocks by name.
    pub(super) async fn blocks(&self, request: wire::ListBlocksRequest) -> Result<wire::ListBlocksResponse, Status> {
        let mesh = self.mesh();
        let look = |state: &DirectoryState| {
            let names = rows::block_names(state, &mesh.view);
            let (names, next_page_token) = page(names.iter(), |name| name.as_str(), request.page_size, &request.page_token);
            let blocks = names.into_iter().map(|name| rows::block(name, state, &mesh)).collect();
            wire::ListBlocksResponse { blocks, next_page_token }
        };
        self.read(look).await
    }

    pub(super) async fn block(&self, request: wire::GetBlockRequest) -> Result<wire::Block, Status> {
        let name = convert::block_name("name", &request.name).map_err(invalid)?;
        self.caught_up().await?;
        self.block_row(&name).ok_or_else(|| Status::not_found(format!("block {name} is not known")))
    }

    pub(super) async fn drain_block(&self, call: &Call, request: wire::DrainBlockRequest) -> Result<wire::DrainBlockResponse, Status> {
        let demands = demands(request.options).map_err(invalid)?;
        let name = convert::block_name("name", &request.name).map_err(invalid)?;
        let changed = self.write_block(call, Change::new(Command::DrainBlock { name: name.clone() }, demands)).await?;
        Ok(wire::DrainBlockResponse { block: self.block_row(&name), changed })
    }

    pub(super) async fn undrain_block(
        &self,
        call: &Call,
        request: wire::UndrainBlockRequest,
    ) -> Result<wire::UndrainBlockResponse, Status> {
        let demands = demands(request.options).map_err(invalid)?;
        let name = convert::block_name("name", &request.name).map_err(invalid)?;
        let changed = self.write_block(call, Change::new(Command::UndrainBlock { name: name.clone() }, demands)).await?;
        Ok(wire::UndrainBlockResponse { block: self.block_row(&name), changed })
    }

    pub(super) async fn remove_block(&self, call: &Call, request: wire::RemoveBlockRequest) -> Result<wire::RemoveBlockResponse, Status> {
        let demands = demands(request.options).map_err(invalid)?;
        let name = convert::block_name("name", &request.name).map_err(invalid)?;
        match self.write(call, Change::new(Command::RemoveBlock { name }, demands)).await? {
            Reply::Done { changed, .. } => Ok(wire::RemoveBlockResponse { changed }),
            other => Err(wrong(&other)),
        }
    }

    /// Refused while anybody sees the block (P16); what else must hold depends on who answers for it.
    pub(super) async fn evict_block(&self, call: &Call, request: wire::EvictBlockRequest) -> Result<wire::EvictBlockResponse, Status> {
        let demands = demands(request.options).map_err(invalid)?;
        let name = convert::block_name("name", &request.name).map_err(invalid)?;
        let proof = proof(request.proof).map_err(invalid)?;
        if proof == Proof::Operator && request.confirm != name.as_str() {
            return Err(unconfirmed(&name));
        }
        self.caught_up().await?;
        let sighting = self.directory.read(|state| {
            let record = state.block(&name).ok_or_else(|| Status::not_found(format!("block {name} is not known")))?;
            Ok::<_, Status>((!record.evicted).then(|| self.sight.sighting(record, state, &self.gossip)))
        })?;
        // One that was evicted may be seen again: it has come back, and gives up what it has.
        sighting.map_or(Ok(()), |sighting| may_evict(&sighting, proof)).map_err(refused)?;
        let before = self.directory.read(|state| state.block(&name).map_or(0, |record| record.dynos));
        let change = Change::new(Command::EvictBlock { name: name.clone(), proof }, demands);
        let changed = self.write_block(call, change).await?;
        Ok(wire::EvictBlockResponse { block: self.block_row(&name), changed, dynos: if changed { before } else { 0 } })
    }

    /// Commits a change of a block and waits until it is applied here; whether it changed anything.
    async fn write_block(&self, call: &Call, change: Change) -> Result<bool, Status> {
        let reply = self.write(call, change).await?;
        self.applied(reply.stamp(), call.end).await;
        Ok(reply.changed())
    }

    /// A block as it stands now.
    pub(super) fn block_row(&self, name: &BlockName) -> Option<wire::Block> {
        let mesh = self.mesh();
        self.directory.read(|state| {
            let known = state.block(name).is_some() || mesh.view.leader(name).is_some();
            known.then(|| rows::block(name, state, &mesh))
        })
    }
}

fn unconfirmed(name: &BlockName) -> Status {
    Status::invalid_argument(format!(
        "confirm: must be {name:?}, the block's name once more. It says that all replicas of the block are stopped for good: its dynos are \
         given to other blocks at once, and a replica that still runs somewhere unseen would go on sending them requests, beyond max_conns \
         and beside their new owners",
        name = name.as_str()
    ))
}
