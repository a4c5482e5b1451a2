//! TLS on the data path, as a server towards clients and edges, as a client towards blocks.

use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::net::Stream;

/// What a listener needs to speak TLS. Clones share, so that new certificates reach every thread; connections keep what they began with.
#[derive(Debug, Clone)]
pub struct ServerTls(Arc<ArcSwap<rustls::ServerConfig>>);

/// What a connection to a peer needs to speak TLS.
#[derive(Debug, Clone)]
pub struct ClientTls {
    config: Arc<ArcSwap<rustls::ClientConfig>>,
    name: ServerName<'static>,
}

impl ServerTls {
    /// Serves by `config` until it is replaced.
    pub fn new(config: rustls::ServerConfig) -> Self {
        ServerTls(Arc::new(ArcSwap::from_pointee(config)))
    }

    /// New connections are served by `config` from now on.
    pub fn replace(&self, config: rustls::ServerConfig) {
        self.0.store(Arc::new(config));
    }

    /// Shakes hands as the server.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<Stream> {
        let stream = TlsAcceptor::from(self.0.load_full()).accept(stream).await?;
        Ok(Stream::Tls(Box::new(stream.into())))
    }
}

impl ClientTls {
    /// Connects by `config` to peers whose certificate is for `name`.
    pub fn new(config: rustls::ClientConfig, name: ServerName<'static>) -> Self {
        ClientTls { config: Arc::new(ArcSwap::from_pointee(config)), name }
    }

    /// New connections are made by `config` from now on.
    pub fn replace(&self, config: rustls::ClientConfig) {
        self.config.store(Arc::new(config));
    }

    /// Shakes hands as the client.
    pub async fn connect(&self, stream: TcpStream) -> io::Result<Stream> {
        let stream = TlsConnector::from(self.config.load_full()).connect(self.name.clone(), stream).await?;
        Ok(Stream::Tls(Box::new(stream.into())))
    }
}
