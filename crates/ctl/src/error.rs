//! Why a command failed, in one sentence with a next step, and which exit code says so.

use std::error::Error;
use std::io;

use dynomesh_core::time::Span;
use tonic::Code;

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
    /// Nobody answers there.
    #[error("no control plane answers at {admin} ({reason}); is it running? give its address with --admin or DYNOMESH_ADMIN")]
    Unreachable {
        /// Where.
        admin: String,
        /// What the connection said.
        reason: String,
    },
    /// Somebody answers, but cannot serve this call now.
    #[error("the control plane at {admin} cannot answer now: {reason}; commands may be repeated safely")]
    Unavailable {
        /// Where.
        admin: String,
        /// What it said.
        reason: String,
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

impl CliError {
    /// The process's exit code: 1 refused by the control plane, 2 wrong usage, 3 not reachable, 4 committed but not yet in effect.
    pub fn exit_code(&self) -> u8 {
        match self {
            CliError::Refused(_) | CliError::Write(_) | CliError::Runtime(_) => 1,
            CliError::Admin { .. } | CliError::Format => 2,
            CliError::Unreachable { .. } | CliError::Unavailable { .. } | CliError::NotAdmin { .. } => 3,
            CliError::NotYet { .. } => 4,
        }
    }

    /// What a failed call of the admin API at `admin` means.
    pub(crate) fn from_status(admin: &str, status: &tonic::Status) -> CliError {
        let admin = admin.to_owned();
        let reason = status.message().to_owned();
        // A failed connection becomes a status on this side; only such a status has a cause.
        let transport = Error::source(status).is_some();
        match status.code() {
            Code::Unavailable | Code::Cancelled if transport => CliError::Unreachable { admin, reason: deepest(status) },
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::ResourceExhausted => {
                CliError::Unavailable { admin, reason }
            }
            Code::Unimplemented => CliError::NotAdmin { admin, reason },
            Code::Unknown | Code::Internal if transport || reason.is_empty() => CliError::NotAdmin { admin, reason: deepest(status) },
            _ => CliError::Refused(reason),
        }
    }
}

/// The last cause of an error, where the operating system's own word stands ("connection refused").
pub(crate) fn deepest(error: &(dyn Error + 'static)) -> String {
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    last.to_string()
}
