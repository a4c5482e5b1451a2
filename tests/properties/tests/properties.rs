//! Every property on inputs drawn from a seed: bytes of all kinds, and changes of those that came to something.
//!
//! `cargo test -p dynomesh-properties --test properties -- --ignored --nocapture` goes on for 30 s over all of them, or
//! `DYNOMESH_HARNESS_SECS`, and says how far each came. Seeds count up from `DYNOMESH_SEED`, or zero, so that a run finds what the last one
//! found. `DYNOMESH_PROPERTY` names one to be checked alone; `DYNOMESH_INPUT` a file, as a fuzzer leaves it, that alone is given to it.

use std::env;
use std::panic::catch_unwind;
use std::time::{Duration, Instant};

use dynomesh_properties::{ALL, Outcome, Property};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Inputs of one seed.
const CASES: u32 = 400;
/// Inputs that are kept to be changed.
const KEPT_MAX: usize = 64;
const LEN_MAX: usize = 400;

/// Pieces that the parsers take for something. Others they draw themselves.
const PIECES: &[&[u8]] = &[
    b"\r\n",
    b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n",
    b"POST /a HTTP/1.1\r\nhost: b:80\r\nContent-Length: 3\r\n\r\nxyz",
    b"Transfer-Encoding: chunked\r\n",
    b"2\r\nxy\r\n",
    b"0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"Content-Length: 2\r\n\r\nxy",
    b" HTTP/1.0\r\n\r\n",
    b"\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    b"\x00\x00\x08\x06\x00\x00\x00\x00\x00",
    b"grpc-status:0&x-sum:1%25",
    b"host:a&x-dynomesh-verdict:answered",
    b"%26%25%2",
    b"3/8/1",
    b"7/9/192.0.2.1:80",
    b"chunked",
    b"http://a:80/b?c",
    b"//a@b/",
    b"\x30\x84\x00\x00\x00\x02",
    b"\x06\x03\x55\x1d\x11",
    b"\x06\x03\x55\x04\x03\x0c\x01a",
    b"\x17\x0d240229000000Z",
    b"\x80\x80\x80\x80\x08",
    b"\xff\xff\xff\xff\xff\xff\xff\xff",
    b"{\"member\":{\"node\":\"b0-1\"}}",
];

/// How far a property has come.
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    inputs: u64,
    taken: u64,
}

impl Tally {
    fn add(&mut self, other: Tally) {
        *self = Tally { inputs: self.inputs + other.inputs, taken: self.taken + other.taken };
    }
}

/// All inputs of one seed. The next ones are made of those from which something was read.
fn run(property: Property, seed: u64) -> Tally {
    let mut rng = StdRng::seed_from_u64(seed);
    let (mut kept, mut tally) = (property.seeds.iter().map(|seed| seed.to_vec()).collect::<Vec<_>>(), Tally::default());
    for _ in 0..CASES {
        let input = drawn(&mut rng, &kept);
        tally.inputs += 1;
        if check(property, seed, &input) == Outcome::Taken {
            tally.taken += 1;
            let at = rng.random_range(0..KEPT_MAX);
            if at < kept.len() { kept[at] = input } else { kept.push(input) }
        }
    }
    tally
}

fn check(property: Property, seed: u64, input: &[u8]) -> Outcome {
    catch_unwind(|| (property.check)(input)).unwrap_or_else(|_| {
        let name = property.name;
        panic!(
            "{name} does not hold for {}\nto replay it: DYNOMESH_PROPERTY={name} DYNOMESH_SEED={seed} DYNOMESH_HARNESS_SECS=0 cargo test \
             -p dynomesh-properties --test properties -- --ignored",
            input.escape_ascii()
        )
    })
}

fn drawn(rng: &mut StdRng, kept: &[Vec<u8>]) -> Vec<u8> {
    if kept.is_empty() || rng.random_bool(0.3) {
        return fresh(rng);
    }
    let mut input = kept[rng.random_range(0..kept.len())].clone();
    for _ in 0..rng.random_range(1..4) {
        change(rng, &mut input, kept);
    }
    input.truncate(LEN_MAX);
    input
}

/// Bytes and pieces. Small ones are the more, since they choose.
fn fresh(rng: &mut StdRng) -> Vec<u8> {
    let mut input = Vec::new();
    for _ in 0..rng.random_range(0..60) {
        match rng.random_range(0..8) {
            0 => input.extend(PIECES[rng.random_range(0..PIECES.len())]),
            1..4 => input.push(rng.random()),
            _ => input.push(rng.random_range(0..16)),
        }
    }
    input
}

fn change(rng: &mut StdRng, input: &mut Vec<u8>, kept: &[Vec<u8>]) {
    let at = rng.random_range(0..=input.len());
    let end = rng.random_range(at..=input.len()).min(at + 40);
    match rng.random_range(0..7) {
        0 if at < input.len() => input[at] = rng.random(),
        1 if at < input.len() => input[at] ^= 1 << rng.random_range(0..8),
        2 => drop(input.splice(at..at, PIECES[rng.random_range(0..PIECES.len())].iter().copied())),
        3 => drop(input.drain(at..end)),
        4 => {
            let twice = input[at..end].to_vec();
            input.splice(at..at, twice);
        }
        5 => {
            let other = &kept[rng.random_range(0..kept.len())];
            input.truncate(at);
            input.extend(&other[at.min(other.len())..]);
        }
        _ => input.insert(at, rng.random_range(0..16)),
    }
}

fn chosen() -> Vec<Property> {
    let name = env::var("DYNOMESH_PROPERTY").ok();
    let chosen: Vec<_> = ALL.into_iter().filter(|property| name.as_ref().is_none_or(|name| property.name == name)).collect();
    assert!(!chosen.is_empty(), "DYNOMESH_PROPERTY={} is none of {:?}", name.unwrap_or_default(), ALL.map(|property| property.name));
    chosen
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

#[test]
fn every_property_holds_and_inputs_are_of_both_kinds() {
    for property in ALL {
        let mut tally = Tally::default();
        (0..4).for_each(|seed| tally.add(run(property, seed)));
        // Inputs that are all refused, or all taken, would prove little.
        assert!((tally.inputs / 20..tally.inputs * 19 / 20).contains(&tally.taken), "{}: {tally:?}", property.name);
    }
}

#[test]
#[ignore = "runs for 30 s, or DYNOMESH_HARNESS_SECS"]
fn every_property_holds_for_as_long_as_there_is_time() {
    let properties = chosen();
    if let Ok(path) = env::var("DYNOMESH_INPUT") {
        let input = std::fs::read(path).expect("DYNOMESH_INPUT is a file");
        properties.iter().for_each(|property| println!("{}: {:?}", property.name, (property.check)(&input)));
        return;
    }
    let limit = Duration::from_secs(number("DYNOMESH_HARNESS_SECS").unwrap_or(30)) / u32::try_from(properties.len()).expect("a few");
    let first = number("DYNOMESH_SEED").unwrap_or(0);
    for property in properties {
        let (start, mut tally, mut seed) = (Instant::now(), Tally::default(), first);
        while seed == first || start.elapsed() < limit {
            tally.add(run(property, seed));
            seed += 1;
        }
        println!("{}: {} inputs, {} of them taken, seeds {first} to {}", property.name, tally.inputs, tally.taken, seed - 1);
    }
}
