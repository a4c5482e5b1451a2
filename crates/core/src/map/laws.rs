//! The laws of the join, for every pair and triple of words about one subject.
//!
//! For each kind a set of words is written down whole: smaller and larger versions in each part of the version, and words that
//! contradict each other under one version, which no healthy author writes and a network full of processes still must agree about.

use super::fact::*;
use super::join::join;
use crate::app::{AppSpec, DynoSpec, Phase, Policy};
use crate::id::{Address, AppName, BlockName, DynoId, Epoch, GroupId, Host, NodeName, ReplicaId, Term, Version};

fn block(nth: u64) -> BlockName {
    BlockName::new(&format!("b{nth}")).unwrap()
}

fn name() -> AppName {
    AppName::new("shop").unwrap()
}

fn apps() -> Vec<Fact> {
    let spec = |queue_len| {
        let policy = Policy { queue_len: Some(queue_len), ..Policy::default() };
        AppSpec { name: name(), hosts: vec![Host::new("*").unwrap()], policy }
    };
    let specs = [None, Some(spec(1)), Some(spec(2))];
    let fact = |version, spec| Fact::App(AppFact { name: name(), version: Version(version), spec });
    (1..4).flat_map(|version| specs.clone().map(|spec| fact(version, spec))).collect()
}

fn assignments() -> Vec<Fact> {
    let after = |kept: u64| {
        let earlier = (0..2).filter(|nth| kept & (1 << nth) != 0);
        earlier.map(|nth| Predecessor { block: block(5 + nth), epoch: Epoch(1 + nth) }).collect::<Vec<_>>()
    };
    let mut all = Vec::new();
    for (epoch, to, drain, max_conns) in
        [(4, Some(1), false, 1), (4, Some(2), false, 1), (4, Some(1), true, 1), (4, None, false, 1), (5, Some(1), false, 2)]
    {
        for kept in 0..4 {
            let dyno = DynoSpec { id: DynoId::new("d1").unwrap(), app: name(), address: "10.0.0.1:3000".parse().unwrap(), max_conns };
            all.push(Fact::Assigned(AssignedFact {
                dyno,
                epoch: Epoch(epoch),
                block: to.map(block),
                drain,
                after: after(kept),
                cut: CUT_DEFAULT,
            }));
        }
    }
    all
}

fn owners() -> Vec<Fact> {
    let mut all = Vec::new();
    for (epoch, term, seq) in [(1, 1, 1), (1, 1, 2), (1, 2, 1), (2, 1, 1)] {
        for (of, phase, up, in_flight) in [
            (1, Phase::Active, None, 0),
            (2, Phase::Active, None, 0),
            (1, Phase::Draining, None, 0),
            (1, Phase::Active, Some(true), 0),
            (1, Phase::Active, None, 10),
        ] {
            let (dyno, block, epoch, term) = (DynoId::new("d1").unwrap(), block(of), Epoch(epoch), Term(term));
            all.push(Fact::Owned(OwnedFact { dyno, block, group: None, epoch, term, seq, phase, up, in_flight }));
        }
    }
    all
}

fn promises() -> Vec<Fact> {
    let fact = |epoch, group| {
        let (dyno, block) = (DynoId::new("d1").unwrap(), block(1));
        Fact::Released(ReleasedFact { dyno, block, group, epoch: Epoch(epoch) })
    };
    (1..5).flat_map(|epoch| [None, Some(GroupId(1)), Some(GroupId(2))].map(|group| fact(epoch, group))).collect()
}

fn leaders() -> Vec<Fact> {
    let replica = |id| ReplicaFact { id: ReplicaId(id), http: "10.0.0.2:80".parse().unwrap(), grpc: "10.0.0.2:81".parse().unwrap() };
    let mut all = Vec::new();
    for (term, seq) in [(1, 1), (1, 2), (2, 1)] {
        for (leader, members) in [(1, 1..3), (2, 1..3), (1, 1..4), (10, 10..12)] {
            let replicas = members.map(replica).collect();
            let (term, leader) = (Term(term), ReplicaId(leader));
            all.push(Fact::Leader(LeaderFact { block: block(1), group: GroupId(1), term, seq, leader, replicas, zone: None }));
        }
    }
    all
}

