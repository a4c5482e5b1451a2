//! Why a command of the simulator failed, in one sentence with a next step, and which exit code says so.

use std::io;
use std::path::PathBuf;

use crate::report::golden::Miss;
use crate::scenario::{Broken, ScenarioError};
use crate::size::SizeError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// A scenario cannot be run as it is written.
    #[error("{0}")]
    Scenario(#[from] ScenarioError),
    /// A question about sizes has no answer.
    #[error("{0}")]
    Size(#[from] SizeError),
    /// A file that would be written is there already.
    #[error("{} exists; nothing was simulated; choose another name, or write over it with --force", path.display())]
    Exists {
        /// Which.
        path: PathBuf,
    },
    /// Two results would go to one file.
    #[error("{} is given for two results; give each a file of its own", path.display())]
    Twice {
        /// Which.
        path: PathBuf,
    },
    /// No study has this name.
    #[error("no study is called {name:?}; the studies are {}", known.join(", "))]
    NoStudy {
        /// What was given.
        name: String,
        /// What there is.
        known: Vec<&'static str>,
    },
    /// A result could not be written to its file.
    #[error("write {}: {cause}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// A result could not be written to stdout.
    #[error("write to stdout: {0}")]
    Stdout(#[source] io::Error),
    /// The reference table does not say what it must.
    #[error("the reference table is off: {}", told(.0))]
    Off(Vec<Miss>),
    /// A scenario does not keep what it promises.
    #[error("the results break what the scenario promises: {}", told(.0))]
    Broken(Vec<Broken>),
}

impl SimError {
    /// The process's exit code: 2 for a command line or a scenario that has to be changed, before anything was done; 1 for all else.
    pub fn exit_code(&self) -> u8 {
        match self {
            SimError::Scenario(_) | SimError::Size(_) | SimError::Exists { .. } | SimError::Twice { .. } | SimError::NoStudy { .. } => 2,
            SimError::Write { .. } | SimError::Stdout(_) | SimError::Off(_) | SimError::Broken(_) => 1,
        }
    }
}

fn told<T: ToString>(misses: &[T]) -> String {
    misses.iter().map(T::to_string).collect::<Vec<_>>().join("; ")
}
