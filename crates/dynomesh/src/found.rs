//! `dynomesh block bootstrap` and `dynomesh control bootstrap`: makes running, empty replicas one group.

use std::process::ExitCode;

use dynomesh_core::id::{Address, GroupId};

use crate::error::Failure;

/// Founds the group of these members and says its identity.
pub(crate) fn run(members: &[Address]) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::failed("start a runtime", error))?;
    let id = runtime.block_on(group(members)).map_err(|error| Failure::failed("bootstrap", error))?;
    println!("{id}");
    Ok(ExitCode::SUCCESS)
}

/// Asks every member who it is, refuses any that belongs to a group already, and makes them one group.
pub(crate) async fn group(members: &[Address]) -> Result<GroupId, dynomesh_consensus::BootstrapError> {
    dynomesh_consensus::bootstrap_group(members).await
}
