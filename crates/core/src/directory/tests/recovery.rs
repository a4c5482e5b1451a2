//! A directory that was lost, or restored from a backup, beside a map that knows more.

use super::*;
use crate::map::MapView;

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
