//! PEM files, read and judged.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::certificate::{self, Facts};
use super::error::{Problem, TlsError};
use super::provider;

/// Largest file that is read, in bytes: room for every authority there is.
const FILE_LEN_MAX: u64 = 4 << 20;

/// A file and the setting that names it.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub(super) setting: String,
    pub(super) path: PathBuf,
}

/// A certificate with its chain and key, and what is to be known of it.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) key: Arc<CertifiedKey>,
    pub(super) facts: Facts,
}

/// Authorities, and the earliest end of one of them.
#[derive(Debug)]
pub(super) struct Authorities {
    pub(super) roots: Arc<RootCertStore>,
    pub(super) not_after: i64,
}

impl Named {
    pub(super) fn new(setting: impl Into<String>, path: &Path) -> Self {
        Named { setting: setting.into(), path: path.into() }
    }

    fn refuse(&self, problem: Problem) -> TlsError {
        TlsError { setting: self.setting.clone(), path: Some(self.path.clone()), problem }
    }

    fn read(&self) -> Result<Vec<u8>, TlsError> {
        let mut text = Vec::new();
        let file = std::fs::File::open(&self.path).map_err(|cause| self.refuse(Problem::Read(cause)))?;
        file.take(FILE_LEN_MAX + 1).read_to_end(&mut text).map_err(|cause| self.refuse(Problem::Read(cause)))?;
        match u64::try_from(text.len()) {
            Ok(0..=FILE_LEN_MAX) if contains(&text, "-----BEGIN ") => Ok(text),
            Ok(0..=FILE_LEN_MAX) => Err(self.refuse(Problem::NotPem)),
            _ => Err(self.refuse(Problem::Large(FILE_LEN_MAX))),
        }
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let damaged = |error: pem::Error| self.refuse(Problem::Damaged(error.to_string()));
        let text = self.read()?;
        let found = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>().map_err(damaged)?;
        if found.is_empty() { Err(self.refuse(Problem::NoCertificate)) } else { Ok(found) }
    }

    fn private_key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        let text = self.read()?;
        PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
            self.refuse(match error {
                pem::Error::NoItemsFound if contains(&text, "ENCRYPTED PRIVATE KEY") => Problem::Passphrase,
                pem::Error::NoItemsFound => Problem::NoKey,
                error => Problem::Damaged(error.to_string()),
            })
        })
    }

    /// What is to be known of a certificate of this file; one out of its time is said, and used all the same: whoever runs this
    /// machine may know better than its clock, and a listener that does not start helps nobody.
    fn facts(&self, certificate: &CertificateDer<'_>) -> Result<Facts, TlsError> {
        let unreadable = || self.refuse(Problem::Certificate("its names and its time cannot be read".into()));
        let facts = certificate::read(certificate).ok_or_else(unreadable)?;
        let (setting, path, now) = (&self.setting, self.path.display(), unix_now());
        if facts.not_after < now {
            tracing::warn!(setting, %path, seconds_ago = now - facts.not_after, "the certificate has expired");
        } else if facts.not_before > now {
            tracing::warn!(setting, %path, seconds_until = facts.not_before - now, "the certificate is not valid yet");
        }
        Ok(facts)
    }
}

/// The certificate with its chain from one file, its key from another.
pub(super) fn identity(cert: &Named, key: &Named) -> Result<Identity, TlsError> {
    use rustls::{Error, InconsistentKeys};
    let chain = cert.certificates()?;
    let facts = cert.facts(&chain[0])?;
    let private = key.private_key()?;
    let unusable = |error: Error| key.refuse(Problem::Key(error.to_string()));
    let signer = provider().key_provider.load_private_key(private).map_err(unusable)?;
    let whole = CertifiedKey::new(chain, signer);
    match whole.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(Identity { key: Arc::new(whole), facts }),
        Err(Error::InconsistentKeys(_)) => Err(key.refuse(Problem::Mismatch(cert.path.clone()))),
        Err(error) => Err(cert.refuse(Problem::Certificate(error.to_string()))),
    }
}

/// The authorities of a file, one or more.
pub(super) fn authorities(file: &Named) -> Result<Authorities, TlsError> {
    let mut roots = RootCertStore::empty();
    let mut not_after = i64::MAX;
    for certificate in file.certificates()? {
        not_after = not_after.min(file.facts(&certificate)?.not_after);
        roots.add(certificate).map_err(|error| file.refuse(Problem::Certificate(error.to_string())))?;
    }
    Ok(Authorities { roots: Arc::new(roots), not_after })
}

/// Seconds since 1970.
pub(super) fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

fn contains(text: &[u8], part: &str) -> bool {
    text.windows(part.len()).any(|window| window == part.as_bytes())
}
