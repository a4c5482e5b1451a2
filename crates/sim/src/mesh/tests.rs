//! The claims about the mesh that a small run can prove; the studies prove the others.

use dynomesh_core::dispatch::BlockChoice;
use dynomesh_core::time::Span;

use crate::parallel;
use crate::report::Estimate;
use crate::scenario::{Death, Failing, Setup, Spread, Told};
use crate::stack;
use crate::workload::{Draw, Outcome};

const NEVER: Failing = Failing { up: Draw::fixed(Span::ZERO), down: Draw::fixed(Span::ZERO) };

fn small() -> Setup {
    Setup { requests: 20_000, load: 0.7, edges: 4, ..Setup::default() }
}

fn note(outcome: &Outcome, column: &str) -> f64 {
    outcome.notes.iter().find(|(name, _)| *name == column).map(|(_, value)| *value).unwrap()
}

fn p99(mut outcome: Outcome) -> f64 {
    outcome.tally.percentile(0.99)
}

#[test]
fn a_seed_tells_one_story() {
    let run = |seed| {
        let mut outcome = stack::run(&small(), seed);
        (outcome.tally.figures(), outcome.events, outcome.length, outcome.notes)
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

#[test]
fn a_cap_of_one_is_one_through_outages_and_dead_dynos() {
    let outcome = stack::run(&small(), 3);
    assert_eq!(note(&outcome, "over_cap"), 0.0);
    assert!(note(&outcome, "outages") > 0.0 && note(&outcome, "dyno_retries") > 0.0, "the faults were not felt");
    assert_eq!(outcome.tally.failed(), 0);
}

#[test]
fn without_faults_nothing_is_tried_twice_and_every_slot_serves() {
    let setup = Setup { dyno_failures: NEVER, router_failures: NEVER, ..small() };
    let outcome = stack::run(&setup, 3);
    assert_eq!((note(&outcome, "retries"), note(&outcome, "dyno_retries"), outcome.tally.failed()), (0.0, 0.0, 0));
    // More of the same does not wear the mesh out: a slot that leaked would show as a longer wait.
    let long = stack::run(&Setup { requests: 100_000, load: 0.85, ..small() }, 3);
    assert!(p99(long) < 560.0);
}

#[test]
fn old_words_herd_and_chance_alone_is_worse_than_two_choices() {
    let busy = Setup { load: 0.85, edges: 10, requests: 60_000, ..small() };
    let answers = p99(stack::run(&busy, 5));
    let old = p99(stack::run(&Setup { told: Told::Map, load_age: Span::from_secs(2), ..busy.clone() }, 5));
    assert!(answers + 10.0 < old, "{answers} by what answers tell, {old} by words of two seconds");
    let random = p99(stack::run(&Setup { block_choice: BlockChoice::Random, ..busy }, 5));
    assert!(answers + 10.0 < random, "{answers} by two choices, {random} by chance");
}

#[test]
fn a_death_that_kills_takes_requests_with_it_and_a_direct_path_saves_those_that_run() {
    let killing = |death, safe_share| stack::run(&Setup { death, safe_share, requests: 40_000, ..small() }, 9);
    assert_eq!(note(&killing(Death::SparesThem, 0.0), "killed"), 0.0);
    let (proxied, waiting) = (killing(Death::KillsProxied, 1.0), killing(Death::KillsWaiting, 0.0));
    assert!(note(&proxied, "killed") > note(&waiting, "killed") + 0.0005, "{proxied:?}");
    assert_eq!(proxied.tally.failed(), 0, "what may run twice is sent again");
    assert_eq!(waiting.tally.failed(), 0, "what waited has not run");
    assert!(killing(Death::KillsProxied, 0.0).tally.failed() > 0, "what may not run twice is lost");
}

#[test]
fn hedges_cut_the_tail_and_stay_within_their_limit() {
    let at = |hedge_after| stack::run(&Setup { hedge_after, load: 0.33, requests: 40_000, ..small() }, 4);
    let (without, with) = (at(Span::ZERO), at(Span::from_millis(250)));
    assert!((0.01..=0.0501).contains(&note(&with, "hedges")), "{}", note(&with, "hedges"));
    assert_eq!(note(&without, "hedges"), 0.0);
    assert!(p99(with) < p99(without) - 20.0);
}

#[test]
fn apps_keep_to_their_blocks() {
    for spread in [Spread::One, Spread::Few, Spread::All] {
        let outcome = stack::run(&Setup { apps: 20, spread, load: 0.4, ..small() }, 2);
        assert_eq!((note(&outcome, "over_cap"), outcome.tally.failed()), (0.0, 0), "{spread:?}");
    }
}

/// The study `policy` at a size for every day; in full it is `dynomesh sim study policy --check`.
#[test]
fn the_default_policy_keeps_its_promises() {
    for (load, promised) in [(0.32595, [104.0, 337.0, 499.0]), (0.8, [109.0, 341.0, 506.0]), (0.85, [116.0, 348.0, 512.0])] {
        let setup = Setup { load, requests: 60_000, ..Setup::default() };
        let seeds: Vec<u64> = (1..=4).collect();
        let mut runs = parallel::map(&seeds, parallel::cores(), || (), |seed| stack::run(&setup, *seed));
        assert!(runs.iter().all(|run| run.tally.failed() == 0 && note(run, "retries") <= 0.0035), "at load {load}");
        for (share, promised) in [0.5, 0.95, 0.99].into_iter().zip(promised) {
            let found = Estimate::of(&runs.iter_mut().map(|run| run.tally.percentile(share)).collect::<Vec<_>>());
            assert!(found.low() <= promised, "{share} of the requests took {found:?} ms at load {load}, {promised} were promised");
        }
    }
}
