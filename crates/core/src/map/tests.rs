//! The laws of the join, and single steps of moves.

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use super::fact::*;
use super::join::join;
use super::{MapView, directory_steps, steps, steps_of_group};
use crate::app::{AppSpec, DynoSpec, Phase, Policy};
use crate::block::{BlockState, Command};
use crate::directory::{self, DirectoryState};
use crate::id::{AppName, BlockName, DynoId, Epoch, GroupId, Host, Index, ReplicaId, Term, Version};
use crate::sweep::sweep;

fn block(nth: u64) -> BlockName {
    BlockName::new(&format!("b{nth}")).unwrap()
}

fn app(queue_len: u32) -> AppSpec {
    let policy = Policy { queue_len: Some(queue_len), ..Policy::default() };
    AppSpec { name: AppName::new("shop").unwrap(), hosts: vec![Host::new("*").unwrap()], policy }
}

fn spec() -> DynoSpec {
    let (id, app) = (DynoId::new("d1").unwrap(), app(0).name);
    DynoSpec { id, app, address: "10.0.0.1:3000".parse().unwrap(), max_conns: 1 }
}

fn app_fact() -> Fact {
    Fact::App(AppFact { name: app(0).name, version: Version(1), spec: Some(app(0)) })
}

fn assigned(epoch: u64, to: Option<u64>, after: &[(u64, u64)]) -> Fact {
    let after = after.iter().map(|(nth, epoch)| Predecessor { block: block(*nth), epoch: Epoch(*epoch) }).collect();
    Fact::Assigned(AssignedFact {
        dyno: spec(),
        epoch: Epoch(epoch),
        block: to.map(block),
        drain: false,
        after,
        cut: crate::map::fact::CUT_DEFAULT,
    })
}

fn owned(epoch: u64, by: u64) -> Fact {
    let (dyno, term, phase) = (spec().id, Term(1), Phase::Active);
    Fact::Owned(OwnedFact { dyno, block: block(by), group: None, epoch: Epoch(epoch), term, seq: 1, phase, up: None, in_flight: 0 })
}

fn released(epoch: u64, by: u64) -> Fact {
    Fact::Released(ReleasedFact { dyno: spec().id, block: block(by), group: None, epoch: Epoch(epoch) })
}

fn leader(by: u64, group: u128, term: u64) -> Fact {
    let replica = ReplicaFact { id: ReplicaId(term), http: "10.0.0.2:80".parse().unwrap(), grpc: "10.0.0.2:81".parse().unwrap() };
    let (group, term) = (GroupId(group), Term(term));
    Fact::Leader(LeaderFact { block: block(by), group, term, seq: 1, leader: replica.id, replicas: vec![replica], zone: None })
}

fn bound(by: u64, group: u128) -> Fact {
    Fact::Bound(BoundFact { block: block(by), group: GroupId(group), version: Version(1) })
}

/// A word about d1 under the name of a block, and which group says it.
fn said_by(group: u128, fact: Fact) -> Fact {
    let group = Some(GroupId(group));
    match fact {
        Fact::Owned(f) => Fact::Owned(OwnedFact { group, ..f }),
        Fact::Released(f) => Fact::Released(ReleasedFact { group, ..f }),
        other => other,
    }
}

fn view(facts: impl IntoIterator<Item = Fact>) -> MapView {
    let mut view = MapView::new();
    for fact in facts {
        view.absorb(fact);
    }
    view
}

/// Lets block `me` propose what it finds missing until it finds nothing.
fn settle(view: &MapView, me: u64, state: &mut BlockState) -> Vec<Command> {
    let mut all = Vec::new();
    loop {
        let commands = steps(view, &block(me), state);
        if commands.is_empty() {
            return all;
        }
        assert!(all.len() < 100, "no end of steps: {all:?}");
        for command in commands {
            state.apply(Index(1), command.clone());
            state.check_invariants();
            all.push(command);
        }
    }
}