fn loads() -> Vec<Fact> {
    let mut all = Vec::new();
    for (term, seq) in [(1, 1), (1, 2), (2, 1)] {
        for (slots, used, queued) in [(4, 1, 0), (4, 2, 0), (9, 1, 0), (10, 1, 0), (4, 1, 3)] {
            all.push(Fact::Load(LoadFact { block: block(1), app: name(), term: Term(term), seq, slots, used, queued, dynos: 4 }));
        }
    }
    all
}

fn processes() -> Vec<Fact> {
    let admin: Address = "10.0.0.2:90".parse().unwrap();
    let mut all = Vec::new();
    for (run, seq) in [(1, 1), (1, 2), (2, 1)] {
        for (state, in_flight, key) in
            [(NodeState::Serving, 0, "a"), (NodeState::Serving, 10, "a"), (NodeState::Serving, 9, "b"), (NodeState::Draining, 0, "a")]
        {
            let (node, version, role) = (NodeName::new("edge-1").unwrap(), "1".into(), NodeRole::Edge { http: admin });
            all.push(Fact::Node(NodeFact { node, run, seq, version, zone: None, admin, state, in_flight, keys: vec![key.into()], role }));
        }
    }
    all
}

fn wishes() -> Vec<Fact> {
    let wish = |version, drain| Fact::Wish(WishFact { node: NodeName::new("edge-1").unwrap(), version: Version(version), drain });
    (1..4).flat_map(|version| [wish(version, false), wish(version, true)]).collect()
}

fn evictions() -> Vec<Fact> {
    let evicted = |version| Fact::Evicted(EvictedFact { block: block(1), group: GroupId(1), version: Version(version) });
    (1..4).map(evicted).collect()
}

fn bindings() -> Vec<Fact> {
    let bound = |version, group| Fact::Bound(BoundFact { block: block(1), group: GroupId(group), version: Version(version) });
    (1..4).flat_map(|version| [bound(version, 1), bound(version, 2)]).collect()
}

/// Every kind there is: a new one belongs here.
fn kinds() -> Vec<Vec<Fact>> {
    vec![apps(), assignments(), owners(), promises(), leaders(), loads(), processes(), wishes(), evictions(), bindings()]
}

fn joined(one: &Fact, other: &Fact) -> Fact {
    join(one, other).expect("both are about one subject")
}

#[test]
fn the_join_of_any_two_words_is_the_same_from_both_sides_and_takes_nothing_twice() {
    for words in kinds() {
        for a in &words {
            assert_eq!(joined(a, a), *a);
            for b in &words {
                let both = joined(a, b);
                assert_eq!(both, joined(b, a), "{a:?} and {b:?}");
                assert_eq!((joined(&both, a), joined(&both, b)), (both.clone(), both), "{a:?} and {b:?}");
            }
        }
    }
}

#[test]
fn the_join_of_any_three_words_is_the_same_in_any_order() {
    for words in kinds() {
        for a in &words {
            for b in &words {
                let ab = joined(a, b);
                for c in &words {
                    assert_eq!(joined(&ab, c), joined(a, &joined(b, c)), "{a:?}, {b:?} and {c:?}");
                }
            }
        }
    }
}

#[test]
fn words_about_different_subjects_do_not_join() {
    let firsts: Vec<Fact> = kinds().into_iter().map(|words| words[0].clone()).collect();
    for (nth, one) in firsts.iter().enumerate() {
        assert!(firsts[nth + 1..].iter().all(|other| join(one, other).is_none()), "{one:?}");
    }
}
