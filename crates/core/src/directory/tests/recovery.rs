//! A directory that was lost, or restored from a backup, beside a map that knows more.

use super::*;
use crate::app::Phase;
use crate::block::BlockState;
use crate::id::Term;
use crate::map::fact::{OwnedFact, ReleasedFact};
use crate::map::{MapView, directory_steps, steps};

fn map_of(state: &DirectoryState) -> MapView {
    let mut view = MapView::new();
    for fact in state.facts() {
        view.absorb(fact);
    }
    view
}

fn recover(state: &mut DirectoryState, view: &MapView) {
    for command in recovery(view, state) {
        let reply = tell(state, command.clone());
        assert!(changed(&reply), "{command:?} got {reply:?}");
    }
}

fn full() -> DirectoryState {
    told([create("blog"), bind("b1", 1), bind("b2", 2), add("d1", "shop", 1), add("d2", "shop", 2), add("d3", "blog", 3)])
}

#[test]
fn a_lost_directory_takes_everything_back_and_outranks_what_it_said() {
    let lost = full();
    let view = map_of(&lost);
    let mut state = DirectoryState::new(0);
    assert!(state.must_recover(&view) && !lost.must_recover(&view));
    recover(&mut state, &view);
    assert!(!state.must_recover(&view));
    for record in lost.dynos() {
        assert_eq!(state.dyno(&record.spec.id), Some(record), "it came back changed");
    }
    assert_eq!(state.apps().len(), 2);
    // Known by name alone, a block is bound to the group that shows itself.
    assert!(state.may_bind(&block("b1"), GroupId(1)) && changed(&tell(&mut state, bind("b1", 1))));
    tell(&mut state, move_to("b2", "d1"));
    assert!(state.dyno(&dyno("d1")).unwrap().epoch.0 > lost.last_stamp(), "an epoch was lowered");
}

/// The eviction of a group is not forgotten with the directory that decided it.
#[test]
fn an_evicted_group_stays_out_after_a_recovery() {
    let mut lost = full();
    assert!(changed(&tell(&mut lost, Command::EvictBlock { name: block("b1"), proof: Proof::Operator })));
    let mut state = DirectoryState::new(0);
    recover(&mut state, &map_of(&lost));
    assert!(!state.may_bind(&block("b1"), GroupId(1)) && state.may_bind(&block("b2"), GroupId(2)));
    assert!(refusal(tell(&mut state, bind("b1", 1))).1.contains("was removed"));
    assert!(state.facts().iter().any(|fact| matches!(fact, Fact::Evicted(f) if f.group == GroupId(1))));
}

/// A block that is down while control is lost: it is bound by what was said of it, so that its eviction is told to it when it returns.
#[test]
fn a_block_that_nobody_hears_is_bound_to_what_it_was_and_can_be_evicted() {
    let view = map_of(&full());
    let mut state = DirectoryState::new(0);
    recover(&mut state, &view);
    let steps = directory_steps(&view, &state);
    assert_eq!(steps, [bind("b1", 1), bind("b2", 2)]);
    for command in steps {
        assert!(changed(&tell(&mut state, command)));
    }
    assert!(changed(&tell(&mut state, Command::EvictBlock { name: block("b1"), proof: Proof::Operator })));
    assert!(state.facts().iter().any(|fact| matches!(fact, Fact::Evicted(f) if f.group == GroupId(1))));
    // Of a block that this directory does not know nothing is bound.
    assert_eq!(directory_steps(&view, &DirectoryState::new(0)), []);
}

/// A recovery that came before all was heard can be asked for again.
#[test]
fn what_is_heard_late_is_taken_back_by_a_second_recovery() {
    let lost = full();
    let mut early = MapView::new();
    let late = lost.facts().into_iter().filter(|fact| !matches!(fact, Fact::Assigned(f) if f.dyno.id == dyno("d2")));
    late.for_each(|fact| {
        early.absorb(fact);
    });
    let mut state = DirectoryState::new(0);
    recover(&mut state, &early);
    assert!(state.dyno(&dyno("d2")).is_none() && recovery(&early, &state).is_empty());
    let view = map_of(&lost);
    assert!(misses(&view, &state));
    recover(&mut state, &view);
    assert_eq!(state.dyno(&dyno("d2")), lost.dyno(&dyno("d2")));
    assert!(!misses(&view, &state) && recovery(&view, &state).is_empty());
}

