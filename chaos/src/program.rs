//! This program as other processes: daemons of the mesh, relays, dynos that speak WebSocket.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context, Result};
pub(crate) use dynomesh_testkit::cluster::process;

/// First argument of a process that is a daemon, or the command line, of the mesh.
pub(crate) const MESH: &str = "mesh";
/// First argument of the relay.
pub(crate) const RELAY: &str = "relay";
/// First argument of a dyno that speaks WebSocket.
pub(crate) const SOCKETS: &str = "sockets";
/// The program that the mesh is run beside.
pub(crate) const RIVAL: &str = "haproxy";
/// Names the process that another must not outlive.
pub(crate) const PARENT: &str = "DYNOMESH_PARENT";
/// Names another binary to take for the mesh.
const OVERRIDE: &str = "DYNOMESH_BIN";

/// This program.
pub(crate) fn own() -> Result<PathBuf> {
    std::env::current_exe().context("find the path of this program")
}

/// The program that is the mesh, and its first arguments.
pub(crate) fn mesh() -> Result<(PathBuf, Vec<OsString>)> {
    match std::env::var_os(OVERRIDE) {
        Some(path) => Ok((path.into(), Vec::new())),
        None => Ok((own()?, vec![MESH.into()])),
    }
}
