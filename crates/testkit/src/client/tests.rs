//! The client against sample dynos and scripted ones in place of edges.

use dynomesh_agent::demo::digest::Digest;
use dynomesh_agent::demo::{Config, Demo};
use dynomesh_core::id::DynoId;

use hyper::Method;

use super::*;
use crate::history::Outcome;
use crate::latency::Latencies;
use crate::script::Script;

/// A sample dyno on a thread of its own, for as long as the test runs.
fn sample() -> SocketAddr {
    let (told, address) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut config = Config::reference("127.0.0.1:0".parse().unwrap(), DynoId::new("d1").unwrap());
            (config.floor, config.mean) = (Span::ZERO, Span::ZERO);
            let demo = Demo::bind(config).await.unwrap();
            told.send(demo.address()).unwrap();
            demo.run(std::future::pending()).await;
        });
    });
    address.recv().unwrap()
}

/// An address that refuses connections.
fn refusing() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn answers_of_a_dyno_are_ok_and_content_is_compared() {
    let client = Client::new(vec![sample()], "shop.test");
    let seen = client.send(Ask::get("/a?b=c").service(Span::from_millis(30)));
    assert_eq!(seen.expect_ok().dyno(), Some("d1"));
    assert!(seen.latency() >= Span::from_millis(30) && seen.added().unwrap() < Span::from_secs(1), "{seen}");
    for framing in [Framing::Length, Framing::Chunked] {
        let seen = client.send(Ask::post("/").echo(1_000_001, framing));
        let answer = seen.expect_ok();
        assert_eq!((answer.len, answer.difference), (1_000_001, None), "{framing:?}");
        assert_eq!((answer.digest, seen.sent.len()), (seen.sent, 1_000_001), "{framing:?}");
        assert_eq!(answer.header("x-demo-key"), Some(seen.key.as_str()));
    }
    let seen = client.send(Ask::post("/"));
    let received: Digest = seen.expect_ok().header("x-demo-received").unwrap().parse().unwrap();
    assert_eq!((received, seen.sent), (Digest::of(b"a short body"), received));
    assert!(seen.edge.is_some() && seen.deadline == DEADLINE);
    let seen = client.send(Ask::get("/").content_back(500_000));
    assert_eq!((seen.expect_ok().len, seen.expect_ok().difference), (500_000, None));
}

#[test]
fn load_tells_the_outcome_of_what_is_on_its_way_when_it_ends() {
    let (told, asked) = mpsc::channel();
    let make = move |n| {
        // Nobody listens any more to what is asked as the load ends.
        let _ = told.send(n);
        Ask::get("/").service(Span::from_millis(300))
    };
    let running = Client::new(vec![sample()], "shop.test").load(Load { rate: 1000.0, arrivals: Arrivals::Regular, make: Box::new(make) });
    let first = asked.iter().nth(20).unwrap();
    let seen = running.finish();
    assert_eq!((first, seen.len() as u64), (20, asked.iter().last().unwrap_or(first) + 1));
    assert!(seen.iter().all(|seen| seen.ok().is_some()), "{seen:?}");
}

#[test]
fn an_edge_that_refuses_is_passed_over_and_none_is_told() {
    let client = Client::new(vec![refusing(), sample()], "shop.test");
    assert!(client.send_all((0..4).map(|_| Ask::get("/"))).iter().all(|seen| seen.ok().is_some()));
    let none = Client::new(vec![refusing()], "shop.test");
    assert!(matches!(none.send(Ask::get("/")).outcome, Outcome::Refused));
}