/// A fact with small numbers, so that many meet; words that contradict each other under one version are among them.
fn any_fact(rng: &mut StdRng) -> Fact {
    let mut small = |end: u64| rng.random_range(0..end);
    let (version, who) = (small(3), small(2));
    match small(6) {
        0 => {
            let spec = (small(3) > 0).then(|| app(u32::try_from(small(2)).unwrap()));
            Fact::App(AppFact { name: app(0).name, version: Version(version), spec })
        }
        1 => {
            let kept: Vec<_> = [(2, 0), (3, 0), (4, 1)].into_iter().filter(|_| small(2) > 0).collect();
            assigned(version + 2, (small(3) > 0).then_some(who), &kept)
        }
        2 => owned(version, who),
        3 => released(version, who),
        4 => leader(who, u128::from(who), version),
        _ => {
            let (slots, used) = (u32::try_from(small(3)).unwrap(), u32::try_from(small(2)).unwrap());
            let (block, app, term) = (block(who), app(0).name, Term(version));
            Fact::Load(LoadFact { block, app, term, seq: small(2), slots, used, queued: 0, dynos: 0 })
        }
    }
}

#[test]
fn the_join_is_commutative_associative_and_idempotent() {
    sweep("the_join_is_commutative_associative_and_idempotent", 5_000, |rng| {
        let (a, b, c) = (any_fact(rng), any_fact(rng), any_fact(rng));
        assert_eq!(join(&a, &a).as_ref(), Some(&a));
        assert_eq!(join(&a, &b), join(&b, &a));
        if let (Some(ab), Some(bc)) = (join(&a, &b), join(&b, &c)) {
            assert_eq!(join(&ab, &c), join(&a, &bc));
            assert_eq!(join(&ab, &a), Some(ab));
        }
    });
}

#[test]
fn views_that_heard_the_same_facts_agree_whatever_the_order() {
    sweep("views_that_heard_the_same_facts_agree_whatever_the_order", 300, |rng| {
        let facts: Vec<_> = (0..40).map(|_| any_fact(rng)).collect();
        let one = view(facts.clone());
        let mut again = [facts.clone(), facts[..20].to_vec()].concat();
        again.shuffle(rng);
        let mut other = view(again);
        assert_eq!(one, other);
        assert!(!facts.into_iter().any(|fact| other.absorb(fact)), "a known fact counts as news");
    });
}

#[test]
fn the_predecessors_of_an_assignment_only_become_fewer() {
    let mut view = view([assigned(5, Some(1), &[(2, 3)])]);
    assert!(view.absorb(assigned(5, Some(1), &[])));
    assert!(!view.absorb(assigned(5, Some(1), &[(2, 3)])));
    assert!(view.assignment(&spec().id).unwrap().after.is_empty());
}

#[test]
fn a_second_group_under_a_known_name_is_not_believed() {
    let mut view = view([leader(1, 1, 4)]);
    assert!(!view.absorb(leader(1, 2, 9)));
    assert!(view.absorb(leader(1, 1, 5)));
    assert_eq!(view.leader(&block(1)).unwrap().group, GroupId(1));
}

#[test]
fn the_group_that_a_name_is_bound_to_is_believed_whatever_was_heard_first() {
    let (first, second, bound) = (leader(1, 1, 4), leader(1, 2, 9), bound(1, 1));
    let heard = view([first.clone(), second.clone(), bound.clone()]);
    assert_eq!(heard.leader(&block(1)).unwrap().group, GroupId(1));
    assert_eq!(heard.leaders_under(&block(1)).map(|leader| leader.group).collect::<Vec<_>>(), [GroupId(1), GroupId(2)]);
    assert_eq!(view([second.clone(), first.clone(), bound.clone()]), heard);
    assert_eq!(view([second.clone(), bound.clone(), first.clone()]), heard);
    assert_eq!(view([bound.clone(), second.clone(), first]), heard);
    let other = view([second, bound]);
    assert!(other.leader(&block(1)).is_none() && other.leaders().len() == 0, "requests would go to a group that is not the block");
}

