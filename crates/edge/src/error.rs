//! Why an edge did not start, or stopped before it was told to.

use std::io;

use dynomesh_runtime::gossip::GossipError;
use dynomesh_runtime::net::NetError;
use dynomesh_runtime::tls::TlsError;
use dynomesh_runtime::workers::Panicked;

/// See the module.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address could not be had.
    #[error(transparent)]
    Listen(#[from] NetError),
    /// TLS cannot be spoken as the settings say.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Gossip did not start.
    #[error("start gossip")]
    Gossip(#[source] GossipError),
    /// The access log could not be opened.
    #[error("open the access log (setting `access_log`)")]
    AccessLog(#[source] io::Error),
    /// The data threads did not start.
    #[error("start the data threads")]
    Threads(#[source] io::Error),
    /// A data thread panicked: the edge stops rather than serve with one thread less.
    #[error(transparent)]
    Panicked(#[from] Panicked),
}
