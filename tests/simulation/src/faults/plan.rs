//! Which faults a seed makes, and when.

use std::ops::Range;

use dynomesh_core::time::Span;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::Deserialize;

use super::Planned;
use super::kind::{Fault, Fault as F};
use crate::kernel::MS;

/// How long faults are made.
pub(crate) const SPAN: u64 = 10_000 * MS;
/// Fewest and most faults of a seed.
const COUNT: std::ops::RangeInclusive<usize> = 5..=9;
/// When the first may begin, and how long before the end the last.
const FIRST: u64 = 200 * MS;
const LAST: u64 = 500 * MS;
/// How long a fault lasts, if nothing is said of its kind.
const LASTS: Range<u64> = 100 * MS..3_000 * MS;
/// How long a process is away that starts again at once, as under a supervisor.
const RESTARTS: Range<u64> = 5 * MS..300 * MS;
/// How long a leader is frozen, or a block is without any quorum: a lease and an election pass, the doubt about its requests is settled,
/// and the dynos have other work.
const OUTLASTS: Range<u64> = 1_300 * MS..5_000 * MS;

/// How often each is drawn, among all.
const WEIGHTS: [(Fault, u32); 31] = [
    (F::KillEdge, 2),
    (F::KillLeader, 10),
    (F::KillReplica, 3),
    (F::KillBlock, 2),
    (F::KillControl, 3),
    (F::KillDyno, 3),
    (F::FreezeEdge, 2),
    (F::FreezeLeader, 3),
    (F::FreezeLeaderAtCommit, 12),
    (F::FreezeReplica, 2),
    (F::FreezeControl, 2),
    (F::FreezeDyno, 2),
    (F::PowerReplica, 4),
    (F::PowerBlock, 2),
    (F::PowerControl, 3),
    (F::CutLeader, 8),
    (F::CutLeaderFromEdges, 2),
    (F::CutLeaderFromDynos, 3),
    (F::CutReplica, 2),
    (F::CutApart, 4),
    (F::CutOneWay, 3),
    (F::CutControl, 2),
    (F::CutGossip, 2),
    (F::SlowFlush, 3),
    (F::FailFlush, 1),
    (F::FullDisk, 1),
    (F::SlowHost, 2),
    (F::Loss, 2),
    (F::ClockAhead, 2),
    (F::WallStep, 2),
    (F::Move, 4),
];

/// The plan of a seed.
pub(crate) fn plan(seed: u64) -> Vec<Planned> {
    let mut rng = StdRng::seed_from_u64(seed);
    // What strikes all of a block strikes the same one each time: the other one is to serve meanwhile.
    let whole = if rng.random() { "b1" } else { "b2" };
    let count = rng.random_range(COUNT);
    (0..count).map(|_| draw(&mut rng, whole)).collect()
}

fn draw(rng: &mut StdRng, whole: &str) -> Planned {
    let fault = kind(rng);
    let at_once = rng.random();
    let lasts = rng.random_range(lasts(fault, at_once));
    let begins = rng.random_range(FIRST..SPAN - LAST - lasts);
    let on = matches!(fault, F::KillBlock | F::PowerBlock | F::CutApart).then(|| whole.to_owned());
    Planned { fault, begins, ends: begins + lasts, on, chance: rng.random() }
}

fn kind(rng: &mut StdRng) -> Fault {
    let all: u32 = WEIGHTS.iter().map(|(_, weight)| weight).sum();
    let place = rng.random_range(0..all);
    let up_to = WEIGHTS.iter().scan(0, |sum, (fault, weight)| {
        *sum += weight;
        Some((*fault, *sum))
    });
    let mut beyond = up_to.skip_while(|(_, sum)| *sum <= place);
    beyond.next().expect("the place is below the sum").0
}

