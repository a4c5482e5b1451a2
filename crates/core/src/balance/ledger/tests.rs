//! Single steps of the ledger, each named by what it claims; `shadow` tells random stories.

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::super::{Counts, Load, Place, Probed};
use super::*;
use crate::id::{Holder, Incarnation, ReplicaId};

mod shadow;

fn slot(seq: u64) -> SlotId {
    SlotId { holder: Holder { replica: ReplicaId(1), incarnation: Incarnation(1) }, seq }
}

fn dyno(name: &str) -> DynoId {
    DynoId::new(name).unwrap()
}

fn shape(max_conns: u32) -> DynoShape {
    DynoShape { max_conns, epoch: Epoch(1), phase: Phase::Active }
}

fn at(millis: u64) -> Time {
    Time::ZERO + Span::from_millis(millis)
}

fn rng() -> StdRng {
    StdRng::seed_from_u64(7)
}

/// A ledger of dynos that are up.
fn ledger(dynos: &[(&str, u32)]) -> Ledger {
    let mut ledger = Ledger::new(LedgerSettings::default());
    for (name, max_conns) in dynos {
        ledger.upsert(dyno(name), shape(*max_conns));
    }
    ledger.assume_up();
    ledger
}

fn probe(ledger: &mut Ledger, name: &str, result: Probed, now: Time) -> Vec<SlotId> {
    ledger.begin_probe(&dyno(name), slot(1_000_000 + now.as_nanos()), now).unwrap();
    let cleared = ledger.probed(&dyno(name), result, now);
    ledger.check_invariants();
    cleared
}

// --- picking

#[test]
fn the_dyno_with_the_fewest_slots_is_picked_until_all_are_full() {
    let mut ledger = ledger(&[("a", 3), ("b", 1)]);
    let mut picked = [0, 0];
    for seq in 0..4 {
        let id = ledger.pick(&mut rng(), slot(seq), &[]).unwrap();
        picked[usize::from(id.as_str() == "b")] += 1;
        if seq == 1 {
            assert_eq!(picked, [1, 1], "the second request goes to the other dyno");
        }
    }
    assert_eq!(picked, [3, 1]);
    assert_eq!(ledger.pick(&mut rng(), slot(9), &[]), None);
    assert_eq!((ledger.slots(), ledger.used(), ledger.free()), (4, 4, 0));
}

#[test]
fn ties_are_broken_by_chance_evenly_or_by_place() {
    let mut ledger = ledger(&[("a", 1), ("b", 1), ("c", 1)]);
    let (mut rng, mut picked) = (rng(), [0; 3]);
    for seq in 0..3000 {
        let id = ledger.pick(&mut rng, slot(seq), &[]).unwrap();
        picked[usize::from(id.as_str().as_bytes()[0] - b'a')] += 1;
        ledger.end(slot(seq), Outcome::Done, at(0));
    }
    assert!(picked.iter().all(|count| (900..1100).contains(count)), "{picked:?}");

    ledger.settings.ties = Ties::Lowest;
    assert!((0..100).all(|seq| {
        let id = ledger.pick(&mut rng, slot(seq), &[]).unwrap();
        ledger.release(slot(seq));
        id == dyno("a")
    }));
}

#[test]
fn excluded_and_draining_and_quarantined_dynos_are_not_picked() {
    let mut ledger = ledger(&[("a", 1), ("b", 1), ("c", 1), ("d", 1)]);
    ledger.upsert(dyno("b"), DynoShape { phase: Phase::Draining, ..shape(1) });
    ledger.quarantine(&dyno("c"), true);
    assert_eq!(ledger.pick(&mut rng(), slot(1), &[dyno("a"), dyno("unknown")]), Some(dyno("d")));
    assert_eq!(ledger.pick(&mut rng(), slot(2), &[dyno("a")]), None);
    assert_eq!((ledger.slots(), ledger.used()), (3, 2), "quarantine counts as used, a draining dyno not at all");
    ledger.quarantine(&dyno("c"), false);
    assert_eq!(ledger.pick(&mut rng(), slot(3), &[dyno("a")]), Some(dyno("c")));
}

