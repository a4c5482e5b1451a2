//! Disks: what comes back after a restart, and which disks are refused.

use std::net::TcpListener;

use dynomesh_consensus::*;
use dynomesh_core::id::Index;

use crate::cluster::*;

fn snapshot_often(options: &mut Options) {
    options.snapshot_every = 40;
    options.snapshot_keep = 5;
}

#[tokio::test]
async fn everything_is_back_after_all_replicas_were_killed() {
    let mut cluster = Cluster::group(3, |_| {}).await;
    for number in 1..=20 {
        cluster.add(number).await;
    }
    let ids: Vec<_> = cluster.alive().map(|(_, n)| (n.replica.id(), n.replica.group())).collect();
    (0..3).for_each(|at| cluster.kill(at));
    (0..3).for_each(|at| cluster.restart(at));
    cluster.add(21).await;
    cluster.converge(&(1..=21).collect::<Vec<_>>()).await;
    assert_eq!(cluster.alive().map(|(_, n)| (n.replica.id(), n.replica.group())).collect::<Vec<_>>(), ids);
}

#[tokio::test]
async fn a_follower_that_lagged_behind_the_purged_log_catches_up_by_a_snapshot() {
    let mut cluster = Cluster::group(3, snapshot_often).await;
    let leader = cluster.leader().await;
    let lagging = (leader + 1) % 3;
    cluster.kill(lagging);
    for number in 1..=300 {
        cluster.add(number).await;
    }
    // It is written beside the work, and may be on its way still.
    until("a snapshot", || (cluster.node(leader).replica.metrics().snapshot >= Index(200)).then_some(())).await;
    cluster.restart(lagging);
    let expected: Vec<u64> = (1..=300).collect();
    cluster.converge(&expected).await;
    cluster.add(301).await;
    // The snapshot it was sent is on its disk.
    cluster.kill(lagging);
    cluster.restart(lagging);
    cluster.converge(&(1..=301).collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn the_log_is_purged_behind_snapshots_and_a_restart_needs_only_the_rest() {
    let mut cluster = Cluster::group(1, |o| {
        snapshot_often(o);
        o.segment_len = 4_096;
    })
    .await;
    for number in 1..=1_200 {
        cluster.add(number).await;
    }
    let segments = || files(&cluster.path(0).join("log"), ".log").len();
    until("old segments to go", || (segments() < 12).then_some(())).await;
    cluster.kill(0);
    cluster.restart(0);
    cluster.add(1_201).await;
    cluster.converge(&(1..=1_201).collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn a_torn_tail_on_every_replica_is_cut_and_the_group_goes_on() {
    let mut cluster = Cluster::group(3, |_| {}).await;
    cluster.add(1).await;
    cluster.converge(&[1]).await;
    for at in 0..3 {
        cluster.kill(at);
        // Half a record behind the flushed end, as a power cut leaves it.
        let newest = files(&cluster.path(at).join("log"), ".log").pop().unwrap();
        let mut bytes = std::fs::read(&newest).unwrap();
        let end = bytes.iter().rposition(|byte| *byte != 0).unwrap().next_multiple_of(8);
        bytes[end + 8..end + 48].fill(0xa7);
        std::fs::write(&newest, bytes).unwrap();
    }
    (0..3).for_each(|at| cluster.restart(at));
    cluster.add(2).await;
    cluster.converge(&[1, 2]).await;
}

#[tokio::test]
async fn a_directory_in_use_and_one_of_another_group_are_refused() {
    let mut cluster = Cluster::group(1, |_| {}).await;
    let listener = || TcpListener::bind("127.0.0.1:0").unwrap();
    assert!(matches!(launch(cluster.options(0), listener()), Err(StartError::InUse { .. })));
    cluster.kill(0);
    let mut foreign = cluster.options(0);
    foreign.name = "b2".into();
    assert!(matches!(launch(foreign, listener()), Err(StartError::Foreign { .. })));
    let mut mad = cluster.options(0);
    mad.timers.election_max = mad.timers.election_min;
    assert!(matches!(launch(mad, listener()), Err(StartError::Options(_))));
    cluster.restart(0);
    cluster.leader().await;
}

#[tokio::test]
async fn a_lost_snapshot_refuses_to_start() {
    let mut cluster = Cluster::group(1, snapshot_often).await;
    for number in 1..=400 {
        cluster.add(number).await;
    }
    until("a snapshot", || (cluster.node(0).replica.metrics().snapshot > Index(300)).then_some(())).await;
    cluster.kill(0);
    let snapshot = cluster.path(0).join("snapshot");
    let bytes = std::fs::read(&snapshot).unwrap();
    let mut damaged = bytes.clone();
    *damaged.last_mut().unwrap() ^= 1;
    std::fs::write(&snapshot, &damaged).unwrap();
    let listener = || TcpListener::bind("127.0.0.1:0").unwrap();
    assert!(matches!(launch(cluster.options(0), listener()), Err(StartError::Corrupt { .. })));
    std::fs::remove_file(&snapshot).unwrap();
    assert!(matches!(launch(cluster.options(0), listener()), Err(StartError::Corrupt { .. })));
    std::fs::write(&snapshot, &bytes).unwrap();
    cluster.restart(0);
    cluster.converge(&(1..=400).collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn a_group_is_made_once_and_on_pristine_disks_only() {
    let cluster = Cluster::start(3, |_| {});
    assert!(cluster.alive().all(|(_, n)| n.replica.is_pristine()));
    let group = bootstrap_group(&cluster.addresses).await.unwrap();
    cluster.leader().await;
    until("all to join", || cluster.alive().all(|(_, n)| n.replica.group() == Some(group)).then_some(())).await;
    let again = bootstrap_group(&cluster.addresses).await;
    assert!(matches!(again, Err(BootstrapError::NotPristine { group: Some(has), .. }) if has == group), "{again:?}");
    let other = Cluster::start(1, |o| o.name = "b9".into());
    let mixed = [other.addresses[0], Cluster::start(1, |_| {}).addresses[0]];
    assert!(bootstrap_group(&mixed).await.is_err());
    assert!(matches!(bootstrap_group(&[]).await, Err(BootstrapError::Members(_))));
}

/// The disk as it is between the word that it belongs to a group and the group's first entry.
fn unfinished(dir: &std::path::Path) {
    mark_founding(dir);
    std::fs::remove_dir_all(dir.join("log")).unwrap();
}

fn mark_founding(dir: &std::path::Path) {
    let path = dir.join("identity.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let marked = text.replace("\"founding\": false", "\"founding\": true");
    assert_ne!(text, marked);
    std::fs::write(&path, marked).unwrap();
}

/// Fails when a disk belongs for ever to a group that never began.
#[tokio::test]
async fn a_replica_that_ended_before_its_group_began_takes_part_in_making_one() {
    let mut cluster = Cluster::start(3, |_| {});
    let member = |cluster: &Cluster, at: usize| {
        let address = cluster.addresses[at];
        Member { id: cluster.node(at).replica.id(), http: address, grpc: address }
    };
    // Each in a group of its own for now: the others are not to hear of it.
    for (at, group) in [(0, 7), (1, 8)] {
        let members = vec![member(&cluster, at)];
        cluster.node(at).replica.bootstrap(members, group_id(group)).await.unwrap();
        let id = cluster.node(at).replica.id();
        cluster.kill(at);
        unfinished(&cluster.path(at));
        cluster.restart(at);
        assert!(cluster.node(at).replica.is_pristine());
        assert_eq!(cluster.node(at).replica.id(), id, "it is the same disk");
    }
    let members: Vec<Member> = (0..3).map(|at| member(&cluster, at)).collect();
    // The same group again, by the one that was to begin it.
    cluster.node(0).replica.bootstrap(members, group_id(7)).await.unwrap();
    cluster.leader().await;
    cluster.add(1).await;
    cluster.converge(&[1]).await;
    assert!(cluster.alive().all(|(_, n)| n.replica.group() == Some(group_id(7))));
    // It has begun: it is not forgotten any more.
    cluster.kill(0);
    cluster.restart(0);
    assert_eq!(cluster.node(0).replica.group(), Some(group_id(7)));
}

#[tokio::test]
async fn a_replica_that_ended_before_its_group_began_is_taken_by_a_new_one() {
    let mut cluster = Cluster::group(1, |_| {}).await;
    let first = cluster.node(0).replica.group();
    cluster.kill(0);
    unfinished(&cluster.path(0));
    cluster.restart(0);
    let group = bootstrap_group(&cluster.addresses).await.unwrap();
    assert_ne!(first, Some(group));
    cluster.add(1).await;
    cluster.converge(&[1]).await;
}

/// Fails when a group that has begun is forgotten, and with it what was acknowledged in its name.
#[tokio::test]
async fn a_replica_that_ended_just_after_its_group_began_stays_in_it() {
    let mut cluster = Cluster::group(1, |_| {}).await;
    let group = cluster.node(0).replica.group();
    cluster.add(1).await;
    cluster.kill(0);
    mark_founding(&cluster.path(0));
    cluster.restart(0);
    assert_eq!(cluster.node(0).replica.group(), group);
    cluster.add(2).await;
    cluster.converge(&[1, 2]).await;
    // The mark is gone: it is no excuse for a log that is lost later.
    let text = std::fs::read_to_string(cluster.path(0).join("identity.json")).unwrap();
    assert!(text.contains("\"founding\": false"), "{text}");
}

#[tokio::test]
async fn a_replica_that_has_outlived_a_longer_lease_forgets_it() {
    let mut cluster = Cluster::group(1, |_| {}).await;
    cluster.leader().await;
    cluster.kill(0);
    cluster.tune = |options| options.timers.election_max = ms(300);
    cluster.restart(0);
    let path = cluster.path(0).join("identity.json");
    let kept = || std::fs::read_to_string(&path).unwrap();
    until("the longer lease to be forgotten", || kept().contains("\"lease_nanos\": 300000000").then_some(())).await;
}

#[tokio::test]
async fn bootstrap_refuses_a_member_list_that_makes_no_sense() {
    let cluster = Cluster::start(2, |_| {});
    let member = |at: usize| Member { id: cluster.node(at).replica.id(), http: cluster.addresses[at], grpc: cluster.addresses[at] };
    let replica = &cluster.node(0).replica;
    let group = group_id(7);
    assert!(matches!(replica.bootstrap(vec![member(1)], group).await, Err(BootstrapError::Members(_))));
    assert!(matches!(replica.bootstrap(vec![member(0), member(0)], group).await, Err(BootstrapError::Members(_))));
    assert!(replica.is_pristine(), "nothing was changed");
    replica.bootstrap(vec![member(0), member(1)], group).await.unwrap();
    cluster.leader().await;
}

#[tokio::test]
async fn a_disk_as_it_was_at_any_moment_holds_every_acknowledged_command() {
    let cluster = Cluster::group(1, |o| o.segment_len = 8_192).await;
    cluster.leader().await;
    for round in 0..20u64 {
        let last = round * 25 + 25;
        let replica = cluster.node(0).replica.clone();
        let acknowledged = last - 5;
        for number in round * 25 + 1..=acknowledged {
            soon(replica.propose(Command::Add(number))).await.unwrap();
        }
        // These race with the copy: they may be in it or not, but in order.
        let racing: Vec<_> = (acknowledged + 1..=last).map(|number| replica.propose(Command::Add(number))).collect();
        let image = tempfile::TempDir::new().unwrap();
        copy(&cluster.path(0), image.path());
        let mut options = cluster.options(0);
        options.dir = image.path().to_owned();
        let revived = launch(options, TcpListener::bind("127.0.0.1:0").unwrap()).unwrap();
        until("the copy to lead", || revived.role().is_ready_leader().then_some(())).await;
        let numbers = revived.numbers();
        assert!(numbers.len() as u64 >= acknowledged, "{} of {acknowledged} acknowledged commands", numbers.len());
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
        revived.kill();
        soon(futures::future::try_join_all(racing)).await.unwrap();
    }
}

/// What kill -9 would leave: the files as they are now.
fn copy(from: &std::path::Path, to: &std::path::Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else if let Ok(bytes) = std::fs::read(entry.path()) {
            std::fs::write(&target, bytes).unwrap();
        }
    }
}

/// A connection that is refused or closed at once fails at once: nothing but a pause of our own keeps a leader from asking a dead peer as
/// fast as a processor can.
#[tokio::test]
async fn a_dead_follower_does_not_keep_its_leader_busy() {
    let mut cluster = Cluster::group(3, |_| {}).await;
    let leader = cluster.leader().await;
    let dead = (leader + 1) % 3;
    let address = cluster.options(dead).grpc.socket();
    cluster.kill(dead);
    cluster.add(1).await;
    let grave = tokio::net::TcpListener::from_std(dynomesh_runtime::net::listen(address, "grpc").unwrap()).unwrap();
    let mut asked = 0;
    let counting = async {
        loop {
            drop(grave.accept().await);
            asked += 1;
        }
    };
    assert!(tokio::time::timeout(std::time::Duration::from_secs(1), counting).await.is_err());
    assert!((1..200).contains(&asked), "it was asked {asked} times within a second");
}