#[test]
fn words_of_a_group_that_is_not_the_block_count_for_nothing() {
    let mut seen = view([app_fact(), assigned(9, Some(3), &[(1, 4)]), said_by(2, owned(4, 1)), bound(1, 1)]);
    assert!(seen.owner(&spec().id).is_none());
    seen.absorb(said_by(2, released(9, 1)));
    let mut state = BlockState::new();
    settle(&seen, 3, &mut state);
    assert_eq!((state.dynos().len(), seen.released(&spec().id, &block(1))), (0, None), "adopted on a stranger's promise");

    let mut seen = view([app_fact(), assigned(9, Some(3), &[(1, 4)]), bound(1, 1), said_by(1, released(9, 1))]);
    settle(&seen, 3, &mut state);
    assert_eq!(state.dynos().len(), 1);
    // A word of an older program names no group, and the one that does stands against it.
    let (old, new) = (released(9, 1), said_by(1, released(9, 1)));
    assert!(!old.write().unwrap().contains("group") && view([old.clone(), bound(1, 1)]).released(&spec().id, &block(1)).is_some());
    assert_eq!(join(&old, &new), Some(new));
    assert!(!seen.absorb(old));
}

#[test]
fn the_directory_takes_no_note_of_a_strangers_promise() {
    let mut directory = DirectoryState::new(0);
    let bind = |nth: u64| directory::Command::BindBlock { name: block(nth), group: GroupId(nth.into()) };
    let add = directory::Command::AddDyno {
        id: Some(spec().id),
        app: spec().app,
        address: spec().address,
        max_conns: None,
        block: Some(block(1)),
    };
    let move_to = directory::Command::MoveDyno { id: spec().id, to: block(2), why: String::new() };
    for command in [directory::Command::CreateApp { spec: Box::new(app(0)) }, bind(1), bind(2), add, move_to] {
        assert!(directory.apply(Index(1), command).changed());
    }
    let epoch = directory.dyno(&spec().id).unwrap().epoch.0;
    // The directory's own record tells, whatever its view has heard.
    assert_eq!(directory_steps(&view([said_by(7, released(epoch, 1))]), &directory), []);
    assert_eq!(directory_steps(&view([said_by(1, released(epoch, 1))]), &directory).len(), 1);
    assert_eq!(directory_steps(&view([released(epoch, 1)]), &directory).len(), 1);
    // One that was recovered and has not bound the block yet goes by what the map says of the name.
    let steps = directory_steps(&view([leader(1, 7, 1), bound(1, 1), leader(1, 1, 1)]), &DirectoryState::new(0));
    assert_eq!(steps, [directory::Command::BindBlock { name: block(1), group: GroupId(1) }]);
}

#[test]
fn facts_that_contradict_themselves_are_ignored() {
    let five: Vec<_> = (2..7).map(|nth| (nth, 1)).collect();
    for bad in [assigned(5, Some(1), &five), assigned(5, Some(1), &[(1, 3)]), assigned(5, Some(1), &[(2, 5)])] {
        assert_eq!(view([bad]), MapView::new());
    }
}

#[test]
fn a_dyno_is_adopted_only_after_each_predecessor_has_promised() {
    let mut state = BlockState::new();
    let mut view = view([app_fact(), assigned(9, Some(3), &[(1, 4), (2, 6)])]);
    for too_little in [released(9, 1), released(5, 2), released(9, 5), owned(8, 2)] {
        view.absorb(too_little);
        settle(&view, 3, &mut state);
        assert_eq!(state.dynos().len(), 0);
    }
    view.absorb(released(6, 2));
    settle(&view, 3, &mut state);
    assert_eq!(state.dyno(&spec().id).unwrap().epoch, Epoch(9));
}

