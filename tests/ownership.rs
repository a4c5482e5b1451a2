//! Which block owns which dyno, over restarts, removals and a silent control plane.

use std::collections::BTreeSet;

use dynomesh_core::id::DynoId;
use dynomesh_core::time::Span;
use dynomesh_testkit::client::{Ask, Pending};
use dynomesh_testkit::cluster::{APP, Cluster, HOST, Options, process};
use dynomesh_testkit::dyno::SampleDyno;
use dynomesh_testkit::wait;
use dynomesh_tests::{all_answered, judge, ordinary};

const LIMIT: Span = Span::from_secs(20);

#[test]
fn new_dynos_are_spread_evenly_over_the_blocks() {
    let cluster = Cluster::with_dynos(Options { replicas: 1, ..Options::default() }, 6);
    let blocks = cluster.list("dyno", "block");
    let count = |block: &str| blocks.iter().filter(|owner| *owner == block).count();
    assert_eq!((count("b1"), count("b2")), (3, 3), "{blocks:?}");
}

/// Everything stops, once in order and once as in a power cut, and everything is as it was: nothing was answered before it was durable.
#[test]
fn apps_and_dynos_survive_a_restart_of_everything() {
    let mut cluster = Cluster::with_dynos(Options { control: 3, ..Options::default() }, 6);
    cluster.run(&["app", "create", "idle", "--host", "idle.test"]).expect_ok();
    let told = |cluster: &Cluster| {
        let lists = [("app", "name"), ("dyno", "id"), ("dyno", "addr"), ("dyno", "block"), ("dyno", "epoch")];
        lists.map(|(noun, field)| cluster.list(noun, field).into_iter().collect::<BTreeSet<_>>())
    };
    let before = told(&cluster);
    for cut in [false, true] {
        if cut {
            cluster.cut_power();
        } else {
            assert_eq!(cluster.stop(), [0; 0], "processes are left");
        }
        cluster.start_again(&[]);
        assert_eq!(told(&cluster), before, "after {}", if cut { "a power cut" } else { "a stop" });
        let client = cluster.client();
        cluster.await_routed(HOST);
        let seen = client.send_all((0..12).map(|_| Ask::post("/order").service(Span::from_millis(20))));
        all_answered(&seen, |_| true);
        judge(&cluster, seen);
    }
}

/// P12, P17: a removed dyno still works, so neither its slot nor its address is free. Fails (`cap`, `one-owner`) when a block releases a
/// dyno with a request in flight, or the directory gives its address away before the block has.
#[test]
fn an_address_goes_to_another_block_only_when_its_dyno_is_released() {
    let mut cluster = Cluster::start(Options::default());
    cluster.create_app(&["--serial", "yes"]);
    let dyno = SampleDyno::start(cluster.binary(), &cluster.path("dynos"), DynoId::new("first").unwrap(), 1);
    let address = dyno.address.to_string();
    cluster.run(&["dyno", "add", APP, &address, "--id", "first", "--block", "b1"]).expect_ok();
    cluster.adopt(dyno);
    cluster.await_routed(HOST);
    cluster.check_no_leak().assert_holds();

    let client = cluster.client();
    let long = client.begin(Ask::post("/long").service(Span::from_secs(5)));
    wait::until("the dyno works", LIMIT, || (cluster.dynos()[0].in_flight() == 1).then_some(()));
    cluster.run(&["dyno", "remove", "first", "--force"]).expect_ok();
    let add = ["dyno", "add", APP, &address, "--id", "second", "--block", "b2"];
    cluster.run(&add).expect_refused();
    assert_eq!(cluster.dynos()[0].in_flight(), 1, "it was refused too late to tell anything");
    // Whether the dyno works is looked at after each try: it may end its work in the midst of one, and that one may then succeed.
    let busy = wait::until("the address is free again", LIMIT, || {
        let added = cluster.run(&add).code == Some(0);
        added.then(|| cluster.dynos()[0].in_flight() == 1)
    });
    assert!(!busy, "the address was given away while its dyno worked");
    let mut seen = vec![long.wait()];
    cluster.await_routed(HOST);
    seen.extend(client.send_all((0..4).map(|_| Ask::post("/order").service(Span::from_millis(20)))));
    all_answered(&seen, |_| true);
    let last = seen[seen.len() - 1].expect_ok();
    assert_eq!((last.block(), last.header("x-dynomesh-dyno")), (Some("b2"), Some("second")));
    judge(&cluster, seen);
}

