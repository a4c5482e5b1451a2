//! Figures, printed and not judged: the machine decides them. Each says what it is measured against.
//!
//! `DYNOMESH_BIN=target/release/dynomesh cargo test -p dynomesh-tests --test figures -- --ignored --nocapture --test-threads 1`

use dynomesh_core::time::Span;
use dynomesh_testkit::client::{Arrivals, Ask, Client, Load};
use dynomesh_testkit::cluster::{APP, Cluster, HOST, Options, Replica, process};
use dynomesh_testkit::history::Exchange;
use dynomesh_testkit::latency::Latencies;
use dynomesh_testkit::{clock, wait};
use dynomesh_tests::{is_idempotent, judge, ordinary};

/// 70 % of 16 sample dynos.
const RATE: f64 = 93.0;

/// From a leader's death to the first answer with its block's header; 300 ms median and 1 s worst are wanted.
#[test]
#[ignore = "a measurement of minutes, not a test"]
fn from_a_killed_leader_to_the_first_answer_of_its_block() {
    let cluster = Cluster::with_dynos(Options::default().arg("--respawn"), 16);
    let load = cluster.client().load(ordinary(RATE, 61));
    let mut kills = Vec::new();
    for n in 0..10 {
        wait::pass(Span::from_secs(3));
        let block = if n % 2 == 0 { "b1" } else { "b2" };
        let leader = cluster.leader(block);
        kills.push((clock::now(), block));
        process::kill(leader.pid);
        cluster.leader_after(block, leader.pid);
        let whole = |replicas: Vec<Replica>| replicas.iter().all(|replica| process::is_alive(replica.pid)).then_some(());
        wait::until("the block is whole again", Span::from_secs(30), || whole(cluster.replicas(block)));
    }
    wait::pass(Span::from_secs(3));
    let seen = load.finish();
    let mut gaps = Latencies::new();
    for (killed, block) in kills {
        // Requests that began after the death: an answer that was under way is none of the new leader's.
        let first =
            seen.iter().filter(|exchange| exchange.begun > killed && exchange.ok().and_then(|answer| answer.block()) == Some(block));
        let first = first.map(|exchange| exchange.ended.since(killed) - work(exchange)).min();
        println!("{block}: first answer after {} ms", first.map_or(f64::NAN, Span::as_millis_f64));
        first.into_iter().for_each(|gap| gaps.record(gap));
    }
    println!("kill to first answer: {gaps}");
    report(&seen);
    judge(&cluster, seen);
}

/// A leader frozen for 6 s; no GET slower than 1 s beyond its service time is wanted.
#[test]
#[ignore = "a measurement of minutes, not a test"]
fn what_a_frozen_leader_costs() {
    let cluster = Cluster::with_dynos(Options::default(), 16);
    let load = cluster.client().load(ordinary(RATE, 62));
    wait::pass(Span::from_secs(3));
    let leader = cluster.leader("b1");
    cluster.freeze(leader.pid);
    wait::pass(Span::from_secs(6));
    cluster.thaw(leader.pid);
    wait::pass(Span::from_secs(3));
    let seen = load.finish();
    report(&seen);
    judge(&cluster, seen);
}

/// 1,000 requests/s of 1 KB over 64 connections, three replicas, committed grants; added p50 of 1 ms and p99 of 3 ms are wanted. The
/// dyno's part is taken off by the same load without the mesh.
#[test]
#[ignore = "a measurement of minutes, not a test"]
fn what_the_mesh_adds_at_a_thousand_requests_a_second() {
    let cluster = Cluster::with_dynos(Options::default(), 16);
    let direct = cluster.dynos().iter().map(|dyno| dyno.address).collect();
    let edges = cluster.ready().edges.iter().map(|edge| edge.http).collect();
    for (name, to) in [("dynos alone", direct), ("through the mesh", edges)] {
        let client = Client::with_connections(to, HOST, 64);
        let make = |_| Ask::get("/kb").service(Span::ZERO).header("x-demo-bytes", "1024");
        let load = client.load(Load { rate: 1000.0, arrivals: Arrivals::Poisson(63), make: Box::new(make) });
        wait::pass(Span::from_secs(20));
        let seen = load.finish();
        let failed = seen.iter().filter(|exchange| exchange.ok().is_none()).count();
        println!("{name}: {failed} failed, {}", Latencies::added(&seen));
    }
}

