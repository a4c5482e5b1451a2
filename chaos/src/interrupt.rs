//! SIGINT and SIGTERM in the middle of a run: everything it made is taken away, and the process ends.
//!
//! A thread of its own does that, not the one that drives the run: that one may be waiting for a minute for answers that no longer come.

use std::process;
use std::thread;

use anyhow::{Context, Result};
use dynomesh_core::time::Span;
use dynomesh_runtime::shutdown::Shutdown;

use crate::making::GATE;
use crate::net::clean;

/// How often it is looked whether a signal has come.
const LOOK: Span = Span::from_millis(20);
/// Exit code then. A second signal ends the process at once, with this code too and whatever is left; `clean` takes that away.
const INTERRUPTED: i32 = 130;

/// From now on a signal ends this process in order.
pub(crate) fn watch() -> Result<()> {
    let shutdown = Shutdown::on_signals().context("listen for SIGINT and SIGTERM")?;
    let wait = move || {
        while !shutdown.is_set() {
            thread::sleep(LOOK.to_std());
        }
        end()
    };
    thread::Builder::new().name("interrupted".into()).spawn(wait).context("start the thread that waits for signals")?;
    Ok(())
}

/// Ends this process, and nothing is left of its run but its files.
fn end() {
    GATE.close();
    println!("{}", told(clean::remove_own()));
    process::exit(INTERRUPTED);
}

fn told(removed: Result<clean::Removed>) -> String {
    match removed {
        Ok(removed) => format!("interrupted: nothing is judged; {removed}"),
        Err(error) => format!("interrupted: nothing is judged; something stays behind, which `dynomesh-chaos clean` takes away: {error:#}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_says_what_became_of_what_was_made() {
        let removed = clean::Removed { namespaces: 13, processes: 24 };
        assert_eq!(told(Ok(removed)), "interrupted: nothing is judged; 13 namespaces taken away, 24 processes in them ended");
        let failed = told(Err(anyhow::anyhow!("busy")));
        assert!(failed.starts_with("interrupted: ") && failed.contains("clean") && failed.contains("busy"), "{failed}");
    }
}
