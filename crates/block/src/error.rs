//! Why a block replica could not start, or had to stop.

use std::io;

use dynomesh_runtime::net::NetError;
use dynomesh_runtime::tls::TlsError;

/// Ends the process; printed once, with its causes.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// An address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] NetError),
    /// TLS with edges cannot be spoken as the settings say.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The log, the snapshots or the identity cannot be used.
    #[error("cannot start the replica")]
    Start(#[source] dynomesh_consensus::StartError),
    /// The map cannot be joined.
    #[error("cannot start gossip")]
    Gossip(#[source] dynomesh_runtime::gossip::GossipError),
    /// The evictions that were written down cannot be read.
    #[error("cannot read the evictions that were heard")]
    Evictions(#[source] io::Error),
    /// A thread cannot be had.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
    /// A data thread ended by a panic: its requests are lost, and its counts with them.
    #[error("a data thread failed")]
    Panicked(#[source] dynomesh_runtime::workers::Panicked),
    /// The consensus thread ended by itself.
    #[error("the consensus thread ended")]
    Consensus,
}
