//! Nobody but the mesh speaks for the mesh (P21): `x-dynomesh-*` headers of clients and of apps change nothing.

use dynomesh_agent::demo::journal::Event;
use dynomesh_core::time::Span;
use dynomesh_testkit::client::{Ask, Wire};
use dynomesh_testkit::cluster::{APP, Cluster, HOST, Options};
use dynomesh_testkit::script::Script;
use dynomesh_tests::{all_answered, judge};

/// All that a block could say to have a request sent elsewhere, in an app's mouth.
const FORGED: &str = "x-dynomesh-verdict: not-dispatched\r\nx-dynomesh-reason: not-leader\r\nx-dynomesh-leader: 999999/1/127.0.0.1:9\r\n\
    x-dynomesh-block: evil\r\nX-Dynomesh-Epoch: 999999\r\nx-dynomesh-dyno: evil\r\nx-dynomesh-load: 0/100000/0\r\n\
    x-dynomesh-error: no-block\r\nx-dynomesh-framing: close\r\nx-dynomesh-attempts: 77\r\n";

/// Fails when the block passes an app's verdict on: the edge would send the POST again, to be run twice.
#[test]
fn an_app_that_forges_the_words_of_a_block_changes_nothing() {
    let cluster = Cluster::start(Options::default());
    cluster.create_app(&["--serial", "no"]);
    let script = Script::start(|request| {
        let path = request.split(' ').nth(1).unwrap_or_default();
        let answer = match path {
            "/refusal" => format!("HTTP/1.1 503 Service Unavailable\r\nx-demo-dyno: evil\r\n{FORGED}content-length: 4\r\n\r\nevil"),
            "/interim" => format!(
                "HTTP/1.1 103 Early Hints\r\n{FORGED}\r\nHTTP/1.1 502 Bad Gateway\r\nx-demo-dyno: evil\r\n{FORGED}content-length: 4\r\n\r\nevil"
            ),
            "/trailer" => format!(
                "HTTP/1.1 500 Oops\r\nx-demo-dyno: evil\r\ntrailer: x-dynomesh-verdict\r\ntransfer-encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n{FORGED}\r\n"
            ),
            "/plain" => format!("HTTP/1.1 200 OK\r\nx-demo-dyno: evil\r\n{FORGED}content-length: 4\r\n\r\nevil"),
            // What sets the scene is answered honestly: forgeries that are believed show where they are looked for.
            _ => "HTTP/1.1 200 OK\r\nx-demo-dyno: evil\r\ncontent-length: 4\r\n\r\nevil".to_owned(),
        };
        answer.into_bytes()
    });
    cluster.run(&["dyno", "add", APP, &script.address().to_string(), "--id", "evil-1", "--max-conns", "2"]).expect_ok();
    let client = cluster.client();
    cluster.await_routed(HOST);

    for (path, status) in [("/refusal", 503), ("/interim", 502), ("/trailer", 500), ("/plain", 200)] {
        let seen = client.send(Ask::post(path));
        let ran = script.requests().iter().filter(|request| request.contains(path)).count();
        assert_eq!(ran, 1, "{path} ran {ran} times, {seen}");
        let answer = seen.answer().unwrap_or_else(|| panic!("{seen}"));
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (status, "evil"), "{path}: {seen}");
        for (name, value) in &answer.headers {
            let (name, value) = (name.as_str(), value.to_str().unwrap_or_default());
            let forged = name.starts_with("x-dynomesh-") && FORGED.to_lowercase().contains(&format!("{name}: {value}\r\n"));
            assert!(!forged, "{path}: {name}: {value} came through");
        }
        for name in ["x-dynomesh-block", "x-dynomesh-epoch"] {
            assert_eq!(answer.headers.get_all(name).iter().count(), 1, "{path}: {name} is not told once");
        }
        assert!(!answer.headers.contains_key("x-dynomesh-error"), "{path}: an answer of the app is told as an error of the mesh");
    }
    let raw = raw_answer(&cluster, "/trailer");
    // The app may say that trailers come; those that speak for the mesh do not.
    assert!(!raw.to_lowercase().contains("x-dynomesh-verdict: "), "a forged trailer came through: {raw}");
    assert!(client.send(Ask::get("/up")).ok().is_some(), "the app is no longer routed");
}

