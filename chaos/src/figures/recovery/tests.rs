//! Invented runs of a queue: the requests of a round again and again, with the block of each drawn anew.

use std::time::Duration;

use dynomesh_testkit::history::Outcome;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::super::ideal::{self, Work};
use super::super::tests::{at, get};
use super::*;
use crate::workload::rounds::Round;

const SEEDS: u64 = 200;
/// When the last fault is over, and when load ends: as in our scenarios, but not at the start of a round.
const WARM: u64 = 12_000;
const HEALED: u64 = 14_300;
const ENDED: u64 = HEALED + 17_000;

/// What becomes of a request that was due at some millisecond and took so many: how many it took, or `None` for no answer.
type Change = fn(due: u64, took: f64, rng: &mut StdRng) -> Option<f64>;

/// Blocks with eight dynos each, and the share of their time that is in use.
#[derive(Clone, Copy)]
struct Shape {
    blocks: usize,
    load: f64,
}

const SHAPES: [Shape; 3] = [Shape { blocks: 2, load: 0.8 }, Shape { blocks: 4, load: 0.6 }, Shape { blocks: 2, load: 0.5 }];

/// When the slots of each block are free again.
struct Queue(Vec<[f64; 8]>);

impl Queue {
    /// How long a request waits that goes to one of two of the first `blocks` that are drawn, more often to the less busy one.
    fn wait(&mut self, now: f64, service: f64, blocks: usize, rng: &mut StdRng) -> f64 {
        let (one, other) = (rng.random_range(0..blocks), rng.random_range(0..blocks));
        let busy = |block: usize| self.0[block].iter().map(|free| (free - now).max(0.0)).sum::<f64>();
        let block = if rng.random::<f64>() < 0.3 || busy(one) < busy(other) { one } else { other };
        let slot = self.0[block].iter_mut().min_by(|a, b| a.total_cmp(b)).unwrap();
        let wait = (*slot - now).max(0.0);
        *slot = now + wait + service;
        wait
    }
}

fn run(shape: Shape, seed: u64, change: Change) -> Recovery {
    played(shape, seed, change, shape.blocks, HEALED)
}

/// The same where so many blocks are left from the first fault on, looked at from then on.
fn run_with(left: usize, shape: Shape, seed: u64, change: Change) -> Recovery {
    played(shape, seed, change, left, WARM)
}

fn played(shape: Shape, seed: u64, change: Change, left: usize, looked_at: u64) -> Recovery {
    let mut round = Round::new(shape.load * shape.blocks as f64 * 8.0 / 0.12, seed);
    let services = round.services(Span::from_millis(20), Span::from_millis(100));
    let (due, mut rng) = (round.due, StdRng::seed_from_u64(seed));
    let mut queue = Queue(vec![[0.0; 8]; shape.blocks]);
    let mut exchanges = Vec::new();
    'rounds: for n in 0.. {
        for (offset, service) in due.iter().zip(&services) {
            let now = ROUND.times(n) + *offset;
            if now.as_millis() >= ENDED {
                break 'rounds;
            }
            // The mesh itself takes 3 to 7 ms.
            let own = 3.0 + 4.0 * rng.random::<f64>().powi(2);
            let took = own
                + queue.wait(
                    now.as_millis_f64(),
                    service.as_millis_f64(),
                    if now.as_millis() < WARM { shape.blocks } else { left },
                    &mut rng,
                );
            exchanges.push(exchange(now, change(now.as_millis(), took, &mut rng)));
        }
    }
    let works: Vec<Work> = due.iter().zip(&services).map(|(due, service)| Work { due: *due, service: *service }).collect();
    let slots = |blocks: usize| u32::try_from(blocks * 8).unwrap();
    let more = ideal::more(&works, slots(shape.blocks), slots(left));
    let all: Vec<&Exchange> = exchanges.iter().collect();
    Recovery::with_fewer_slots(&all, (at(0), at(ENDED)), at(WARM), Some(at(looked_at)), &Flushes::default(), more)
}

