//! How this program fails: one line on stderr with its whole chain of causes, and an exit code that tells who has to act.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

/// Something went wrong while running.
const FAILED: u8 = 1;
/// The command line or a configuration is wrong; nothing was started. Clap uses the same code.
const REFUSED: u8 = 2;

/// Why the program ends.
#[derive(Debug)]
pub(crate) struct Failure {
    text: String,
    code: u8,
}

impl Failure {
    /// The user's input is to be changed.
    pub(crate) fn refused(problem: impl fmt::Display) -> Self {
        Failure { text: problem.to_string(), code: REFUSED }
    }

    /// `what` did not work, and why.
    pub(crate) fn failed(what: &str, error: impl Error) -> Self {
        Failure { text: format!("{what}: {}", chain(&error)), code: FAILED }
    }

    /// Says so and gives the exit code.
    pub(crate) fn report(self) -> ExitCode {
        eprintln!("dynomesh: {self}");
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// An error and its causes; a cause that its effect has already told is not told again.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let told = error.to_string();
        if !text.ends_with(&told) {
            text = format!("{text}: {told}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{told}")]
    struct Told {
        told: &'static str,
        source: Option<Box<Told>>,
    }

    #[test]
    fn causes_are_told_once() {
        let deepest = Told { told: "refused", source: None };
        let middle = Told { told: "connect: refused", source: Some(Box::new(deepest)) };
        let error = Told { told: "start", source: Some(Box::new(middle)) };
        assert_eq!(Failure::failed("dev", error).to_string(), "dev: start: connect: refused");
    }
}
