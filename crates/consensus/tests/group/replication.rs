//! Commands reach every replica, once, in order.

use dynomesh_consensus::ProposeError;
use dynomesh_core::time::Span;
use dynomesh_runtime::clock::Clock;

use crate::cluster::*;

#[tokio::test]
async fn three_replicas_elect_commit_and_agree() {
    let cluster = Cluster::group(3, |_| {}).await;
    let leader = cluster.leader().await;
    let replica = &cluster.node(leader).replica;
    for number in 1..=10 {
        let sum = soon(replica.propose(Command::Add(number))).await.unwrap();
        assert_eq!(sum, (1..=number).sum::<u64>());
    }
    cluster.converge(&(1..=10).collect::<Vec<_>>()).await;
    let now = Clock::system().now();
    for (at, node) in cluster.alive() {
        assert_eq!(node.replica.lease().valid(now), at == leader, "only the leader has a lease");
        assert_eq!(node.replica.group(), cluster.node(leader).replica.group());
    }
}

#[tokio::test]
async fn a_group_of_one_needs_nobody() {
    let cluster = Cluster::group(1, |_| {}).await;
    cluster.leader().await;
    assert_eq!(soon(cluster.node(0).replica.propose(Command::Add(5))).await.unwrap(), 5);
    assert_eq!(cluster.node(0).replica.lease().end(), dynomesh_core::time::Time::FAR);
}

#[tokio::test]
async fn the_order_of_calls_is_the_order_in_the_log_and_many_share_one_entry() {
    let cluster = Cluster::group(3, |_| {}).await;
    let leader = cluster.leader().await;
    let replica = &cluster.node(leader).replica;
    let before = replica.metrics();
    let proposals: Vec<_> = (0..2_000).map(|number| replica.propose(Command::Add(number))).collect();
    soon(futures::future::try_join_all(proposals)).await.unwrap();
    assert_eq!(replica.metrics().ops - before.ops, 2_000, "whoever has an answer finds it counted");
    cluster.converge(&(0..2_000).collect::<Vec<_>>()).await;
    let after = replica.metrics();
    let batches = after.batches - before.batches;
    assert!(batches <= 20, "2000 commands that came at once took {batches} entries");
    assert!(after.last_log.0 - before.last_log.0 <= 20);
}

#[tokio::test]
async fn a_lazy_command_rides_with_the_next_and_goes_alone_if_none_comes() {
    let cluster = Cluster::group(3, |_| {}).await;
    let leader = cluster.leader().await;
    let replica = &cluster.node(leader).replica;
    let before = replica.metrics().batches;
    replica.propose_lazily(Command::Add(1), Span::from_secs(3600));
    assert_eq!(soon(replica.propose(Command::Add(2))).await.unwrap(), 3, "the lazy one is first");
    until("the count", || (replica.metrics().batches == before + 1).then_some(())).await;
    replica.propose_lazily(Command::Add(3), Span::from_millis(1));
    cluster.converge(&[1, 2, 3]).await;
}

#[tokio::test]
async fn a_follower_refuses_and_names_the_leader_or_forwards() {
    let cluster = Cluster::group(3, |_| {}).await;
    let leader = cluster.leader().await;
    let follower = (leader + 1) % 3;
    let expected = cluster.node(leader).role().leader;
    let replica = &cluster.node(follower).replica;
    until("the follower to know the leader", || (cluster.node(follower).role().leader == expected).then_some(())).await;
    let refused = soon(replica.propose(Command::Add(1))).await.unwrap_err();
    assert_eq!(refused, ProposeError::NotLeader { leader: expected });
    assert_eq!(soon(replica.propose_anywhere(Command::Add(7))).await.unwrap(), 7);
    let here = &cluster.node(leader).replica;
    assert_eq!(soon(here.propose_anywhere(Command::Sum)).await.unwrap(), 7);
    cluster.converge(&[7]).await;
}

#[tokio::test]
async fn proposers_on_many_threads_keep_their_own_order() {
    let cluster = Cluster::group(3, |_| {}).await;
    let leader = cluster.leader().await;
    let threads: Vec<_> = (0..4u64)
        .map(|thread| {
            let replica = cluster.node(leader).replica.clone();
            std::thread::spawn(move || (0..250).map(move |n| replica.propose(Command::Add(thread * 1_000 + n))).collect::<Vec<_>>())
        })
        .collect();
    for thread in threads {
        soon(futures::future::try_join_all(thread.join().unwrap())).await.unwrap();
    }
    let numbers = cluster.node(leader).numbers();
    assert_eq!(numbers.len(), 1_000);
    for thread in 0..4 {
        let own: Vec<u64> = numbers.iter().copied().filter(|n| n / 1_000 == thread).collect();
        assert!(own.is_sorted(), "the order of one proposer was kept");
    }
}
