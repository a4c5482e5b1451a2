//! What a new leader may do with the slots of the old one, and what the old one may no longer do.
//!
//! The tests steer the moment of a fault by what they see at the dynos, or by speaking to a replica as an edge would: with the body of a
//! POST withheld, a block stands exactly between the commit of a grant and its first byte to the dyno, for as long as the test likes.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dynomesh_core::time::Span;
use dynomesh_testkit::client::{Ask, Pending, Wire};
use dynomesh_testkit::cluster::{APP, Cluster, HOST, Options, Replica, process};
use dynomesh_testkit::history::Outcome;
use dynomesh_testkit::script::Script;
use dynomesh_testkit::{clock, wait};
use dynomesh_tests::{all_answered, judge};
use hyper::Method;

const LIMIT: Span = Span::from_secs(20);
/// How long a dyno is kept busy where that is the scene of a test: time to set the rest, and less than a request waits in a queue.
const OCCUPIED: Span = Span::from_secs(6);

fn one_block(dynos: usize) -> Cluster {
    Cluster::with_dynos(Options { edges: 1, blocks: 1, ..Options::default() }, dynos)
}

/// A request as an edge sends it to a replica; a body is announced and withheld.
fn hop(method: &str, key: &str, service: Span) -> String {
    let service = service.as_millis();
    let framing = match method {
        "POST" => "expect: 100-continue\r\nx-dynomesh-length: 5\r\ncontent-length: 5\r\n",
        _ => "",
    };
    format!(
        "{method} /hop HTTP/1.1\r\nhost: {HOST}\r\nx-dynomesh-app: {APP}\r\nx-dynomesh-deadline-ms: 30000\r\n\
         x-dynomesh-dyno-attempts: 0\r\nx-request-id: {key}\r\nx-demo-key: {key}\r\nx-demo-service-ms: {service}\r\n{framing}\r\n"
    )
}

fn connect(replica: &Replica) -> Wire {
    Wire::connect(replica.http, LIMIT).unwrap_or_else(|error| panic!("connect to {}: {error}", replica.name))
}

/// Whether a replica's word says that the request reached no dyno; a closed connection says nothing at all.
fn says_not_dispatched(head: &io::Result<String>) -> bool {
    head.as_ref().is_ok_and(|head| head.to_lowercase().contains("x-dynomesh-verdict: not-dispatched"))
}

fn await_running(cluster: &Cluster, count: usize) {
    let running = || cluster.dynos().iter().map(|dyno| dyno.in_flight()).sum::<usize>();
    wait::until(&format!("{count} requests run"), LIMIT, || (running() == count).then_some(()));
}

/// Every slot is taken when the leader dies, and every dyno works on: its orphan is free only when the dyno is idle. Fails (`cap`) when
/// the new leader starts with an empty ledger, or frees the orphans of a dead holder without an idle proof.
#[test]
fn a_new_leader_grants_no_taken_slot_before_its_dyno_is_idle() {
    let cluster = one_block(8);
    let client = cluster.client();
    let long: Vec<Pending> = (0..8).map(|_| client.begin(Ask::post("/long").service(Span::from_secs(3)))).collect();
    await_running(&cluster, 8);
    process::kill(cluster.leader("b1").pid);
    let killed = clock::now();
    let next = client.send_all((0..8).map(|_| Ask::get("/next").service(Span::from_millis(20))));
    all_answered(&next, |_| true);
    // An orphan of a serial dyno is free as soon as it is idle, long before `orphan_hold` or a deadline.
    let last = next.iter().map(|exchange| exchange.ended.since(killed)).max().unwrap_or_default();
    assert!(last < Span::from_secs(7), "the last of them was answered after {last}");
    let seen: Vec<_> = long.into_iter().map(Pending::wait).chain(next).collect();
    judge(&cluster, seen);
}

