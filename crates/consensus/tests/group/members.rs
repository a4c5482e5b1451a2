//! Replicas come and go: nothing is lost, nobody waits longer than for an ordinary round, and who left stays out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dynomesh_consensus::*;
use dynomesh_core::id::ReplicaId;

use crate::cluster::*;

/// Proposes one number after the other, trying each until it is known to be in, and measures the longest time one took.
struct Load {
    end: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<(Vec<u64>, Duration)>,
}

impl Load {
    fn on(cluster: &Cluster) -> Self {
        let replicas: Vec<_> = cluster.alive().map(|(_, node)| node.replica.clone()).collect();
        let (end, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stop, counted) = (end.clone(), done.clone());
        let task = tokio::spawn(async move {
            let (mut sent, mut longest) = (Vec::new(), Duration::ZERO);
            while !stop.load(Ordering::Relaxed) {
                let number = sent.len() as u64 + 1;
                let begun = Instant::now();
                propose(&replicas, number).await;
                longest = longest.max(begun.elapsed());
                sent.push(number);
                counted.store(number, Ordering::Relaxed);
            }
            (sent, longest)
        });
        Load { end, done, task }
    }

    /// Waits until `more` numbers are in.
    async fn goes_on(&self, more: u64) {
        let target = self.done.load(Ordering::Relaxed) + more;
        until("the load to go on", || (self.done.load(Ordering::Relaxed) >= target).then_some(())).await;
    }

    async fn end(self) -> (Vec<u64>, Duration) {
        self.end.store(true, Ordering::Relaxed);
        soon(self.task).await.unwrap()
    }
}

