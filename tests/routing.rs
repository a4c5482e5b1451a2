//! Requests find a dyno, wait their turn, and tell where they have been.

use std::collections::BTreeMap;

use dynomesh_core::id::DynoId;
use dynomesh_core::time::Span;
use dynomesh_testkit::client::{Arrivals, Ask, Load, Wire};
use dynomesh_testkit::cluster::{APP, Cluster, HOST, Options};
use dynomesh_testkit::dyno::SampleDyno;
use dynomesh_testkit::{clock, wait};
use dynomesh_tests::{all_answered, judge, judge_past, ordinary};

fn small() -> Options {
    Options { edges: 1, replicas: 1, ..Options::default() }
}

#[test]
fn load_reaches_every_dyno_one_request_at_a_time() {
    let cluster = Cluster::with_dynos(Options::default(), 8);
    let client = cluster.client();
    let from = clock::now();
    let load = client.load(ordinary(40.0, 11));
    wait::pass(Span::from_secs(4));
    let seen = load.finish();
    all_answered(&seen, |_| true);
    for exchange in &seen {
        let answer = exchange.expect_ok();
        for name in ["x-dynomesh-block", "x-dynomesh-epoch", "x-dynomesh-dyno", "x-dynomesh-attempts", "x-request-id"] {
            assert!(answer.header(name).is_some(), "no {name} in {:?}", answer.headers);
        }
        assert_eq!(answer.dyno(), answer.header("x-dynomesh-dyno"));
    }
    let history = judge(&cluster, seen).since(from);
    assert!(history.dynos.values().all(|diary| diary.lines.len() > 2), "a dyno got nothing");
}

/// The cap of every router before this one: more requests than slots, and each waits for a free dyno and not behind a request.
#[test]
fn requests_past_the_slots_wait_in_order_and_none_is_refused() {
    let mut cluster = Cluster::start(Options { blocks: 1, ..small() });
    cluster.create_app(&["--serial", "yes"]);
    cluster.add_dynos(4, 1);
    let client = cluster.client();
    // Those that wait do so for one service time, and half of one is more than a busy machine adds.
    let seen = client.send_all((0..8).map(|_| Ask::post("/order").service(Span::from_secs(2))));
    all_answered(&seen, |_| true);
    let waited = seen.iter().filter(|exchange| exchange.latency() > Span::from_secs(3)).count();
    assert_eq!(waited, 4, "four of eight requests wait for four dynos");
    let queued: Vec<u64> =
        seen.iter().filter_map(|exchange| exchange.expect_ok().header("x-dynomesh-queue-ms")?.parse::<f64>().ok()).map(to_ms).collect();
    assert_eq!(queued.iter().filter(|ms| **ms > 1000).count(), 4, "the queue times told were {queued:?} ms");
    judge(&cluster, seen);
}

fn to_ms(ms: f64) -> u64 {
    Span::from(std::time::Duration::from_secs_f64(ms / 1000.0)).as_millis()
}

/// Requests one after the other over an idle mesh, so that nothing but the choice decides. Six dynos against two: a plain draw gives
/// the small block half, a weighted one a quarter; of 240 draws, four standard deviations either side.
#[test]
fn every_block_choice_routes_and_draws_as_it_says() {
    for (choice, shares) in [("random", 84..=156), ("weighted", 33..=87), ("two", 1..=239)] {
        let mut cluster = Cluster::start(small().env("DYNOMESH_EDGE_BLOCK_CHOICE", choice));
        cluster.create_app(&["--serial", "yes"]);
        let mut dynos = Vec::new();
        for n in 1..=8 {
            let (id, block) = (DynoId::new(&format!("d{n}")).unwrap(), if n <= 6 { "b1" } else { "b2" });
            let dyno = SampleDyno::start(cluster.binary(), &cluster.path("dynos"), id, 1);
            cluster.run(&["dyno", "add", APP, &dyno.address.to_string(), "--id", dyno.id.as_str(), "--block", block]).expect_ok();
            dynos.push(dyno);
        }
        dynos.into_iter().for_each(|dyno| cluster.adopt(dyno));
        cluster.await_routed(HOST);
        cluster.check_no_leak().assert_holds();

        let client = cluster.client();
        let mut drawn: BTreeMap<String, usize> = BTreeMap::new();
        for _ in 0..240 {
            let exchange = client.send(Ask::get("/").service(Span::ZERO));
            *drawn.entry(exchange.expect_ok().block().unwrap_or_default().to_owned()).or_default() += 1;
        }
        let small = drawn.get("b2").copied().unwrap_or_default();
        assert!(shares.contains(&small), "{choice} drew {drawn:?}");
    }
}