#[test]
fn an_unproven_dyno_is_picked_only_when_those_that_are_up_are_full() {
    let mut ledger = ledger(&[("up", 2)]);
    ledger.upsert(dyno("new"), shape(1));
    assert_eq!(ledger.pick(&mut rng(), slot(1), &[]), Some(dyno("up")));
    assert_eq!(ledger.pick(&mut rng(), slot(2), &[]), Some(dyno("up")));
    assert_eq!(ledger.pick(&mut rng(), slot(3), &[]), Some(dyno("new")));
}

#[test]
fn a_dyno_that_is_down_is_picked_only_when_all_are() {
    let mut ledger = ledger(&[("a", 1), ("b", 1)]);
    ledger.upsert(dyno("new"), shape(1));
    probe(&mut ledger, "a", Probed::Failed, at(0));
    probe(&mut ledger, "b", Probed::Failed, at(0));
    assert_eq!(ledger.pick(&mut rng(), slot(1), &[]), Some(dyno("new")));
    assert_eq!(ledger.pick(&mut rng(), slot(2), &[]), None, "an unproven dyno is still better, also when it is full");
    ledger.release(slot(1));
    probe(&mut ledger, "new", Probed::Failed, at(0));
    assert_eq!(ledger.load(), Load { slots: 3, used: 3 }, "edges are told to prefer any other block");
    assert!((3..6).all(|seq| ledger.pick(&mut rng(), slot(seq), &[]).is_some()), "never are all of them ejected");
    assert_eq!(ledger.pick(&mut rng(), slot(6), &[]), None);
}

#[test]
fn what_is_down_is_no_capacity_while_others_are_up() {
    let mut ledger = ledger(&[("a", 1), ("b", 4)]);
    probe(&mut ledger, "b", Probed::Failed, at(0));
    assert_eq!(ledger.load(), Load { slots: 1, used: 0 });
    assert_eq!(ledger.slots(), 5);
}

#[test]
fn a_given_dyno_is_taken_only_while_it_has_room() {
    let mut ledger = ledger(&[("a", 1)]);
    assert!(ledger.take(slot(1), &dyno("a")));
    assert!(!ledger.take(slot(2), &dyno("a")));
    assert!(!ledger.take(slot(2), &dyno("unknown")));
    assert_eq!(ledger.release(slot(1)), Some(dyno("a")));
    assert!(ledger.take(slot(2), &dyno("a")));
}

#[test]
#[should_panic(expected = "taken twice")]
fn a_slot_names_one_grant_for_ever() {
    let mut ledger = ledger(&[("a", 2)]);
    ledger.pick(&mut rng(), slot(1), &[]);
    ledger.pick(&mut rng(), slot(1), &[]);
}

// --- ending

#[test]
fn a_finished_request_frees_its_slot_once() {
    let mut ledger = ledger(&[("a", 1)]);
    ledger.pick(&mut rng(), slot(1), &[]);
    assert_eq!(ledger.end(slot(1), Outcome::Done, at(5)), Ended::Freed);
    assert_eq!(ledger.end(slot(1), Outcome::Done, at(5)), Ended::NotHere);
    assert_eq!(ledger.release(slot(1)), None);
    assert_eq!(ledger.free(), 1);
}

#[test]
fn errored_dyno_is_not_picked_again_before_its_hold_ends() {
    let mut ledger = ledger(&[("a", 1), ("b", 1)]);
    let failed = ledger.pick(&mut rng(), slot(1), &[]).unwrap();
    assert_eq!(ledger.end(slot(1), Outcome::Error, at(5)), Ended::HeldUntil(at(1005)));
    assert_ne!(ledger.pick(&mut rng(), slot(2), &[]).unwrap(), failed);
    assert_eq!(ledger.pick(&mut rng(), slot(3), &[]), None);
    assert_eq!(ledger.end(slot(1), Outcome::Error, at(500)), Ended::HeldUntil(at(1005)), "said twice, held once");
    assert_eq!((ledger.next_lapse(), ledger.lapse(at(1004))), (Some(at(1005)), vec![]));
    assert_eq!(ledger.lapse(at(1005)), [slot(1)]);
    assert_eq!(ledger.pick(&mut rng(), slot(3), &[]), Some(failed));
}

