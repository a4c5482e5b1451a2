//! TLS on the data path: towards clients as the server, and between the tiers on both sides.
//!
//! Everything comes from files, and files change while connections live: certificates are renewed, authorities replaced, secrets swapped
//! by a symbolic link. So a configuration is made of its files as a whole, checked as a whole, and only then used, for connections that
//! begin after that; those that are open keep what they began with. Files that cannot be used change nothing but a log line and a count.
//!
//! TLS 1.2 and 1.3 only, by `ring`, which is named wherever a configuration is made: the process has no default to depend on. There is no
//! early data: a request that could be replayed would run twice.
//!
//! | module | what it holds |
//! |---|---|
//! | `section` | the settings as written |
//! | `files` | PEM files read and judged, with errors that name the setting and the file |
//! | [`certificate`] | the few fields of X.509 that nobody else reads for us |
//! | `store` | which certificate is shown to whom |
//! | `server`, `client` | a handshake on either side |
//! | `tiers` | mutual TLS between edges and blocks |
//! | `kept` | a configuration and the files it was made of; [`watch`] makes it again when they change |

pub mod certificate;
mod client;
mod error;
mod files;
mod kept;
mod metrics;
mod section;
mod server;
mod store;
#[cfg(test)]
mod tests;
mod tiers;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

pub use client::ClientTls;
pub use error::TlsError;
pub use kept::{Files, LOOK, watch};
pub use metrics::TlsMetrics;
pub use section::{CertificateFiles, ClientAuth, MinVersion, TiersName, TiersSection, TlsSection};
pub use server::ServerTls;

/// HTTP/2 and HTTP/1.1 by their names in TLS (RFC 9113, section 3.2; RFC 7301, section 6).
pub(crate) const ALPN_HTTP2: &[u8] = b"h2";
const ALPN_HTTP1: &[u8] = b"http/1.1";

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