#[test]
fn a_restored_backup_lowers_no_epoch() {
    let backup = full();
    let mut later = backup.clone();
    for command in [move_to("b2", "d1"), remove("d2"), add("d4", "shop", 4)] {
        assert!(changed(&tell(&mut later, command)));
    }
    let view = map_of(&later);
    let mut state = backup;
    assert!(state.must_recover(&view), "a restored backup goes on as if it were the present");
    let words = recovery(&view, &state);
    for command in words {
        tell(&mut state, command);
    }
    assert_eq!(state.dyno(&dyno("d1")), later.dyno(&dyno("d1")));
    assert_eq!(state.dyno(&dyno("d4")), later.dyno(&dyno("d4")));
    tell(&mut state, move_to("b1", "d1"));
    assert!(state.dyno(&dyno("d1")).unwrap().epoch.0 > later.last_stamp());
}

#[test]
fn a_removal_that_the_backup_does_not_know_is_taken_back_too() {
    let backup = full();
    let mut later = backup.clone();
    tell(&mut later, remove("d2"));
    let mut state = backup;
    recover(&mut state, &map_of(&later));
    assert_eq!(state.dyno(&dyno("d2")).map(|dyno| dyno.place.clone()), Some(Place::Removed));
}

#[test]
fn nothing_else_is_written_during_a_recovery_and_it_goes_on_where_it_stopped() {
    let view = map_of(&full());
    let mut state = DirectoryState::new(0);
    let parts = recovery(&view, &state);
    tell(&mut state, parts[0].clone());
    let ask = Ask { caller: "ann".into(), at_ms: 1, key: None, expect: None, app: None, command: create("mail") };
    assert!(refusal(tell(&mut state, Command::Asked(Box::new(ask.clone())))).1.contains("being recovered"));
    // The replica that began is gone; another begins anew, under a higher generation or the same.
    recover(&mut state, &view);
    assert_eq!(state.dynos().len(), 3);
    assert!(changed(&tell(&mut state, Command::Asked(Box::new(ask)))));
    let stale = Command::Recover { generation: 1, apps: vec![], dynos: vec![], evicted: vec![], last: true };
    assert!(matches!(refusal(tell(&mut state, stale)).0, Kind::Invalid { .. }));
}

/// What a block does when it has heard this, and what it says of its dynos then.
fn obey(name: &str, own: &mut BlockState, view: &MapView) -> Vec<Fact> {
    for _ in 0..5 {
        for command in steps(view, &block(name), own) {
            own.apply(Index(1), command);
        }
    }
    let owned = own.dynos().map(|own| OwnedFact {
        dyno: own.spec.id.clone(),
        block: block(name),
        group: None,
        epoch: own.epoch,
        term: Term(1),
        seq: 1,
        phase: own.phase,
        up: None,
        in_flight: 0,
    });
    let released = own.released().map(|(id, epoch)| ReleasedFact { dyno: id.clone(), block: block(name), group: None, epoch });
    owned.map(Fact::Owned).chain(released.map(Fact::Released)).collect()
}

fn hear(view: &mut MapView, facts: Vec<Fact>) {
    for fact in facts {
        view.absorb(fact);
    }
}

fn serves(own: &BlockState) -> bool {
    own.dyno(&dyno("d1")).is_some_and(|own| own.phase == Phase::Active)
}

/// What the directory does when it has heard this.
fn note(state: &mut DirectoryState, view: &MapView) {
    for command in directory_steps(view, state) {
        tell(state, command);
    }
}

/// Three blocks, of which the first is to have d1.
fn three() -> DirectoryState {
    told([bind("b1", 1), bind("b2", 2), bind("b3", 3), add_to("b1", add("d1", "shop", 1))])
}

/// A directory on empty disks that has heard this, and bound its blocks.
fn recovered(view: &MapView) -> DirectoryState {
    let mut state = DirectoryState::new(0);
    recover(&mut state, view);
    for (name, group) in [("b1", 1), ("b2", 2), ("b3", 3)] {
        tell(&mut state, bind(name, group));
    }
    state
}