/// Within which bounds a fault lasts. A killed process often comes back at once: it finds the world as it left it.
fn lasts(fault: Fault, at_once: bool) -> Range<u64> {
    match fault {
        F::KillLeader | F::KillReplica | F::KillControl | F::KillEdge | F::PowerReplica | F::PowerControl if at_once => RESTARTS,
        F::FreezeLeader | F::FreezeLeaderAtCommit | F::CutApart => OUTLASTS,
        _ => LASTS,
    }
}

/// A plan that was written down: a found bug, told as faults.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    fault: Vec<WrittenFault>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenFault {
    kind: Fault,
    #[serde(default)]
    on: Option<String>,
    begins: Span,
    ends: Span,
}

/// Reads a plan; what it leaves open is decided by the seed.
pub(crate) fn read(text: &str, seed: u64) -> Result<Vec<Planned>, String> {
    let written: Written = toml::from_str(text).map_err(|error| error.to_string())?;
    let mut rng = StdRng::seed_from_u64(seed);
    let planned = |(place, written): (usize, WrittenFault)| {
        written.check().map_err(|problem| format!("fault {} of the file, {:?}: {problem}", place + 1, written.kind))?;
        let WrittenFault { kind, on, begins, ends } = written;
        let (begins, ends) = (begins.as_nanos(), ends.as_nanos().min(SPAN));
        Ok(Planned { fault: kind, begins, ends, on, chance: rng.random() })
    };
    written.fault.into_iter().enumerate().map(planned).collect()
}

// === impl WrittenFault ===

impl WrittenFault {
    fn check(&self) -> Result<(), String> {
        let WrittenFault { kind, on, begins, ends } = self;
        if begins >= ends {
            return Err(format!("it ends at {ends} and begins at {begins}: `ends` must be later"));
        }
        if begins.as_nanos() >= SPAN {
            return Err(format!("it begins at {begins}: all is healed at {}, so `begins` must be earlier", Span::from_nanos(SPAN)));
        }
        on.as_deref().map_or(Ok(()), |on| kind.check_on(on))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_plan_lies_within_its_span_and_every_kind_is_drawn() {
        let mut drawn = Vec::new();
        for seed in 0..300 {
            let plan = plan(seed);
            assert!(COUNT.contains(&plan.len()));
            assert!(plan.iter().all(|planned| FIRST <= planned.begins && planned.begins < planned.ends && planned.ends <= SPAN));
            drawn.extend(plan.iter().map(|planned| planned.fault));
        }
        assert!(WEIGHTS.iter().all(|(fault, _)| drawn.contains(fault)));
    }

    fn written(lines: &str) -> Result<Vec<Planned>, String> {
        read(&format!("[[fault]]\n{lines}"), 1)
    }

    #[test]
    fn a_written_plan_means_what_it_says_or_is_refused() {
        let plan = written("kind = 'kill-replica'\non = 'b1-2'\nbegins = '2s'\nends = '2200ms'").unwrap();
        assert_eq!((plan[0].begins, plan[0].ends, plan[0].on.as_deref()), (2_000 * MS, 2_200 * MS, Some("b1-2")));
        for (lines, told) in [
            ("kind = 'kill-dyno'\non = 'd33'\nbegins = '1s'\nends = '2s'", "\"d33\""),
            ("kind = 'kill-leader'\non = 'd3'\nbegins = '1s'\nends = '2s'", "b1, b2"),
            ("kind = 'loss'\nbegins = '2s'\nends = '2s'", "`ends` must be later"),
            ("kind = 'loss'\nbegins = '3s'\nends = '2s'", "`ends` must be later"),
            ("kind = 'loss'\nbegins = '10s'\nends = '12s'", "`begins` must be earlier"),
            ("kind = 'no-such'\nbegins = '1s'\nends = '2s'", "no-such"),
            ("kind = 'loss'\nbegins = '1s'", "ends"),
        ] {
            let problem = written(lines).unwrap_err();
            assert!(problem.contains(told), "{problem}");
        }
    }

    #[test]
    fn pinned_plans_are_read() {
        for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/pinned")).unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            assert!(!read(&text, 1).unwrap().is_empty());
        }
    }
}