/// Both followers are frozen, so nothing can be committed, and the leader still has its lease for a moment. Fails when a grant is not
/// awaited: eight requests would run then, of which the next leader knows nothing, and it would grant the same slots again.
#[test]
fn nothing_is_dispatched_before_its_grant_is_committed() {
    let cluster = one_block(8);
    let leader = cluster.leader("b1");
    let followers = cluster.followers("b1");
    let mut wires: Vec<Wire> = (0..8).map(|_| connect(&leader)).collect();
    followers.iter().for_each(|follower| cluster.freeze(follower.pid));
    for (n, wire) in wires.iter_mut().enumerate() {
        wire.write(hop("GET", &format!("uncommitted-{n}"), Span::from_secs(4))).unwrap();
    }
    wait::pass(Span::from_millis(500));
    process::kill(leader.pid);
    followers.iter().for_each(|follower| cluster.thaw(follower.pid));
    cluster.leader_after("b1", leader.pid);
    let seen = cluster.client().send_all((0..16).map(|_| Ask::post("/next").service(Span::from_millis(20))));
    all_answered(&seen, |_| true);
    let history = judge(&cluster, seen);
    let ran = (0..8).filter(|n| history.runs(&format!("uncommitted-{n}")) > 0).count();
    assert_eq!(ran, 0, "{ran} of 8 requests ran without a committed grant");
}

/// P7, at exactly the moment it is about: the grant is committed, the dyno is connected, no byte is written, and the leader is frozen.
/// It wakes as soon as another leads. Fails when the write gate is open: the old leader then sends the POST that its lease, and with it
/// its right to the dyno, did not outlive.
#[test]
fn a_leader_frozen_between_commit_and_write_dispatches_nothing_when_it_wakes() {
    let cluster = one_block(1);
    let leader = cluster.leader("b1");
    let mut wire = granted(&leader, "late");
    cluster.freeze(leader.pid);
    wire.write("hello").unwrap();
    cluster.leader_after("b1", leader.pid);
    cluster.thaw(leader.pid);
    let word = wire.read_head();
    let history = judge(&cluster, vec![cluster.client().send(Ask::post("/next").service(Span::ZERO))]);
    assert_eq!(history.runs("late"), 0, "the old leader dispatched, and said {word:?}");
    assert!(says_not_dispatched(&word) || word.is_err(), "{word:?}");
}

/// The same with a frost so long that the new leader has proven the dyno idle and uses it when the old one wakes: an open gate breaks
/// `cap` here. The block waits longer for the body than it would, so that the gate alone stands between the old leader and the dyno.
#[test]
fn a_leader_that_wakes_into_its_successors_time_leaves_its_dynos_alone() {
    let options = Options { edges: 1, blocks: 1, ..Options::default() }.env("DYNOMESH_BLOCK_LIMITS__BODY_START", "30s");
    let cluster = Cluster::with_dynos(options, 1);
    let leader = cluster.leader("b1");
    let mut wire = granted(&leader, "late");
    cluster.freeze(leader.pid);
    wire.write("hello").unwrap();
    cluster.leader_after("b1", leader.pid);
    let client = cluster.client();
    let first = client.send(Ask::get("/next").service(Span::from_millis(20)));
    let long = client.begin(Ask::post("/long").service(Span::from_secs(2)));
    await_running(&cluster, 1);
    cluster.thaw(leader.pid);
    let word = wire.read_head();
    let seen = vec![first, long.wait()];
    all_answered(&seen, |_| true);
    let history = judge(&cluster, seen);
    assert_eq!(history.runs("late"), 0, "the old leader dispatched, and said {word:?}");
}

/// The same at every moment around the first byte to the dyno, the last look at the lease and the system call behind it included. Fails when
/// anything comes between those two: what had not begun when the leader was frozen begins when it wakes.
#[test]
fn a_leader_frozen_at_any_moment_of_a_dispatch_sends_nothing_when_it_wakes() {
    let cluster = one_block(1);
    let client = cluster.client();
    let mut seen = Vec::new();
    for pause in [0, 2, 10, 50] {
        let key = format!("after-{pause}");
        let leader = cluster.leader("b1");
        let mut wire = granted(&leader, &key);
        wire.write("hello").unwrap();
        wait::pass(Span::from_millis(pause));
        cluster.freeze(leader.pid);
        cluster.leader_after("b1", leader.pid);
        // Answered when the dyno is proven idle: what began before the frost has ended.
        seen.push(client.send(Ask::get("/next").service(Span::from_millis(20))));
        let before = cluster.history(Vec::new()).runs(&key);
        let long = client.begin(Ask::post("/long").service(Span::from_secs(1)));
        await_running(&cluster, 1);
        cluster.thaw(leader.pid);
        seen.push(long.wait());
        let after = cluster.history(Vec::new()).runs(&key);
        assert_eq!(after, before, "frozen {pause} ms after the body came, the old leader dispatched when it woke");
    }
    all_answered(&seen, |_| true);
    judge(&cluster, seen);
}

