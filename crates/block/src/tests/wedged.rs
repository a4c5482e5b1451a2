//! A replica whose data threads are stuck (P6).

use dynomesh_core::app::Phase;
use dynomesh_core::time::Span;

use super::replica::found_with;
use super::*;

/// Which of them serves.
#[track_caller]
fn serving(replicas: &[Running]) -> usize {
    let serves = |replica: &Running| replica.ask("/wait/1").contains("200 OK");
    until("a request is served", || replicas.iter().position(serves))
}

/// For the first replica, which begins the group, every thread is too late at every moment: it stands where nobody else does, and leads
/// without a lease. Fails when it keeps the office: its heartbeats keep all others from standing, and the block serves nobody.
#[test]
fn a_stuck_replica_leaves_the_office_to_others_and_does_not_take_it_while_they_can_lead() {
    let dir = tempfile::tempdir().unwrap();
    let mut directory = PlayedDirectory::start("127.0.0.1:0".parse().unwrap());
    let dyno = PlayedDyno::start("d1");
    let stuck = "b1-1";
    let (mut replicas, _) = found_with(dir.path(), 3, &[directory.address()], |config| {
        if config.replica.as_str() == stuck {
            config.limits.worker_late = Span::ZERO;
        }
    });
    until("its threads are late", || (replicas[0].metric("dynomesh_block_wedged_total") == 1.0).then_some(()));
    let epoch = directory.assign(&dyno, Some("b1"), false, Span::from_secs(30));
    directory.await_owned(epoch, Phase::Active);
    let first = serving(&replicas);
    assert_ne!(replicas[first].name(), stuck, "a request is served by it");
    // With that one gone it has a vote, and the last of them leads.
    drop(replicas.remove(first));
    let second = serving(&replicas);
    assert_ne!(replicas[second].name(), stuck, "a request is served by it");
}
