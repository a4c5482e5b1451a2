//! Floods: much work for few bytes. An edge may end such a connection or bear it; it must not grow, and others must not wait.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dynomesh_testkit::cluster::{Cluster, process};

use super::frame::*;
use super::hpack::{field, string};
use super::play::begin;
use super::{HOST, fields_of, get, post};
use crate::case::{Act, Dyno};
use crate::client::{Client, State};
use crate::judge::Good;
use crate::run::{Lane, filled};

/// How long each flood goes on, unless it has sent all or was cut off.
const FLOOD: Duration = Duration::from_millis(2500);
/// Memory by which no process may grow through any of them.
const GROWTH_MAX: u64 = 64 << 20;
/// How long a good client may wait for an answer meanwhile.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// A flood: what a client sends first, and what again and again, with the count of the turn.
struct Flood {
    name: &'static str,
    connections: usize,
    settings: &'static [(u16, u32)],
    first: Vec<u8>,
    again: fn(u32) -> Vec<u8>,
    turns: u32,
    /// Whether what comes is left unread.
    deaf: bool,
}

/// What became of it.
struct Told {
    turns: u32,
    ended: bool,
}

/// Sends every flood at one of the lanes while a good client asks at the other.
#[track_caller]
pub(crate) fn run(cluster: &Cluster, lanes: &[Lane]) {
    let (victim, good) = (&lanes[0], &lanes[1]);
    let mut faults = Vec::new();
    println!("\n| flood | turns | cut off | slowest good answer | growth |\n|---|---|---|---|---|");
    for flood in floods() {
        let large = [b"HTTP/1.1 200 OK\r\ncontent-length: 4000000\r\n\r\n".to_vec(), vec![b'x'; 4_000_000]].concat();
        victim.recorder.begin(if flood.deaf { Dyno::Acts(vec![Act::Say(large)]).into() } else { Default::default() });
        good.recorder.begin(Default::default());
        let pids = cluster.ready().pids();
        let before: Vec<u64> = pids.iter().map(|pid| process::resident(*pid).unwrap_or_default()).collect();
        let (mut told, mut slowest, mut growth) = (Vec::new(), Ok(Duration::ZERO), 0);
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let asking = scope.spawn(|| ask(good, &over));
            let measuring = scope.spawn(|| measure(&pids, &before, &over));
            let sending: Vec<_> = (0..flood.connections).map(|_| scope.spawn(|| flood.send(victim))).collect();
            told.extend(sending.into_iter().map(|sending| sending.join().expect("a flood does not panic")));
            over.store(true, Ordering::Relaxed);
            slowest = asking.join().expect("a good client does not panic");
            growth = measuring.join().expect("measuring does not panic");
        });
        let turns: u32 = told.iter().map(|told| told.turns).sum();
        let ended = told.iter().all(|told| told.ended);
        println!("| {} | {turns} | {ended} | {slowest:?} | {} KB |", flood.name, growth / 1024);
        match slowest {
            Err(fault) => faults.push(format!("{}: {fault}", flood.name)),
            Ok(wait) if wait > WAIT_MAX => faults.push(format!("{}: a good client waited {wait:?}", flood.name)),
            Ok(_) => {}
        }
        if growth > GROWTH_MAX {
            faults.push(format!("{}: a process grew by {} MB", flood.name, growth >> 20));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn floods() -> Vec<Flood> {
    let plain = |name, again, turns| Flood { name, connections: 2, settings: &[], first: Vec::new(), again, turns, deaf: false };
    let bomb = [fields_of("GET", "/case", &[]), [&[0x40][..], &string(b"x-bomb"), &string(&[b'b'; 3900])].concat()].concat();
    vec![
        plain("rapid reset", |n| [get(2 * n + 1), reset(2 * n + 1, 8)].concat(), 20_000),
        plain("rapid reset of uploads", |n| [post(2 * n + 1), data(2 * n + 1, 0, b"x"), reset(2 * n + 1, 8)].concat(), 20_000),
        // The edge is made to reset each stream itself.
        plain("resets by an error of the client's", |n| [post(2 * n + 1), window(2 * n + 1, 0)].concat(), 20_000),
        plain(
            "resets by malformed requests",
            |n| headers(2 * n + 1, END_STREAM, fields_of("GET", "/case", &[("connection", "x")])),
            20_000,
        ),
        plain("streams that do not end", |n| post(2 * n + 1), 20_000),
        Flood {
            first: frame(HEADERS, END_STREAM, 1, fields_of("GET", "/case", &[])),
            ..plain("CONTINUATION without an end", |n| frame(CONTINUATION, 0, 1, field(format!("x-{n}"), vec![b'x'; 4000])), 50_000)
        },
        Flood {
            first: frame(HEADERS, END_STREAM, 1, fields_of("GET", "/case", &[])),
            ..plain("empty CONTINUATION without an end", |_| frame(CONTINUATION, 0, 1, []).repeat(50), 20_000)
        },
        plain("SETTINGS", |_| settings(&[(4, 65_535), (3, 100)]).repeat(20), 20_000),
        Flood { deaf: true, ..plain("SETTINGS, nothing read", |_| settings(&[(4, 65_535)]).repeat(20), 20_000) },
        plain("PING", |_| frame(PING, 0, 0, [7; 8]).repeat(20), 20_000),
        Flood { deaf: true, ..plain("PING, nothing read", |_| frame(PING, 0, 0, [7; 8]).repeat(20), 20_000) },
        Flood { first: post(1), ..plain("empty DATA", |_| data(1, 0, []).repeat(50), 20_000) },
        Flood { first: post(1), ..plain("DATA of padding", |_| frame(DATA, PADDED, 1, [0]).repeat(50), 20_000) },
        plain("PRIORITY", |n| frame(PRIORITY, 0, 2 * n + 1, [0, 0, 0, 0, 1]).repeat(50), 20_000),
        Flood { first: post(1), ..plain("WINDOW_UPDATE", |_| window(1, 1).repeat(50), 20_000) },
        plain("unknown frames", |_| frame(0xfb, 0, 0, [0; 100]).repeat(20), 20_000),
        Flood {
            first: headers(1, END_STREAM, bomb),
            ..plain(
                "an HPACK bomb",
                |n| headers(2 * n + 3, END_STREAM, [fields_of("GET", "/case", &[]), vec![0xbe; 15_000]].concat()),
                5000,
            )
        },
        Flood {
            settings: &[(4, 1)],
            deaf: true,
            ..plain("windows of one byte for 4 MB each", |n| if n < 100 { get(2 * n + 1) } else { window(2 * (n % 100) + 1, 1) }, 5000)
        },
        Flood {
            settings: &[(4, 0)],
            deaf: true,
            connections: 8,
            ..plain("windows of nothing for 4 MB each", |n| if n < 100 { get(2 * n + 1) } else { frame(PING, ACK, 0, [0; 8]) }, 400)
        },
        Flood {
            settings: &[(4, 0x7fff_ffff)],
            first: window(0, 0x7ffe_0000),
            deaf: true,
            connections: 4,
            ..plain("large windows, nothing read", |n| if n < 100 { get(2 * n + 1) } else { frame(PING, ACK, 0, [0; 8]) }, 400)
        },
    ]
}

impl Flood {
    fn send(&self, lane: &Lane) -> Told {
        let until = Instant::now() + FLOOD;
        let mut turns = 0;
        let mut ended = false;
        // Whoever is cut off comes again, as an attacker would.
        while turns < self.turns && Instant::now() < until {
            let Ok(mut client) = begin(lane, false, &[&[(1, 0), (2, 0)], self.settings].concat()) else { break };
            client.send(&self.first);
            let mut turn = 0;
            while turns < self.turns && Instant::now() < until && client.state == State::Open {
                client.send(&filled(&(self.again)(turn), HOST.as_bytes(), &lane.host));
                (turn, turns) = (turn + 1, turns + 1);
                if !self.deaf && turn.is_multiple_of(64) {
                    client.until(Duration::from_millis(1), |_| false);
                    client.heard.clear();
                }
                if client.failed {
                    break;
                }
                if self.deaf && turn > 100 {
                    thread::sleep(Duration::from_millis(1));
                }
            }
            ended |= client.failed || client.state != State::Open;
        }
        Told { turns, ended }
    }
}

/// Asks until it is over, and tells the longest wait.
fn ask(lane: &Lane, over: &AtomicBool) -> Result<Duration, String> {
    let mut slowest = Duration::ZERO;
    for n in 0.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let good = Good { method: "GET", target: format!("/good/flood-{n}"), body: String::new() };
        let begun = Instant::now();
        let mut client = Client::connect(lane.edge).map_err(|error| format!("a good client: {error}"))?;
        client.send(&good.bytes(&lane.host));
        client.until(WAIT_MAX * 2, |heard| crate::answer::Answers::read(heard, &["GET"], false).whole() > 0);
        good.judge(&client.heard)?;
        slowest = slowest.max(begun.elapsed());
        thread::sleep(Duration::from_millis(20));
    }
    Ok(slowest)
}

/// The largest growth of any process until it is over.
fn measure(pids: &[u32], before: &[u64], over: &AtomicBool) -> u64 {
    let mut growth = 0;
    while !over.load(Ordering::Relaxed) {
        let now = pids.iter().zip(before).map(|(pid, before)| process::resident(*pid).unwrap_or_default().saturating_sub(*before));
        growth = growth.max(now.max().unwrap_or_default());
        thread::sleep(Duration::from_millis(20));
    }
    growth
}
