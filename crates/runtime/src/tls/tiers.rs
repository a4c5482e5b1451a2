//! Mutual TLS between edges and blocks.
//!
//! TLS 1.3 alone, since both ends are ours. Either side shows a certificate of the mesh's own authorities that carries the mesh's name;
//! it is checked on both sides alike, so that a node's files make it whatever its configuration says it is, and nobody else.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::version::TLS13;
use rustls::{ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme};

use super::client::ClientTls;
use super::error::TlsError;
use super::files::{self, Authorities, Identity, Named};
use super::kept::{Kept, Made};
use super::metrics::TlsMetrics;
use super::section::TiersSection;
use super::server::{ServerTls, resume};
use super::{ALPN_HTTP1, provider};

impl ServerTls {
    /// Towards edges.
    pub fn for_tiers(section: &TiersSection, metrics: &TlsMetrics) -> Result<Self, TlsError> {
        let (paths, section) = (section.paths(), section.clone());
        Kept::new(paths, metrics.of("tiers"), Box::new(move || server(&section))).map(ServerTls)
    }
}

impl ClientTls {
    /// Towards blocks.
    pub fn for_tiers(section: &TiersSection, metrics: &TlsMetrics) -> Result<Self, TlsError> {
        let (paths, name, section) = (section.paths(), section.name.server_name(), section.clone());
        let kept = Kept::new(paths, metrics.of("tiers"), Box::new(move || client(&section)))?;
        Ok(ClientTls::new(kept, name))
    }
}

impl TiersSection {
    fn files(&self) -> [Named; 3] {
        [("tiers.ca", &self.ca), ("tiers.cert", &self.cert), ("tiers.key", &self.key)].map(|(setting, path)| Named::new(setting, path))
    }

    fn paths(&self) -> Vec<PathBuf> {
        self.files().map(|file| file.path).into()
    }

    fn read(&self) -> Result<(Authorities, Identity, i64), TlsError> {
        let [ca, cert, key] = self.files();
        let (authorities, identity) = (files::authorities(&ca)?, files::identity(&cert, &key)?);
        self.is_ours(&identity.key.cert[0]).map_err(|error| TlsError::setting("tiers.cert", error))?;
        let not_after = authorities.not_after.min(identity.facts.not_after);
        Ok((authorities, identity, not_after))
    }

    /// Our own certificate is judged as others will judge it, before they do.
    fn is_ours(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        rustls::client::verify_server_name(&ParsedCertificate::try_from(certificate)?, &self.name.server_name())
    }
}

fn server(section: &TiersSection) -> Result<Made<ServerConfig>, TlsError> {
    let refuse = |error: Error| TlsError::setting("tiers", error);
    let (authorities, identity, not_after) = section.read()?;
    let inner = WebPkiClientVerifier::builder_with_provider(authorities.roots, provider()).build();
    let inner = inner.map_err(|error| TlsError::setting("tiers.ca", error))?;
    let verifier = Arc::new(OfTheMesh { inner, name: section.name.server_name() });
    let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13]).map_err(refuse)?;
    let resolver = Arc::new(SingleCertAndKey::from(identity.key));
    let mut config = builder.with_client_cert_verifier(verifier).with_cert_resolver(resolver);
    config.alpn_protocols = vec![ALPN_HTTP1.into()];
    // One is enough to resume by, and clients wait for it: see `ClientTls`.
    config.send_tls13_tickets = 1;
    resume(&mut config).map_err(refuse)?;
    Ok(Made { config, not_after })
}

fn client(section: &TiersSection) -> Result<Made<ClientConfig>, TlsError> {
    let (authorities, identity, not_after) = section.read()?;
    let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13]);
    let builder = builder.map_err(|error| TlsError::setting("tiers", error))?.with_root_certificates(authorities.roots);
    let mut config = builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity.key)));
    config.alpn_protocols = vec![ALPN_HTTP1.into()];
    Ok(Made { config, not_after })
}

/// Takes what the authorities have signed, if it carries the mesh's name.
#[derive(Debug)]
struct OfTheMesh {
    inner: Arc<dyn ClientCertVerifier>,
    name: ServerName<'static>,
}

impl ClientCertVerifier for OfTheMesh {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.inner.verify_client_cert(end_entity, intermediates, now)?;
        rustls::client::verify_server_name(&ParsedCertificate::try_from(end_entity)?, &self.name)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
