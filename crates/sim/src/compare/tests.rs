//! The comparison on invented latencies whose truth is known.

use super::*;
use crate::workload::Draw;

const REQUESTS: usize = REQUESTS_MIN;

/// Latencies of a mesh: the work of each request, the same whatever the seed, and a wait by chance; longer in the second half, as
/// neighbours are alike.
fn latencies(seed: u64) -> Vec<Span> {
    let (mut works, mut waits) = (StdRng::seed_from_u64(0), StdRng::seed_from_u64(seed));
    let work = Draw::exponential(Span::from_millis(100)).after(Span::from_millis(20));
    let wait = |place| Draw::exponential(Span::from_millis(if place > REQUESTS / 2 { 20 } else { 10 }));
    (0..REQUESTS).map(|place| work.draw(&mut works) + wait(place).draw(&mut waits)).collect()
}

fn runs(count: u64) -> Vec<Vec<Span>> {
    (100..100 + count).map(latencies).collect()
}

fn scaled(latencies: Vec<Span>, percent: u64) -> Vec<Span> {
    latencies.into_iter().map(|latency| latency.times(percent).over(100)).collect()
}

#[test]
fn samples_of_one_law_agree_and_their_percentiles_are_exact() {
    let comparison = Comparison::of(&latencies(1), &runs(8), &GATES).unwrap();
    assert_eq!(comparison.verdict(), Verdict::Agrees, "\n{comparison}");
    let mut sorted = latencies(1);
    sorted.sort();
    assert_eq!(comparison.rows[0].live, sorted[REQUESTS / 2 - 1].as_millis_f64());
    assert_eq!(comparison.rows[1].live, sorted[REQUESTS / 100 * 99 - 1].as_millis_f64());
}

#[test]
fn what_is_off_by_more_than_the_tolerance_differs() {
    for percent in [85, 115] {
        let comparison = Comparison::of(&scaled(latencies(1), percent), &runs(8), &GATES[..1]).unwrap();
        assert_eq!((comparison.verdict(), comparison.is_within()), (Verdict::Differs, false), "{percent} %:\n{comparison}");
    }
    let mut tail = latencies(1);
    // One request in fifty takes half a second longer, as one that waits at a dyno chosen by chance does.
    tail.iter_mut().step_by(50).for_each(|latency| *latency = *latency + Span::from_millis(500));
    let comparison = Comparison::of(&tail, &runs(8), &GATES).unwrap();
    let verdicts: Vec<Verdict> = comparison.rows.iter().map(|row| row.verdict).collect();
    assert_eq!(verdicts, [Verdict::Agrees, Verdict::Differs], "\n{comparison}");
}

#[test]
fn what_lies_on_the_edge_is_unclear() {
    let edge = Comparison::of(&scaled(latencies(1), 105), &runs(8), &GATES[..1]).unwrap();
    assert_eq!(edge.verdict(), Verdict::Unclear, "\n{edge}");
}

/// A difference of 5 % is truly there by construction, so an interval of 95 % holds it about 95 times of 100.
#[test]
fn the_interval_holds_the_true_difference_as_often_as_it_says() {
    let model = runs(4);
    let gate = [Gate { share: 0.5, tolerance: 0.05 }];
    let holds = |seed| {
        let live = scaled(latencies(seed), 105);
        let row = Comparison::of(&live, &model, &gate).unwrap().rows[0];
        row.low <= 0.05 && 0.05 <= row.high
    };
    let held = (0..40).filter(|seed| holds(*seed)).count();
    assert!((34..=40).contains(&held), "{held} of 40");
}

#[test]
fn other_requests_and_too_few_are_refused() {
    let live = latencies(1);
    assert!(matches!(Comparison::of(&live, &[live[1..].to_vec()], &GATES), Err(CompareError::Other { .. })));
    assert!(matches!(Comparison::of(&live, &[], &GATES), Err(CompareError::Few { .. })));
    assert!(matches!(Comparison::of(&live[1..], &[live[1..].to_vec()], &GATES), Err(CompareError::Few { .. })));
}

#[test]
fn cables_add_up_to_the_trip() {
    let cables = Cables { trip: Span::from_micros(6_000), turn: Span::from_micros(4_000) };
    assert_eq!(cables.router().times(2) + cables.dyno().times(2), cables.trip);
}
