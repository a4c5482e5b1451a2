//! What moving costs, and what it must never cost.

use dynomesh_core::time::Span;

use crate::scenario::Setup;
use crate::stack;
use crate::workload::{Draw, Outcome};

/// Many moves, and a map so slow that most words about a dyno are told while older ones are on their way.
fn moving(epochs: bool) -> Setup {
    let map_delay = Draw::exponential(Span::from_secs(1));
    Setup { requests: 40_000, load: 0.6, edges: 4, dynos: 50, blocks: 5, moves_per_second: 10.0, map_delay, epochs, ..Setup::default() }
}

fn note(outcome: &Outcome, column: &str) -> f64 {
    outcome.notes.iter().find(|(name, _)| *name == column).map(|(_, value)| *value).unwrap()
}

#[test]
fn with_epochs_no_dyno_has_two_owners_and_none_is_lost() {
    for seed in 1..=3 {
        let outcome = stack::run(&moving(true), seed);
        assert!(note(&outcome, "moves") > 400.0 && note(&outcome, "draining") > 0.0 && note(&outcome, "unowned") > 0.0, "{outcome:?}");
        for never in ["double_owned", "over_cap", "still_double", "still_unowned"] {
            assert_eq!(note(&outcome, never), 0.0, "{never} by seed {seed}");
        }
        assert_eq!(outcome.tally.failed(), 0);
    }
}

#[test]
fn without_epochs_dynos_stay_with_two_owners_or_none_for_ever() {
    let outcome = stack::run(&moving(false), 1);
    for column in ["double_owned", "over_cap", "still_double", "still_unowned"] {
        assert!(note(&outcome, column) > 0.0, "{column} was not seen");
    }
}

#[test]
fn a_dyno_is_without_an_owner_for_about_as_long_as_a_word_takes() {
    // Every word takes the same time: a move is decided, heard of, and after the drain the promise is heard of.
    let setup = Setup { map_delay: Draw::fixed(Span::from_millis(200)), requests: 60_000, ..moving(true) };
    let outcome = stack::run(&setup, 2);
    let seconds = outcome.length.as_secs_f64() * 50.0;
    let per_move = note(&outcome, "unowned") * seconds / note(&outcome, "moves");
    assert!((0.19..0.21).contains(&per_move), "{per_move} s per move");
}

#[test]
fn a_mesh_without_moves_says_nothing_of_them() {
    let still = Setup { moves_per_second: 0.0, requests: 4_000, ..moving(true) };
    assert!(stack::run(&still, 1).notes.iter().all(|(column, _)| *column != "moves"));
}
