//! Blocks that are drained, evicted and removed.

use super::*;

fn drain(name: &str) -> Command {
    Command::DrainBlock { name: block(name) }
}

fn undrain(name: &str) -> Command {
    Command::UndrainBlock { name: block(name) }
}

fn evict(name: &str) -> Command {
    Command::EvictBlock { name: block(name), proof: Proof::Operator }
}

fn forget(name: &str) -> Command {
    Command::RemoveBlock { name: block(name) }
}

#[test]
fn a_drained_block_gets_no_dynos_until_it_is_undrained() {
    let mut state = told([bind("b1", 1), bind("b2", 2), drain("b1"), add("d1", "shop", 1), add("d2", "shop", 2)]);
    assert_eq!((belongs(&state, "d1"), belongs(&state, "d2")), (Some("b2"), Some("b2")));
    let (kind, sentence) = refusal(tell(&mut state, move_to("b1", "d1")));
    assert_eq!(kind, Kind::Precondition);
    assert!(sentence.contains("b1 is being drained"), "{sentence}");
    assert!(!changed(&tell(&mut state, drain("b1"))));
    assert!(changed(&tell(&mut state, undrain("b1"))) && changed(&tell(&mut state, move_to("b1", "d1"))));
    assert_eq!(refusal(tell(&mut state, drain("b9"))).0, Kind::NotFound);
}

#[test]
fn with_every_block_drained_a_new_dyno_waits() {
    let mut state = told([bind("b1", 1), drain("b1"), add("d1", "shop", 1)]);
    assert_eq!(belongs(&state, "d1"), None);
    tell(&mut state, undrain("b1"));
    assert_eq!(belongs(&state, "d1"), Some("b1"));
}

#[test]
fn an_evicted_block_loses_all_its_dynos_and_nobody_waits_for_it() {
    let mut state =
        told([bind("b1", 1), bind("b2", 2), bind("b3", 3), add_to("b1", add("d1", "shop", 1)), add_to("b1", add("d2", "shop", 2))]);
    let first = state.dyno(&dyno("d1")).unwrap().epoch;
    tell(&mut state, move_to("b2", "d2"));
    assert!(changed(&tell(&mut state, evict("b1"))));
    for id in ["d1", "d2"] {
        let record = state.dyno(&dyno(id)).unwrap();
        assert!(record.block() != Some(&block("b1")) && record.after.is_empty(), "{record:?}");
    }
    assert!(state.dyno(&dyno("d1")).unwrap().epoch > first, "it was assigned anew under its old epoch");
    assert!(state.facts().iter().any(|fact| matches!(fact, Fact::Evicted(f) if f.block == block("b1") && f.group == GroupId(1))));
    assert!(!changed(&tell(&mut state, evict("b1"))));
    assert!(refusal(tell(&mut state, move_to("b1", "d1"))).1.contains("was evicted"));
    assert!(refusal(tell(&mut state, undrain("b1"))).1.contains("was evicted"));
}

#[test]
fn a_dyno_goes_back_to_its_predecessor_when_the_block_between_is_evicted() {
    let mut state = told([bind("b1", 1), bind("b2", 2), add_to("b1", add("d1", "shop", 1)), move_to("b2", "d1"), evict("b2")]);
    assert_eq!(belongs(&state, "d1"), Some("b1"));
    assert!(state.dyno(&dyno("d1")).unwrap().after.is_empty(), "it waits for its own block");
    // The word of the evicted block is worth nothing any more, and does no harm.
    let epoch = state.dyno(&dyno("d1")).unwrap().epoch;
    assert!(!changed(&tell(&mut state, released("d1", "b2", epoch))));
}

#[test]
fn a_removed_dyno_is_gone_when_the_last_block_it_waits_for_is_evicted() {
    let mut state = told([bind("b1", 1), bind("b2", 2), add_to("b1", add("d1", "shop", 1)), remove("d1")]);
    assert!(state.dyno(&dyno("d1")).is_some());
    tell(&mut state, evict("b1"));
    assert!(state.dyno(&dyno("d1")).is_none());
    assert!(changed(&tell(&mut state, add("d2", "shop", 1))), "its address is still taken");
}

#[test]
fn the_only_block_is_not_evicted() {
    let mut state = told([bind("b1", 1), add("d1", "shop", 1)]);
    let (kind, sentence) = refusal(tell(&mut state, evict("b1")));
    assert_eq!(kind, Kind::Precondition);
    assert!(sentence.contains("add a block first"), "{sentence}");
    assert_eq!(belongs(&state, "d1"), Some("b1"));
}

#[test]
fn a_block_is_removed_when_nothing_of_it_is_left_and_its_group_stays_out() {
    let mut state = told([bind("b1", 1), bind("b2", 2), add_to("b1", add("d1", "shop", 1))]);
    assert!(refusal(tell(&mut state, forget("b1"))).1.contains("still has 1 dynos"));
    tell(&mut state, move_to("b2", "d1"));
    assert!(refusal(tell(&mut state, forget("b1"))).1.contains("has not released dyno d1"));
    let epoch = state.dyno(&dyno("d1")).unwrap().after[0].epoch;
    tell(&mut state, released("d1", "b1", epoch));
    assert!(changed(&tell(&mut state, forget("b1"))) && !changed(&tell(&mut state, forget("b1"))));
    assert!(!state.may_bind(&block("b1"), GroupId(1)) && !state.may_bind(&block("b1"), GroupId(7)));
    assert!(refusal(tell(&mut state, bind("b1", 1))).1.contains("was removed"));
    assert!(refusal(tell(&mut state, bind("b1", 7))).1.contains("never used again"));
    assert!(changed(&tell(&mut state, bind("b7", 7))));
}

#[test]
fn an_evicted_block_that_was_removed_still_hears_of_it() {
    let mut state = told([bind("b1", 1), bind("b2", 2), add_to("b1", add("d1", "shop", 1)), evict("b1"), forget("b1")]);
    assert!(state.facts().iter().any(|fact| matches!(fact, Fact::Evicted(f) if f.group == GroupId(1))));
    tell(&mut state, bind("b7", 7));
    assert!(!state.facts().iter().any(|fact| matches!(fact, Fact::Evicted(f) if f.group == GroupId(7))));
}

#[test]
fn no_second_group_is_founded_under_a_name() {
    let mut state = told([bind("b1", 1)]);
    let no = state.may_found(&block("b1")).unwrap_err();
    assert!(no.kind == Kind::Exists && no.sentence.contains(&GroupId(1).to_string()), "{}", no.sentence);
    state.may_found(&block("b2")).unwrap();
    assert!(state.facts().iter().any(|fact| matches!(fact, Fact::Bound(f) if f.block == block("b1") && f.group == GroupId(1))));
    assert!(
        state.may_be(&block("b1"), Some(GroupId(1))) && state.may_be(&block("b1"), None) && !state.may_be(&block("b1"), Some(GroupId(2)))
    );
    tell(&mut state, forget("b1"));
    assert_eq!(state.may_found(&block("b1")).unwrap_err().kind, Kind::Precondition);
}
