//! Bad input gets a clear word, loses nothing and brings nothing down.

use std::fs;

use dynomesh_core::time::Span;
use dynomesh_testkit::client::{Ask, Wire};
use dynomesh_testkit::cluster::{APP, Cluster, HOST, Options, binary, run};
use dynomesh_testkit::wait;
use dynomesh_tests::judge;

/// A request for an app without dynos.
const EMPTY: &str = "GET / HTTP/1.1\r\nhost: empty.test\r\n\r\n";

fn small() -> Options {
    Options { edges: 1, blocks: 1, replicas: 1, ..Options::default() }
}

#[test]
fn malformed_and_unroutable_requests_are_told_what_is_wrong() {
    let cluster = Cluster::with_dynos(small(), 1);
    cluster.run(&["app", "create", "empty", "--host", "empty.test"]).expect_ok();
    let edge = cluster.ready().edges[0].http;
    let ask = |bytes: &str| {
        let mut wire = Wire::connect(edge, Span::from_secs(20)).unwrap();
        wire.write(bytes).unwrap();
        wire.read_head().unwrap_or_else(|error| panic!("no answer to {:?}...: {error}", bytes.chars().take(40).collect::<String>()))
    };
    wait::until("the edge has heard of the app", Span::from_secs(20), || (!ask(EMPTY).starts_with("HTTP/1.1 404 ")).then_some(()));
    let long = "x".repeat(200_000);
    for (request, status) in [
        ("NONSENSE\r\n\r\n".to_owned(), "400"),
        (format!("GET / HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: x\r\n\r\n"), "400"),
        (format!("POST / HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd"), "400"),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), "400"),
        (format!("GET / HTTP/1.1\r\nhost: {HOST}\r\nx-long: {long}\r\n\r\n"), "431"),
        ("GET / HTTP/1.1\r\nhost: nobody.test\r\n\r\n".to_owned(), "404"),
        (EMPTY.to_owned(), "503"),
    ] {
        let head = ask(&request);
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
    }
    let client = cluster.client();
    let unknown = client.send(Ask::get("/").host("nobody.test"));
    let answer = unknown.answer().unwrap();
    assert_eq!(answer.header("x-dynomesh-error"), Some("unknown-host"), "{unknown}");
    assert!(!answer.text.contains(HOST), "a stranger is told who else is served here: {}", answer.text);
    let empty = client.send(Ask::get("/").host("empty.test"));
    assert_eq!(empty.answer().unwrap().header("x-dynomesh-error"), Some("no-block"), "{empty}");
    judge(&cluster, vec![client.send(Ask::post("/still"))]);
}

