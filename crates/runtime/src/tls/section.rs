//! The settings as written.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use rustls::pki_types::{DnsName, ServerName};
use serde::{Deserialize, Serialize};

use super::files::Named;
use crate::config::ConfigError;

/// Most certificates of one listener.
const CERTIFICATES_MAX: usize = 1000;
/// The name that certificates between the tiers carry, unless said otherwise.
const TIERS_NAME: &str = "dynomesh";

/// TLS towards clients, the section `[tls]` of an edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsSection {
    /// Where clients connect by TLS, beside the address for those who do not.
    pub listen: SocketAddr,
    /// What is shown, by the names the certificates carry; the first also to who asks for another name, or none.
    pub certificates: Vec<CertificateFiles>,
    /// Whether clients show a certificate.
    #[serde(default)]
    pub client_auth: ClientAuth,
    /// Whose certificates clients may show. With `client_auth` other than `off`, and only then.
    #[serde(default)]
    pub client_ca: Option<PathBuf>,
    /// The oldest version spoken.
    #[serde(default)]
    pub min_version: MinVersion,
    /// Refuses clients that ask for a name no certificate carries, or for none.
    #[serde(default)]
    pub strict_sni: bool,
}

/// A certificate and its key, as PEM files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateFiles {
    /// The certificate, and behind it those that lead to an authority clients know.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Whether clients show a certificate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuth {
    /// They are not asked.
    #[default]
    Off,
    /// They are asked and may do without; one that is shown must be good.
    Optional,
    /// Without a good one there is no connection.
    Required,
}

/// The oldest version spoken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MinVersion {
    /// TLS 1.2 and 1.3.
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3 alone.
    #[serde(rename = "1.3")]
    Tls13,
}

/// Mutual TLS between edges and blocks, the section `[tiers]` of both. With it a block speaks nothing else to edges.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TiersSection {
    /// The authorities that sign for the mesh, one or more in a PEM file: while they are changed, old and new.
    pub ca: PathBuf,
    /// This node's certificate, for both sides of a connection.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The DNS name that every node's certificate carries: the authorities may sign for others too.
    #[serde(default)]
    pub name: TiersName,
}

/// A DNS name.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TiersName(DnsName<'static>);

// === impl TlsSection ===

impl TlsSection {
    /// Checks what the settings mean to each other; the files are looked at when they are used.
    pub fn check(&self) -> Result<(), ConfigError> {
        let refuse = |key: &str, problem: &str| Err(ConfigError::setting(key, problem));
        match (self.client_auth, &self.client_ca) {
            _ if self.certificates.is_empty() => refuse("tls.certificates", "must name at least one `{ cert = \"...\", key = \"...\" }`"),
            _ if self.certificates.len() > CERTIFICATES_MAX => refuse("tls.certificates", "must be at most 1000"),
            (ClientAuth::Off, Some(_)) => refuse("tls.client_ca", "has no use while `tls.client_auth` is off"),
            (ClientAuth::Optional | ClientAuth::Required, None) => {
                refuse("tls.client_ca", "must name a file of authorities, since `tls.client_auth` asks for certificates")
            }
            _ => Ok(()),
        }
    }

    /// Certificates and keys, in order.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (Named, Named)> {
        let named = |number: usize, what: &str, path| Named::new(format!("tls.certificates[{number}].{what}"), path);
        let pairs = self.certificates.iter().enumerate();
        pairs.map(move |(number, pair)| (named(number, "cert", &pair.cert), named(number, "key", &pair.key)))
    }

    pub(super) fn authorities(&self) -> Option<Named> {
        self.client_ca.as_ref().map(|path| Named::new("tls.client_ca", path))
    }
}

// === impl TiersName ===

impl TiersName {
    pub(super) fn server_name(&self) -> ServerName<'static> {
        ServerName::DnsName(self.0.clone())
    }
}

impl Default for TiersName {
    fn default() -> Self {
        TiersName(DnsName::try_from(TIERS_NAME).expect("the default is a DNS name"))
    }
}

impl TryFrom<String> for TiersName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        DnsName::try_from(name.clone()).map(TiersName).map_err(|_| format!("{name:?} must be a DNS name"))
    }
}

impl From<TiersName> for String {
    fn from(name: TiersName) -> String {
        name.0.as_ref().into()
    }
}

impl fmt::Debug for TiersName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_ref())
    }
}
