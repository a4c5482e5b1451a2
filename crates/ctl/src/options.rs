//! Options that many commands share: whom to ask, what a write carries, whether to wait.

use std::fmt;
use std::path::PathBuf;

use dynomesh_core::time::Span;
use dynomesh_proto::admin::v1 as wire;

use crate::output::Format;

/// Longest time for an answer, repeats included, if `--timeout` does not say otherwise.
pub(crate) const CALL_DEFAULT: Span = Span::from_secs(20);
/// Longest wait for an effect, if `--timeout` does not say otherwise.
pub(crate) const WAIT_DEFAULT: Span = Span::from_secs(60);

const HEADING: &str = "Control plane";
const WRITES: &str = "Writes";

/// Options that stand anywhere on the line.
#[derive(Debug, Clone, clap::Args)]
pub struct Global {
    /// Control replicas to ask, HOST:PORT or https://HOST:PORT, several separated by commas: the next is asked when one does not answer
    #[arg(long, global = true, value_name = "ADDR", env = "DYNOMESH_ADMIN", default_value = crate::ADMIN_DEFAULT, hide_env_values = true, help_heading = HEADING)]
    pub admin: String,
    /// How results are written
    #[arg(short, long, global = true, value_name = "FORMAT", value_enum, default_value_t = Format::Table)]
    pub output: Format,
    /// Token that says who calls; better in a file, where other users of the machine do not see it
    #[arg(long, global = true, value_name = "TOKEN", env = "DYNOMESH_TOKEN", hide_env_values = true, help_heading = HEADING)]
    pub token: Option<Secret>,
    /// File that holds the token
    #[arg(long, global = true, value_name = "FILE", env = "DYNOMESH_TOKEN_FILE", hide_env_values = true, help_heading = HEADING)]
    pub token_file: Option<PathBuf>,
    /// Certificate of the authority that the control plane's certificate is checked against (PEM); makes addresses https
    #[arg(long, global = true, value_name = "FILE", env = "DYNOMESH_CA", hide_env_values = true, help_heading = HEADING)]
    pub ca: Option<PathBuf>,
    /// Certificate to show to the control plane (PEM); goes with --cert-key
    #[arg(long, global = true, value_name = "FILE", env = "DYNOMESH_CERT", hide_env_values = true, help_heading = HEADING)]
    pub cert: Option<PathBuf>,
    /// Private key of that certificate (PEM)
    #[arg(long, global = true, value_name = "FILE", env = "DYNOMESH_CERT_KEY", hide_env_values = true, help_heading = HEADING)]
    pub cert_key: Option<PathBuf>,
    /// Longest time for an answer [default: 20s], and with --wait for the effect [default: 1m], for example 500ms, 30s or 5m
    #[arg(long, global = true, value_name = "DURATION", help_heading = HEADING)]
    pub timeout: Option<Span>,
}

/// Text that is not shown in logs.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// The text itself.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Secret {
        Secret(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Secret {
        Secret(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// What every write may carry besides.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct WriteArgs {
    /// Idempotency key: a write sent again under its key has no second effect and gets the same answer [default: one is made]
    #[arg(long, value_name = "KEY", help_heading = WRITES)]
    pub key: Option<String>,
    /// Version (of a dyno: epoch) that it must still have, 0 if it must not exist; exit code 5 if it has another
    #[arg(long, value_name = "VERSION", help_heading = WRITES)]
    pub expect: Option<u64>,
}

impl WriteArgs {
    /// What goes with the request. Call it once per write: repeats of one write share its key.
    pub(crate) fn wire(&self) -> wire::WriteOptions {
        wire::WriteOptions { idempotency_key: self.key.clone().unwrap_or_else(new_key), expect_version: self.expect }
    }
}

/// A key that nobody else has.
pub(crate) fn new_key() -> String {
    format!("cli-{:032x}", rand::random::<u128>())
}

/// Whether to wait for the effect of a committed write.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct WaitArgs {
    /// Wait until the effect is there, with progress on stderr; exit code 4 when it does not come within --timeout
    #[arg(long, help_heading = WRITES)]
    pub wait: bool,
}