#[test]
fn what_is_not_a_complete_answer_is_unknown() {
    let short = Script::start(|_| b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc".to_vec());
    let seen = Client::new(vec![short.address()], "x").send(Ask::post("/"));
    assert!(matches!(&seen.outcome, Outcome::Unknown(why) if why.contains("after 3 bytes")), "{seen}");
    let nothing = Script::start(|_| Vec::new());
    let seen = Client::new(vec![nothing.address()], "x").send(Ask::post("/"));
    assert!(matches!(seen.outcome, Outcome::Unknown(_)), "{seen}");
    assert_eq!(nothing.requests().len(), 1, "a request that may have been sent was sent again");
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let seen = Client::new(vec![silent.local_addr().unwrap()], "x").send(Ask::get("/").deadline(Span::from_millis(50)));
    assert!(matches!(&seen.outcome, Outcome::Unknown(why) if why.contains("50ms")), "{seen}");
}

#[test]
fn what_broke_before_an_answer_is_repeated_once_under_another_name_if_so_asked() {
    let broken = Script::start(|_| Vec::new());
    let client = Client::new(vec![broken.address(), sample()], "x");
    let make = |_| Ask::new(Method::PUT, "/first").body("abc").repeated_if_broken();
    let mut running = client.load(Load { rate: 1000.0, arrivals: Arrivals::Regular, make: Box::new(make) });
    crate::wait::until("a repetition", Span::from_secs(20), || running.seen().iter().any(|seen| seen.repeats.is_some()).then_some(()));
    let all = running.finish();
    let again: Vec<&Exchange> = all.iter().filter(|seen| seen.repeats.is_some()).collect();
    for seen in &again {
        let first = all.iter().find(|first| Some(&first.key) == seen.repeats.as_ref()).expect("the first is told too");
        assert!(matches!(first.outcome, Outcome::Unknown(_)) && first.due == seen.due && first.key != seen.key, "{first}");
    }
    assert!(again.iter().all(|seen| seen.ok().is_some()), "not all of {} went elsewhere", again.len());
    let lost = all.iter().filter(|seen| seen.repeats.is_none() && seen.ok().is_none()).count();
    assert_eq!(again.len(), lost, "each is repeated once, the repetition never");
}

#[test]
fn a_word_of_the_mesh_is_a_failure_and_a_dynos_own_error_is_not() {
    let mesh = Script::start(|_| b"HTTP/1.1 404 Not Found\r\nx-dynomesh-error: unknown-host\r\ncontent-length: 0\r\n\r\n".to_vec());
    assert!(matches!(Client::new(vec![mesh.address()], "x").send(Ask::get("/")).outcome, Outcome::Failed(_)));
    let seen = Client::new(vec![sample()], "x").send(Ask::get("/").header("x-demo-status", "503"));
    assert_eq!(seen.expect_ok().status.as_u16(), 503);
}

#[test]
fn requests_behind_a_slow_one_are_timed_from_when_they_were_due() {
    // One connection and a server that stalls once: a client that waits its turn would see one slow request, this one sees them all.
    let client = Client::with_connections(vec![sample()], "x", 1);
    let make = |n| if n == 0 { Ask::get("/").service(Span::from_millis(400)) } else { Ask::get("/").service(Span::ZERO) };
    let mut running = client.load(Load { rate: 200.0, arrivals: Arrivals::Regular, make: Box::new(make) });
    crate::wait::until("100 outcomes", Span::from_secs(20), || (running.seen().len() >= 100).then_some(()));
    let all = running.finish();
    let slow = all.iter().filter(|seen| seen.latency() > Span::from_millis(100)).count();
    assert!(slow > 40, "only {slow} of {} requests were slow", all.len());
    assert_eq!(Latencies::added(&all).len(), all.len() as u64);
}

#[test]
fn a_replay_asks_at_the_given_times_and_tells_outcomes_in_order() {
    let client = Client::new(vec![sample()], "shop.test");
    // The second takes longer than the third has to wait, and still stands before it.
    let given = [(0, 0), (30, 80), (60, 0)].map(|(at, work)| (Span::from_millis(at), Ask::get("/").service(Span::from_millis(work))));
    let keys = given.each_ref().map(|(_, ask)| ask.key.clone());
    let seen = client.replay(given);
    assert!(seen.iter().map(|exchange| &exchange.key).eq(&keys), "not in the order of the requests");
    let due = |place: usize| seen[place].due.since(seen[0].due);
    assert_eq!([due(1), due(2)], [Span::from_millis(30), Span::from_millis(60)]);
    assert!(seen.iter().all(|exchange| exchange.begun >= exchange.due && exchange.ok().is_some()));
}