fn exchange(due: Span, took: Option<f64>) -> Exchange {
    let mut exchange = get(due.as_millis(), 0);
    // The dyno of such an exchange worked for 10 ms.
    let took_all = Duration::from_secs_f64((took.unwrap_or(0.0) + 10.0) / 1000.0);
    exchange.ended = exchange.due + Span::from(took_all);
    if took.is_none() {
        exchange.outcome = Outcome::Refused;
    }
    exchange
}

/// In how many percent of runs latency is back within 10 s.
fn back(shape: Shape, change: Change) -> u64 {
    let is_back = |seed: &u64| run(shape, *seed, change).after_heal.is_some_and(|after| after <= Span::from_secs(10));
    (0..SEEDS).filter(is_back).count() as u64 * 100 / SEEDS
}

#[test]
fn what_is_only_chance_is_normal() {
    for shape in SHAPES {
        let share = back(shape, |_, took, _| Some(took));
        assert!(share >= 99, "{share} % at {} load", shape.load);
    }
}

#[test]
fn a_lasting_slowdown_by_30_percent_is_seen() {
    for shape in SHAPES {
        let share = back(shape, |due, took, _| Some(if due < HEALED { took } else { took * 1.3 }));
        assert!(share <= 1, "{share} % at {} load are called normal", shape.load);
    }
}

#[test]
fn a_lasting_slowdown_of_three_requests_in_a_hundred_is_seen() {
    for shape in SHAPES {
        let share = back(shape, |due, took, rng| Some(if due >= HEALED && rng.random::<f64>() < 0.03 { took + 400.0 } else { took }));
        assert!(share <= 2, "{share} % at {} load are called normal", shape.load);
    }
}

/// One block of four is dead at 60 % load, and the others carry it.
#[test]
fn with_fewer_slots_longer_queues_are_normal_and_slow_requests_are_not() {
    let back = |change: Change| {
        let is_back = |seed: &u64| run_with(3, SHAPES[1], *seed, change).after_heal.is_some_and(|after| after <= Span::from_secs(10));
        (0..SEEDS).filter(is_back).count() as u64 * 100 / SEEDS
    };
    let share = back(|_, took, _| Some(took));
    assert!(share >= 99, "{share} %");
    let share = back(|due, took, rng| Some(if due >= WARM && rng.random::<f64>() < 0.03 { took + 400.0 } else { took }));
    assert!(share <= 2, "{share} % are called normal");
    let share = back(|due, took, _| Some(if due < WARM { took } else { took * 1.3 }));
    assert!(share <= 1, "{share} % are called normal");
}

#[test]
fn requests_without_an_answer_are_not_fast() {
    let share = back(SHAPES[1], |due, took, rng| (due < HEALED || rng.random::<f64>() > 0.03).then_some(took));
    assert!(share <= 1, "{share} % are called normal");
}

#[test]
fn it_is_back_from_the_window_on_behind_which_none_is_slow() {
    let slow = |due: u64, took, _: &mut StdRng| Some(if (HEALED..HEALED + 4_500).contains(&due) { took * 2.0 + 200.0 } else { took });
    let recovery = run(SHAPES[1], 7, slow);
    assert_eq!(recovery.after_heal, Some(Span::from_secs(5)), "{recovery:#?}");
    assert_eq!((recovery.before.len(), recovery.after.len()), (2, 12));
}

