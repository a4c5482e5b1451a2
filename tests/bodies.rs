//! Bodies arrive whole, streamed and never gathered, or the client is told.

use dynomesh_core::time::Span;
use dynomesh_testkit::client::{Ask, Framing, Wire};
use dynomesh_testkit::cluster::{APP, Cluster, HOST, Options, process};
use dynomesh_testkit::history::Outcome;
use dynomesh_testkit::script::Script;
use dynomesh_testkit::wait;
use dynomesh_tests::{all_answered, judge};

const MIB: u64 = 1 << 20;

fn small() -> Options {
    Options { edges: 1, blocks: 1, replicas: 1, ..Options::default() }
}

#[test]
fn bodies_of_every_size_come_back_as_they_went_in_both_framings() {
    let cluster = Cluster::with_dynos(Options::default(), 4);
    let client = cluster.client();
    // Around the replay buffer (64 KiB) and around the pieces that proxies copy.
    let sizes = [0, 1, 4095, 65_535, 65_536, 65_537, 131_073, 3 * MIB, 64 * MIB];
    let mut seen = Vec::new();
    for len in sizes {
        for framing in [Framing::Length, Framing::Chunked] {
            seen.push(client.send(Ask::post("/echo").echo(len, framing).service(Span::ZERO)));
            let answer = seen[seen.len() - 1].expect_ok();
            assert_eq!((answer.len, answer.difference), (len, None), "{len} bytes by {framing:?}");
        }
        seen.push(client.send(Ask::get("/content").content_back(len).service(Span::ZERO)));
        let answer = seen[seen.len() - 1].expect_ok();
        assert_eq!((answer.len, answer.difference), (len, None), "{len} bytes down");
    }
    judge(&cluster, seen);
}

/// Fails when an edge or a block gathers a body before it sends it on: 256 MiB would show in any of them.
#[test]
fn large_bodies_are_streamed_and_not_gathered() {
    let cluster = Cluster::with_dynos(small(), 2);
    let pids = cluster.ready().pids();
    let resident = || pids.iter().filter_map(|pid| process::resident(*pid)).max().unwrap_or_default();
    let before = resident();
    let client = cluster.client();
    let up = client.begin(Ask::post("/echo").echo(256 * MIB, Framing::Length));
    let down = client.begin(Ask::get("/content").content_back(256 * MIB));
    let (mut most, mut done) = (before, Vec::new());
    wait::until("both bodies have gone through", Span::from_secs(120), || {
        most = most.max(resident());
        done.extend([&up, &down].into_iter().filter_map(|pending| pending.poll()));
        (done.len() == 2).then_some(())
    });
    for exchange in done {
        assert_eq!((exchange.expect_ok().len, exchange.expect_ok().difference), (256 * MIB, None));
    }
    assert!(most < before + 48 * MIB, "grew from {} to {} MiB", before / MIB, most / MIB);
}

/// Fails when the limit on an unacknowledged head (P7) stays for the body: the kernel then ends a connection whose reader pauses.
#[test]
fn a_dyno_may_pause_while_it_reads_an_upload() {
    let cluster = Cluster::start(small());
    cluster.create_app(&["--serial", "no"]);
    let script =
        Script::start_pausing(Span::from_secs(4), |_| b"HTTP/1.1 200 OK\r\nx-demo-dyno: script\r\ncontent-length: 2\r\n\r\nok".to_vec());
    cluster.run(&["dyno", "add", APP, &script.address().to_string(), "--id", "script"]).expect_ok();
    let client = cluster.client();
    cluster.await_routed(HOST);

    // More than the sockets on the way hold.
    let body = "x".repeat(32 << 20);
    assert_eq!(client.send(Ask::post("/upload").body(&body)).expect_ok().text, "ok");
    let uploads: Vec<_> = script.requests().into_iter().filter(|request| request.starts_with("POST /upload")).collect();
    assert_eq!(uploads.len(), 1);
    assert!(uploads[0].ends_with(&format!("\r\n\r\n{body}")), "{} bytes arrived", uploads[0].len());
}

/// P27: a broken answer never looks whole, and one that ends by closing is whole.
#[test]
fn a_broken_answer_is_told_and_a_close_delimited_one_is_whole() {
    let cluster = Cluster::start(small());
    cluster.create_app(&["--serial", "no"]);
    let script = Script::start(|request| {
        let head = "HTTP/1.1 200 OK\r\nx-demo-dyno: script\r\n";
        let path = request.split(' ').nth(1).unwrap_or_default();
        let rest = match path {
            "/short" => "content-length: 100\r\n\r\nonly this",
            "/unended" => "transfer-encoding: chunked\r\n\r\n4\r\nonly\r\n",
            "/close" => "connection: close\r\n\r\nall of it",
            _ => "content-length: 2\r\n\r\nok",
        };
        format!("{head}{rest}").into_bytes()
    });
    cluster.run(&["dyno", "add", APP, &script.address().to_string(), "--id", "script"]).expect_ok();
    let client = cluster.client();
    cluster.await_routed(HOST);

    for path in ["/short", "/unended"] {
        let seen = client.send(Ask::post(path));
        assert!(!matches!(seen.outcome, Outcome::Ok(_)), "a broken answer looks whole: {seen}");
        assert_eq!(script.requests().iter().filter(|request| request.contains(path)).count(), 1, "{path} was sent twice");
    }
    assert_eq!(client.send(Ask::get("/close")).expect_ok().text, "all of it");
}

/// P22: the edge takes the body before it asks for a slot, so a client that sends slowly, or not at all, keeps none from others. The
/// block would wait so long for a body that a slot kept by one shows.
#[test]
fn a_slow_client_holds_no_slot() {
    let cluster = Cluster::with_dynos(small().env("DYNOMESH_BLOCK_LIMITS__BODY_START", "30s"), 1);
    let mut slow = Wire::connect(cluster.ready().edges[0].http, Span::from_secs(20)).unwrap();
    slow.write(format!("POST /slow HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 4\r\nx-demo-service-ms: 1\r\n\r\nab")).unwrap();
    let client = cluster.client();
    for _ in 0..10 {
        let seen = client.send(Ask::post("/quick").service(Span::ZERO));
        seen.expect_ok();
        assert!(seen.latency() < Span::from_secs(5), "{seen}");
    }
    slow.write("cd").unwrap();
    assert!(slow.read_head().unwrap().starts_with("HTTP/1.1 200"));
}

/// P13: the dyno works on though nobody waits, so its slot stays taken; fails when the slot is freed as the client leaves.
#[test]
fn a_client_that_leaves_frees_no_slot_early() {
    let cluster = Cluster::with_dynos(small(), 1);
    let mut leaver = Wire::connect(cluster.ready().edges[0].http, Span::from_secs(20)).unwrap();
    leaver.write(format!("GET /left HTTP/1.1\r\nhost: {HOST}\r\nx-demo-service-ms: 1500\r\n\r\n")).unwrap();
    wait::until("the dyno runs it", Span::from_secs(10), || (cluster.dynos()[0].in_flight() == 1).then_some(()));
    drop(leaver);
    let seen = cluster.client().send_all((0..2).map(|_| Ask::post("/next").service(Span::from_millis(10))));
    all_answered(&seen, |_| true);
    judge(&cluster, seen);
}
