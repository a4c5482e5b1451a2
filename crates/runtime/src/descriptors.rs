//! How many files, and so connections, this process may open.
//!
//! The system counts against a soft limit, of 1,024 in most shells, which a process may raise as far as a hard one. Whoever starts daemons cares for the
//! second alone; the first is for programs that cannot live with many, as those that a daemon might start.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// Descriptors that are no client's: log files, listeners, other nodes, connections to the next tier that are kept.
const OTHERS: u64 = 1_024;

/// Raises the limit as far as this process may, and says how far that is.
pub fn raise() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        warn!(?current, ?maximum, %error, "the limit of open files cannot be raised");
    }
    allowed()
}

/// Warns if `connections`, which `setting` allows, are more than this process may open.
pub fn expect(connections: usize, setting: &str) {
    let (allowed, needed) = (allowed(), u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(OTHERS));
    if allowed < needed {
        warn!(
            allowed,
            needed, setting, "this process may open fewer files than its settings ask for: raise its limit (`ulimit -n`, `LimitNOFILE`)"
        );
    }
}

/// How many it may open now.
fn allowed() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_to_the_hard_one() {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: current.map(|soft| soft.min(512)), maximum }).unwrap();
        assert!(allowed() <= 512);
        assert_eq!(raise(), maximum.unwrap_or(u64::MAX));
    }
}
