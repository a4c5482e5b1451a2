//! What a replica refuses to hear.

use dynomesh_consensus::{Options, Timers};
use dynomesh_proto::raft::v1 as wire;
use dynomesh_proto::raft::v1::peer_client::PeerClient;
use tonic::Code;

use crate::cluster::*;

pub(crate) fn header(cluster: &Cluster, at: usize) -> wire::Header {
    let replica = &cluster.node(at).replica;
    let group = replica.group().unwrap().0.to_be_bytes().to_vec().into();
    wire::Header { version: 1, group, from: 7, to: replica.id().0 }
}

/// Asks for a vote in a term far ahead, with a log that is ahead of all.
pub(crate) fn ask(header: wire::Header) -> wire::VoteRequest {
    let vote = Some(wire::Ballot { term: 1_000, replica: 7, committed: false });
    wire::VoteRequest { header: Some(header), vote, last: Some(wire::LogId { term: 1_000, index: 1_000 }), transfer: false }
}

#[tokio::test]
async fn what_is_of_another_version_replica_or_group_is_refused_with_the_reason() {
    let cluster = Cluster::group(3, |_| {}).await;
    let leader = cluster.leader().await;
    let term = cluster.node(leader).role().term;
    let mut peer = PeerClient::connect(format!("http://{}", cluster.addresses[leader])).await.unwrap();

    let mut version = header(&cluster, leader);
    version.version = 2;
    let refused = peer.vote(ask(version)).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
    assert!(refused.message().contains("version 2"), "{refused}");

    let mut elsewhere = header(&cluster, leader);
    elsewhere.to += 1;
    assert_eq!(peer.vote(ask(elsewhere)).await.unwrap_err().code(), Code::FailedPrecondition);

    let mut foreign = header(&cluster, leader);
    foreign.group = vec![9; 16].into();
    assert_eq!(peer.vote(ask(foreign)).await.unwrap_err().code(), Code::FailedPrecondition);

    let none = wire::VoteRequest { header: None, ..ask(header(&cluster, leader)) };
    assert_eq!(peer.vote(none).await.unwrap_err().code(), Code::InvalidArgument);

    // A leader under a valid lease gives its vote to nobody, however new the term and the log of who asks.
    let lease = cluster.node(leader).replica.lease();
    until("a lease", || lease.valid(dynomesh_runtime::clock::Clock::system().now()).then_some(())).await;
    assert_eq!(peer.vote(ask(header(&cluster, leader))).await.unwrap_err().code(), Code::Unavailable);

    let entry = wire::Entry { id: Some(wire::LogId { term: 1, index: 1 }), payload: vec![9, 0].into() };
    let vote = Some(wire::Ballot { term: 1_000, replica: 7, committed: true });
    let append =
        wire::AppendRequest { header: Some(header(&cluster, leader)), vote, previous: None, entries: vec![entry], committed: None };
    let mut answers = peer.append(futures::stream::iter([append])).await.unwrap().into_inner();
    let refused = answers.message().await.unwrap_err();
    assert!(refused.message().contains("version 9"), "{refused}");

    cluster.add(1).await;
    assert_eq!(cluster.node(leader).role().term, term, "none of it was heard");
}

/// P4: whoever asks, and however good his log is. Fails when the voter has an answer at once: the leader it followed before, whom it cannot
/// hear now, still trusts the lease that it was granted.
#[tokio::test]
async fn a_restarted_voter_votes_for_nobody_within_the_lease_that_it_forgot() {
    let tune = |options: &mut Options| options.timers = Timers { heartbeat: ms(50), election_min: ms(3_000), election_max: ms(4_000) };
    let mut cluster = Cluster::group(3, tune).await;
    let leader = cluster.leader().await;
    cluster.add(1).await;
    let (lease, clock) = (cluster.node(leader).replica.lease(), dynomesh_runtime::clock::Clock::system());
    until("a lease", || lease.valid(clock.now()).then_some(())).await;
    let voter = (leader + 1) % 3;
    cluster.node(leader).cut.set(true);
    cluster.kill(voter);
    cluster.restart(voter);
    let mut peer = PeerClient::connect(format!("http://{}", cluster.addresses[voter])).await.unwrap();
    let answer = peer.vote(ask(header(&cluster, voter))).await;
    assert!(lease.valid(clock.now()), "the lease ran out meanwhile: the test tells nothing");
    let refused = answer.expect_err("a voter votes that forgot its lease");
    assert!(refused.message().contains("has just started"), "{refused}");
}

/// A candidate that stops waiting takes its call with it. Fails when the voter considers that vote for ever: it has no lease when it
/// leads itself, and its block is mute for as long as the others follow it.
#[tokio::test]
async fn votes_that_nobody_waits_for_any_more_do_not_stand_in_the_way_of_a_later_lease() {
    let cluster = Cluster::group(3, |_| {}).await;
    let old = cluster.leader().await;
    let next = (old + 1) % 3;
    until("all to join", || cluster.alive().all(|(_, n)| n.replica.group().is_some()).then_some(())).await;
    let peer = PeerClient::connect(format!("http://{}", cluster.addresses[next])).await.unwrap();
    for _ in 0..200 {
        // Too old to be granted, and many at once, so that some are given up before they are answered.
        let vote = Some(wire::Ballot { term: 0, replica: 7, committed: false });
        let request = wire::VoteRequest { vote, last: None, ..ask(header(&cluster, next)) };
        let calls = (0..50).map(|_| {
            let (mut peer, request) = (peer.clone(), request.clone());
            async move { peer.vote(request).await }
        });
        let _ = tokio::time::timeout(std::time::Duration::from_millis(1), futures::future::join_all(calls)).await;
    }
    let target = cluster.node(next).replica.id();
    soon(cluster.node(old).replica.transfer(Some(target))).await.unwrap();
    let lease = cluster.node(next).replica.lease();
    until("a lease", || lease.valid(dynomesh_runtime::clock::Clock::system().now()).then_some(())).await;
}
