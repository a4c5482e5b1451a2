//! Dynos that change blocks under load, while leaders and the control plane die.
//!
//! Judged at the dynos, by the block and epoch of each request (`one-owner`), by how many run at once (`cap`), and by the clients: a move is
//! seen by nobody. `a_minute_of_moves_and_kills` is the long form; the short one runs with every `cargo test`.

use std::collections::BTreeSet;

use dynomesh_core::time::{Span, Time};
use dynomesh_testkit::client::Ask;
use dynomesh_testkit::cluster::{Cluster, HOST, Options, process};
use dynomesh_testkit::{clock, wait};
use dynomesh_tests::{all_answered, is_idempotent, judge, ordinary, spanned, was_open};

const LIMIT: Span = Span::from_secs(20);
const BLOCKS: [&str; 3] = ["b1", "b2", "b3"];

fn mesh(control: u16, dynos: usize) -> Cluster {
    Cluster::with_dynos(Options { blocks: 3, control, ..Options::default() }.arg("--respawn"), dynos)
}

/// The block that last answered for a dyno, by the list.
fn owner(cluster: &Cluster, dyno: &str) -> String {
    let ids = cluster.list("dyno", "id");
    let place = ids.iter().position(|id| id == dyno).unwrap_or_else(|| panic!("{dyno} is not listed"));
    cluster.list("dyno", "owner")[place].clone()
}

/// A block other than where the dyno is assigned, by turns.
fn elsewhere(turn: usize) -> &'static str {
    BLOCKS[(turn * 7 + turn / 3) % 3]
}

/// What is done to a mesh while dynos move: the n-th deed at the n-th second.
type Deed<'a> = Box<dyn Fn(&Cluster) + 'a>;