/// b1 has the dyno, and its move to b2 is decided; only b2 has heard of that when the directory's disks are lost.
#[test]
fn a_word_that_only_its_block_heard_makes_no_second_owner() {
    let (mut b1, mut b2, mut b3) = (BlockState::new(), BlockState::new(), BlockState::new());
    let mut lost = three();
    let mut heard = map_of(&lost);
    hear(&mut heard, obey("b1", &mut b1, &map_of(&lost)));
    tell(&mut lost, move_to("b2", "d1"));
    let mut late = map_of(&lost);
    let word = lost.dyno(&dyno("d1")).unwrap().clone();
    let mut state = recovered(&heard);
    let taken = state.dyno(&dyno("d1")).unwrap().clone();
    assert!(taken.block() == Some(&block("b1")) && taken.epoch < word.epoch && state.is_inherited(&taken));

    // The word reaches b1, which drains and promises; the promise is heard before the word.
    let promise = obey("b1", &mut b1, &late);
    hear(&mut heard, promise.clone());
    note(&mut state, &heard);
    assert!(refusal(tell(&mut state, released("d1", "b1", word.epoch))).1.contains("earlier directory"));
    assert_eq!(state.dyno(&dyno("d1")), Some(&taken), "b1 is told to take it again, and b2 may have it");
    hear(&mut late, promise);
    let owned = obey("b2", &mut b2, &late);
    hear(&mut late, map_of(&state).assigned().cloned().map(Fact::Assigned).collect());
    obey("b1", &mut b1, &late);
    assert!(serves(&b2) && !serves(&b1));
    for command in [move_to("b3", "d1"), Command::DrainDyno { id: dyno("d1"), cut: None }] {
        assert!(may_say(&heard, &state, &command).unwrap_err().sentence.contains("control recover"));
    }
    assert_eq!(in_doubt(&heard, &state).count(), 1);

    // The word is heard at last, and taken back.
    hear(&mut heard, lost.facts());
    hear(&mut heard, owned);
    assert!(misses(&heard, &state));
    recover(&mut state, &heard);
    assert!(!misses(&heard, &state) && recovery(&heard, &state).is_empty());
    note(&mut state, &heard);
    let back = state.dyno(&dyno("d1")).unwrap();
    assert_eq!((back.block(), back.epoch, back.after.len()), (Some(&block("b2")), word.epoch, 0));
    may_say(&heard, &state, &move_to("b3", "d1")).unwrap();
    tell(&mut state, move_to("b3", "d1"));
    let mut now = map_of(&state);
    obey("b3", &mut b3, &now);
    assert!(!serves(&b3));
    hear(&mut now, obey("b2", &mut b2, &map_of(&state)));
    obey("b3", &mut b3, &now);
    assert!(serves(&b3) && !serves(&b2));
}

/// As above, but nobody hears of the lost word before the dyno is moved on.
#[test]
fn a_lost_word_is_not_obeyed_by_a_promise_to_its_successor() {
    let (mut b1, mut b2, mut b3) = (BlockState::new(), BlockState::new(), BlockState::new());
    let mut lost = three();
    let mut heard = map_of(&lost);
    hear(&mut heard, obey("b1", &mut b1, &map_of(&lost)));
    tell(&mut lost, move_to("b2", "d1"));
    let mut late = map_of(&lost);
    let mut state = recovered(&heard);
    may_say(&heard, &state, &move_to("b3", "d1")).unwrap();
    tell(&mut state, move_to("b3", "d1"));
    let mut now = map_of(&state);
    let promise = obey("b1", &mut b1, &now);
    hear(&mut now, promise.clone());
    hear(&mut late, promise);
    obey("b2", &mut b2, &late);
    obey("b3", &mut b3, &now);
    assert!(serves(&b3) && !serves(&b2) && !serves(&b1));
}

