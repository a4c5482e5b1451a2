//! The scanner against every way to cut a stream into reads, and against a second, plainer telling of the same rules.
//!
//! `cargo test -p dynomesh-core --test http1 -- --ignored --nocapture` goes on for 30 s, or `DYNOMESH_HARNESS_SECS`, and says how far it
//! came. Seeds count up from `DYNOMESH_SEED`, or zero, so that a run finds what the last one found.

use std::env;
use std::time::{Duration, Instant};

use dynomesh_core::http1::{Asked, Limits, Scanner, Violation};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};

#[path = "http1/generate.rs"]
mod generate;
#[path = "http1/reference.rs"]
mod reference;

use generate::{Change, Stream};

/// So small that the generated messages come near to each.
const LIMITS: Limits = Limits { line_max: 50, head_max: 160, fields_max: 5, extension_max: 8, trailers_max: 24 };

/// Streams of one seed.
const CASES: u32 = 512;

/// What one scan, or the scans of all the pieces, passed.
#[derive(Debug, PartialEq, Eq)]
struct Passed {
    good: usize,
    violation: Option<Violation>,
    heads: u64,
}

fn scanner(asked: Option<Asked>) -> Scanner {
    match asked {
        None => Scanner::requests(LIMITS),
        Some(asked) => {
            let mut scanner = Scanner::responses(LIMITS);
            scanner.expect(asked);
            scanner
        }
    }
}

fn scan(asked: Option<Asked>, pieces: &[&[u8]]) -> Passed {
    let mut scanner = scanner(asked);
    let mut good = 0;
    for piece in pieces {
        let scanned = scanner.scan(piece);
        assert!(scanned.good <= piece.len(), "more is good than there is");
        assert!(scanned.good == piece.len() || scanned.violation.is_some(), "bytes withheld without a word");
        good += scanned.good;
        if scanned.violation.is_some() {
            assert_eq!(scanner.scan(b"x").violation, scanned.violation);
            return Passed { good, violation: scanned.violation, heads: scanner.heads() };
        }
    }
    Passed { good, violation: None, heads: scanner.heads() }
}

