//! The whole field in one table. Its studies are `studies/field-*.toml`; this prints them while there is nothing else to run them.

use dynomesh_core::balance::Ties;
use dynomesh_core::time::Span;

use crate::parallel;
use crate::report::Estimate;
use crate::scenario::{Policy, Setup};
use crate::stack;

fn rivals() -> Vec<(&'static str, Setup)> {
    let of = |policy| Setup { policy, ..Setup::default() };
    let report = |millis, own| Setup { report_every: Span::from_millis(millis), report_own: own, ..of(Policy::Reports) };
    vec![
        ("dynomesh", of(Policy::Dynomesh)),
        ("random", of(Policy::Random)),
        ("round-robin", of(Policy::RoundRobin)),
        ("least-conn-lowest", Setup { ties: Ties::Lowest, ..of(Policy::LocalLeastConn) }),
        ("least-conn-random", of(Policy::LocalLeastConn)),
        ("two-choices-local", of(Policy::TwoChoicesLocal)),
        ("two-choices-true", of(Policy::TwoChoicesTrue)),
        ("join-idle", of(Policy::JoinIdle)),
        ("prequal", of(Policy::Prequal)),
        ("prequal-requests", Setup { prequal_cold: 0.0, ..of(Policy::Prequal) }),
        ("reports-10ms", report(10, false)),
        ("reports-100ms", report(100, false)),
        ("reports-100ms-own", report(100, true)),
        ("store", of(Policy::Store)),
        ("ideal", of(Policy::Ideal)),
    ]
}

fn print(cases: &[(String, Setup)], seeds: u64) {
    let work: Vec<(usize, u64)> = (0..cases.len()).flat_map(|case| (1..=seeds).map(move |seed| (case, seed))).collect();
    let runs = parallel::map(
        &work,
        parallel::cores(),
        || (),
        |(case, seed)| {
            let mut outcome = stack::run(&cases[*case].1, *seed);
            let figures = outcome.tally.figures();
            let over_cap = outcome.notes.iter().find(|note| note.0 == "over_cap").unwrap().1;
            [100.0 * (1.0 - figures.success), figures.p50, figures.p95, figures.p99, figures.max, 100.0 * over_cap]
        },
    );
    println!("| | failed % | p50 | p95 | p99 | max | over cap % |\n|---|---|---|---|---|---|---|");
    for ((name, _), runs) in cases.iter().zip(runs.chunks(usize::try_from(seeds).unwrap())) {
        print!("| {name} ");
        for column in 0..6 {
            let Estimate { mean, half } = Estimate::of(&runs.iter().map(|run| run[column]).collect::<Vec<_>>());
            let digits = if column == 0 {
                4
            } else if column == 5 {
                1
            } else {
                0
            };
            print!("| {mean:.digits$} ±{half:.digits$} ");
        }
        println!("|");
    }
}

#[test]
#[ignore = "prints a study; takes minutes"]
fn loads() {
    for load in [0.33, 0.5, 0.7, 0.8, 0.9, 0.95] {
        let case = |(name, setup): (&str, Setup)| (format!("{name} {load:.2}"), Setup { load, ..setup });
        print(&rivals().into_iter().map(case).collect::<Vec<_>>(), 12);
    }
}

#[test]
#[ignore = "prints a study; takes minutes"]
fn holds() {
    for hold in [Span::ZERO, Span::from_millis(100), Span::from_secs(1)] {
        let case = |(name, setup): (&str, Setup)| (format!("{name} hold {hold}"), Setup { hold, load: 0.9, ..setup });
        print(&rivals().into_iter().map(case).collect::<Vec<_>>(), 12);
    }
}

#[test]
#[ignore = "prints a study; takes minutes"]
fn blocks() {
    for blocks in [1, 2, 5, 10, 25, 50] {
        let of = |policy| Setup { policy, blocks, load: 0.8, ..Setup::default() };
        let cases =
            [("dynomesh", of(Policy::Dynomesh)), ("least-conn-random", of(Policy::LocalLeastConn)), ("join-idle", of(Policy::JoinIdle))];
        print(&cases.map(|(name, setup)| (format!("{name} {blocks} blocks"), setup)), 12);
    }
}
