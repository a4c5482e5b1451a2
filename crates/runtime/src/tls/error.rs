//! Why TLS cannot be spoken as the settings say.

use std::io;
use std::path::PathBuf;

/// A setting that cannot be followed. One line, fit for a terminal: the setting, the file, and what is wrong with it.
#[derive(Debug, thiserror::Error)]
#[error("`{setting}`: {}{problem}", path.as_ref().map(|path| format!("{} ", path.display())).unwrap_or_default())]
pub struct TlsError {
    pub(super) setting: String,
    pub(super) path: Option<PathBuf>,
    pub(super) problem: Problem,
}

/// What is wrong.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    #[error("cannot be read: {0}")]
    Read(io::Error),
    #[error("is larger than {0} bytes")]
    Large(u64),
    #[error("is not PEM: it has no line `-----BEGIN ...-----`")]
    NotPem,
    #[error("is damaged PEM: {0}")]
    Damaged(String),
    #[error("holds no certificate")]
    NoCertificate,
    #[error("holds no private key")]
    NoKey,
    #[error("holds a key under a passphrase; it must be without one")]
    Passphrase,
    #[error("holds a certificate that cannot be used: {0}")]
    Certificate(String),
    #[error("holds a key that cannot be used: {0}")]
    Key(String),
    #[error("is not the key of the certificate in {}", .0.display())]
    Mismatch(PathBuf),
    #[error("cannot be used: {0}")]
    Refused(String),
}

impl TlsError {
    /// A refusal that no single file is to blame for.
    pub(super) fn setting(setting: &str, problem: impl std::fmt::Display) -> Self {
        TlsError { setting: setting.into(), path: None, problem: Problem::Refused(problem.to_string()) }
    }
}