/// Moves a dyno every 200 ms for so long, and does a deed in every `pause`; returns the spans in which deeds took hold.
fn moves_and_deeds(cluster: &Cluster, long: Span, pause: Span, deeds: &[Deed<'_>]) -> Vec<std::ops::RangeInclusive<Time>> {
    let begun = clock::now();
    let dynos = cluster.dynos().len();
    let (mut faults, mut moved, mut refused) = (Vec::new(), 0, Vec::new());
    for turn in 0.. {
        let now = clock::now().since(begun);
        if now >= long {
            break;
        }
        if let Some(deed) = deeds.get(faults.len() % deeds.len().max(1)).filter(|_| now >= pause.times(faults.len() as u64 + 1)) {
            faults.push(spanned(|| deed(cluster)));
        }
        let dyno = format!("d{}", turn % dynos + 1);
        let ran = cluster.run(&["dyno", "move", &dyno, "--to", elsewhere(turn)]);
        match ran.code {
            Some(0) => moved += 1,
            // Too many predecessors at once, or no control plane at that moment: an answer, and no move.
            _ => refused.push(ran.stderr),
        }
        let next = Span::from_millis(200).times(turn as u64 + 1);
        wait::pass(next - clock::now().since(begun).min(next));
    }
    println!("{moved} moves, {} refused, for example {:?}", refused.len(), refused.first());
    assert!(moved >= long.as_millis() / 1_000, "only {moved} moves in {long}: {refused:?}");
    faults
}

/// Waits until every dyno is owned by the block it is assigned to, under its latest epoch (`conserved`).
fn settled(cluster: &Cluster) {
    wait::until("every dyno has arrived", Span::from_secs(30), || {
        let rows = cluster.json(&["dyno", "list"]);
        let arrived =
            |row: &serde_json::Value| row["owner"] == row["block"] && row["owned_epoch"] == row["epoch"] && row["phase"] == "active";
        rows.as_array().expect("a list").iter().all(arrived).then_some(())
    });
}

/// A move every 200 ms at 70 % load; nobody notices.
#[test]
fn moves_under_load_fail_no_request() {
    let cluster = mesh(1, 8);
    let load = cluster.client().load(ordinary(46.0, 71));
    moves_and_deeds(&cluster, Span::from_secs(8), LIMIT, &[]);
    let seen = load.finish();
    all_answered(&seen, |_| true);
    settled(&cluster);
    let history = judge(&cluster, seen);
    let moved = history.dynos.values().filter(|diary| diary.blocks().len() > 1).count();
    assert!(moved >= 4, "only {moved} dynos worked for more than one block");
}

/// The same while control replicas and leaders of blocks are killed and come back.
#[test]
fn moves_go_on_while_control_and_leaders_die() {
    kills(Span::from_secs(12), Span::from_secs(3), 8, 40.0);
}

/// `cargo test -p dynomesh-tests --test moves -- --ignored --nocapture`
#[test]
#[ignore = "the long form: a minute of moves with a kill every three seconds"]
fn a_minute_of_moves_and_kills() {
    kills(Span::from_secs(60), Span::from_secs(3), 16, 93.0);
}

fn kills(long: Span, pause: Span, dynos: usize, rate: f64) {
    let cluster = mesh(3, dynos);
    let load = cluster.client().load(ordinary(rate, 72));
    let kill = |cluster: &Cluster, pid: u32| {
        process::kill(pid);
        wait::until("it runs again", LIMIT, || {
            let ready = cluster.ready();
            (!ready.pids().contains(&pid) && ready.is_led()).then_some(())
        });
    };
    let leader = |block: &'static str| -> Deed<'_> { Box::new(move |cluster: &Cluster| kill(cluster, cluster.leader(block).pid)) };
    let control = |nth: usize| -> Deed<'_> { Box::new(move |cluster: &Cluster| kill(cluster, cluster.ready().control[nth].pid)) };
    let deeds = [leader("b1"), control(0), leader("b2"), control(1), leader("b3"), control(2)];
    let faults = moves_and_deeds(&cluster, long, pause, &deeds);
    println!("{} kills", faults.len());
    assert!(faults.len() >= 3, "only {} kills", faults.len());
    wait::pass(Span::from_secs(2));
    let seen = load.finish();
    // A POST may be lost with the leader that streams it; whatever may be repeated is not.
    let met = |exchange: &_| faults.iter().any(|fault| was_open(exchange, fault));
    all_answered(&seen, |exchange| is_idempotent(exchange) || !met(exchange));
    settled(&cluster);
    judge(&cluster, seen);
}

/// Blocks never call control, and need it for nothing once they have heard of a move: every control process is frozen while the source
/// still works off its last request.
#[test]
fn a_move_ends_without_the_control_plane() {
    let cluster = mesh(3, 1);
    let source = owner(&cluster, "d1");
    let target = BLOCKS.iter().find(|block| **block != source).unwrap();
    let client = cluster.client();
    let long = client.begin(Ask::post("/long").service(Span::from_secs(4)));
    wait::until("the dyno works", LIMIT, || (cluster.dynos()[0].in_flight() == 1).then_some(()));
    cluster.run(&["dyno", "move", "d1", "--to", target]).expect_ok();
    wait::until("both blocks heard of the move", LIMIT, || (cluster.list("dyno", "phase") == ["draining"]).then_some(()));
    let control: Vec<u32> = cluster.ready().control.iter().map(|control| control.pid).collect();
    control.iter().for_each(|pid| cluster.freeze(*pid));
    assert_eq!(cluster.dynos()[0].in_flight(), 1, "the move was over before control was frozen");
    let mut seen = vec![long.wait()];
    wait::until("the target answers for the dyno", LIMIT, || {
        let exchange = client.send(Ask::get("/page").service(Span::from_millis(5)));
        let there = exchange.ok().and_then(|answer| answer.block().map(str::to_owned)).as_deref() == Some(*target);
        seen.push(exchange);
        there.then_some(())
    });
    control.iter().for_each(|pid| cluster.thaw(*pid));
    settled(&cluster);
    all_answered(&seen, |exchange| exchange.method == "POST");
    judge(&cluster, seen);
}

/// P12: the deadline of a move only cuts. Fails (`one-owner`) when it frees the slot: the next block then sends requests to a dyno that
/// still works for the one before.
#[test]
fn a_dyno_that_works_past_the_deadline_of_its_move_stays_where_it_is() {
    let mut cluster = Cluster::start(Options { blocks: 3, ..Options::default() });
    // Each dyno keeps the deadline that was set when it was added.
    cluster.run(&["settings", "set", "drain=500ms"]).expect_ok();
    cluster.create_app(&["--serial", "yes"]);
    cluster.add_dynos(1, 1);
    let source = owner(&cluster, "d1");
    let target = BLOCKS.iter().find(|block| **block != source).unwrap();
    let client = cluster.client();
    let long = client.begin(Ask::post("/long").service(Span::from_secs(5)));
    wait::until("the dyno works", LIMIT, || (cluster.dynos()[0].in_flight() == 1).then_some(()));
    cluster.run(&["dyno", "move", "d1", "--to", target]).expect_ok();
    let cut = long.wait();
    assert_eq!(cut.answer().and_then(|answer| answer.header("x-dynomesh-error")), Some("cut"), "{cut}");
    assert_eq!(cluster.dynos()[0].in_flight(), 1, "the dyno ended before the cut: the test tells nothing");
    let mut seen = vec![cut];
    wait::until("the target answers for the dyno", LIMIT, || {
        seen.push(client.send(Ask::get("/page").service(Span::from_millis(5))));
        seen[seen.len() - 1].ok().map(drop)
    });
    judge(&cluster, seen);
}

/// To its own block a move is nothing; a newer one replaces one under way; `--wait` ends when the dyno has arrived.
#[test]
fn a_newer_move_replaces_one_under_way() {
    let cluster = mesh(1, 1);
    let home = owner(&cluster, "d1");
    let others: Vec<&str> = BLOCKS.into_iter().filter(|block| *block != home).collect();
    let told = cluster.json(&["dyno", "move", "d1", "--to", &home]);
    assert_eq!(told["changed"], false, "{told}");
    let client = cluster.client();
    let long = client.begin(Ask::post("/long").service(Span::from_secs(2)));
    wait::until("the dyno works", LIMIT, || (cluster.dynos()[0].in_flight() == 1).then_some(()));
    for to in [others[0], others[1], &home, others[1]] {
        cluster.run(&["dyno", "move", "d1", "--to", to]).expect_ok();
    }
    cluster.run(&["dyno", "move", "d1", "--to", others[1], "--wait"]).expect_ok();
    assert_eq!(owner(&cluster, "d1"), others[1]);
    let seen = vec![long.wait()];
    all_answered(&seen, |_| true);
    cluster.await_routed(HOST);
    let history = judge(&cluster, seen);
    let blocks: BTreeSet<_> = history.dynos.values().flat_map(|diary| diary.blocks()).collect();
    assert!(blocks.len() <= 3, "{blocks:?}");
}
