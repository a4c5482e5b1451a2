//! Looks at the applied directory.

use std::time::Duration;

use dynomesh_core::directory::DirectoryState;
use tonic::Status;

use super::{Api, refusal};
use crate::standing::Standing;

/// Longest wait of a read for a replica that has just started.
const CATCH_UP_WAIT: Duration = Duration::from_secs(5);

impl Api {
    /// What `look` makes of the directory, once this replica has caught up: an empty list must mean that there is nothing.
    pub(super) async fn read<T>(&self, look: impl FnOnce(&DirectoryState) -> T) -> Result<T, Status> {
        self.caught_up().await?;
        Ok(self.directory.read(look))
    }

    /// Returns when this replica has caught up since its start.
    pub(super) async fn caught_up(&self) -> Result<(), Status> {
        if self.watch.now() == Standing::NotBootstrapped {
            return Err(refusal::not_bootstrapped());
        }
        if self.watch.caught_up(CATCH_UP_WAIT).await { Ok(()) } else { Err(refusal::not_caught_up()) }
    }
}
