//! A block that was evicted, while it ran or while it was away, one that hears of nobody (P16), and one whose name is another's (P5).

use std::path::Path;
use std::time::Instant;

use dynomesh_core::app::Phase;
use dynomesh_core::map::fact::NodeRole;
use dynomesh_core::time::Span;

use super::replica::{found_with, free, pass};
use super::*;
use crate::config::Config;

const LONG: Span = Span::from_secs(30);

/// Sets a replica up as this one of this block.
fn set_up(config: &mut Config, dir: &Path, block: &str, replica: &str) {
    config.block = block.parse().unwrap();
    config.replica = replica.parse().unwrap();
    config.data_dir = dir.join(replica);
    config.gossip.node = config.replica.clone();
    config.gossip.generation_file = Some(dir.join(format!("{replica}.generation")));
}

/// An evicted block takes nothing new, finishes what runs, releases, and says what is to be done.
#[test]
fn an_evicted_block_refuses_at_once_and_releases_what_it_had() {
    let dir = tempfile::tempdir().unwrap();
    let mut directory = PlayedDirectory::start("127.0.0.1:0".parse().unwrap());
    let dyno = PlayedDyno::start("d1");
    let (replicas, group) = found(dir.path(), 1, &[directory.address()]);
    let block = &replicas[0];
    let epoch = directory.assign(&dyno, Some("b1"), false, LONG);
    directory.await_owned(epoch, Phase::Active);
    let serves = || block.ask("/wait/1").contains("200 OK").then_some(());
    until("it has heard the map and serves", serves);
    let mut hop = block.send("/stream/1000").unwrap();
    hop.read_until("first");

    // The directory moves all it had elsewhere in the same breath; here the block hears of the eviction alone first.
    directory.evict(group);
    until("requests are refused", || block.ask("/wait/1").contains("x-dynomesh-reason: evicted").then_some(()));
    let refused = block.ask("/wait/1");
    assert!(refused.contains("503") && refused.contains("x-dynomesh-verdict: not-dispatched"), "{refused}");
    until("it says that it is not ready", || block.admin("/readyz").contains("evicted").then_some(()));
    assert_eq!(block.metric("dynomesh_block_evicted"), 1.0);
    let (got, _) = hop.finish();
    assert!(super::replica::is_whole(&got), "what runs is finished: {got}");
    directory.await_released(epoch);
    assert_eq!(dyno.requests(), 2);

    // A successor under the same name is not meant by it.
    directory.assign(&dyno, Some("b1"), false, LONG);
    pass(300);
    assert!(block.ask("/wait/1").contains("x-dynomesh-reason: evicted"));
    assert_eq!(dyno.requests(), 2);
}

/// The block comes back with its disks, leads at once, and hears the map a little later: until then it grants nothing. Fails when a fresh
/// process grants before it has heard the map.
#[test]
fn a_block_evicted_while_it_was_away_dispatches_nothing_on_its_return() {
    let dir = tempfile::tempdir().unwrap();
    let mut directory = PlayedDirectory::start("127.0.0.1:0".parse().unwrap());
    let dyno = PlayedDyno::start("d1");
    let address = directory.address();
    let (mut replicas, group) = found(dir.path(), 1, &[address]);
    let epoch = directory.assign(&dyno, Some("b1"), false, LONG);
    directory.await_owned(epoch, Phase::Active);
    until("it has heard the map and serves", || replicas[0].ask("/wait/1").contains("200 OK").then_some(()));
    let mut config = replicas.remove(0).stop();
    // Longer than this test needs, so that a slow machine does not end the wait.
    config.limits.map_wait = Span::from_secs(10);
    drop(directory);

    let block = Running::start(config);
    until("it leads and waits", || {
        (block.admin("/metrics").contains("dynomesh_block_map_waits_total") && block.metric("dynomesh_block_map_waits_total") == 1.0)
            .then_some(())
    });
    for _ in 0..20 {
        let refused = block.ask("/wait/1");
        assert!(refused.contains("x-dynomesh-verdict: not-dispatched"), "{refused}");
    }
    let mut directory = PlayedDirectory::start(address);
    directory.evict(group);
    until("it finds itself evicted", || block.ask("/wait/1").contains("x-dynomesh-reason: evicted").then_some(()));
    assert_eq!(dyno.requests(), 1, "it dispatched after its return");
    directory.await_released(epoch);
}

/// Everything was stopped, and control comes back last: a block that heard of the eviction before tells the evicted one. Fails when what was
/// heard of evictions dies with the processes.
#[test]
fn after_a_cold_start_without_control_an_evicted_block_hears_of_it_from_another() {
    let dir = tempfile::tempdir().unwrap();
    let mut directory = PlayedDirectory::start("127.0.0.1:0".parse().unwrap());
    let dyno = PlayedDyno::start("d1");
    let (mut replicas, group) = found(dir.path(), 1, &[directory.address()]);
    let epoch = directory.assign(&dyno, Some("b1"), false, LONG);
    directory.await_owned(epoch, Phase::Active);
    let mut evicted = replicas.remove(0).stop();
    let (mut others, _) = found_with(dir.path(), 1, &[directory.address()], |config| set_up(config, dir.path(), "b2", "b2-1"));
    directory.evict(group);
    let file = others[0].config.data_dir.join("evictions");
    until("the other block has written it down", || std::fs::read_to_string(&file).ok().filter(|text| text.contains(&group.to_string())));
    let other = others.remove(0).stop();
    drop(directory);

    let other = Running::start(other);
    evicted.gossip.seeds = vec![other.config.gossip.listen.to_string()];
    evicted.limits.map_wait = Span::from_secs(10);
    let block = Running::start(evicted);
    until("it finds itself evicted", || block.admin("/readyz").contains("evicted").then_some(()));
    assert!(block.ask("/wait/1").contains("x-dynomesh-reason: evicted"));
    assert_eq!(dyno.requests(), 0);
}