/// P9: a dyno that takes several requests at once answers whoever asks while one runs, so its answer proves nothing. Fails when it is
/// taken for one that takes them one by one.
#[test]
fn a_threaded_dyno_that_answers_is_not_proven_idle() {
    let cluster = Cluster::start(Options { edges: 1, blocks: 1, ..Options::default() });
    cluster.create_app(&["--serial", "no", "--orphans", "strict"]);
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (runs, high) = (running.clone(), most.clone());
    let script = Script::start(move |request| {
        high.fetch_max(runs.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        wait::pass(if request.starts_with("POST /long") { Span::from_secs(4) } else { Span::ZERO });
        runs.fetch_sub(1, Ordering::SeqCst);
        b"HTTP/1.1 200 OK\r\nx-demo-dyno: threaded\r\ncontent-length: 0\r\n\r\n".to_vec()
    });
    cluster.run(&["dyno", "add", APP, &script.address().to_string(), "--id", "threaded"]).expect_ok();
    cluster.await_routed(HOST);
    let client = cluster.client();
    let long = client.begin(Ask::post("/long"));
    wait::until("the dyno works", LIMIT, || (running.load(Ordering::SeqCst) == 1).then_some(()));
    let leader = cluster.leader("b1");
    process::kill(leader.pid);
    cluster.leader_after("b1", leader.pid);
    // It waits for the deadline of the first one's slot, which is longer than this test.
    let _next = client.begin(Ask::get("/next"));
    assert!(long.wait().ok().is_none(), "a killed leader answered");
    wait::until("the dyno has finished", LIMIT, || (running.load(Ordering::SeqCst) == 0).then_some(()));
    assert_eq!(most.load(Ordering::SeqCst), 1, "requests ran at once at a dyno for one");
}

/// A POST whose grant is committed and whose dyno is connected, and of whose body no byte is sent yet.
fn granted(leader: &Replica, key: &str) -> Wire {
    let mut wire = connect(leader);
    wire.write(hop("POST", key, Span::from_millis(500))).expect("the leader reads");
    let interim = wire.read_head().expect("the leader answers");
    assert!(interim.starts_with("HTTP/1.1 100"), "no word that the grant is committed: {interim}");
    wire
}

/// The leader runs on and its followers are frozen, so that nothing but its lapsed lease tells it to write nothing.
#[test]
fn a_lapsed_lease_closes_the_write_gate() {
    let cluster = one_block(1);
    let leader = cluster.leader("b1");
    let followers = cluster.followers("b1");
    let mut wire = granted(&leader, "lapsed");
    followers.iter().for_each(|follower| cluster.freeze(follower.pid));
    wait::pass(Span::from_millis(400));
    wire.write("hello").unwrap();
    let word = wire.read_head();
    let ran = cluster.history(Vec::new()).runs("lapsed");
    followers.iter().for_each(|follower| cluster.thaw(follower.pid));
    assert_eq!(ran, 0, "dispatched without a lease, and said {word:?}");
    assert!(says_not_dispatched(&word), "{word:?}");
    judge(&cluster, vec![cluster.client().send(Ask::post("/next").service(Span::ZERO))]);
}

/// `quorum-or-silence`: without its peers a leader is none. Fails when it trusts a lease that nobody renews.
#[test]
fn a_replica_cut_from_its_peers_dispatches_nothing() {
    let cluster = one_block(4);
    let leader = cluster.leader("b1");
    let followers = cluster.followers("b1");
    followers.iter().for_each(|follower| cluster.freeze(follower.pid));
    wait::pass(Span::from_secs(1));
    let words: Vec<_> = (0..4)
        .map(|n| {
            let mut wire = Wire::connect(leader.http, Span::from_secs(2)).unwrap();
            wire.write(hop("GET", &format!("cut-{n}"), Span::ZERO)).unwrap();
            wire.read_head()
        })
        .collect();
    followers.iter().for_each(|follower| cluster.thaw(follower.pid));
    let client = cluster.client();
    wait::until("the block serves again", LIMIT, || client.send(Ask::get("/").service(Span::ZERO)).ok().map(drop));
    let history = judge(&cluster, vec![client.send(Ask::post("/after").service(Span::ZERO))]);
    let ran = (0..4).filter(|n| history.runs(&format!("cut-{n}")) > 0).count();
    assert_eq!(ran, 0, "{ran} of 4 requests ran at a block without a quorum; it said {words:?}");
}

#[test]
fn a_follower_names_the_leader_and_dispatches_nothing() {
    let cluster = one_block(1);
    let leader = cluster.leader("b1");
    for follower in cluster.followers("b1") {
        let mut wire = connect(&follower);
        wire.write(hop("GET", &follower.name, Span::ZERO)).unwrap();
        let word = wire.read_head();
        assert!(says_not_dispatched(&word), "{} said {word:?}", follower.name);
        let head = word.unwrap().to_lowercase();
        let named = head.lines().find_map(|line| line.strip_prefix("x-dynomesh-leader: "));
        assert!(named.is_some_and(|named| named.ends_with(&leader.http.to_string())), "{} names {named:?}", follower.name);
        assert_eq!(cluster.history(Vec::new()).runs(&follower.name), 0);
    }
}

/// Fails when the edge repeats a POST whose body it has sent, or when the new leader does.
#[test]
fn a_post_whose_leader_dies_is_not_run_twice_and_its_client_is_told() {
    let cluster = Cluster::with_dynos(Options::default(), 4);
    let client = cluster.client();
    let post = Ask::post("/order").service(OCCUPIED);
    let key = post.key.clone();
    let pending = client.begin(post);
    await_running(&cluster, 1);
    let leader = cluster.leader(&block_of(&cluster, &key));
    process::kill(leader.pid);
    let exchange = pending.wait();
    let history = judge(&cluster, vec![exchange.clone()]);
    assert_eq!(history.runs(&key), 1);
    assert!(matches!(exchange.outcome, Outcome::Failed(_)), "a killed leader answered: {exchange}");
    assert!(exchange.latency() < Span::from_secs(5), "{exchange}");
}

/// P23: an idempotent request whose leader dies is run again by the next one, behind the first run and never beside it. Fails
/// (`at-most-once`) when the next leader does not wait, and (not answered) when the edge gives the request up.
#[test]
fn a_put_whose_leader_dies_runs_again_when_the_first_run_is_over() {
    // Two dynos, so that the repetition has a free one to run at while the first run goes on.
    let cluster = one_block(2);
    let client = cluster.client();
    let put = Ask::new(Method::PUT, "/order").service(Span::from_secs(3));
    let key = put.key.clone();
    let pending = client.begin(put);
    await_running(&cluster, 1);
    process::kill(cluster.leader("b1").pid);
    let exchange = pending.wait();
    all_answered(std::slice::from_ref(&exchange), |_| true);
    let history = judge(&cluster, vec![exchange]);
    assert_eq!(history.runs(&key), 2, "run under the first leader, and under the next");
}

/// The same at a leader that is frozen, and wakes when the next one has run the repetition.
#[test]
fn a_put_whose_leader_freezes_runs_again_when_the_first_run_is_over() {
    let cluster = one_block(2);
    let client = cluster.client();
    let put = Ask::new(Method::PUT, "/order").service(Span::from_secs(2));
    let key = put.key.clone();
    let pending = client.begin(put);
    await_running(&cluster, 1);
    let leader = cluster.leader("b1");
    cluster.freeze(leader.pid);
    let exchange = pending.wait();
    cluster.thaw(leader.pid);
    all_answered(std::slice::from_ref(&exchange), |_| true);
    let history = judge(&cluster, vec![exchange]);
    assert_eq!(history.runs(&key), 2, "run under the first leader, and under the next");
}

/// Where nothing proves that the first run is over, there is no second. Fails when a slot that was freed for want of its holder counts as
/// a proof.
#[test]
fn a_put_at_a_dyno_that_proves_nothing_is_not_run_twice() {
    let mut cluster = Cluster::start(Options { edges: 1, blocks: 1, ..Options::default() });
    cluster.create_app(&["--serial", "no", "--orphans", "prompt"]);
    cluster.add_dynos(2, 1);
    let client = cluster.client();
    let put = Ask::new(Method::PUT, "/order").service(OCCUPIED);
    let key = put.key.clone();
    let pending = client.begin(put);
    await_running(&cluster, 1);
    process::kill(cluster.leader("b1").pid);
    let exchange = pending.wait();
    let history = judge(&cluster, vec![exchange.clone()]);
    assert_eq!(history.runs(&key), 1);
    assert!(matches!(exchange.outcome, Outcome::Failed(_)), "{exchange}");
}

fn block_of(cluster: &Cluster, key: &str) -> String {
    use dynomesh_agent::demo::journal::Event;
    let history = cluster.history(Vec::new());
    let mut lines = history.dynos.values().flat_map(|diary| &diary.lines);
    let block = lines.find_map(|line| match &line.event {
        Event::Start(start) if start.key.as_deref() == Some(key) => start.block.clone(),
        _ => None,
    });
    block.unwrap_or_else(|| panic!("{key} did not run"))
}

/// P22: what waits in a frozen block has not been dispatched, whatever the block says when it wakes. Fails when the edge has handed the
/// body over with the head (the POST can then not move, or runs twice when the leader wakes), or waits for TCP.
#[test]
fn posts_queued_at_a_frozen_leader_move_elsewhere_unrun() {
    let cluster = Cluster::with_dynos(Options::default(), 4);
    let client = cluster.client();
    let mut busy: Vec<Wire> = ["b1", "b1", "b2", "b2"].iter().enumerate().map(|(n, block)| occupied(&cluster, block, n + 1)).collect();
    let posts: Vec<Pending> = (0..4).map(|_| client.begin(Ask::post("/order").service(Span::from_millis(50)))).collect();
    let queued = || {
        let blocks = cluster.json(&["block", "list"]);
        let counts: Vec<_> = blocks.as_array()?.iter().map(|block| (block["name"].clone(), block["queued"].as_u64())).collect();
        (counts.iter().filter_map(|(_, queued)| *queued).sum::<u64>() == 4).then_some(counts)
    };
    let counts = wait::until("four POSTs wait", OCCUPIED, queued);
    let full = counts.iter().max_by_key(|(_, queued)| *queued).map(|(name, _)| name.as_str().unwrap_or_default().to_owned());
    let leader = cluster.leader(&full.unwrap_or_default());
    cluster.freeze(leader.pid);
    // Answered while it is frozen, so not by it.
    let mut seen = Vec::new();
    wait::until("every POST is answered though the leader is frozen", LIMIT, || {
        seen.extend(posts.iter().filter_map(Pending::poll));
        (seen.len() == 4).then_some(())
    });
    all_answered(&seen, |_| true);
    cluster.thaw(leader.pid);
    for wire in &mut busy {
        let word = wire.read_head();
        assert!(word.as_ref().is_ok_and(|head| head.starts_with("HTTP/1.1 200")), "what ran before the frost was answered {word:?}");
    }
    judge(&cluster, seen);
}

/// A GET that runs at a free dyno of this block, the `count`-th that runs at all. It is handed to the leader itself: edges choose blocks
/// each for itself and by what they last heard, so that one block may get more than it has dynos while another has one to spare.
fn occupied(cluster: &Cluster, block: &str, count: usize) -> Wire {
    let mut wire = connect(&cluster.leader(block));
    wire.write(hop("GET", &format!("busy-{count}"), OCCUPIED)).expect("the leader reads");
    await_running(cluster, count);
    wire
}

/// The old leader streams on after another was elected and frees its slots through it: nothing in flight is lost by a graceful stop.
#[test]
fn a_leader_that_is_asked_to_stop_loses_nothing() {
    let cluster = Cluster::with_dynos(Options::default().arg("--respawn"), 6);
    let client = cluster.client();
    let load = client.load(dynomesh_tests::ordinary(15.0, 41));
    for _ in 0..3 {
        wait::pass(Span::from_secs(1));
        let leader = cluster.leader("b1");
        process::terminate(leader.pid);
        cluster.leader_after("b1", leader.pid);
        // Another in its place: until it has finished what it carries, the old one is alive too.
        let again = |replica: &Replica| replica.pid != leader.pid && process::is_alive(replica.pid);
        wait::until("it runs again", LIMIT, || cluster.replicas("b1").iter().all(again).then_some(()));
    }
    let seen = load.finish();
    all_answered(&seen, |_| true);
    judge(&cluster, seen);
}