#[test]
fn a_dyno_whose_app_is_not_known_yet_is_not_adopted() {
    let mut state = BlockState::new();
    let mut view = view([assigned(5, Some(1), &[])]);
    assert_eq!(settle(&view, 1, &mut state), []);
    view.absorb(app_fact());
    settle(&view, 1, &mut state);
    assert_eq!(state.dynos().len(), 1);
}

#[test]
fn a_block_that_never_adopted_promises_all_the_same() {
    let mut state = BlockState::new();
    let view = view([assigned(9, Some(3), &[(1, 4), (2, 6)])]);
    assert_eq!(settle(&view, 2, &mut state), [Command::Release { dyno: spec().id, epoch: Epoch(9) }]);
    assert_eq!(settle(&view, 5, &mut BlockState::new()), [], "nobody asked b5");
}

#[test]
fn a_dyno_that_returns_waits_for_the_block_between() {
    let mut state = BlockState::new();
    settle(&view([app_fact(), assigned(4, Some(1), &[])]), 1, &mut state);
    // b1 missed that b2 was to have the dyno under epoch 6.
    let mut view = view([app_fact(), assigned(9, Some(1), &[(2, 6)])]);
    settle(&view, 1, &mut state);
    let own = state.dyno(&spec().id).unwrap();
    assert_eq!((own.epoch, own.phase), (Epoch(4), Phase::Draining));
    view.absorb(released(9, 2));
    settle(&view, 1, &mut state);
    let own = state.dyno(&spec().id).unwrap();
    assert_eq!((own.epoch, own.phase), (Epoch(9), Phase::Active));
}

#[test]
fn an_owner_that_is_outranked_grants_nothing_more() {
    let mut state = BlockState::new();
    let mut view = view([app_fact(), assigned(4, Some(1), &[])]);
    settle(&view, 1, &mut state);
    view.absorb(owned(4, 1));
    assert_eq!(settle(&view, 1, &mut state), []);
    view.absorb(owned(6, 2));
    assert_eq!(settle(&view, 1, &mut state), [Command::Drain { dyno: spec().id, epoch: Epoch(4), cut: crate::map::fact::CUT_DEFAULT }]);
}

#[test]
fn a_promise_is_forgotten_once_the_move_is_over_and_noted() {
    let mut state = BlockState::new();
    settle(&view([app_fact(), assigned(4, Some(1), &[])]), 1, &mut state);
    let mut view = view([app_fact(), assigned(6, Some(2), &[(1, 4)])]);
    settle(&view, 1, &mut state);
    assert_eq!(state.promise(&spec().id), Some(Epoch(6)));
    // The new owner has it, but the directory has not yet noted the promise; then it has.
    view.absorb(owned(6, 2));
    assert_eq!(settle(&view, 1, &mut state), []);
    view.absorb(assigned(6, Some(2), &[]));
    assert_eq!(settle(&view, 1, &mut state), [Command::Forget { dyno: spec().id, epoch: Epoch(6) }]);
}

#[test]
fn an_assignment_under_the_floor_is_declined_and_said_anew() {
    let mut directory = DirectoryState::new(0);
    let add = directory::Command::AddDyno { id: Some(spec().id), app: spec().app, address: spec().address, max_conns: None, block: None };
    for command in [directory::Command::CreateApp { spec: Box::new(app(0)) }, add] {
        directory.apply(Index(1), command);
    }
    // The directory hears of its first block by that block's own word.
    let mut seen = view([leader(1, 1, 1)]);
    for command in directory_steps(&seen, &directory) {
        directory.apply(Index(2), command);
    }
    // The block once promised something about another dyno, up to a later epoch, and forgot it.
    let other = DynoId::new("other").unwrap();
    let (add, remove) = (
        directory::Command::AddDyno {
            id: Some(other.clone()),
            app: spec().app,
            address: "10.0.0.1:3001".parse().unwrap(),
            max_conns: None,
            block: None,
        },
        directory::Command::RemoveDyno { id: other.clone(), force: true },
    );
    directory.apply(Index(49), add);
    directory.apply(Index(50), remove);
    let mut state = BlockState::new();
    state.apply(Index(1), Command::Release { dyno: other.clone(), epoch: Epoch(50) });
    state.apply(Index(1), Command::Forget { dyno: other, epoch: Epoch(50) });
    settle(&view(directory.facts()), 1, &mut state);
    assert_eq!((state.dynos().len(), state.promise(&spec().id)), (0, Some(Epoch(50))));

    seen.absorb(released(50, 1));
    for command in directory_steps(&seen, &directory) {
        directory.apply(Index(60), command);
    }
    assert_eq!(directory_steps(&seen, &directory), []);
    settle(&view(directory.facts()), 1, &mut state);
    assert_eq!(state.dyno(&spec().id).unwrap().epoch, directory.dyno(&spec().id).unwrap().epoch);
}