/// It hears of nobody after its return, and knows it all the same.
#[test]
fn a_block_that_has_heard_of_its_eviction_knows_it_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut directory = PlayedDirectory::start("127.0.0.1:0".parse().unwrap());
    let dyno = PlayedDyno::start("d1");
    let (mut replicas, group) = found(dir.path(), 1, &[directory.address()]);
    let epoch = directory.assign(&dyno, Some("b1"), false, LONG);
    directory.await_owned(epoch, Phase::Active);
    directory.evict(group);
    let file = replicas[0].config.data_dir.join("evictions");
    until("it has written it down", || std::fs::read_to_string(&file).ok().filter(|text| text.contains(&group.to_string())));
    let mut config = replicas.remove(0).stop();
    drop(directory);
    config.gossip.seeds = vec![free().to_string()];
    let block = Running::start(config);
    until("it finds itself evicted", || block.admin("/readyz").contains("evicted").then_some(()));
    assert_eq!(dyno.requests(), 0);
}

/// `routes-alone`: with nobody there to tell, what the log says stands.
#[test]
fn a_block_that_hears_of_nobody_serves_after_the_wait() {
    let dir = tempfile::tempdir().unwrap();
    let mut directory = PlayedDirectory::start("127.0.0.1:0".parse().unwrap());
    let dyno = PlayedDyno::start("d1");
    let (mut replicas, _) = found(dir.path(), 1, &[directory.address()]);
    let epoch = directory.assign(&dyno, Some("b1"), false, LONG);
    directory.await_owned(epoch, Phase::Active);
    let mut config = replicas.remove(0).stop();
    config.gossip.seeds = vec![free().to_string()];
    config.limits.map_wait = Span::from_millis(1_500);
    drop(directory);
    let started = Instant::now();
    let block = Running::start(config);
    until("it serves", || block.ask("/wait/1").contains("200 OK").then_some(()));
    assert!(started.elapsed().as_millis() >= 1_500, "it served after {:?}", started.elapsed());
    assert_eq!(dyno.requests(), 1);
}

/// Replicas are set up a second time under the name of a block that lives. Fails when a group takes what is assigned to another of its name.
#[test]
fn a_second_group_under_the_name_of_a_block_takes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut directory = PlayedDirectory::start("127.0.0.1:0".parse().unwrap());
    let dyno = PlayedDyno::start("d1");
    let (replicas, group) = found(dir.path(), 1, &[directory.address()]);
    let epoch = directory.assign(&dyno, Some("b1"), false, LONG);
    directory.await_owned(epoch, Phase::Active);
    let (seconds, second) = found_with(dir.path(), 1, &[directory.address()], |config| set_up(config, dir.path(), "b1", "b1-9"));
    assert_ne!(group, second);
    until("it finds its name taken", || seconds[0].admin("/readyz").contains("another group").then_some(()));

    let epoch = directory.assign(&dyno, Some("b1"), false, LONG);
    directory.await_owned(epoch, Phase::Active);
    assert!(seconds[0].ask("/wait/1").contains("x-dynomesh-verdict: not-dispatched"));
    until("the block serves", || replicas[0].ask("/wait/1").contains("200 OK").then_some(()));
    assert_eq!(directory.view().owner(&super::directory::d1()).and_then(|owner| owner.group), Some(group));
    assert_eq!(dyno.requests(), 1);
}

/// What the block says of itself is enough to find it, and to recover a lost directory.
#[test]
fn a_block_tells_its_replicas_its_zone_and_its_assignments() {
    let dir = tempfile::tempdir().unwrap();
    let mut directory = PlayedDirectory::start("127.0.0.1:0".parse().unwrap());
    let dyno = PlayedDyno::start("d1");
    let (replicas, group) = found(dir.path(), 1, &[directory.address()]);
    let cut = Span::from_secs(7);
    let epoch = directory.assign(&dyno, Some("b1"), false, cut);
    directory.await_owned(epoch, Phase::Active);
    let said = directory.view().assignment(&super::directory::d1()).cloned();
    drop(directory);

    // Another directory that knows nothing hears all of it from the block.
    let directory = PlayedDirectory::start("127.0.0.1:0".parse().unwrap());
    drop(
        replicas
            .into_iter()
            .map(Running::stop)
            .map(|mut config| {
                config.gossip.seeds = vec![directory.address().to_string()];
                let block = Running::start(config);
                let heard = until("the assignment is said", || directory.view().assignment(&super::directory::d1()).cloned());
                assert_eq!(Some(heard), said);
                let view =
                    until("the leader is said", || Some(directory.view()).filter(|view| view.leader(&super::directory::block()).is_some()));
                let zone = Some("z1".parse().unwrap());
                assert_eq!(view.leader(&super::directory::block()).unwrap().zone, zone);
                let node = view.nodes().find(|node| node.node.as_str() == block.name()).unwrap();
                assert_eq!((node.zone.clone(), node.admin.socket()), (zone, block.config.admin));
                assert!(matches!(&node.role, NodeRole::Block { group: told, .. } if *told == Some(group)), "{node:?}");
            })
            .collect::<Vec<_>>(),
    );
}
