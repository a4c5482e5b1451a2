//! The search on invented calls, and against one that tries every order.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::check::Verdict;
use crate::history::invented::at;

fn call(ms: std::ops::Range<u64>, operation: Operation, returned: Returned) -> Call {
    Call { register: "app/a".into(), operation, begun: at(ms.start), ended: at(ms.end), returned }
}

fn value(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

/// It held this in this version; an empty text is none.
fn ok(text: &str, version: u64) -> Returned {
    Returned::Ok { value: value(text), version }
}

fn unknown() -> Returned {
    Returned::Unknown("reset".into())
}

fn write(text: &str) -> Operation {
    Operation::Write { value: value(text) }
}

fn swap(expected: u64, text: &str) -> Operation {
    Operation::CompareAndSet { expected, value: value(text) }
}

fn judged(calls: Vec<Call>) -> Report {
    check(&History { calls, ..History::default() }, &Limits::default())
}

fn holds(calls: Vec<Call>) {
    judged(calls).assert_holds();
}

fn breaks(calls: Vec<Call>) {
    let report = judged(calls);
    assert_eq!(report.verdict(), Verdict::Violated, "{report}");
}

const READ: Operation = Operation::Read;
const BEHIND: Operation = Operation::ReadBehind;

#[test]
fn one_after_the_other_is_fine() {
    holds(vec![
        call(0..1, READ, ok("", 0)),
        call(2..3, swap(0, "a"), ok("a", 4)),
        call(4..5, READ, ok("a", 4)),
        call(6..7, swap(4, "b"), ok("b", 9)),
        call(8..9, swap(4, "c"), Returned::Stale("version 9".into())),
        call(10..11, write(""), ok("", 0)),
        call(12..13, READ, ok("", 0)),
        call(14..15, write("a"), ok("a", 12)),
    ]);
}

#[test]
fn a_read_of_what_was_overwritten_before_is_a_violation() {
    breaks(vec![call(0..1, write("a"), ok("a", 4)), call(2..3, write("b"), ok("b", 5)), call(4..5, READ, ok("a", 4))]);
    holds(vec![call(0..1, write("a"), ok("a", 4)), call(2..5, write("b"), ok("b", 5)), call(4..6, READ, ok("a", 4))]);
}

#[test]
fn a_write_that_is_lost_is_a_violation() {
    breaks(vec![call(0..1, write("a"), ok("a", 4)), call(2..3, write("b"), ok("b", 5)), call(4..5, swap(4, "c"), ok("c", 6))]);
    breaks(vec![call(0..1, write("a"), ok("a", 4)), call(2..3, READ, ok("", 0))]);
}

#[test]
fn two_that_swapped_the_same_version_are_a_violation() {
    let first = call(0..1, write("a"), ok("a", 4));
    breaks(vec![first.clone(), call(2..9, swap(4, "b"), ok("b", 5)), call(2..9, swap(4, "c"), ok("c", 6))]);
    holds(vec![first, call(2..9, swap(4, "b"), ok("b", 5)), call(2..9, swap(5, "c"), ok("c", 6))]);
}

#[test]
fn a_version_that_goes_back_or_means_two_things_is_a_violation() {
    breaks(vec![call(0..1, write("a"), ok("a", 4)), call(2..3, write("b"), ok("b", 3))]);
    breaks(vec![call(0..9, write("a"), ok("a", 4)), call(0..9, READ, ok("b", 4))]);
    breaks(vec![call(0..1, write("a"), ok("b", 4))]);
    breaks(vec![call(0..1, READ, Returned::Ok { value: None, version: 4 })]);
}

#[test]
fn the_same_write_again_changes_nothing() {
    holds(vec![call(0..1, write("a"), ok("a", 4)), call(2..3, write("a"), ok("a", 4)), call(4..5, swap(4, "a"), ok("a", 4))]);
    breaks(vec![call(0..1, write("a"), ok("a", 4)), call(2..3, write("b"), ok("b", 5)), call(4..5, write("a"), ok("a", 4))]);
}

#[test]
fn an_unknown_call_takes_effect_any_time_after_its_begin_or_never() {
    let lost = |seen: Vec<Call>| [vec![call(0..1, write("a"), ok("a", 4)), call(2..3, write("b"), unknown())], seen].concat();
    holds(lost(vec![call(4..5, READ, ok("a", 4))]));
    holds(lost(vec![call(4..5, READ, ok("a", 4)), call(6..7, READ, ok("b", 5))]));
    holds(lost(vec![call(4..5, write("c"), ok("c", 5)), call(6..7, READ, ok("b", 6))]));
    // It has one effect, and none before it began.
    breaks(lost(vec![call(4..5, READ, ok("b", 5)), call(6..7, write("c"), ok("c", 6)), call(8..9, READ, ok("b", 7))]));
    breaks(vec![call(0..1, READ, ok("a", 4)), call(2..3, READ, ok("b", 5)), call(4..5, write("b"), unknown())]);
    assert_eq!(judged(lost(Vec::new())).unknown, 1);
}

#[test]
fn an_unknown_swap_takes_effect_only_at_its_version() {
    let lost = |seen: Vec<Call>| [vec![call(0..1, write("a"), ok("a", 4)), call(2..3, swap(4, "b"), unknown())], seen].concat();
    holds(lost(vec![call(4..5, READ, ok("b", 5))]));
    breaks(lost(vec![call(4..5, write("c"), ok("c", 5)), call(6..7, READ, ok("b", 6))]));
}

#[test]
fn an_unknown_removal_is_seen_by_what_is_missing() {
    let lost = |seen: Vec<Call>| [vec![call(0..1, write("a"), ok("a", 4)), call(2..3, write(""), unknown())], seen].concat();
    holds(lost(vec![call(4..5, READ, ok("", 0)), call(6..7, swap(0, "b"), ok("b", 5))]));
    holds(lost(vec![call(4..5, swap(0, "b"), ok("b", 5))]));
    breaks(lost(vec![call(4..5, READ, ok("", 0)), call(6..7, READ, ok("a", 4))]));
}

#[test]
fn a_call_that_failed_for_certain_must_not_be_seen() {
    let failed = call(2..3, write("b"), Returned::Failed("refused".into()));
    holds(vec![call(0..1, write("a"), ok("a", 4)), failed.clone(), call(4..5, READ, ok("a", 4))]);
    breaks(vec![call(0..1, write("a"), ok("a", 4)), failed, call(4..5, READ, ok("b", 5))]);
}

#[test]
fn a_swap_is_refused_only_if_the_version_was_another() {
    let stale = || Returned::Stale("version 4".into());
    breaks(vec![call(0..1, write("a"), ok("a", 4)), call(2..3, swap(4, "b"), stale()), call(4..5, READ, ok("a", 4))]);
    holds(vec![call(0..1, write("a"), ok("a", 4)), call(2..9, swap(4, "b"), stale()), call(2..9, write("c"), ok("c", 5))]);
    let lost = |seen: Vec<Call>| [vec![call(0..1, write("a"), ok("a", 4)), call(2..3, write("x"), unknown())], seen].concat();
    holds(lost(vec![call(4..5, swap(4, "b"), stale())]));
    holds(lost(vec![call(4..7, swap(4, "b"), stale()), call(6..9, READ, ok("a", 4))]));
    // A version does not come back.
    breaks(lost(vec![call(4..5, READ, ok("a", 4)), call(6..7, swap(4, "b"), stale()), call(8..9, READ, ok("a", 4))]));
    breaks(lost(vec![call(6..7, swap(4, "b"), stale()), call(8..9, swap(4, "c"), ok("c", 5))]));
    // Nor is what was made gone again when nobody takes it away.
    let made = |seen: Vec<Call>| [vec![call(0..1, READ, ok("", 0)), call(2..3, write("x"), unknown())], seen].concat();
    holds(made(vec![call(4..5, swap(0, "b"), stale())]));
    breaks(made(vec![call(4..5, swap(0, "b"), stale()), call(6..7, READ, ok("", 0))]));
    holds(made(vec![call(4..5, swap(0, "b"), stale()), call(6..7, write(""), ok("", 0)), call(8..9, READ, ok("", 0))]));
    breaks(made(vec![call(4..5, swap(0, "b"), stale()), call(6..7, READ, ok("", 0)), call(8..9, write(""), ok("", 0))]));
    // One that may take effect elsewhere only changes nothing here.
    breaks(vec![call(0..1, write("a"), ok("a", 4)), call(2..3, swap(3, "x"), unknown()), call(4..5, swap(4, "b"), stale())]);
}

#[test]
fn what_was_there_before_the_first_call_is_unknown() {
    holds(vec![call(0..1, READ, ok("a", 4)), call(2..3, swap(4, "b"), ok("b", 5))]);
    holds(vec![call(0..1, swap(4, "b"), ok("b", 5))]);
    breaks(vec![call(0..1, READ, ok("a", 4)), call(2..3, READ, ok("b", 3))]);
}

#[test]
fn a_replica_that_is_behind_tells_of_the_past_and_not_of_the_future() {
    let writes = || vec![call(0..1, write("a"), ok("a", 4)), call(2..3, write("b"), ok("b", 5)), call(8..9, write("c"), ok("c", 6))];
    let read = |told| [writes(), vec![call(6..7, BEHIND, told)]].concat();
    holds(read(ok("a", 4)));
    holds(read(ok("b", 5)));
    breaks(read(ok("c", 6)));
    breaks(read(ok("x", 5)));
    assert_eq!(judged(read(ok("z", 1))).unknown, 1);
}

#[test]
fn a_replica_that_nothing_is_wrong_with_is_not_behind_for_long() {
    let with = |told: Returned, incidents: &[Incident]| {
        let writes = vec![call(0..1, write("a"), ok("a", 4)), call(2..1_000, write("b"), ok("b", 5))];
        let calls = [writes, vec![call(2_000..2_010, BEHIND, told)]].concat();
        check(&History { calls, incidents: incidents.to_vec(), ..History::default() }, &Limits::default())
    };
    let healed = |ms| Incident { ended: Some(at(ms)), ..Incident::at("kill", "control-2", at(ms - 50)) };
    with(ok("b", 5), &[]).assert_holds();
    assert_eq!(with(ok("a", 4), &[]).violations.len(), 1);
    assert_eq!(with(ok("", 0), &[]).violations.len(), 1, "nobody has removed it");
    with(ok("a", 4), &[healed(1_500)]).assert_holds();
    with(ok("a", 4), &[Incident::at("kill", "control-2", at(2_005))]).assert_holds();
    assert_eq!(with(ok("a", 4), &[Incident::at("kill", "control-2", at(2_011))]).violations.len(), 1, "that was later");
    // Within the second it may be behind; and what may have been removed need not be there.
    holds(vec![call(0..1, write("a"), ok("a", 4)), call(2..3, write("b"), ok("b", 5)), call(1_002..1_004, BEHIND, ok("a", 4))]);
    holds(vec![call(0..1, write("a"), ok("a", 4)), call(2..3, write(""), unknown()), call(2_000..2_001, BEHIND, ok("", 0))]);
    holds(vec![call(0..1, write("a"), ok("a", 4)), call(2..3, write(""), ok("", 0)), call(2_000..2_001, BEHIND, ok("", 0))]);
}

#[test]
fn registers_are_judged_each_for_itself() {
    let other = |call: Call| Call { register: "app/b".into(), ..call };
    holds(vec![call(0..1, write("a"), ok("a", 4)), other(call(2..3, READ, ok("", 0))), call(4..5, READ, ok("a", 4))]);
}

#[test]
fn a_search_that_is_given_up_is_never_green() {
    let calls = vec![call(0..1, write("a"), ok("a", 4)), call(2..3, READ, ok("a", 4))];
    let report = check(&History { calls, ..History::default() }, &Limits { steps_max: 0, ..Limits::default() });
    assert_eq!((report.verdict(), report.inconclusive.len()), (Verdict::Inconclusive, 1));
}

/// What callers see of a register that is as it should be: each call takes effect at a random moment of its own, or is lost.
fn lived(rng: &mut StdRng, count: u64, values: u64, callers: u64) -> Vec<Call> {
    let mut calls = Vec::new();
    let (mut held, mut version): (Option<String>, u64) = (None, 0);
    for n in 1..=count {
        let shown = if held.is_some() { version } else { 0 };
        let wanted = value(["", "a", "b", "c", "d", "e", "f", "g"][usize::try_from(rng.random_range(0..values)).unwrap()]);
        let operation = match rng.random_range(0..6) {
            0 | 1 => Operation::Read,
            2 | 3 => Operation::Write { value: wanted.clone() },
            4 => Operation::CompareAndSet { expected: shown, value: wanted.clone() },
            _ => Operation::CompareAndSet { expected: version.saturating_sub(1), value: wanted.clone() },
        };
        let is_lost = rng.random_range(0..8) == 0;
        let may = match operation {
            Operation::CompareAndSet { expected, .. } => expected == shown,
            _ => true,
        };
        if operation != Operation::Read && may && !(is_lost && rng.random()) && held != wanted {
            (held, version) = (wanted, version + rng.random_range(1..3));
        }
        let returned = match () {
            () if is_lost => Returned::Unknown("reset".into()),
            () if !may => Returned::Stale("another".into()),
            () => Returned::Ok { version: if held.is_some() { version } else { 0 }, value: held.clone() },
        };
        let (begun, ended) = (10 * n - rng.random_range(0..=10 * callers).min(10 * n), 10 * n + rng.random_range(0..=10 * callers));
        calls.push(call(begun..ended, operation, returned));
    }
    calls
}

#[test]
fn every_history_of_a_sound_register_holds() {
    for seed in 0..3_000 {
        let rng = &mut StdRng::seed_from_u64(seed);
        let calls = lived(rng, 30, 2 + seed % 6, 1 + seed % 5);
        let report = judged(calls);
        assert_eq!(report.verdict(), Verdict::Clean, "seed {seed}: {report}");
    }
}

/// The same question answered by trying every order of every set of unknown calls.
fn by_all_orders(calls: &[Call]) -> bool {
    // Versions are doubled, so that an unknown call can be given one between two others.
    let starts = calls.iter().filter_map(|call| match &call.returned {
        Returned::Ok { value, version } => Some((value.clone(), 2 * version)),
        _ => None,
    });
    let foreign = Some("?".to_owned());
    let expected = calls.iter().filter_map(|call| match call.operation {
        Operation::CompareAndSet { expected, .. } if expected > 0 => Some((foreign.clone(), 2 * expected)),
        _ => None,
    });
    let starts: Vec<_> = starts.chain(expected).chain([(None, 0), (foreign.clone(), 1)]).collect();
    starts.into_iter().any(|(value, floor)| orders(calls, &mut vec![false; calls.len()], value, floor))
}

fn orders(calls: &[Call], used: &mut Vec<bool>, held: Option<String>, floor: u64) -> bool {
    let is_open = |place: usize| !used[place] && !matches!(calls[place].returned, Returned::Unknown(_) | Returned::Failed(_));
    let Some(horizon) = (0..calls.len()).filter(|place| is_open(*place)).map(|place| calls[place].ended).min() else { return true };
    let shown = if held.is_some() { floor } else { 0 };
    for place in 0..calls.len() {
        let Call { operation, returned, begun, .. } = &calls[place];
        if used[place] || *begun > horizon || matches!(returned, Returned::Failed(_)) {
            continue;
        }
        let is_expected = !matches!(operation, Operation::CompareAndSet { expected, .. } if 2 * expected != shown);
        let next: Vec<(Option<String>, u64)> = match (operation, returned) {
            (_, Returned::Stale(_)) if is_expected => Vec::new(),
            (_, Returned::Stale(_)) => vec![(held.clone(), floor)],
            (Operation::Read, Returned::Ok { value, version }) if *value == held && 2 * version == shown => vec![(held.clone(), floor)],
            (Operation::Write { .. } | Operation::CompareAndSet { .. }, Returned::Ok { value, version }) if is_expected => {
                let unchanged = *value == held && 2 * version == shown;
                let changed = value.is_none() || 2 * version > floor;
                let to = if value.is_none() { floor } else { 2 * version };
                if unchanged || changed { vec![(value.clone(), if unchanged { floor } else { to })] } else { Vec::new() }
            }
            (Operation::Write { value } | Operation::CompareAndSet { value, .. }, Returned::Unknown(_)) if is_expected => match value {
                None => vec![(None, floor)],
                Some(_) => (floor + 1..=floor + 40).map(|version| (value.clone(), version)).collect(),
            },
            _ => Vec::new(),
        };
        used[place] = true;
        if next.into_iter().any(|(held, floor)| orders(calls, used, held, floor)) {
            return true;
        }
        used[place] = false;
    }
    false
}

#[test]
fn the_search_finds_what_trying_every_order_finds() {
    let (mut sound, mut broken) = (0, 0);
    for seed in 0..20_000 {
        let rng = &mut StdRng::seed_from_u64(seed);
        let mut calls = lived(rng, 5, 3, 3);
        // Something is wrong, or not: an answer told by another call, or told of another version.
        let (one, other) = (rng.random_range(0..5_usize), rng.random_range(0..5_usize));
        match rng.random_range(0..3) {
            0 => calls[one].returned = calls[other].returned.clone(),
            1 => {
                if let Returned::Ok { version, value: Some(_) } = &mut calls[one].returned {
                    *version = rng.random_range(1..6);
                }
            }
            _ => calls.swap(one, other),
        }
        let report = judged(calls.clone());
        if report.judged + report.unknown == 0
            || report.violations.iter().any(|told| told.contains("was answered") || told.contains("is both"))
        {
            continue;
        }
        // An unknown swap of a version that no answer tells of is taken for a write.
        let is_told = |version: u64| {
            let tells = |call: &Call| {
                matches!(call.returned, Returned::Ok { version: told, .. } if told == version
                    || matches!(call.operation, Operation::CompareAndSet { expected, .. } if expected == version))
            };
            version == 0 || calls.iter().any(tells)
        };
        let is_wild = |call: &Call| matches!((&call.operation, &call.returned), (Operation::CompareAndSet { expected, .. }, Returned::Unknown(_)) if !is_told(*expected));
        if calls.iter().any(is_wild) {
            continue;
        }
        // Beside unknown writes and removals a refused swap of a register that is gone is always believed.
        let refused = calls
            .iter()
            .any(|call| matches!((&call.operation, &call.returned), (Operation::CompareAndSet { expected: 0, .. }, Returned::Stale(_))));
        let removes =
            |call: &Call| matches!(call.operation, Operation::Write { value: None } | Operation::CompareAndSet { value: None, .. });
        let is_lost = |call: &Call| call.operation != READ && matches!(call.returned, Returned::Unknown(_));
        if refused && calls.iter().any(is_lost) && calls.iter().any(removes) {
            continue;
        }
        let expected = by_all_orders(&calls);
        if expected {
            sound += 1
        } else {
            broken += 1
        }
        assert_eq!(report.violations.is_empty(), expected, "seed {seed}: {report}\n{calls:#?}");
    }
    assert!(sound > 1_000 && broken > 1_000, "{sound} sound and {broken} broken histories");
}

#[test]
fn thousands_of_calls_of_many_callers_are_judged_in_a_moment() {
    let began = std::time::Instant::now();
    let calls = lived(&mut StdRng::seed_from_u64(7), 5_000, 8, 16);
    let mut broken = calls.clone();
    judged(calls).assert_holds();
    if let Some(Returned::Ok { version, .. }) =
        broken.iter_mut().rev().map(|call| &mut call.returned).find(|told| matches!(told, Returned::Ok { value: Some(_), .. }))
    {
        *version = 1;
    }
    assert_ne!(judged(broken).verdict(), Verdict::Clean);
    assert!(began.elapsed().as_secs() < 20, "took {:?}", began.elapsed());
}