#[test]
fn a_deleted_app_leaves_the_block_after_its_last_dyno() {
    let mut state = BlockState::new();
    let mut view = view([app_fact(), assigned(4, Some(1), &[])]);
    settle(&view, 1, &mut state);
    view.absorb(Fact::App(AppFact { name: app(0).name, version: Version(8), spec: None }));
    assert_eq!(settle(&view, 1, &mut state), []);
    view.absorb(assigned(6, None, &[(1, 4)]));
    settle(&view, 1, &mut state);
    assert_eq!((state.dynos().len(), state.apps().len()), (0, 0));
}

/// Lets a group that uses the name of block 1 propose what it finds missing until it finds nothing.
fn settle_of(view: &MapView, group: u128, state: &mut BlockState) -> Vec<Command> {
    let mut all = Vec::new();
    loop {
        let commands = steps_of_group(view, &block(1), Some(GroupId(group)), state);
        if commands.is_empty() {
            return all;
        }
        assert!(all.len() < 100, "no end of steps: {all:?}");
        for command in commands {
            state.apply(Index(1), command.clone());
            all.push(command);
        }
    }
}

#[test]
fn an_evicted_group_drains_first_then_releases_and_adopts_nothing_meant_for_its_successor() {
    let mut state = BlockState::new();
    settle(&view([app_fact(), assigned(1, Some(1), &[])]), 1, &mut state);
    let evicted = |group| Fact::Evicted(EvictedFact { block: block(1), group: GroupId(group), version: Version(9) });
    let (id, epoch) = (spec().id, Epoch(1));
    let slot = crate::id::SlotId { holder: crate::id::Holder { replica: ReplicaId(1), incarnation: crate::id::Incarnation(1) }, seq: 0 };
    state.apply(Index(1), Command::Grant { slot, dyno: id.clone(), epoch, span: crate::time::Span::from_secs(9) });

    // The dyno goes to another block, and then to a new group under the old name.
    let other = view([app_fact(), assigned(1, Some(1), &[]), evicted(2), assigned(5, Some(1), &[])]);
    assert_eq!(steps_of_group(&other, &block(1), Some(GroupId(1)), &state).len(), 1, "another group of that name was evicted");
    let mine = view([app_fact(), evicted(1), assigned(3, Some(2), &[]), assigned(5, Some(1), &[])]);
    let commands = settle_of(&mine, 1, &mut state);
    assert_eq!(commands.first(), Some(&Command::Drain { dyno: id.clone(), epoch, cut: CUT_DEFAULT }));
    assert!(state.dyno(&id).is_some_and(|own| own.phase == Phase::Draining), "a slot is still taken: {commands:?}");

    state.apply(Index(1), Command::Free { slots: vec![slot] });
    settle_of(&mine, 1, &mut state);
    assert!(state.dyno(&id).is_none(), "it is released");
    assert_eq!(state.promise(&id), Some(epoch));
}