fn raw_answer(cluster: &Cluster, path: &str) -> String {
    let mut wire = Wire::connect(cluster.ready().edges[0].http, Span::from_secs(10)).expect("the edge listens");
    wire.write(format!("GET {path} HTTP/1.1\r\nhost: {HOST}\r\nte: trailers\r\nconnection: close\r\n\r\n")).expect("the edge reads");
    wire.read_to_end().expect("the edge closes when it was asked to")
}

/// A client that claims to be an edge, a block or late is none of it. Fails when the edge passes one of these on: to the block (another
/// app, an empty deadline, spent attempts) or to the dyno (another owner).
#[test]
fn a_client_that_forges_the_words_of_an_edge_changes_nothing() {
    let cluster = Cluster::with_dynos(Options { edges: 1, blocks: 1, replicas: 1, ..Options::default() }, 2);
    let forged = |ask: Ask| {
        ask.header("x-dynomesh-app", "other")
            .header("x-dynomesh-deadline-ms", "0")
            .header("x-dynomesh-dyno-attempts", "99")
            .header("x-dynomesh-beat", "1")
            .header("x-dynomesh-must-queue", "1")
            .header("x-dynomesh-length", "9999")
            .header("X-Dynomesh-Block", "evil")
            .header("X-Dynomesh-Epoch", "18446744073709551615")
            .header("x-dynomesh-term", "999")
            .header("x-dynomesh-slot", "evil")
    };
    let seen = cluster.client().send_all([forged(Ask::get("/")), forged(Ask::post("/")), forged(Ask::post("/").body(""))]);
    let keys: Vec<String> = seen.iter().map(|exchange| exchange.key.clone()).collect();
    all_answered(&seen, |_| true);
    let history = judge(&cluster, seen);
    let starts = history.dynos.values().flat_map(|diary| &diary.lines).filter_map(|line| match &line.event {
        Event::Start(start) if start.key.as_ref().is_some_and(|key| keys.contains(key)) => Some(start),
        _ => None,
    });
    let told: Vec<_> = starts.map(|start| (start.block.as_deref(), start.epoch)).collect();
    assert_eq!(told.len(), 3);
    assert!(told.iter().all(|(block, epoch)| *block == Some("b1") && epoch.is_some_and(|epoch| epoch < u64::MAX)), "{told:?}");
}

/// Headers that belong to a connection end with it, the ones a client names so as well.
#[test]
fn headers_of_a_connection_do_not_travel() {
    let cluster = Cluster::start(Options { edges: 1, blocks: 1, replicas: 1, ..Options::default() });
    cluster.create_app(&["--serial", "no"]);
    let script = Script::start(|_| {
        b"HTTP/1.1 200 OK\r\nx-demo-dyno: s\r\nconnection: x-inner\r\nx-inner: 1\r\nkeep-alive: timeout=9\r\ncontent-length: 0\r\n\r\n"
            .to_vec()
    });
    cluster.run(&["dyno", "add", APP, &script.address().to_string(), "--id", "s"]).expect_ok();
    let client = cluster.client();
    cluster.await_routed(HOST);
    let ask = Ask::get("/named")
        .header("connection", "keep-alive, x-private")
        .header("x-private", "1")
        .header("te", "trailers")
        .header("x-kept", "1");
    let seen = client.send(ask);
    let answer = seen.expect_ok();
    assert!(!answer.headers.contains_key("x-inner") && !answer.headers.contains_key("keep-alive"), "{:?}", answer.headers);
    let got = script.requests().into_iter().find(|request| request.contains("/named")).unwrap().to_lowercase();
    assert!(!got.contains("x-private: ") && got.contains("x-kept: 1") && got.contains("x-forwarded-for: 127.0.0.1"), "{got}");
    for name in ["x-dynomesh-block: b1", "x-dynomesh-epoch: ", "x-request-id: ", "\nhost: shop.test"] {
        assert_eq!(got.matches(name).count(), 1, "{name:?} in {got}");
    }
}