/// The backup is of before the move to b2, which nobody tells the recovered directory of.
#[test]
fn a_move_after_a_recovery_does_not_pass_over_an_owner_that_was_not_heard() {
    let (mut b1, mut b2, mut b3) = (BlockState::new(), BlockState::new(), BlockState::new());
    let backup = three();
    let stale = obey("b1", &mut b1, &map_of(&backup));
    let mut later = backup.clone();
    for command in [move_to("b2", "d1"), create("mail")] {
        assert!(changed(&tell(&mut later, command)));
    }
    let mut then = map_of(&later);
    let promise = obey("b1", &mut b1, &then);
    hear(&mut then, promise.clone());
    obey("b2", &mut b2, &then);
    assert!(serves(&b2));

    let mut heard = map_of(&backup);
    hear(&mut heard, later.facts().into_iter().filter(|fact| matches!(fact, Fact::App(_))).collect());
    let mut state = backup;
    recover(&mut state, &heard);
    assert_eq!(belongs(&state, "d1"), Some("b1"));
    may_say(&heard, &state, &move_to("b3", "d1")).unwrap_err();
    // Somebody repeats what b1 said before the backup was made, and its promise is not heard yet: the move is decided.
    let mut deceived = heard.clone();
    hear(&mut deceived, stale);
    may_say(&deceived, &state, &move_to("b3", "d1")).unwrap();
    hear(&mut deceived, promise.clone());
    may_say(&deceived, &state, &move_to("b3", "d1")).unwrap_err();
    tell(&mut state, move_to("b3", "d1"));
    note(&mut state, &deceived);
    let mut now = map_of(&state);
    hear(&mut now, promise);
    let said = obey("b1", &mut b1, &now);
    hear(&mut now, said);
    obey("b3", &mut b3, &now);
    note(&mut state, &now);
    hear(&mut now, state.facts());
    obey("b3", &mut b3, &now);
    assert!(!serves(&b3) && serves(&b2), "b3 took a promise to b2 for one to itself");
}

/// Nobody can say whether it is served; an operator who knows may remove it and add it anew.
#[test]
fn a_dyno_in_doubt_is_removed_by_force_alone() {
    let lost = three();
    let mut heard = map_of(&lost);
    let mut state = recovered(&heard);
    let epoch = state.dyno(&dyno("d1")).unwrap().epoch;
    let early = Fact::Released(ReleasedFact { dyno: dyno("d1"), block: block("b1"), group: None, epoch: Epoch(epoch.0 + 9) });
    hear(&mut heard, vec![early]);
    let polite = Command::RemoveDyno { id: dyno("d1"), force: false };
    assert!(may_say(&heard, &state, &polite).unwrap_err().sentence.contains("by force"));
    may_say(&heard, &state, &remove("d1")).unwrap();
    tell(&mut state, remove("d1"));
    note(&mut state, &heard);
    assert_eq!(state.dyno(&dyno("d1")), None);
    assert!(changed(&tell(&mut state, add_to("b2", add("d1", "shop", 1)))));
    assert_eq!(in_doubt(&heard, &state).count(), 0);
}

#[test]
fn an_eviction_after_the_backup_is_taken_back_by_the_block_that_has_it() {
    let backup = three();
    let mut later = backup.clone();
    assert!(changed(&tell(&mut later, Command::EvictBlock { name: block("b1"), proof: Proof::Operator })));
    let view = map_of(&later);
    let mut whole = backup.clone();
    recover(&mut whole, &view);
    assert!(whole.block(&block("b1")).unwrap().evicted);
    assert_eq!(whole.dyno(&dyno("d1")), later.dyno(&dyno("d1")));
    assert!(!misses(&view, &whole));

    // Of a directory that hears of the eviction alone, the dyno gets no word before that which followed is heard.
    let mut part = MapView::new();
    hear(&mut part, view.evictions().cloned().map(Fact::Evicted).collect());
    let mut state = backup;
    recover(&mut state, &part);
    assert!(state.block(&block("b1")).unwrap().evicted && belongs(&state, "d1") == Some("b1"));
    assert!(state.facts().iter().any(|fact| matches!(fact, Fact::Evicted(f) if f.group == GroupId(1))));
    assert!(refusal(tell(&mut state, add_to("b1", add("d2", "shop", 2)))).1.contains("was evicted"));
    may_say(&part, &state, &move_to("b2", "d1")).unwrap_err();
    assert!(misses(&view, &state));
    recover(&mut state, &view);
    assert_eq!(state.dyno(&dyno("d1")), later.dyno(&dyno("d1")));
}

#[test]
fn nobody_waits_for_a_block_whose_eviction_is_taken_back() {
    let backup = three();
    let mut moved = backup.clone();
    tell(&mut moved, move_to("b2", "d1"));
    let mut later = moved.clone();
    tell(&mut later, Command::EvictBlock { name: block("b1"), proof: Proof::Operator });
    // The word as it was before the eviction, and the eviction.
    let mut view = map_of(&moved);
    hear(&mut view, later.facts().into_iter().filter(|fact| matches!(fact, Fact::Evicted(_))).collect());
    let mut state = backup;
    recover(&mut state, &view);
    assert_eq!(state.dyno(&dyno("d1")), later.dyno(&dyno("d1")));
    assert!(state.dyno(&dyno("d1")).unwrap().after.is_empty());
}