/// Memory and processor time of replicas with nothing to do; 40 MB and 2 % of a core are wanted.
#[test]
#[ignore = "a measurement of minutes, not a test"]
fn what_an_idle_replica_costs() {
    let cluster = Cluster::with_dynos(Options::default(), 8);
    wait::pass(Span::from_secs(5));
    let replicas: Vec<Replica> = cluster.ready().blocks.into_values().flatten().collect();
    let used = |replica: &Replica| process::ticks(replica.pid).unwrap_or_default();
    let before: Vec<u64> = replicas.iter().map(used).collect();
    wait::pass(Span::from_secs(30));
    for (replica, before) in replicas.iter().zip(before) {
        // A tick is a hundredth of a second.
        let percent = (used(replica) - before) as f64 / 30.0;
        let resident = process::resident(replica.pid).unwrap_or_default() as f64 / 1e6;
        println!("{} of {APP}, leader {}: {resident:.1} MB, {percent:.2} % of a core", replica.name, replica.leader);
    }
}

/// What the dyno worked on a request.
fn work(exchange: &Exchange) -> Span {
    exchange.added().map_or(Span::ZERO, |added| exchange.latency() - added)
}

fn report(seen: &[Exchange]) {
    let (gets, posts): (Vec<_>, Vec<_>) = seen.iter().partition(|exchange| is_idempotent(exchange));
    for (name, seen) in [("idempotent", gets), ("other", posts)] {
        let failed = seen.iter().filter(|exchange| exchange.ok().is_none()).count();
        println!("{name}: {failed} of {} failed; added {}", seen.len(), Latencies::added(seen));
    }
}

/// From the commit of a move to its adoption by the new block, of a dyno with nothing to do, by the logs of both; less than three times
/// the convergence of the map and 50 ms is wanted. What control itself measures as convergence is printed beside it.
#[test]
#[ignore = "a measurement of minutes, not a test"]
fn what_a_move_takes() {
    let cluster = Cluster::with_dynos(Options { blocks: 3, control: 3, ..Options::default() }, 4);
    for n in 0..60_usize {
        let dyno = format!("d{}", n % 4 + 1);
        cluster.run(&["dyno", "move", &dyno, "--to", ["b1", "b2", "b3"][(n + n / 4) % 3], "--wait"]).expect_ok();
    }
    let logs = || std::fs::read_dir(cluster.path("data").join("log")).expect("logs").flatten();
    let lines = |begins: &str| -> Vec<String> {
        let of = logs().filter(|file| file.file_name().to_string_lossy().starts_with(begins));
        of.flat_map(|file| std::fs::read_to_string(file.path()).expect("a log").lines().map(str::to_owned).collect::<Vec<_>>()).collect()
    };
    let moved = lines("control").into_iter().filter(|line| line.contains("verb=\"dyno.move\"") && line.contains("changed=true"));
    let adopted: Vec<String> = lines("b").into_iter().filter(|line| line.contains("Adopt(") && line.contains("reply=Done")).collect();
    let mut took = Latencies::new();
    for line in moved {
        let Some(epoch) = line.split("version=").nth(1).and_then(|rest| rest.split_whitespace().next()) else { continue };
        let word = format!("Epoch({epoch})");
        let Some(adoption) = adopted.iter().find(|line| line.contains(&word)) else { continue };
        took.record(time_of_day(adoption) - time_of_day(&line).min(time_of_day(adoption)));
    }
    println!("commit to adoption of {} moves: {took}", took.len());
    println!("{}", cluster.run(&["plan"]).expect_ok());
}

/// The same arrivals at 60 % of 16 dynos, without moves and with two a second.
#[test]
#[ignore = "a measurement of minutes, not a test"]
fn what_moves_cost_the_slowest_requests() {
    for moves in [false, true] {
        let cluster = Cluster::with_dynos(Options { blocks: 3, ..Options::default() }, 16);
        let load = cluster.client().load(ordinary(80.0, 64));
        for n in 0..120_usize {
            if moves {
                let dyno = format!("d{}", n % 16 + 1);
                cluster.run(&["dyno", "move", &dyno, "--to", ["b1", "b2", "b3"][(n + n / 16) % 3]]).expect_ok();
            }
            wait::pass(Span::from_millis(500));
        }
        let seen = load.finish();
        println!("{}", if moves { "two moves a second" } else { "no moves" });
        report(&seen);
        judge(&cluster, seen);
    }
}

/// The time of day that begins a line of a log.
fn time_of_day(line: &str) -> Span {
    let text = line.split('T').nth(1).and_then(|rest| rest.split('Z').next()).unwrap_or_default();
    let (clock, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let seconds = clock.split(':').fold(0, |sum, part| sum * 60 + part.parse::<u64>().unwrap_or(0));
    Span::from_secs(seconds) + Span::from_micros(fraction.parse().unwrap_or(0))
}
