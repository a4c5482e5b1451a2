//! Where this replica stands in the control group, and so what it may do.
//!
//! Only a leader whose first entry is applied publishes facts and takes note of what blocks report. A replica answers reads once it has
//! caught up after its start: before that its directory is whatever was on disk, and an empty list would be a lie. From then on it
//! answers always, also when it loses its leader: old truth is better than none, and `GetStatus` says what it is.

use std::time::Duration;

use dynomesh_consensus::{Replica, Role, State};
use dynomesh_core::id::Term;
use dynomesh_runtime::http::admin::Readiness;
use tokio::sync::watch;

use crate::directory::{Directory, DirectoryMachine, Progress};

/// Where a replica stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It belongs to no group yet.
    NotBootstrapped,
    /// It knows no leader, or has not applied what was committed before that leader.
    Behind,
    /// It follows a leader and has applied all that earlier leaders committed.
    Follows,
    /// It leads, and has applied all that earlier leaders committed.
    Leads,
}

/// Watches a replica's standing.
#[derive(Clone)]
pub(crate) struct Watch {
    replica: Replica<DirectoryMachine>,
    role: watch::Receiver<Role>,
    progress: watch::Receiver<Progress>,
}

/// The standing that follows from what is known.
pub(crate) fn standing(bootstrapped: bool, state: State, led_by_someone: bool, term: Term, led: Term) -> Standing {
    match state {
        _ if !bootstrapped => Standing::NotBootstrapped,
        State::Leader { ready: true } => Standing::Leads,
        State::Leader { ready: false } | State::Candidate => Standing::Behind,
        State::Follower | State::Learner if led_by_someone && led >= term => Standing::Follows,
        State::Follower | State::Learner => Standing::Behind,
    }
}

impl Watch {
    /// Watches this replica and the directory it applies.
    pub(crate) fn new(replica: Replica<DirectoryMachine>, directory: &Directory) -> Self {
        Watch { role: replica.role(), progress: directory.changes(), replica }
    }

    /// The standing now.
    pub(crate) fn now(&self) -> Standing {
        let role = self.role();
        let led = self.progress.borrow().led;
        standing(!self.replica.is_pristine(), role.state, role.leader.is_some(), role.term, led)
    }

    /// Whether it leads now.
    pub(crate) fn leads(&self) -> bool {
        self.now() == Standing::Leads
    }

    /// The role now.
    pub(crate) fn role(&self) -> Role {
        self.role.borrow().clone()
    }

    /// Returns when the standing or the directory may have changed since the last call.
    pub(crate) async fn changed(&mut self) {
        let gone = tokio::select! {
            role = self.role.changed() => role.is_err(),
            progress = self.progress.changed() => progress.is_err(),
        };
        if gone {
            // The replica is stopping: nothing will change any more, and whoever waits is told to stop by other means.
            std::future::pending::<()>().await;
        }
    }

    /// Waits until the replica has caught up, at most `longest`; whether it has.
    pub(crate) async fn caught_up(&self, longest: Duration) -> bool {
        let mut watch = self.clone();
        let wait = async {
            while !matches!(watch.now(), Standing::Follows | Standing::Leads) {
                watch.changed().await;
            }
        };
        tokio::time::timeout(longest, wait).await.is_ok()
    }
}

/// Tells readiness by the standing, until it is dropped.
pub(crate) async fn report(mut watch: Watch, ready: watch::Sender<Readiness>) {
    loop {
        ready.send_replace(match watch.now() {
            Standing::Leads => Readiness { ready: true, reason: "leads the control plane".into() },
            Standing::Follows => Readiness { ready: true, reason: "follows the control plane's leader".into() },
            Standing::Behind => Readiness::not_ready("hears of no leader, or has not caught up with it"),
            Standing::NotBootstrapped => {
                Readiness::not_ready("not bootstrapped: run `dynomesh control bootstrap` with the `grpc` addresses of all replicas")
            }
        });
        watch.changed().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_reads_only_what_it_has_caught_up_with() {
        let of = |state, led_by_someone, led| standing(true, state, led_by_someone, Term(5), Term(led));
        assert_eq!(of(State::Leader { ready: false }, true, 4), Standing::Behind);
        assert_eq!(of(State::Leader { ready: true }, true, 5), Standing::Leads);
        assert_eq!(of(State::Follower, true, 4), Standing::Behind);
        assert_eq!(of(State::Follower, true, 5), Standing::Follows);
        assert_eq!(of(State::Follower, false, 5), Standing::Behind);
        assert_eq!(of(State::Candidate, false, 5), Standing::Behind);
        assert_eq!(standing(false, State::Learner, false, Term(0), Term(0)), Standing::NotBootstrapped);
    }
}
