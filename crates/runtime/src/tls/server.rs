//! TLS as the server.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::version::{TLS12, TLS13};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::error::TlsError;
use super::files::{self, Authorities};
use super::kept::{Files, Kept, Made};
use super::metrics::{Counts, TlsMetrics};
use super::section::{ClientAuth, MinVersion, TlsSection};
use super::store::Store;
use super::{ALPN_HTTP1, ALPN_HTTP2, provider};
use crate::net::Stream;

/// What a listener needs to speak TLS. Clones share, so that new certificates reach every thread.
#[derive(Debug, Clone)]
pub struct ServerTls(pub(super) Arc<Kept<ServerConfig>>);

impl ServerTls {
    /// Towards clients. `http2`: whether the listener speaks it.
    pub fn for_clients(section: &TlsSection, http2: bool, metrics: &TlsMetrics) -> Result<Self, TlsError> {
        let pairs = section.pairs().flat_map(|(cert, key)| [cert, key]);
        let paths: Vec<PathBuf> = pairs.chain(section.authorities()).map(|file| file.path).collect();
        let section = section.clone();
        Kept::new(paths, metrics.of("tls"), Box::new(move || make(&section, http2))).map(ServerTls)
    }

    /// The files it is made of, to be watched.
    pub fn files(&self) -> Files {
        Files::of(&self.0)
    }

    /// Shakes hands as the server. A handshake that fails, or is dropped before its end, is counted.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<Stream> {
        let mut shaking = Shaking { counts: &self.0.counts, client: stream.peer_addr().ok(), ended: false };
        let shaken = TlsAcceptor::from(self.0.get()).accept(stream).await;
        shaking.end(shaken.as_ref().err());
        Ok(Stream::Tls(Box::new(shaken?.into())))
    }
}

fn make(section: &TlsSection, http2: bool) -> Result<Made<ServerConfig>, TlsError> {
    let identities = section.pairs().map(|(cert, key)| files::identity(&cert, &key)).collect::<Result<Vec<_>, _>>()?;
    let authorities = section.authorities().map(|file| files::authorities(&file)).transpose()?;
    let ends = identities.iter().map(|identity| identity.facts.not_after).chain(authorities.as_ref().map(|known| known.not_after));
    let not_after = ends.min().unwrap_or(i64::MAX);

    let versions = match section.min_version {
        MinVersion::Tls12 => &[&TLS13, &TLS12][..],
        MinVersion::Tls13 => &[&TLS13],
    };
    let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(versions);
    let builder = builder.map_err(|error| TlsError::setting("tls.min_version", error))?;
    let builder = match authorities {
        Some(known) => builder.with_client_cert_verifier(of_client(known, section.client_auth == ClientAuth::Required)?),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(Store::new(identities, section.strict_sni)));
    config.alpn_protocols = if http2 { vec![ALPN_HTTP2.into(), ALPN_HTTP1.into()] } else { vec![ALPN_HTTP1.into()] };
    resume(&mut config).map_err(|error| TlsError::setting("tls", error))?;
    Ok(Made { config, not_after })
}

fn of_client(known: Authorities, required: bool) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let verifier = WebPkiClientVerifier::builder_with_provider(known.roots, provider());
    let verifier = if required { verifier } else { verifier.allow_unauthenticated() };
    verifier.build().map_err(|error| TlsError::setting("tls.client_ca", error))
}

/// Lets clients resume by tickets, which cost this side no memory and are good on every thread. Their key is new with each
/// configuration: whoever was let in by an authority that is gone shakes hands in full.
pub(super) fn resume(config: &mut ServerConfig) -> Result<(), rustls::Error> {
    config.ticketer = rustls::crypto::ring::Ticketer::new()?;
    Ok(())
}

/// A handshake, however it ends.
struct Shaking<'a> {
    counts: &'a Counts,
    client: Option<SocketAddr>,
    ended: bool,
}

impl Shaking<'_> {
    fn end(&mut self, error: Option<&io::Error>) {
        self.ended = true;
        match error {
            None => drop(self.counts.handshakes.inc()),
            Some(error) => self.fail(error),
        }
    }

    fn fail(&self, why: &dyn std::fmt::Display) {
        self.counts.handshake_failures.inc();
        tracing::debug!(client = ?self.client, %why, "TLS handshake failed");
    }
}

impl Drop for Shaking<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.fail(&"cut before its end");
        }
    }
}