#[test]
fn a_hold_of_no_length_frees_at_once() {
    let mut ledger = Ledger::new(LedgerSettings { hold: Span::ZERO, ..LedgerSettings::default() });
    ledger.upsert(dyno("a"), shape(1));
    ledger.pick(&mut rng(), slot(1), &[]);
    assert_eq!(ledger.end(slot(1), Outcome::Error, at(0)), Ended::Freed);
}

#[test]
fn a_slot_of_unknown_outcome_stays_until_it_is_released() {
    let mut ledger = ledger(&[("a", 1)]);
    ledger.pick(&mut rng(), slot(1), &[]);
    assert_eq!(ledger.end(slot(1), Outcome::Unknown, at(0)), Ended::Kept);
    assert_eq!((ledger.lapse(Time::FAR), ledger.next_lapse()), (vec![], None));
    assert_eq!(ledger.begin_probe(&dyno("a"), slot(2), at(2000)), None, "a probe could wait behind what still runs");
    assert_eq!(ledger.counts(), Counts { kept: 1, ..Counts::default() });
    assert_eq!(ledger.release(slot(1)), Some(dyno("a")));
    assert_eq!(ledger.free(), 1);
}

#[test]
fn the_end_of_a_kept_slot_may_be_seen_after_all() {
    let mut ledger = ledger(&[("a", 2)]);
    for seq in 1..=2 {
        ledger.pick(&mut rng(), slot(seq), &[]);
        ledger.end(slot(seq), Outcome::Unknown, at(0));
    }
    assert_eq!(ledger.end(slot(1), Outcome::Done, at(10)), Ended::Freed);
    assert_eq!(ledger.end(slot(2), Outcome::Error, at(10)), Ended::HeldUntil(at(1010)));
}

// --- takeover, removal

#[test]
fn slots_found_at_a_takeover_count_even_beyond_the_limit() {
    let mut ledger = ledger(&[("a", 1), ("b", 1)]);
    ledger.occupy(slot(1), &dyno("a"), Occupied::Live);
    ledger.occupy(slot(2), &dyno("a"), Occupied::Live);
    ledger.occupy(slot(2), &dyno("a"), Occupied::Orphan);
    assert_eq!(ledger.dyno(&dyno("a")).unwrap().counts, Counts { live: 1, orphans: 1, ..Counts::default() });
    assert_eq!(ledger.load(), Load { slots: 2, used: 1 }, "what is over the limit takes no other dyno's room");
    ledger.release(slot(1));
    assert_eq!(ledger.pick(&mut rng(), slot(3), &[]), Some(dyno("b")), "one slot of two is free: still full");
    ledger.release(slot(2));
    assert_eq!(ledger.pick(&mut rng(), slot(4), &[]), Some(dyno("a")));
}

#[test]
fn occupying_does_not_undo_how_a_request_ended() {
    let mut ledger = ledger(&[("a", 2)]);
    ledger.pick(&mut rng(), slot(1), &[]);
    ledger.pick(&mut rng(), slot(2), &[]);
    ledger.end(slot(1), Outcome::Error, at(0));
    ledger.end(slot(2), Outcome::Unknown, at(0));
    ledger.occupy(slot(1), &dyno("a"), Occupied::Live);
    ledger.occupy(slot(2), &dyno("a"), Occupied::Orphan);
    assert_eq!(ledger.counts(), Counts { held: 1, kept: 1, ..Counts::default() });
}

#[test]
fn a_removed_dynos_slots_stay_known_and_come_back_with_it() {
    let mut ledger = ledger(&[("a", 1)]);
    ledger.pick(&mut rng(), slot(1), &[]);
    ledger.remove(&dyno("a"));
    ledger.check_invariants();
    assert!(ledger.dyno(&dyno("a")).is_none());
    assert_eq!((ledger.slots(), ledger.counts().all()), (0, 1));
    assert_eq!(ledger.slots_of(&dyno("a")).collect::<Vec<_>>(), [(slot(1), SlotState::Live)]);

    ledger.upsert(dyno("a"), shape(1));
    assert_eq!(ledger.pick(&mut rng(), slot(2), &[]), None, "its request still runs");
    ledger.remove(&dyno("a"));
    assert_eq!(ledger.end(slot(1), Outcome::Done, at(0)), Ended::Freed);
    ledger.check_invariants();
    assert!(ledger.dynos.iter().all(Option::is_none), "nothing is left of it");
}