/// Bytes that mean nothing, at every port there is. Fails when one of them ends a process.
#[test]
fn noise_at_every_port_ends_no_process() {
    let cluster = Cluster::with_dynos(Options { blocks: 1, ..Options::default() }, 1);
    let ready = cluster.ready();
    let replicas = ready.blocks.values().flatten();
    let mut ports: Vec<_> = replicas.flat_map(|replica| [replica.http, replica.grpc]).collect();
    ports.extend(ready.edges.iter().map(|edge| edge.http));
    ports.extend(ready.control.iter().map(|control| control.grpc));
    let noise: Vec<u8> = (0..40_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    for port in ports {
        for bytes in
            [&noise[..], b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff", b""]
        {
            let mut wire = Wire::connect(port, Span::from_secs(5)).unwrap();
            // Whatever is wrong with it may be told at any time.
            let _ = wire.write(bytes);
            let _ = wire.end();
        }
    }
    judge(&cluster, vec![cluster.client().send(Ask::post("/still"))]);
    assert_eq!(cluster.ready().pids(), ready.pids());
    assert!(ready.pids().iter().all(|pid| cluster.is_ours(*pid)));
}

#[test]
fn admin_calls_that_cannot_be_done_say_why_and_change_nothing() {
    let cluster = Cluster::start(small());
    cluster.create_app(&[]);
    cluster.run(&["app", "create", "other", "--host", "other.test"]).expect_ok();
    cluster.run(&["dyno", "add", APP, "127.0.0.1:1999", "--id", "d1"]).expect_ok();
    let before = [cluster.list("app", "name"), cluster.list("dyno", "id")];
    for (args, word) in [
        (vec!["dyno", "add", APP, "127.0.0.1:1998", "--id", "d1"], "d1"),
        (vec!["dyno", "add", APP, "127.0.0.1:1999", "--id", "d2"], "127.0.0.1:1999"),
        (vec!["dyno", "add", "other", "127.0.0.1:1999", "--id", "d3"], "127.0.0.1:1999"),
        (vec!["dyno", "add", "missing", "127.0.0.1:1997"], "missing"),
        (vec!["dyno", "add", APP, "localhost:80"], "address"),
        (vec!["dyno", "add", APP, "127.0.0.1:0"], "address"),
        (vec!["dyno", "add", APP, "0.0.0.0:80"], "address"),
        (vec!["dyno", "add", APP, "127.0.0.1:1997", "--max-conns", "0"], "max"),
        (vec!["dyno", "add", APP, "127.0.0.1:1997", "--id", "a b"], "id"),
        (vec!["dyno", "add", APP, "127.0.0.1:1997", "--block", "b99"], "b99"),
        (vec!["dyno", "drain", "nobody"], "nobody"),
        (vec!["dyno", "remove", "nobody"], "nobody"),
        (vec!["app", "create", APP, "--host", "else.test"], APP),
        (vec!["app", "create", "third", "--host", HOST], HOST),
        (vec!["app", "create", "Third", "--host", "third.test"], "name"),
        (vec!["app", "create", "third", "--host", "a..b"], "host"),
        (vec!["app", "delete", "missing"], "missing"),
        (vec!["app", "delete", APP], "dyno"),
    ] {
        let complaint = cluster.run(&args).expect_refused();
        assert!(complaint.contains(word), "`{}` is refused without naming {word:?}: {complaint}", args.join(" "));
    }
    assert_eq!([cluster.list("app", "name"), cluster.list("dyno", "id")], before);
}

#[test]
fn bad_arguments_and_an_unreachable_mesh_are_told() {
    let binary = binary();
    for args in [
        &["fly"][..],
        &["dyno", "add"],
        &["dev", "--replicas", "2"],
        &["dev", "--edges", "many"],
        &["edge", "--config"],
        &["app", "create", "x"],
    ] {
        let ran = run(&binary, None, args);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(!ran.stderr.is_empty());
    }
    let nobody = "127.0.0.1:1".parse().unwrap();
    let complaint = run(&binary, Some(nobody), &["dyno", "list"]).expect_refused();
    assert!(complaint.contains("127.0.0.1:1"), "{complaint}");
}

#[test]
fn a_bad_configuration_is_told_by_line_and_key() {
    let dir = tempfile::tempdir().unwrap();
    let (binary, path) = (binary(), dir.path().join("edge.toml"));
    let check = |text: &str| {
        fs::write(&path, text).unwrap();
        run(&binary, None, &["check-config", path.to_str().unwrap()])
    };
    let good = "name = \"edge-1\"\nlisten = \"127.0.0.1:0\"\n";
    for (text, words) in [
        (format!("{good}block_choise = \"two\"\n"), &["block_choise", "block_choice", "3"][..]),
        (format!("{good}block_choice = \"best\"\n"), &["block_choice", "weighted", "3"]),
        (format!("{good}threads = \"many\"\n"), &["threads", "3"]),
        (format!("{good}threads = \n"), &["3"]),
    ] {
        let complaint = check(&text).expect_refused();
        for word in words {
            assert!(complaint.contains(word), "{word:?} is missing in {complaint:?} on\n{text}");
        }
    }
    run(&binary, None, &["check-config", "/nowhere/edge.toml"]).expect_refused();
}