/// Replicas are set up a second time under the name of a block that lives, and hear of its dynos.
#[test]
fn a_second_group_under_a_name_takes_and_promises_nothing_whatever_it_has_heard() {
    let facts = [app_fact(), assigned(4, Some(1), &[]), bound(1, 1)];
    for heard in 1..=facts.len() {
        let mut state = BlockState::new();
        settle_of(&view(facts[..heard].to_vec()), 2, &mut state);
        assert_eq!((state.dynos().len(), state.apps().len(), state.has_served()), (0, 0, false), "after {heard} facts");
    }
    let moved = assigned(6, Some(2), &[(1, 4)]);
    for seen in [view([app_fact(), moved.clone()]), view([app_fact(), moved.clone(), bound(1, 1)])] {
        assert_eq!(settle_of(&seen, 2, &mut BlockState::new()), []);
    }
    // The block itself does both.
    let mut state = BlockState::new();
    settle_of(&view(facts), 1, &mut state);
    assert_eq!(state.dynos().len(), 1);
    settle_of(&view([app_fact(), moved, bound(1, 1)]), 1, &mut state);
    assert_eq!(state.promise(&spec().id), Some(Epoch(6)));
}

/// A block lost all its disks and was founded anew under its old name: nobody promises what the lost one had to, but by its eviction.
#[test]
fn a_block_founded_anew_under_its_old_name_has_no_part_in_what_the_lost_one_had() {
    let mut state = BlockState::new();
    let evicted = Fact::Evicted(EvictedFact { block: block(1), group: GroupId(1), version: Version(5) });
    let mut seen = view([app_fact(), assigned(4, Some(1), &[]), bound(1, 1)]);
    settle_of(&seen, 2, &mut state);
    for fact in [evicted, assigned(6, Some(2), &[]), assigned(8, Some(1), &[(2, 6)]), released(8, 2)] {
        seen.absorb(fact);
        settle_of(&seen, 2, &mut state);
        assert!(!state.has_served());
    }
}

/// `routes-alone`: without control nobody says which group a block is.
#[test]
fn a_block_that_has_served_goes_on_while_nothing_is_known_of_its_name() {
    let mut state = BlockState::new();
    settle_of(&view([app_fact(), assigned(4, Some(1), &[]), bound(1, 1)]), 1, &mut state);
    // Its process starts anew, and hears of blocks only.
    let mut seen = view([app_fact(), assigned(4, Some(1), &[])]);
    assert_eq!(settle_of(&seen, 1, &mut state), []);
    seen.absorb(assigned(6, Some(1), &[]));
    settle_of(&seen, 1, &mut state);
    assert_eq!(state.dyno(&spec().id).map(|own| (own.epoch, own.phase)), Some((Epoch(6), Phase::Active)));
    seen.absorb(assigned(8, Some(2), &[(1, 6)]));
    settle_of(&seen, 1, &mut state);
    assert_eq!(state.promise(&spec().id), Some(Epoch(8)));
}

/// It took them before it heard, or by an older program.
#[test]
fn a_group_that_took_dynos_under_anothers_name_gives_them_up_when_it_hears() {
    let mut state = BlockState::new();
    settle(&view([app_fact(), assigned(4, Some(1), &[])]), 1, &mut state);
    let slot = crate::id::SlotId { holder: crate::id::Holder { replica: ReplicaId(1), incarnation: crate::id::Incarnation(1) }, seq: 0 };
    let (dyno, epoch) = (spec().id, Epoch(4));
    state.apply(Index(1), Command::Grant { slot, dyno: dyno.clone(), epoch, span: crate::time::Span::from_secs(9) });
    let seen = view([app_fact(), assigned(4, Some(1), &[]), bound(1, 1)]);
    assert_eq!(settle_of(&seen, 2, &mut state), [Command::Drain { dyno: dyno.clone(), epoch, cut: CUT_DEFAULT }]);
    state.apply(Index(1), Command::Free { slots: vec![slot] });
    assert_eq!(settle_of(&seen, 2, &mut state), [Command::Release { dyno, epoch }]);
    assert_eq!(state.dynos().len(), 0);
}