#[test]
fn slots_may_be_found_before_their_dyno() {
    let mut ledger = Ledger::new(LedgerSettings::default());
    ledger.occupy(slot(1), &dyno("a"), Occupied::Orphan);
    ledger.check_invariants();
    assert_eq!((ledger.slots(), ledger.dynos().count()), (0, 0));
    ledger.upsert(dyno("a"), shape(1));
    assert_eq!(ledger.free(), 0);
}

#[test]
fn a_lowered_limit_lets_running_requests_end() {
    let mut ledger = ledger(&[("a", 2)]);
    ledger.pick(&mut rng(), slot(1), &[]);
    ledger.pick(&mut rng(), slot(2), &[]);
    ledger.upsert(dyno("a"), shape(1));
    assert_eq!(ledger.load(), Load { slots: 1, used: 1 });
    ledger.end(slot(1), Outcome::Done, at(0));
    assert_eq!(ledger.pick(&mut rng(), slot(3), &[]), None);
    ledger.end(slot(2), Outcome::Done, at(0));
    assert!(ledger.pick(&mut rng(), slot(3), &[]).is_some());
}

// --- probes

#[test]
fn a_passed_probe_ends_the_holds_it_came_after() {
    let mut ledger = ledger(&[("a", 2)]);
    ledger.pick(&mut rng(), slot(1), &[]);
    ledger.pick(&mut rng(), slot(2), &[]);
    ledger.end(slot(1), Outcome::Error, at(0));
    assert_eq!(ledger.begin_probe(&dyno("a"), slot(9), at(100)), Some(Place::Held(slot(1))));
    ledger.end(slot(2), Outcome::Error, at(150));
    assert_eq!(ledger.probed(&dyno("a"), Probed::Passed, at(200)), [slot(1)], "the second error is newer than the question");
    ledger.check_invariants();
    assert_eq!(ledger.counts(), Counts { held: 1, ..Counts::default() });
}

#[test]
fn a_dyno_that_takes_connections_but_fails_requests_does_not_look_idle() {
    // A connect probe passes at such a dyno every time. Were each pass to end the hold, it would get ten requests a second, or a thousand.
    let mut ledger = ledger(&[("a", 1)]);
    let (mut seq, mut failed) = (0, 0);
    for now in 0..10_000 {
        ledger.lapse(at(now));
        if ledger.pick(&mut rng(), slot(seq), &[]).is_some() {
            ledger.end(slot(seq), Outcome::Error, at(now));
            failed += 1;
        }
        seq += 1;
        if ledger.probe_due(at(now)) == [dyno("a")] {
            ledger.begin_probe(&dyno("a"), slot(seq), at(now)).unwrap();
            ledger.probed(&dyno("a"), Probed::Passed, at(now));
            seq += 1;
        }
    }
    assert!((10..=12).contains(&failed), "{failed} requests failed in 10 s; a hold of 1 s allows ten, and one before a probe is doubted");
}

#[test]
fn a_failed_probe_ends_no_hold() {
    let mut ledger = ledger(&[("a", 1)]);
    ledger.pick(&mut rng(), slot(1), &[]);
    ledger.end(slot(1), Outcome::Error, at(0));
    assert_eq!(probe(&mut ledger, "a", Probed::Failed, at(100)), []);
    assert_eq!(ledger.dyno(&dyno("a")).unwrap().standing, Standing::Down);
    assert_eq!(ledger.lapse(at(1000)), [slot(1)]);
}

#[test]
fn a_hold_does_not_lapse_under_the_probe_in_its_place() {
    let mut ledger = ledger(&[("a", 1)]);
    ledger.pick(&mut rng(), slot(1), &[]);
    ledger.end(slot(1), Outcome::Error, at(0));
    assert_eq!(ledger.begin_probe(&dyno("a"), slot(2), at(900)), Some(Place::Held(slot(1))));
    assert_eq!((ledger.lapse(at(1500)), ledger.next_lapse()), (vec![], None));
    assert_eq!(ledger.pick(&mut rng(), slot(3), &[]), None);
    ledger.end_probe(&dyno("a"));
    assert_eq!(ledger.lapse(at(1500)), [slot(1)]);
}

