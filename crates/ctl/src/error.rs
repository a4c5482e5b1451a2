//! Why a command failed, in one sentence with a next step, and which exit code says so.

use std::error::Error;
use std::io;

use dynomesh_core::time::Span;
use tonic::Code;

/// What each exit code says, for help texts.
pub const EXIT_CODES: &str = "\
0  done; of a write: committed, and with --wait in effect
1  refused by the control plane, or failed on this side
2  wrong usage; nothing was sent
3  no control plane can be reached, or none can answer now; commands may be repeated safely
4  committed, but not yet in effect when the time was up
5  changed by somebody else since it was looked at (--expect)
6  not allowed: no token or certificate, or one whose role does not suffice";

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// `--admin` is not an address.
    #[error("--admin {value:?} is not an address; write HOST:PORT, for example 127.0.0.1:7070")]
    Admin {
        /// What was given.
        value: String,
    },
    /// A form of output that only the simulator has.
    #[error("only `dynomesh sim` writes this form; write -o table or -o json")]
    Format,
    /// The line or a file it names is wrong; says what would be right.
    #[error("{0}")]
    Usage(String),
    /// Nobody answers there.
    #[error("no control plane answers at {admin} ({reason}); is it running? give its address with --admin or DYNOMESH_ADMIN")]
    Unreachable {
        /// Where.
        admin: String,
        /// What the connection said.
        reason: String,
    },
    /// Somebody answers, but cannot serve this call now.
    #[error("the control plane at {admin} cannot answer now: {reason}; {}", again(.key.as_deref()))]
    Unavailable {
        /// Where.
        admin: String,
        /// What it said.
        reason: String,
        /// The key of the write that may have happened.
        key: Option<String>,
    },
    /// The server at that address is no admin API.
    #[error("{admin} is not a dynomesh admin API ({reason}); `grpc` in the control plane's configuration is the address to give")]
    NotAdmin {
        /// Where.
        admin: String,
        /// What it said.
        reason: String,
    },
    /// The control plane said no.
    #[error("{0}")]
    Refused(String),
    /// Some of many were refused.
    #[error("{refused} of {all} dynos were refused, the others are added; mend the refused ones and send all again: what is there stays")]
    Partly {
        /// How many.
        refused: usize,
        /// Of how many.
        all: usize,
    },
    /// It is not as the caller believed.
    #[error("{0}; nothing was changed: look again and decide with the version it has now")]
    Changed(String),
    /// The caller may not.
    #[error("{0}; say who calls with --token-file (or DYNOMESH_TOKEN_FILE), or with --cert and --cert-key")]
    NotAllowed(String),
    /// The write is committed, but its effect did not come in time.
    #[error("committed, but after {waited} {what}; see `dynomesh dyno list` and `dynomesh status`")]
    NotYet {
        /// How long was waited.
        waited: Span,
        /// What was still missing.
        what: String,
    },
    /// Results could not be written.
    #[error("write to stdout: {0}")]
    Write(#[source] io::Error),
    /// The command could not even start.
    #[error("start a runtime: {0}")]
    Runtime(#[source] io::Error),
}

fn again(key: Option<&str>) -> String {
    match key {
        Some(key) => {
            format!("whether the write happened is not known: the same command with --key {key} finishes it and has no second effect")
        }
        None => "commands may be repeated safely".into(),
    }
}

impl CliError {
    /// The process's exit code, as [`EXIT_CODES`] tells users.
    pub fn exit_code(&self) -> u8 {
        match self {
            CliError::Refused(_) | CliError::Partly { .. } | CliError::Write(_) | CliError::Runtime(_) => 1,
            CliError::Admin { .. } | CliError::Format | CliError::Usage(_) => 2,
            CliError::Unreachable { .. } | CliError::Unavailable { .. } | CliError::NotAdmin { .. } => 3,
            CliError::NotYet { .. } => 4,
            CliError::Changed(_) => 5,
            CliError::NotAllowed(_) => 6,
        }
    }

    /// The same, of a write under this key.
    pub(crate) fn under(self, written: String) -> CliError {
        match self {
            CliError::Unavailable { admin, reason, .. } => CliError::Unavailable { admin, reason, key: Some(written) },
            other => other,
        }
    }

    /// What a failed call of the admin API at `admin` means.
    pub(crate) fn from_status(admin: &str, status: &tonic::Status) -> CliError {
        let admin = admin.to_owned();
        let reason = status.message().to_owned();
        // A failed connection becomes a status on this side; only such a status has a cause.
        let transport = Error::source(status).is_some();
        match status.code() {
            _ if has::<tonic::ConnectError>(status) => CliError::Unreachable { admin, reason: deepest(status) },
            _ if has::<tonic::TimeoutExpired>(status) => {
                CliError::Unavailable { admin, reason: "it does not answer in time".into(), key: None }
            }
            _ if transport && broke_off(status) => {
                CliError::Unavailable { admin, reason: format!("the connection broke ({})", deepest(status)), key: None }
            }
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::ResourceExhausted => {
                CliError::Unavailable { admin, reason: if transport { deepest(status) } else { reason }, key: None }
            }
            Code::Unimplemented => CliError::NotAdmin { admin, reason },
            Code::Unknown | Code::Internal if transport || reason.is_empty() => CliError::NotAdmin { admin, reason: deepest(status) },
            Code::Aborted => CliError::Changed(reason),
            Code::Unauthenticated | Code::PermissionDenied => CliError::NotAllowed(reason),
            _ => CliError::Refused(reason),
        }
    }
}

/// Whether a connection that stood was cut, as by the death of the other side.
fn broke_off(status: &tonic::Status) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof};
    let cut = |error: &io::Error| matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof);
    causes(status).any(|cause| cause.downcast_ref::<io::Error>().is_some_and(cut))
}

fn has<E: Error + 'static>(status: &tonic::Status) -> bool {
    causes(status).any(|cause| cause.is::<E>())
}

/// An error and all its causes.
fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// The last cause of an error, where the operating system's own word stands ("connection refused").
pub(crate) fn deepest(error: &(dyn Error + 'static)) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}
