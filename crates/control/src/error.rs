//! Why the control daemon could not start or had to stop.

use std::io;
use std::path::PathBuf;

use dynomesh_consensus::StartError;
use dynomesh_runtime::config::ConfigError;
use dynomesh_runtime::gossip::GossipError;
use dynomesh_runtime::net::NetError;

/// Why the control daemon could not start or had to stop. One line, fit for a terminal.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration makes no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An address cannot be had.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The data directory cannot be made.
    #[error("`data_dir`: {}: {cause}", dir.display())]
    DataDir {
        /// The directory.
        dir: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The replica of the directory could not start.
    #[error("start of the directory's replica")]
    Replica(#[source] StartError),
    /// Gossip could not start.
    #[error("start of gossip")]
    Gossip(#[source] GossipError),
    /// A thread or runtime could not start.
    #[error("start of thread {thread}")]
    Thread {
        /// Its name.
        thread: &'static str,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// The consensus thread ended by itself; what broke it has been logged.
    #[error("the consensus thread ended by itself")]
    Ended,
}
