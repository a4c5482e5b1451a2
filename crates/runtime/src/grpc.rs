//! gRPC servers and channels with the limits every daemon wants.
//!
//! Services and their messages are compiled elsewhere; here is only how they are served and reached. Nothing here is on the data
//! path.

use std::time::Duration;

use dynomesh_core::id::Address;
use dynomesh_core::time::Span;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Channel, Endpoint, Identity, Server, ServerTlsConfig};

use crate::shutdown::Shutdown;

/// Requests served at once on one connection; more wait.
const CONCURRENCY_MAX: usize = 1024;
/// How often a silent connection is asked whether it lives, and how long the answer may take.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);
const KEEPALIVE_ANSWER: Duration = Duration::from_secs(5);
/// Time given to running calls after the stop; streams of peers never end by themselves.
const FINISH: Duration = Duration::from_secs(1);

/// What a server shows its callers, and by what it knows theirs. All in PEM.
pub struct Tls {
    /// Its certificate chain, its own first.
    pub cert: Vec<u8>,
    /// The certificate's key.
    pub key: Vec<u8>,
    /// Who signs the certificates of callers; `None`: callers are asked for none. A caller may also show none: the service decides.
    pub client_ca: Option<Vec<u8>>,
}

/// Serves `routes` on `listener` (see [`crate::net::listen`]) until `shutdown` is set; calls that run then have a second to end.
///
/// Runs on the runtime it is called on, which must be one for `Send` tasks (any but a bare `LocalSet`).
pub async fn serve(listener: std::net::TcpListener, routes: Routes, shutdown: Shutdown) -> Result<(), GrpcError> {
    serve_with(builder(), listener, routes, shutdown).await
}

/// The same over TLS.
pub async fn serve_tls(listener: std::net::TcpListener, tls: Tls, routes: Routes, shutdown: Shutdown) -> Result<(), GrpcError> {
    serve_with(secured(tls)?, listener, routes, shutdown).await
}

/// Refuses certificates and keys that no server could use.
pub fn check_tls(tls: Tls) -> Result<(), GrpcError> {
    secured(tls).map(drop)
}

fn builder() -> Server {
    Server::builder()
        .concurrency_limit_per_connection(CONCURRENCY_MAX)
        .http2_keepalive_interval(Some(KEEPALIVE_EVERY))
        .http2_keepalive_timeout(Some(KEEPALIVE_ANSWER))
}

fn secured(tls: Tls) -> Result<Server, GrpcError> {
    let config = ServerTlsConfig::new().identity(Identity::from_pem(tls.cert, tls.key));
    let config = match tls.client_ca {
        Some(ca) => config.client_ca_root(Certificate::from_pem(ca)).client_auth_optional(true),
        None => config,
    };
    builder().tls_config(config).map_err(GrpcError::Tls)
}

async fn serve_with(server: Server, listener: std::net::TcpListener, routes: Routes, shutdown: Shutdown) -> Result<(), GrpcError> {
    let listener = tokio::net::TcpListener::from_std(listener).map_err(GrpcError::Listener)?;
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let mut server = server;
    let serving = server.add_routes(routes).serve_with_incoming_shutdown(incoming, {
        let shutdown = shutdown.clone();
        async move { shutdown.wait().await }
    });
    let late = async {
        shutdown.wait().await;
        tokio::time::sleep(FINISH).await;
    };
    tokio::select! {
        served = serving => served.map_err(GrpcError::Serve),
        () = late => Ok(()),
    }
}

/// A channel to `address` that connects when it is first used, and again after it broke. A connection not made within
/// `connect_timeout`, and a call not answered within `timeout`, fail; with `None` a call may take as long as it likes, as streams do.
pub fn channel(address: Address, connect_timeout: Span, timeout: Option<Span>) -> Channel {
    let endpoint = Endpoint::try_from(format!("http://{address}")).expect("an address makes a valid URI");
    let endpoint = endpoint
        .connect_timeout(connect_timeout.to_std())
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE_EVERY)
        .keep_alive_timeout(KEEPALIVE_ANSWER);
    match timeout {
        Some(span) => endpoint.timeout(span.to_std()).connect_lazy(),
        None => endpoint.connect_lazy(),
    }
}

/// Why a server ended.
#[derive(Debug, thiserror::Error)]
pub enum GrpcError {
    /// The runtime could not watch the listener.
    #[error("gRPC listener")]
    Listener(#[source] std::io::Error),
    /// The certificate, its key or the callers' authority cannot be used.
    #[error("TLS")]
    Tls(#[source] tonic::transport::Error),
    /// tonic gave up.
    #[error("gRPC server")]
    Serve(#[source] tonic::transport::Error),
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[tokio::test]
    async fn a_server_ends_when_told_though_a_connection_stays_open() {
        let listener = crate::net::listen((Ipv4Addr::LOCALHOST, 0).into(), "grpc").unwrap();
        let address = Address::new(listener.local_addr().unwrap()).unwrap();
        let (stop, shutdown) = crate::shutdown::channel();
        let served = tokio::spawn(serve(listener, Routes::default(), shutdown));
        let _open = crate::net::connect(address, Span::from_secs(5)).await.unwrap();
        stop.set();
        tokio::time::timeout(Duration::from_secs(10), served).await.expect("the server does not end").unwrap().unwrap();
    }
}