#[test]
fn a_connection_is_kept_for_the_next_request() {
    let cluster = Cluster::with_dynos(small(), 2);
    let mut wire = Wire::connect(cluster.ready().edges[0].http, Span::from_secs(10)).unwrap();
    for n in 0..5 {
        wire.write(format!("HEAD /{n} HTTP/1.1\r\nhost: {HOST}\r\nx-demo-service-ms: 1\r\n\r\n")).unwrap();
        let head = wire.read_head().unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    }
}

#[test]
fn hosts_are_routed_to_their_own_apps_and_a_star_takes_the_rest() {
    let mut cluster = Cluster::with_dynos(small(), 1);
    cluster.run(&["app", "create", "rest", "--host", "*", "--max-conns", "1"]).expect_ok();
    let dyno = SampleDyno::start(cluster.binary(), &cluster.path("dynos"), DynoId::new("rest1").unwrap(), 1);
    cluster.run(&["dyno", "add", "rest", &dyno.address.to_string(), "--id", "rest1"]).expect_ok();
    cluster.adopt(dyno);
    let client = cluster.client();
    cluster.await_routed("any.where");
    for (host, dyno) in [(HOST, "d1"), ("SHOP.test:8080", "d1"), ("any.where", "rest1")] {
        assert_eq!(client.send(Ask::get("/").host(host)).expect_ok().dyno(), Some(dyno), "{host}");
    }
}

/// `bounded`: every request has an answer at its deadline, whatever its dyno does.
#[test]
fn a_request_that_its_dyno_does_not_answer_in_time_is_told_so_at_its_deadline() {
    let hasty = small().env("DYNOMESH_EDGE_LIMITS__DEADLINE", "2s").env("DYNOMESH_EDGE_RETRY__PATIENCE", "1s");
    let cluster = Cluster::with_dynos(hasty, 2);
    let client = cluster.client();
    let asks = [Ask::get("/slow"), Ask::post("/slow")].map(|ask| ask.service(Span::from_secs(6)).deadline(Span::from_secs(5)));
    for seen in client.send_all(asks) {
        let answer = seen.answer().unwrap_or_else(|| panic!("bounded: no answer at the deadline: {seen}"));
        assert_eq!(answer.status.as_u16(), 504, "{seen}");
        assert!(seen.latency() < Span::from_secs(4), "bounded: {seen}");
    }
}

/// A platform adds a dyno before its process listens. Nothing is lost on it meanwhile.
#[test]
fn a_dyno_that_does_not_listen_yet_is_used_soon_after_it_does() {
    let mut cluster = Cluster::with_dynos(small(), 2);
    let mut late = SampleDyno::start(cluster.binary(), &cluster.path("dynos"), DynoId::new("late").unwrap(), 1);
    late.kill();
    let client = cluster.client();
    let make = |n| if n % 2 == 0 { Ask::get("/page") } else { Ask::post("/order") }.service(Span::from_millis(60));
    let load = client.load(Load { rate: 20.0, arrivals: Arrivals::Poisson(12), make: Box::new(make) });
    cluster.run(&["dyno", "add", APP, &late.address.to_string(), "--id", "late"]).expect_ok();
    wait::pass(Span::from_secs(2));
    late.restart();
    let listens = clock::now();
    let used = wait::until("the late dyno is used", Span::from_secs(10), || {
        late.journal().iter().find(|line| line.boot_ns >= listens.as_nanos()).map(|line| line.boot_ns)
    });
    let seen = load.finish();
    // One second is promised on a quiet machine; tests share theirs.
    let took = Span::from_nanos(used.saturating_sub(listens.as_nanos()));
    assert!(took < Span::from_millis(1500), "used only after {took}");
    all_answered(&seen, |_| true);
    cluster.adopt(late);
    judge(&cluster, seen);
}

/// Dynos come and go under load, as in a deploy: no request notices.
#[test]
fn dynos_are_added_and_drained_under_load_without_a_failed_request() {
    let mut cluster = Cluster::with_dynos(Options::default(), 4);
    let client = cluster.client();
    let load = client.load(ordinary(15.0, 13));
    cluster.add_dynos(4, 1);
    let drained = ["d1", "d2", "d3"];
    for id in drained {
        cluster.run(&["dyno", "drain", id, "--wait"]).expect_ok();
    }
    let after = clock::now();
    wait::pass(Span::from_secs(2));
    let seen = load.finish();
    all_answered(&seen, |_| true);
    let late = judge_past(&cluster, seen).since(after);
    for id in drained {
        let lines = &late.dynos[&DynoId::new(id).unwrap()].lines;
        assert!(lines.is_empty(), "{id} was used after it was drained: {lines:?}");
    }
}