/// Proposes to whoever leads until it is in: to one of `replicas`, or through one of them to a replica that came later.
async fn propose(replicas: &[Replica<Journal>], number: u64) {
    let begun = Instant::now();
    loop {
        let (leading, others): (Vec<_>, Vec<_>) = replicas.iter().partition(|replica| replica.role().borrow().is_leader());
        for replica in leading {
            if in_time(replica.propose(Command::Add(number))).await {
                return;
            }
        }
        for replica in others {
            if in_time(replica.propose_anywhere(Command::Add(number))).await {
                return;
            }
        }
        assert!(begun.elapsed() < PATIENCE, "{number} could not be proposed");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Whether it worked, and soon. What was on its way in a replica that is killed within this process is never answered.
async fn in_time(proposal: impl Future<Output = Result<u64, ProposeError>>) -> bool {
    matches!(tokio::time::timeout(Duration::from_secs(1), proposal).await, Ok(Ok(_)))
}

fn snapshot_often(options: &mut Options) {
    options.snapshot_every = 40;
    options.snapshot_keep = 5;
}

fn id(cluster: &Cluster, at: usize) -> ReplicaId {
    cluster.node(at).replica.id()
}

fn voters(members: &Members) -> Vec<ReplicaId> {
    members.members.iter().filter(|it| it.voter).map(|it| it.member.id).collect()
}

fn sorted<const N: usize>(mut ids: [ReplicaId; N]) -> [ReplicaId; N] {
    ids.sort();
    ids
}

fn reason(error: &MembersError) -> Option<Refusal> {
    match error {
        MembersError::Refused { reason, .. } => Some(*reason),
        _ => None,
    }
}

#[tokio::test]
async fn a_dead_follower_is_replaced_under_load_and_nobody_notices() {
    let mut cluster = Cluster::group(3, snapshot_often).await;
    let leader = cluster.leader().await;
    for number in 1_000_001..=1_000_100 {
        cluster.add(number).await;
    }
    let term = cluster.node(leader).role().term;
    let lost = (leader + 1) % 3;
    let dead = id(&cluster, lost);
    cluster.kill(lost);
    let load = Load::on(&cluster);
    load.goes_on(50).await;
    let new = cluster.pristine();
    let begun = Instant::now();
    let change = soon(replace_replica(&cluster.addresses[..3], Some(dead), cluster.addresses[new])).await.unwrap();
    let took = begun.elapsed();
    load.goes_on(50).await;
    let (sent, longest) = load.end().await;
    println!("replaced in {took:?}; the longest proposal took {longest:?}; {} proposals", sent.len());
    assert_eq!((change.removed, change.added.unwrap().id), (Some(dead), id(&cluster, new)));
    assert_eq!(cluster.node(leader).role().term, term, "nobody else led meanwhile");
    // An ordinary round takes a few milliseconds; to wait for the dead one would take longer than its lease.
    assert!(longest < Duration::from_millis(400), "a proposal waited {longest:?}");
    let mut expected: Vec<u64> = (1_000_001..=1_000_100).collect();
    expected.extend(sent);
    cluster.converge(&expected).await;
    let seen = soon(members(&cluster.addresses)).await.unwrap();
    assert_eq!(seen.retired, [(dead, Some(id(&cluster, new)))]);
    let left: Vec<usize> = (0..3).filter(|at| *at != lost).collect();
    assert_eq!(voters(&seen), sorted([id(&cluster, left[0]), id(&cluster, left[1]), id(&cluster, new)]));
    assert!(seen.members.iter().all(|it| it.heard == Some(true)), "{seen:?}");
    // The new one counts: with one of the old ones gone the group goes on.
    cluster.kill(left[0]);
    cluster.add(7).await;
}

#[tokio::test]
async fn a_dead_leader_is_replaced_and_nothing_is_lost() {
    let mut cluster = Cluster::group(3, |_| {}).await;
    let lost = cluster.leader().await;
    let dead = id(&cluster, lost);
    let load = Load::on(&cluster);
    load.goes_on(50).await;
    cluster.kill(lost);
    let new = cluster.pristine();
    let change = soon(replace_replica(&cluster.addresses[..3], None, cluster.addresses[new])).await.unwrap();
    assert_eq!(change.removed, Some(dead), "the one that is silent was found");
    load.goes_on(50).await;
    let (sent, _) = load.end().await;
    // A proposal of unknown outcome was made again, so a number may be there twice; none may be missing.
    until("all replicas to have all numbers", || {
        cluster.alive().all(|(_, node)| sent.iter().all(|number| node.numbers().contains(number))).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_new_replica_gets_a_snapshot_with_all_it_needs_where_the_log_is_purged() {
    let mut cluster = Cluster::group(3, snapshot_often).await;
    let leader = cluster.leader().await;
    let lost = (leader + 1) % 3;
    let dead = id(&cluster, lost);
    soon(remove_replica(&cluster.addresses, dead)).await.unwrap();
    for number in 1..=300 {
        cluster.add(number).await;
    }
    until("a snapshot", || (cluster.node(leader).replica.metrics().snapshot.0 >= 200).then_some(())).await;
    let new = cluster.pristine();
    soon(add_replica(&cluster.addresses[..3], cluster.addresses[new])).await.unwrap();
    until("the snapshot's numbers", || (cluster.node(new).numbers().len() == 300).then_some(())).await;
    assert!(cluster.node(new).replica.metrics().snapshot.0 >= 200, "it was sent a snapshot");
    // The list of removed ids came with it, and is on its disk.
    cluster.kill(new);
    cluster.restart(new);
    until("the ids that are spent", || (cluster.node(new).replica.members().retired == [(dead, None)]).then_some(())).await;
}

/// Who asks looks at the role more than once, and a change of role that comes between two looks waits for the first to end. With the
/// first still held at the second, both wait for ever.
#[tokio::test]
async fn who_asks_for_the_members_holds_up_no_change_of_role() {
    let cluster = Cluster::group(3, |_| {}).await;
    let enough = Arc::new(AtomicBool::new(false));
    let ask = |replica: Replica<Journal>, enough: Arc<AtomicBool>| {
        std::thread::spawn(move || {
            let mut asked = 0_u64;
            while !enough.load(Ordering::Relaxed) {
                assert_eq!(replica.members().seen_by, replica.id());
                asked += 1;
            }
            asked
        })
    };
    let askers: Vec<_> = cluster.alive().map(|(_, node)| ask(node.replica.clone(), enough.clone())).collect();
    for _ in 0..20 {
        let leader = cluster.leader().await;
        // One that fails, for want of a processor, ends in an election: roles change all the same.
        let _ = soon(cluster.node(leader).replica.transfer(None)).await;
    }
    enough.store(true, Ordering::Relaxed);
    for asker in askers {
        assert!(asker.join().unwrap() > 0);
    }
}

#[tokio::test]
async fn an_old_disk_that_comes_back_after_its_removal_is_refused_and_harmless() {
    let mut cluster = Cluster::group(3, |_| {}).await;
    let leader = cluster.leader().await;
    let lost = (leader + 1) % 3;
    let dead = id(&cluster, lost);
    cluster.add(1).await;
    // A disk that knows of no group yet would not even stand.
    cluster.converge(&[1]).await;
    cluster.kill(lost);
    let new = cluster.pristine();
    soon(replace_replica(&cluster.addresses[..3], Some(dead), cluster.addresses[new])).await.unwrap();
    let leader = cluster.leader().await;
    let term = cluster.node(leader).role().term;
    cluster.restart(lost);
    assert_eq!(id(&cluster, lost), dead);
    assert!(!cluster.node(lost).replica.is_removed(), "nobody could tell it yet");
    // It stands for election as ever, and the first member it asks tells it.
    until("it to learn that it was removed", || cluster.node(lost).replica.is_removed().then_some(())).await;
    let role = until("it to be quiet", || Some(cluster.node(lost).role()).filter(|role| role.state == State::Learner)).await;
    assert_eq!(role.leader, None);
    assert!(cluster.node(lost).replica.propose(Command::Add(9)).await.is_err());
    assert_eq!(cluster.node(leader).role().term, term, "the group was not disturbed");
    // It is not taken in again, not even after a restart, under which name ever.
    cluster.kill(lost);
    cluster.restart(lost);
    assert!(cluster.node(lost).replica.is_removed(), "it remembers");
    let back = soon(add_replica(&[cluster.addresses[new]], cluster.addresses[lost])).await.unwrap_err();
    assert_eq!(reason(&back), Some(Refusal::Retired), "{back}");
    let back = soon(replace_replica(&[cluster.addresses[new]], Some(id(&cluster, new)), cluster.addresses[lost])).await.unwrap_err();
    assert_eq!(reason(&back), Some(Refusal::Retired), "{back}");
    cluster.add(2).await;
    assert_eq!(cluster.node(leader).role().term, term);
    assert!(!cluster.node(lost).numbers().contains(&2));
}

#[tokio::test]
async fn a_living_replica_that_is_removed_is_told_and_does_not_disturb_the_group() {
    let cluster = Cluster::group(3, |_| {}).await;
    let leader = cluster.leader().await;
    let gone = (leader + 1) % 3;
    let term = cluster.node(leader).role().term;
    soon(remove_replica(&[cluster.addresses[gone]], id(&cluster, gone))).await.unwrap();
    until("it to be told", || cluster.node(gone).replica.is_removed().then_some(())).await;
    // Several election timeouts of proposals; condition to fail on: any new term.
    let begun = Instant::now();
    let mut number = 0;
    while begun.elapsed() < Duration::from_millis(1_500) {
        number += 1;
        cluster.node(leader).replica.propose(Command::Add(number)).await.unwrap();
    }
    assert_eq!(cluster.node(leader).role().term, term);
    assert_eq!(cluster.node(gone).role().state, State::Learner);
    // Two are left, and both must answer: neither can go any more.
    let cut = (0..3).find(|at| *at != leader && *at != gone).unwrap();
    cluster.node(cut).cut.set(true);
    let refused = soon(cluster.node(leader).replica.change(Order::Remove(id(&cluster, leader)))).await.unwrap_err();
    assert_eq!(reason(&refused), Some(Refusal::Quorum), "{refused}");
}

#[tokio::test]
async fn a_living_voter_stays_while_another_is_dead() {
    let mut cluster = Cluster::group(3, |_| {}).await;
    let leader = cluster.leader().await;
    let (dead, alive) = ((leader + 1) % 3, (leader + 2) % 3);
    let dead_id = id(&cluster, dead);
    cluster.kill(dead);
    let refused = soon(remove_replica(&cluster.addresses, id(&cluster, alive))).await.unwrap_err();
    assert_eq!(reason(&refused), Some(Refusal::Quorum));
    let text = refused.to_string();
    assert!(text.contains(&format!("silent: {dead_id}")) && text.contains(&id(&cluster, leader).to_string()), "{text}");
    assert_eq!(voters(&cluster.node(leader).replica.members()).len(), 3, "nothing was changed");
    soon(remove_replica(&cluster.addresses, dead_id)).await.unwrap();
    let unknown = soon(remove_replica(&cluster.addresses, ReplicaId(42))).await.unwrap_err();
    assert_eq!(reason(&unknown), Some(Refusal::Unknown), "{unknown}");
    cluster.add(1).await;
}

#[tokio::test]
async fn an_empty_disk_at_the_old_address_comes_in_as_a_new_learner_only() {
    let mut cluster = Cluster::group(3, |_| {}).await;
    let leader = cluster.leader().await;
    let lost = (leader + 1) % 3;
    let dead = id(&cluster, lost);
    cluster.add(1).await;
    cluster.kill(lost);
    std::fs::remove_dir_all(cluster.path(lost)).unwrap();
    cluster.restart(lost);
    let new = id(&cluster, lost);
    assert_ne!(new, dead);
    // The leader calls the old id there, and is not heard.
    cluster.add(2).await;
    assert!(cluster.node(lost).replica.is_pristine(), "nobody invited it");
    assert!(cluster.node(lost).numbers().is_empty());
    let taken = soon(add_replica(&cluster.addresses, cluster.addresses[lost])).await.unwrap_err();
    assert_eq!(reason(&taken), Some(Refusal::Address), "{taken}");
    let change = soon(replace_replica(&cluster.addresses, Some(dead), cluster.addresses[lost])).await.unwrap();
    assert_eq!(change.added.unwrap().id, new);
    cluster.converge(&[1, 2]).await;
    // A second time it changes nothing, and no other can take the same place.
    let again = soon(replace_replica(&cluster.addresses, Some(dead), cluster.addresses[lost])).await.unwrap();
    assert_eq!(again.members.len(), 3);
    let other = cluster.pristine();
    let refused = soon(replace_replica(&cluster.addresses[..3], Some(dead), cluster.addresses[other])).await.unwrap_err();
    assert_eq!(reason(&refused), Some(Refusal::Retired), "{refused}");
    assert!(cluster.node(other).replica.is_pristine());
}

#[tokio::test]
async fn a_replica_of_another_group_is_not_taken_in() {
    let mut cluster = Cluster::group(3, |_| {}).await;
    cluster.leader().await;
    let other = Cluster::group(1, |_| {}).await;
    let named = Cluster::start(1, |options| options.name = "b2".into());
    for foreign in [other.addresses[0], named.addresses[0]] {
        let refused = soon(add_replica(&cluster.addresses, foreign)).await.unwrap_err();
        assert_eq!(reason(&refused), Some(Refusal::Foreign), "{refused}");
    }
    let nobody = cluster.pristine();
    let at = cluster.addresses[nobody];
    cluster.kill(nobody);
    let refused = soon(add_replica(&cluster.addresses[..3], at)).await.unwrap_err();
    assert_eq!(reason(&refused), Some(Refusal::Unreachable), "{refused}");
}

#[tokio::test]
async fn one_change_at_a_time_and_the_second_is_told_which() {
    let mut cluster = Cluster::group(3, |_| {}).await;
    let leader = cluster.leader().await;
    let new = cluster.pristine();
    let at = cluster.addresses[new];
    // A learner that is not heard is waited for: the change is under way for as long as the test likes.
    let replica = cluster.node(leader).replica.clone();
    soon(replica.add_learner(at)).await.unwrap();
    cluster.node(new).cut.set(true);
    let learner = id(&cluster, new);
    let silent = |it: &MemberState| it.member.id == learner && it.heard == Some(false);
    until("it to fall silent", || replica.members().members.iter().any(silent).then_some(())).await;
    let first = tokio::spawn(async move { replica.promote(learner).await });
    until("the change to begin", || cluster.node(leader).replica.members().change).await;
    let busy = soon(remove_replica(&cluster.addresses[..3], id(&cluster, (leader + 1) % 3))).await.unwrap_err();
    assert_eq!(busy, MembersError::Busy { change: format!("give replica {learner} a vote") });
    assert!(busy.to_string().contains(&learner.to_string()));
    cluster.node(new).cut.set(false);
    soon(first).await.unwrap().unwrap();
    assert_eq!(soon(members(&cluster.addresses)).await.unwrap().change, None);
}

#[tokio::test]
async fn a_replacement_goes_on_where_a_dead_caller_or_leader_left_it() {
    let mut cluster = Cluster::group(5, |_| {}).await;
    let leader = cluster.leader().await;
    let lost = (leader + 1) % 5;
    let dead = id(&cluster, lost);
    cluster.add(1).await;
    cluster.kill(lost);
    // The old id is out and the new replica a learner that lags, when the caller and the leader die.
    let new = cluster.pristine();
    let (group, at) = (cluster.addresses[..5].to_vec(), cluster.addresses[new]);
    let caller = tokio::spawn(async move { replace_replica(&group, Some(dead), at).await });
    until("the old id to be out", || cluster.node(leader).replica.members().retired.first().copied()).await;
    caller.abort();
    cluster.kill(leader);
    let next = cluster.leader().await;
    let change = soon(replace_replica(&cluster.addresses[..5], Some(dead), cluster.addresses[new])).await.unwrap();
    assert_eq!((change.removed, change.added.as_ref().unwrap().id), (Some(dead), id(&cluster, new)));
    let seen = cluster.node(next).replica.members();
    assert_eq!(voters(&seen).len(), 5, "{seen:?}");
    assert!(voters(&seen).contains(&id(&cluster, new)) && !voters(&seen).contains(&dead));
    cluster.add(2).await;
    cluster.converge(&[1, 2]).await;
}

#[tokio::test]
async fn a_leader_that_is_to_go_hands_over_first() {
    let mut cluster = Cluster::group(3, |_| {}).await;
    let old = cluster.leader().await;
    cluster.add(1).await;
    let new = cluster.pristine();
    let leaves = id(&cluster, old);
    let change = soon(replace_replica(&cluster.addresses[..3], Some(leaves), cluster.addresses[new])).await.unwrap();
    assert_eq!(change.removed, Some(leaves));
    until("the old leader to be told", || cluster.node(old).replica.is_removed().then_some(())).await;
    let others: Vec<usize> = (0..4).filter(|at| *at != old).collect();
    let leader = cluster.leader_among(&others).await;
    soon(cluster.node(leader).replica.propose(Command::Add(2))).await.unwrap();
    until("the new one to have it", || (cluster.node(new).numbers() == [1, 2]).then_some(())).await;
}

#[tokio::test]
async fn leadership_goes_to_who_was_named() {
    let cluster = Cluster::group(3, |_| {}).await;
    let old = cluster.leader().await;
    let to = id(&cluster, (old + 1) % 3);
    assert_eq!(soon(transfer_leadership(&cluster.addresses, Some(to))).await.unwrap().id, to);
    assert_eq!(soon(transfer_leadership(&cluster.addresses, Some(to))).await.unwrap().id, to, "nothing was left to do");
    assert_ne!(soon(transfer_leadership(&cluster.addresses, None)).await.unwrap().id, to);
    let nobody = soon(transfer_leadership(&cluster.addresses, Some(ReplicaId(42)))).await.unwrap_err();
    assert_eq!(reason(&nobody), Some(Refusal::Unknown), "{nobody}");
}

#[tokio::test]
async fn an_abstaining_replica_leads_only_if_the_group_would_be_mute_without_it() {
    let mut cluster = Cluster::group(3, |_| {}).await;
    let shy = cluster.leader().await;
    cluster.add(1).await;
    cluster.node(shy).replica.abstain(true);
    let others: Vec<usize> = (0..3).filter(|at| *at != shy).collect();
    let second = cluster.leader_among(&others).await;
    let shy_id = id(&cluster, shy);
    let says_so = |it: &MemberState| it.member.id == shy_id && it.abstains;
    until("its leader to know", || cluster.node(second).replica.members().members.iter().any(says_so).then_some(())).await;
    let term = cluster.node(second).role().term;
    assert_eq!(soon(cluster.node(second).replica.transfer(Some(shy_id))).await, Err(TransferError::Abstains(shy_id)));
    assert_eq!(cluster.node(second).role().term, term, "nothing happened");
    // Still it votes: with one of the others dead, the last of them needs it.
    cluster.kill(second);
    let third = cluster.leader_among(&others).await;
    cluster.add(2).await;
    assert_ne!(third, shy);
    // Nobody else wants to, and it stands after all.
    cluster.node(third).replica.abstain(true);
    cluster.kill(third);
    cluster.restart(second);
    cluster.node(second).replica.abstain(true);
    cluster.leader().await;
    cluster.add(3).await;
    // As soon as another may lead, it does.
    let leads = cluster.leader().await;
    let other = if leads == shy { second } else { shy };
    cluster.node(other).replica.abstain(false);
    cluster.leader_among(&[other]).await;
    cluster.add(4).await;
    cluster.converge(&[1, 2, 3, 4]).await;
}
