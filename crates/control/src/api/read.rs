//! Lists, from the applied directory and the map as it was heard.

use std::time::Duration;

use dynomesh_core::directory::{DirectoryState, DynoRecord};
use dynomesh_proto::admin::v1 as wire;
use dynomesh_proto::convert::admin as convert;
use tonic::Status;

use super::page::page;
use super::{Api, refusal, rows};
use crate::standing::Standing;

/// Longest wait of a read for a replica that has just started.
const CATCH_UP_WAIT: Duration = Duration::from_secs(5);

impl Api {
    /// Apps by name.
    pub(super) async fn apps(&self, request: &wire::ListAppsRequest) -> Result<wire::ListAppsResponse, Status> {
        let look = |state: &DirectoryState| {
            let (apps, next_page_token) = page(state.apps(), |app| app.spec.name.as_str(), request.page_size, &request.page_token);
            let apps = apps.into_iter().map(|app| convert::app(&app.spec, app.version, app.dynos)).collect();
            wire::ListAppsResponse { apps, next_page_token }
        };
        self.read(look).await
    }

    /// Dynos by id.
    pub(super) async fn dynos(&self, filter: convert::DynoFilter, size: u32, token: &str) -> Result<wire::ListDynosResponse, Status> {
        let view = self.gossip.view();
        let wanted = |dyno: &&DynoRecord| {
            filter.app.as_ref().is_none_or(|app| dyno.spec.app == *app)
                && filter.block.as_ref().is_none_or(|block| dyno.block() == Some(block))
                && filter.id.as_ref().is_none_or(|id| dyno.spec.id == *id)
        };
        let look = |state: &DirectoryState| {
            let (dynos, next_page_token) = page(state.dynos().filter(wanted), |dyno| dyno.spec.id.as_str(), size, token);
            let dynos = dynos.into_iter().map(|dyno| rows::dyno(dyno, &view)).collect();
            wire::ListDynosResponse { dynos, next_page_token }
        };
        self.read(look).await
    }

    /// Blocks by name.
    pub(super) async fn blocks(&self, request: &wire::ListBlocksRequest) -> Result<wire::ListBlocksResponse, Status> {
        let view = self.gossip.view();
        let look = |state: &DirectoryState| {
            let names = rows::block_names(state, &view);
            let (names, next_page_token) = page(names.iter(), |name| name.as_str(), request.page_size, &request.page_token);
            let blocks = names.into_iter().map(|name| rows::block(name, state, &view)).collect();
            wire::ListBlocksResponse { blocks, next_page_token }
        };
        self.read(look).await
    }

    /// What `look` makes of the directory, once this replica has caught up: an empty list must mean that there is nothing.
    async fn read<T>(&self, look: impl FnOnce(&DirectoryState) -> T) -> Result<T, Status> {
        if self.watch.now() == Standing::NotBootstrapped {
            return Err(refusal::not_bootstrapped());
        }
        if !self.watch.caught_up(CATCH_UP_WAIT).await {
            return Err(refusal::not_caught_up());
        }
        Ok(self.directory.read(look))
    }
}