/// P17: a dyno that comes back under its old id and address is a new one. Fails when it gets an epoch that was given out before: its blocks
/// have promised to keep off up to that, and nobody owns it before the directory has heard so and thought again.
#[test]
fn a_dyno_that_is_removed_and_added_again_serves_again_under_a_higher_epoch() {
    let cluster = Cluster::with_dynos(Options { blocks: 1, replicas: 1, ..Options::default() }, 2);
    let address = cluster.dynos()[0].address.to_string();
    let epoch = || {
        let rows = cluster.json(&["dyno", "list"]);
        let epochs = rows.as_array().and_then(|rows| rows.iter().find(|row| row["id"] == "d1")?["epoch"].as_u64());
        epochs.unwrap_or_else(|| panic!("d1 is not listed: {rows}"))
    };
    let client = cluster.client();
    let mut seen = Vec::new();
    for _ in 0..2 {
        let before = epoch();
        // While its dyno works, a removal is still told, and with it the epoch that blocks promise to keep off.
        let long: Vec<_> = (0..2).map(|_| client.begin(Ask::post("/long").service(Span::from_secs(4)))).collect();
        wait::until("both dynos work", LIMIT, || cluster.dynos().iter().all(|dyno| dyno.in_flight() == 1).then_some(()));
        cluster.run(&["dyno", "remove", "d1"]).expect_ok();
        let removal = epoch();
        assert!(removal > before, "it was removed under its own epoch");
        cluster.run(&["dyno", "remove", "d1", "--wait"]).expect_ok();
        let added = cluster.json(&["dyno", "add", APP, &address, "--id", "d1"]);
        assert!(added["dyno"]["epoch"].as_u64() > Some(removal), "an epoch is used again: {removal}, and then {added}");
        seen.extend(long.into_iter().map(Pending::wait));
        cluster.check_no_leak().assert_holds();
    }
    seen.extend(client.send_all((0..4).map(|_| Ask::post("/order").service(Span::from_millis(20)))));
    all_answered(&seen, |_| true);
    judge(&cluster, seen);
}

/// `routes-alone`: the control plane is frozen, so it neither speaks nor is started again, all edges are new, and nothing changes that a
/// block would tell by itself. Fails where a block cannot be asked for its load.
#[test]
fn a_new_edge_routes_while_the_control_plane_is_silent() {
    let cluster = Cluster::with_dynos(Options { control: 3, ..Options::default() }.arg("--respawn"), 6);
    let control: Vec<u32> = cluster.ready().control.iter().map(|control| control.pid).collect();
    control.iter().for_each(|pid| cluster.freeze(*pid));
    // Blocks tell a change of load within 200 ms; now there is none left to tell.
    wait::pass(Span::from_secs(1));
    let old: Vec<u32> = cluster.ready().edges.iter().map(|edge| edge.pid).collect();
    old.iter().for_each(|pid| process::kill(*pid));
    let replaced = || cluster.ready().edges.iter().all(|edge| !old.contains(&edge.pid)).then_some(());
    wait::until("new edges run", LIMIT, replaced);
    let client = cluster.client();
    cluster.await_routed(HOST);
    let load = client.load(ordinary(15.0, 51));
    wait::pass(Span::from_secs(3));
    let seen = load.finish();
    all_answered(&seen, |_| true);
    control.iter().for_each(|pid| cluster.thaw(*pid));
    judge(&cluster, seen);
}

/// Every datagram of the control plane is lost, from the start of every process on. Fails when an edge learns an app or a dyno from the
/// control plane alone.
#[test]
fn edges_route_though_every_datagram_of_the_control_plane_is_lost() {
    let mut cluster = Cluster::with_dynos(Options::default(), 6);
    cluster.stop();
    cluster.start_again(&[("DYNOMESH_GOSSIP_DROP_FROM", "control")]);
    let client = cluster.client();
    cluster.await_routed(HOST);
    let load = client.load(ordinary(15.0, 52));
    wait::pass(Span::from_secs(3));
    let seen = load.finish();
    all_answered(&seen, |_| true);
    judge(&cluster, seen);
}

/// A dyno is removed and another takes its place, again and again under load, as a deploy does.
#[test]
fn dynos_are_replaced_under_load_without_a_failed_request() {
    let mut cluster = Cluster::with_dynos(Options::default(), 6);
    let load = cluster.client().load(ordinary(12.0, 53));
    for n in 1..=4 {
        cluster.add_dynos(1, 1);
        let id = format!("d{n}");
        cluster.run(&["dyno", "remove", &id, "--wait"]).expect_ok();
        assert!(!cluster.list("dyno", "id").contains(&id), "{id} is still listed");
        let gone = DynoId::new(&id).unwrap();
        let place = cluster.dynos().iter().position(|dyno| dyno.id == gone).unwrap();
        assert_eq!(cluster.dynos()[place].in_flight(), 0, "{id} was removed with a request in flight");
        cluster.retire(place);
    }
    let seen = load.finish();
    all_answered(&seen, |_| true);
    judge(&cluster, seen);
}

/// Writes are answered when they are durable and may be repeated: two clients that do the same do it once.
#[test]
fn the_same_write_twice_is_one_write() {
    let cluster = Cluster::start(Options { edges: 1, blocks: 1, replicas: 1, ..Options::default() });
    for _ in 0..2 {
        cluster.create_app(&[]);
        cluster.run(&["dyno", "add", APP, "127.0.0.1:1999", "--id", "d1"]).expect_ok();
    }
    assert_eq!(cluster.list("dyno", "id"), ["d1"]);
    for _ in 0..2 {
        cluster.run(&["dyno", "drain", "d1"]).expect_ok();
    }
}