#[test]
fn a_window_in_which_the_disk_stood_still_says_nothing() {
    let all: Vec<Exchange> = (0..3200).map(|n| get(n * 10, if (2_400..2_500).contains(&n) { 500 } else { 20 })).collect();
    let all: Vec<&Exchange> = all.iter().collect();
    let recovery = |still: &[(Time, Time)]| {
        let disk = Flushes { slow: still.to_vec(), ..Flushes::default() };
        Recovery::new(&all, (at(0), at(32_000)), at(WARM), Some(at(HEALED)), &disk)
    };
    assert_eq!(recovery(&[]).after_heal, Some(Span::from_secs(11)), "slow for a second from 24 s on");
    assert_eq!(recovery(&[(at(24_000), at(24_100))]).after_heal, Some(Span::ZERO));
    let all_the_time: Vec<_> = (0..32).map(|second| (at(second * 1000), at(second * 1000 + 50))).collect();
    let nothing = recovery(&all_the_time);
    assert!(nothing.before.is_empty() && nothing.after.is_empty() && nothing.is_hidden(Span::from_secs(10)));
    assert!(!recovery(&[]).is_hidden(Span::from_secs(10)) && !recovery(&[(at(24_000), at(24_100))]).is_hidden(Span::from_secs(10)));
}

/// All that is left is slow; what is left out behind it may have been normal, and what is left out before it may not matter.
#[test]
fn behind_the_last_slow_window_the_disk_may_hide_that_it_is_back() {
    let slow = |n: u64| (HEALED / 10..HEALED / 10 + 100).contains(&n);
    let all: Vec<Exchange> = (0..3200).map(|n| get(n * 10, if slow(n) { 500 } else { 20 })).collect();
    let all: Vec<&Exchange> = all.iter().collect();
    let still = |from: u64| {
        let disk = Flushes { slow: vec![(at(from), at(32_000))], ..Flushes::default() };
        Recovery::new(&all, (at(0), at(32_000)), at(WARM), Some(at(HEALED)), &disk)
    };
    let seen = still(HEALED + 6_500);
    assert_eq!((seen.after.len(), seen.after_heal, seen.perhaps), (1, None, Some(Span::from_secs(1))), "{seen:#?}");
    assert!(seen.is_hidden(Span::from_secs(10)) && !seen.is_hidden(Span::ZERO));
    let all_slow: Vec<Exchange> = (0..3200).map(|n| get(n * 10, if n * 10 >= HEALED { 500 } else { 20 })).collect();
    let disk = Flushes { slow: vec![(at(HEALED), at(HEALED + 50))], ..Flushes::default() };
    let seen = Recovery::new(&all_slow.iter().collect::<Vec<_>>(), (at(0), at(32_000)), at(WARM), Some(at(HEALED)), &disk);
    assert_eq!((seen.after_heal, seen.perhaps), (None, None), "the last of them was seen, and slow");
}

/// Everything takes twice as long from the heal on: the mesh's fault, unless the disk beside it takes twice as long as well.
#[test]
fn a_disk_that_became_slower_is_no_slowdown_of_the_mesh() {
    let all: Vec<Exchange> = (0..3200).map(|n| get(n * 10, if n * 10 < HEALED { 20 } else { 30 })).collect();
    let all: Vec<&Exchange> = all.iter().collect();
    let recovery = |then: u64| {
        let flush = |n: u64| (at(n * 50), Span::from_millis(if n * 50 < HEALED { 4 } else { then }));
        let disk = Flushes { all: (0..640).map(flush).collect(), ..Flushes::default() };
        Recovery::new(&all, (at(0), at(32_000)), at(WARM), Some(at(HEALED)), &disk).after_heal
    };
    assert_eq!((recovery(4), recovery(5)), (None, None));
    assert_eq!(recovery(8), Some(Span::ZERO));
    assert_eq!(recovery(800), Some(Span::ZERO), "twice as much, and no more, whatever the disk takes");
    assert_eq!(recovery(1), None, "a quicker one does not ask more of the mesh, nor less");
}

#[test]
fn without_enough_requests_before_the_fault_nothing_is_normal() {
    let few: Vec<Exchange> = (0..600).map(|n| get(if n < 50 { n } else { 14_300 + n * 20 }, 20)).collect();
    let recovery = Recovery::new(&few.iter().collect::<Vec<_>>(), (at(0), at(27_000)), at(WARM), Some(at(HEALED)), &Flushes::default());
    assert_eq!((recovery.limit, recovery.after_heal, recovery.told().as_str()), (None, None, "not seen"));
    assert!(!recovery.after.is_empty());
}
