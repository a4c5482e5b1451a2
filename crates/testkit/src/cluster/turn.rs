//! A machine-wide turn: clusters whose timing is judged must not crowd each other out.
//!
//! A turn is an exclusive lock on a file in the temporary directory, which the kernel takes back when its process ends, however it
//! does. `DYNOMESH_TEST_CLUSTERS` says how many clusters may run at once on this machine; the default is one.

use std::fs::File;
use std::path::PathBuf;

use dynomesh_core::time::Span;

use crate::wait;

/// How long a test waits for its turn: behind all tests of a slow machine.
const WAIT_MAX: Span = Span::from_secs(2400);
/// Most clusters at once that can be asked for.
const TURNS_MAX: usize = 64;

/// The right to run a cluster, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    _locked: File,
}

impl Turn {
    /// Waits for a turn.
    pub(super) fn wait() -> Self {
        let turns = std::env::var("DYNOMESH_TEST_CLUSTERS").ok().and_then(|text| text.parse().ok()).unwrap_or(1).clamp(1, TURNS_MAX);
        wait::until("a turn to run a cluster on this machine", WAIT_MAX, || (0..turns).find_map(|n| Self::take(&path(n))))
    }

    fn take(path: &PathBuf) -> Option<Self> {
        let file = File::options().create(true).truncate(false).write(true).open(path);
        let file = file.unwrap_or_else(|error| panic!("open {}: {error}", path.display()));
        file.try_lock().ok().map(|()| Turn { _locked: file })
    }
}

fn path(n: usize) -> PathBuf {
    std::env::temp_dir().join(format!("dynomesh-test-cluster-{n}.lock"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_taken_once_and_given_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("turn.lock");
        let turn = Turn::take(&path).unwrap();
        assert!(Turn::take(&path).is_none());
        drop(turn);
        assert!(Turn::take(&path).is_some());
    }
}