fn cut<'a>(stream: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
    places.extend([0, stream.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect()
}

/// The same verdict for the whole, for the pieces, for single bytes, and by the reference.
fn agree(asked: Option<Asked>, stream: &[u8], cuts: &[Index]) -> Result<Passed, TestCaseError> {
    let whole = scan(asked, &[stream]);
    let bytes: Vec<&[u8]> = stream.chunks(1).collect();
    for pieces in [cut(stream, cuts), bytes] {
        let cut = scan(asked, &pieces);
        prop_assert_eq!((cut.violation, cut.heads), (whole.violation, whole.heads), "cut into {:?}", pieces);
        prop_assert!(cut.good >= whole.good);
        // What the pieces handed on beyond that is the start of a head or line that no parser takes for whole.
        let early = &stream[whole.good..cut.good];
        let ends = |end: &[u8]| early.windows(end.len()).any(|window| window == end);
        prop_assert!(!ends(b"\n\n") && !ends(b"\n\r\n"), "a refused head was handed on: {}", early.escape_ascii());
    }
    let verdict = match asked {
        None => reference::requests(stream, LIMITS),
        Some(asked) => reference::response(stream, asked, LIMITS),
    };
    let told = if whole.violation.is_some() { Err(whole.good) } else { Ok(whole.good) };
    prop_assert_eq!(told, verdict, "{:?}", whole.violation);
    Ok(whole)
}

fn valid_passes(asked: Option<Asked>, stream: &Stream, cuts: &[Index]) -> Result<(), TestCaseError> {
    let passed = agree(asked, &stream.bytes, cuts)?;
    prop_assert_eq!(passed, Passed { good: stream.bytes.len(), violation: None, heads: stream.heads });
    Ok(())
}

fn changed_agrees(asked: Option<Asked>, stream: &Stream, changes: &[Change], cuts: &[Index]) -> Result<bool, TestCaseError> {
    let mut bytes = stream.bytes.clone();
    changes.iter().for_each(|change| change.apply(&mut bytes));
    Ok(agree(asked, &bytes, cuts)?.violation.is_some())
}

/// What a run came to.
#[derive(Debug, Default)]
struct Tally {
    cases: u64,
    refused: u64,
}

/// All properties, for the streams of one seed.
fn run(seed: u64) -> Tally {
    let mut tally = Tally::default();
    let config = Config { cases: CASES, failure_persistence: None, rng_seed: RngSeed::Fixed(seed), ..Config::default() };
    let mut runner = TestRunner::new(config);
    let streams = prop_oneof![
        generate::requests().prop_map(|stream| (None, stream)),
        generate::response().prop_map(|(asked, stream)| (Some(asked), stream)),
    ];
    let refused = std::cell::Cell::new(0);
    let told = runner.run(&(streams, generate::changes(), generate::cuts()), |((asked, stream), changes, cuts)| {
        // No change of a valid stream within the limits is refused; the limits are met where the changes meet them.
        if stream_fits(asked, &stream) {
            valid_passes(asked, &stream, &cuts)?;
        }
        refused.set(refused.get() + u64::from(changed_agrees(asked, &stream, &changes, &cuts)?));
        Ok(())
    });
    if let Err(error) = told {
        panic!("{error}\nto replay it: DYNOMESH_SEED={seed} DYNOMESH_HARNESS_SECS=0 cargo test -p dynomesh-core --test http1 -- --ignored");
    }
    let raw =
        (proptest::option::of(proptest::sample::select(vec![Asked::Plain, Asked::Head])), vec(generate::odd(), 0..60), generate::cuts());
    let told = runner.run(&raw, |(asked, bytes, cuts)| agree(asked, &bytes, &cuts).map(drop));
    if let Err(error) = told {
        panic!("{error}\nseed {seed}, arbitrary bytes");
    }
    tally.cases += 2 * u64::from(CASES);
    tally.refused += refused.get();
    tally
}

/// Whether no message of a valid stream is over a limit: then the reference finds nothing wrong with it.
fn stream_fits(asked: Option<Asked>, stream: &Stream) -> bool {
    let wide = Limits::default();
    let (told, fits) = match asked {
        None => (reference::requests(&stream.bytes, wide), reference::requests(&stream.bytes, LIMITS)),
        Some(asked) => (reference::response(&stream.bytes, asked, wide), reference::response(&stream.bytes, asked, LIMITS)),
    };
    assert_eq!(told, Ok(stream.bytes.len()), "a valid stream was made wrong: {}", stream.bytes.escape_ascii());
    fits.is_ok()
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

#[test]
fn cuts_change_nothing_and_the_reference_agrees() {
    let mut tally = Tally::default();
    for seed in 0..4 {
        let Tally { cases, refused } = run(seed);
        tally = Tally { cases: tally.cases + cases, refused: tally.refused + refused };
    }
    // Generators that break nothing, or everything, would prove little.
    assert!((tally.cases / 8..tally.cases / 2).contains(&tally.refused), "{tally:?}");
}

#[test]
#[ignore = "runs for 30 s, or DYNOMESH_HARNESS_SECS"]
#[expect(clippy::disallowed_methods, reason = "the time it may take is told by a clock; no verdict depends on it")]
fn cuts_change_nothing_for_as_long_as_there_is_time() {
    let limit = Duration::from_secs(number("DYNOMESH_HARNESS_SECS").unwrap_or(30));
    let (start, first) = (Instant::now(), number("DYNOMESH_SEED").unwrap_or(0));
    let (mut tally, mut seed) = (Tally::default(), first);
    while seed == first || start.elapsed() < limit {
        let Tally { cases, refused } = run(seed);
        tally = Tally { cases: tally.cases + cases, refused: tally.refused + refused };
        seed += 1;
    }
    println!("{} streams, {} of them refused, seeds {first} to {} in {:?}", tally.cases, tally.refused, seed - 1, start.elapsed());
}
