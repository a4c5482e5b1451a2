//! One daemon of this process: its configuration read, its process prepared, and then it runs until it is told to stop.

use std::error::Error;
use std::path::Path;

use dynomesh_runtime::config::{self, ConfigError};
use dynomesh_runtime::descriptors;
use dynomesh_runtime::shutdown::{self, Shutdown};
use dynomesh_runtime::telemetry;
use serde::de::DeserializeOwned;

use crate::args::Kind;
use crate::error::Failure;

/// Runs an edge, a replica of a block or of the control plane until SIGINT or SIGTERM.
pub(crate) fn run(kind: Kind, file: Option<&Path>) -> Result<(), Failure> {
    match kind {
        Kind::Edge => {
            let config = read::<dynomesh_edge::FileConfig, dynomesh_edge::Config>(kind, file)?;
            serve(kind.name(), async |shutdown| dynomesh_edge::run(config, shutdown).await)
        }
        Kind::Block => {
            let config = read::<dynomesh_block::FileConfig, dynomesh_block::Config>(kind, file)?;
            serve(kind.name(), async |shutdown| dynomesh_block::run(config, shutdown).await)
        }
        Kind::Control => {
            let config = read::<dynomesh_control::FileConfig, dynomesh_control::Config>(kind, file)?;
            serve(kind.name(), async |shutdown| dynomesh_control::run(config, shutdown).await)
        }
    }
}

/// Reads a configuration as its daemon would, environment included, and says of which kind it is.
pub(crate) fn check(file: &Path, kind: Option<Kind>) -> Result<Kind, Failure> {
    let kind = kind.map_or_else(|| detect(file), Ok)?;
    match kind {
        Kind::Edge => read::<dynomesh_edge::FileConfig, dynomesh_edge::Config>(kind, Some(file)).map(drop)?,
        Kind::Block => read::<dynomesh_block::FileConfig, dynomesh_block::Config>(kind, Some(file)).map(drop)?,
        Kind::Control => read::<dynomesh_control::FileConfig, dynomesh_control::Config>(kind, Some(file)).map(drop)?,
    }
    Ok(kind)
}

/// Prepares the process and runs a daemon on this thread; it starts the threads that carry requests by itself.
pub(crate) fn serve<E: Error>(kind: &str, daemon: impl AsyncFnOnce(Shutdown) -> Result<(), E>) -> Result<(), Failure> {
    let shutdown = prepare()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::failed("start a runtime", error))?;
    runtime.block_on(daemon(shutdown)).map_err(|error| Failure::failed(kind, error))
}

/// What every daemon of this process needs before it starts.
fn prepare() -> Result<Shutdown, Failure> {
    telemetry::init().map_err(Failure::refused)?;
    descriptors::raise();
    shutdown::exit_on_panic();
    shutdown::exit_with_parent().map_err(|error| Failure::failed("watch the parent process", error))?;
    Shutdown::on_signals().map_err(|error| Failure::failed("listen for signals", error))
}

fn read<F, C>(kind: Kind, file: Option<&Path>) -> Result<C, Failure>
where
    F: DeserializeOwned,
    C: TryFrom<F>,
    C::Error: std::fmt::Display,
{
    let written: F = config::load(file, kind.env_prefix()).map_err(|error: ConfigError| Failure::refused(error))?;
    C::try_from(written).map_err(|error| match file {
        Some(file) => Failure::refused(format!("{}: {error}", place(file, &error.to_string()))),
        None => Failure::refused(error),
    })
}

/// The file, and the line that sets the key which `problem` begins with; a default that does not fit the rest has no line.
fn place(file: &Path, problem: &str) -> String {
    let key = problem.trim_start_matches('`').split(|c: char| c == '`' || c == ':' || c.is_whitespace()).next().unwrap_or_default();
    let text = std::fs::read_to_string(file).unwrap_or_default();
    match line_of(&text, key) {
        Some(line) => format!("{}:{line}", file.display()),
        None => file.display().to_string(),
    }
}

/// Where a key in dotted form is set, counted from 1. For files that are known to be TOML.
fn line_of(text: &str, key: &str) -> Option<usize> {
    let mut table = String::new();
    for (number, line) in (1..).zip(text.lines().map(str::trim)) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            table = format!("{}.", name.trim());
        } else if let Some((name, _)) = line.split_once('=')
            && format!("{table}{}", name.trim()) == key
        {
            return Some(number);
        }
    }
    None
}

/// A block's file names its block, an edge's where it listens for clients; what is left is the control plane's.
fn detect(file: &Path) -> Result<Kind, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| Failure::refused(format!("{}: {error}", file.display())))?;
    // Of a file that is no TOML the reader says where it breaks, whatever its kind.
    let table: toml::Table = text.parse().unwrap_or_default();
    let kind =
        [(Kind::Block, &["block", "replica"][..]), (Kind::Edge, &["listen", "block_choice"]), (Kind::Control, &["data_dir", "grpc"])]
            .into_iter()
            .find(|(_, keys)| keys.iter().any(|key| table.contains_key(*key)))
            .map(|(kind, _)| kind);
    match kind {
        Some(kind) => Ok(kind),
        None if table.is_empty() => Ok(Kind::Edge),
        None => Err(Failure::refused(format!(
            "{}: no key tells what it configures: an edge has `listen`, a block `block`, a control replica `data_dir`; say it by --kind",
            file.display()
        ))),
    }
}

impl Kind {
    /// Its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Edge => "edge",
            Kind::Block => "block",
            Kind::Control => "control",
        }
    }

    /// How the environment variables that set its keys begin.
    fn env_prefix(self) -> &'static str {
        match self {
            Kind::Edge => "DYNOMESH_EDGE_",
            Kind::Block => "DYNOMESH_BLOCK_",
            Kind::Control => "DYNOMESH_CONTROL_",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_a_key_is_found_in_its_table() {
        let text = "threads = 0\n\n[limits]\n# idle = \"1s\"\nidle = \"1ms\"\n[retry]\nattempts = 0\n";
        assert_eq!(line_of(text, "threads"), Some(1));
        assert_eq!(line_of(text, "limits.idle"), Some(5));
        assert_eq!(line_of(text, "retry.attempts"), Some(7));
        assert_eq!(line_of(text, "retry.idle"), None);
    }
}
