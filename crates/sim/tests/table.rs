//! The reference table at a reduced size. `dynomesh sim table --check` checks all of it.

use std::num::NonZero;

use dynomesh_core::balance::Ties;
use dynomesh_sim::parallel::cores;
use dynomesh_sim::report::golden::{self, Strictness};
use dynomesh_sim::report::reference::{self, RowReport};
use dynomesh_sim::table::{REFERENCE, ROWS, Reference};

fn run(rows: std::ops::Range<usize>, model: &Reference, seeds: u64, threads: NonZero<usize>) -> Vec<RowReport> {
    reference::run(&ROWS[rows], model, 1..1 + seeds, threads, || ())
}

/// Fewer seeds, but runs of full length: shorter ones would be counted before routers and dynos, all up at first, fail as they do later.
#[test]
fn the_table_says_what_it_must_within_its_intervals() {
    let misses = golden::misses(&run(0..7, &REFERENCE, 4, cores()), Strictness::Interval);
    assert!(misses.is_empty(), "{}", misses.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
}

/// Ten routers that share dynos and count for themselves all prefer the dynos of the lowest index: by chance the median is 126 ms, not 954.
#[test]
fn changing_a_tie_rule_in_core_changes_row_5() {
    let median = |ties| run(4..5, &Reference { ties, ..REFERENCE }, 2, cores())[0].spread.p50.mean;
    let (lowest, random) = (median(Ties::Lowest), median(Ties::Random));
    assert!((6.0..11.0).contains(&(lowest / random)), "lowest {lowest} ms, random {random} ms");
}

#[test]
fn the_table_does_not_depend_on_the_number_of_threads() {
    let small = Reference { requests: 4_000, ..REFERENCE };
    let figures = |threads| run(0..7, &small, 2, NonZero::new(threads).unwrap()).into_iter().flat_map(|row| row.runs).collect::<Vec<_>>();
    assert_eq!(figures(1), figures(3));
}