#[test]
fn a_probe_takes_a_free_place_and_gives_it_back() {
    let mut ledger = ledger(&[("a", 1)]);
    assert_eq!(ledger.begin_probe(&dyno("a"), slot(1), at(0)), Some(Place::Free));
    assert_eq!(ledger.pick(&mut rng(), slot(2), &[]), None, "one at a time, probes included");
    assert_eq!(ledger.begin_probe(&dyno("a"), slot(3), at(0)), None, "one probe at a time");
    assert_eq!(ledger.probed(&dyno("a"), Probed::Passed, at(1)), []);
    assert_eq!(ledger.slot(slot(1)), None);
    assert!(ledger.pick(&mut rng(), slot(2), &[]).is_some());
    assert_eq!(ledger.begin_probe(&dyno("a"), slot(4), at(9000)), None, "a full dyno is not probed");
}

#[test]
fn a_probe_that_may_still_run_keeps_its_place() {
    let mut ledger = ledger(&[("a", 1), ("b", 1)]);
    ledger.begin_probe(&dyno("a"), slot(1), at(0)).unwrap();
    ledger.end(slot(1), Outcome::Unknown, at(1000));
    assert_eq!(ledger.probed(&dyno("a"), Probed::Failed, at(1000)), []);
    ledger.check_invariants();
    assert_eq!(ledger.slot(slot(1)), Some(SlotState::Kept));

    ledger.pick(&mut rng(), slot(2), &[]);
    ledger.end(slot(2), Outcome::Error, at(1000));
    assert_eq!(ledger.begin_probe(&dyno("b"), slot(3), at(1500)), Some(Place::Held(slot(2))));
    ledger.end(slot(2), Outcome::Unknown, at(1900));
    ledger.probed(&dyno("b"), Probed::Failed, at(1900));
    assert_eq!(ledger.slot(slot(2)), Some(SlotState::Kept), "and so does one in a held place");
}

#[test]
fn probes_are_due_each_second_and_ten_times_as_often_while_there_is_something_to_find_out() {
    let mut ledger = ledger(&[("a", 2)]);
    assert_eq!(ledger.probe_due(at(0)), [dyno("a")], "never asked");
    probe(&mut ledger, "a", Probed::Passed, at(0));
    assert_eq!((ledger.next_probe(), ledger.probe_due(at(999))), (Some(at(1000)), vec![]));
    assert_eq!(ledger.probe_due(at(1000)), [dyno("a")]);

    probe(&mut ledger, "a", Probed::Failed, at(1000));
    assert_eq!(ledger.next_probe(), Some(at(1100)), "down");
    probe(&mut ledger, "a", Probed::Passed, at(1100));

    ledger.pick(&mut rng(), slot(1), &[]);
    ledger.end(slot(1), Outcome::Error, at(1150));
    assert_eq!(ledger.next_probe(), Some(at(1200)), "held");

    ledger.upsert(dyno("new"), shape(1));
    assert_eq!(ledger.probe_due(at(1150)), [dyno("new")], "unproven");
}

#[test]
fn nothing_is_due_at_a_dyno_without_a_place_for_a_probe() {
    let mut ledger = ledger(&[("full", 1), ("draining", 1), ("quarantined", 1), ("removed", 1), ("asked", 1)]);
    assert!(ledger.take(slot(1), &dyno("full")));
    assert!(ledger.take(slot(2), &dyno("removed")));
    ledger.upsert(dyno("draining"), DynoShape { phase: Phase::Draining, ..shape(1) });
    ledger.quarantine(&dyno("quarantined"), true);
    ledger.remove(&dyno("removed"));
    ledger.begin_probe(&dyno("asked"), slot(3), at(0)).unwrap();
    assert_eq!((ledger.probe_due(Time::FAR), ledger.next_probe()), (vec![], None));
}
