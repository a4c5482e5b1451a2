//! Blocks, edges and replicas that come and go, and a directory that is lost.

use dynomesh_core::time::Span;
use dynomesh_testkit::client::Ask;
use dynomesh_testkit::cluster::{Cluster, HOST, Options, process};
use dynomesh_testkit::wait;
use dynomesh_tests::{all_answered, judge, ordinary};
use serde_json::Value;

const LIMIT: Span = Span::from_secs(30);

fn mesh(options: Options, dynos: usize) -> Cluster {
    Cluster::with_dynos(Options { blocks: 3, ..options }, dynos)
}

fn rows(cluster: &Cluster, args: &[&str]) -> Vec<Value> {
    cluster.json(args).as_array().cloned().unwrap_or_else(|| panic!("{args:?} is no list"))
}

fn assigned(cluster: &Cluster, block: &str) -> usize {
    rows(cluster, &["dyno", "list"]).iter().filter(|row| row["block"] == block || row["owner"] == block).count()
}

/// A block is emptied under load, stopped and forgotten, and nobody notices.
#[test]
fn a_drained_block_is_emptied_and_can_be_stopped() {
    let cluster = mesh(Options::default(), 9);
    let load = cluster.client().load(ordinary(25.0, 81));
    assert!(assigned(&cluster, "b2") > 0);
    cluster.run(&["block", "remove", "b2"]).expect_refused();
    let told = cluster.run(&["block", "drain", "b2", "--wait"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert_eq!(assigned(&cluster, "b2"), 0, "it was called drained with dynos in it");
    cluster.run(&["dyno", "move", "d1", "--to", "b2"]).expect_refused();
    wait::pass(Span::from_secs(1));
    cluster.replicas("b2").iter().for_each(|replica| process::kill(replica.pid));
    wait::pass(Span::from_secs(1));
    cluster.run(&["block", "remove", "b2"]).expect_ok();
    let seen = load.finish();
    all_answered(&seen, |_| true);
    assert!(!cluster.list("block", "name").contains(&"b2".to_owned()));
    judge(&cluster, seen);
}

/// P16: a block that lives is not evicted; one that is dead is, by an operator's word; its dynos serve elsewhere; and when it comes back it
/// finds itself evicted, sends its dynos nothing, and lets them go.
#[test]
fn an_evicted_block_dispatches_nothing_when_it_returns() {
    let cluster = mesh(Options::default(), 6);
    let refused = cluster.run(&["block", "evict", "b3", "--confirm", "b3"]).expect_refused();
    assert!(refused.contains("b3-"), "it does not say who is seen: {refused}");
    assert!(assigned(&cluster, "b3") > 0);

    let replicas = cluster.replicas("b3");
    replicas.iter().for_each(|replica| process::kill(replica.pid));
    wait::until("the dead block may be evicted", LIMIT, || {
        (cluster.run(&["block", "evict", "b3", "--confirm", "b3"]).code == Some(0)).then_some(())
    });
    wait::until("its dynos serve elsewhere", LIMIT, || {
        let arrived = |row: &Value| row["owner"] == row["block"] && row["owned_epoch"] == row["epoch"] && row["block"] != "b3";
        rows(&cluster, &["dyno", "list"]).iter().all(arrived).then_some(())
    });
    let load = cluster.client().load(ordinary(15.0, 82));

    let mut back: Vec<_> = replicas.iter().map(|replica| cluster.start_process("block", &replica.name, &[])).collect();
    wait::until("the evicted block is heard again", LIMIT, || {
        let heard = rows(&cluster, &["replica", "list"]).iter().filter(|row| row["block"] == "b3" && row["live"] == true).count();
        (heard == 3).then_some(())
    });
    wait::pass(Span::from_secs(3));
    let seen = load.finish();
    all_answered(&seen, |_| true);
    assert_eq!(assigned(&cluster, "b3"), 0, "the evicted block says that it owns a dyno");
    cluster.run(&["block", "remove", "b3"]).expect_ok();
    for child in &mut back {
        child.kill().and_then(|()| child.wait()).expect("the child is ours to kill");
    }
    judge(&cluster, seen);
}

/// P16: a control plane that hears no block cannot tell whether they are dead or itself cut off, so it evicts none on the word of a platform,
/// however long it is silent around it. Fails when silence is taken for death.
#[test]
fn a_control_plane_that_is_cut_off_evicts_no_block_without_an_operator() {
    let cluster = mesh(Options::default(), 3);
    cluster.run(&["settings", "set", "evict_after=10s"]).expect_ok();
    let control = cluster.ready().control[0].clone();
    process::kill(control.pid);
    wait::until("the control plane is gone", LIMIT, || (!process::is_alive(control.pid)).then_some(()));
    let mut deaf = cluster.start_process("control", &control.name, &[("DYNOMESH_GOSSIP_DROP_FROM", "b,e")]);
    let refused = wait::until("it hears nobody, and has settled", LIMIT, || {
        let ran = cluster.run(&["block", "evict", "b1", "--proof", "platform"]);
        assert_ne!(ran.code, Some(0), "a block was evicted that lives: {ran:?}");
        ran.stderr.contains("without an operator").then_some(ran.stderr)
    });
    assert!(refused.contains("0 of 3 blocks"), "{refused}");
    let seen = cluster.client().send_all((0..6).map(|_| Ask::post("/order").service(Span::from_millis(20))));
    all_answered(&seen, |_| true);
    deaf.kill().and_then(|()| deaf.wait()).expect("the child is ours to kill");
    judge(&cluster, seen);
}

/// An edge that is drained tells its balancer, closes its connections and still answers; undrained, it is as before.
#[test]
fn a_drained_edge_loses_no_request() {
    let cluster = mesh(Options::default(), 6);
    let edge = cluster.ready().edges[0].clone();
    let load = cluster.client().load(ordinary(15.0, 83));
    wait::pass(Span::from_secs(1));
    cluster.run(&["edge", "drain", &edge.name]).expect_ok();
    let state = |wanted: &'static str| {
        wait::until(wanted, LIMIT, || {
            let told = rows(&cluster, &["edge", "list"]).into_iter().find(|row| row["name"] == edge.name)?;
            (told["state"] == wanted).then_some(())
        });
    };
    wait::pass(Span::from_secs(2));
    let seen = load.finish();
    all_answered(&seen, |_| true);
    state("drained");
    cluster.run(&["edge", "undrain", &edge.name]).expect_ok();
    state("serving");
    judge(&cluster, seen);
}

/// A replica that is drained hands its leadership over and does not take it back, until it is undrained.
#[test]
fn a_drained_replica_leads_no_more() {
    let cluster = mesh(Options::default(), 6);
    let load = cluster.client().load(ordinary(15.0, 84));
    let first = cluster.leader("b1");
    cluster.run(&["replica", "drain", &first.name, "--wait"]).expect_ok();
    let second = cluster.leader_after("b1", first.pid);
    cluster.run(&["replica", "drain", &second.name, "--wait"]).expect_ok();
    let third = cluster.leader_after("b1", second.pid);
    assert!(![first.pid, second.pid].contains(&third.pid), "a drained replica leads");
    for name in [&first.name, &second.name] {
        cluster.run(&["replica", "undrain", name]).expect_ok();
    }
    wait::pass(Span::from_secs(1));
    let seen = load.finish();
    all_answered(&seen, |_| true);
    judge(&cluster, seen);
}

/// All disks of the control plane are lost; it takes back what the map knows, and no epoch goes back.
#[test]
fn a_lost_directory_is_recovered_from_the_map() {
    let cluster = mesh(Options { control: 1, ..Options::default() }.arg("--respawn"), 6);
    let told = |cluster: &Cluster| -> Vec<String> {
        let text = |row: Value| format!("{} {} {} {}", row["id"], row["app"], row["addr"], row["block"]);
        rows(cluster, &["dyno", "list"]).into_iter().map(text).collect()
    };
    let epochs =
        |cluster: &Cluster| -> Vec<u64> { rows(cluster, &["dyno", "list"]).iter().filter_map(|row| row["epoch"].as_u64()).collect() };
    let (before, first) = (told(&cluster), epochs(&cluster));
    let control = cluster.ready().control[0].clone();
    cluster.freeze(control.pid);
    std::fs::remove_dir_all(cluster.path("data").join(&control.name)).expect("the disk of the control plane");
    process::kill(control.pid);
    wait::until("the control plane runs again", LIMIT, || (cluster.ready().control[0].pid != control.pid).then_some(()));
    let grpc = control.grpc.to_string();
    wait::until("it is bootstrapped anew", LIMIT, || (cluster.run(&["control", "bootstrap", &grpc]).code == Some(0)).then_some(()));
    wait::until("writes are refused until the directory is recovered", LIMIT, || {
        let ran = cluster.run(&["app", "create", "other", "--host", "other.test"]);
        ran.stderr.contains("control recover").then_some(())
    });
    cluster.run(&["control", "recover", "--yes"]).expect_ok();
    assert_eq!(told(&cluster), before);
    cluster.run(&["app", "create", "other", "--host", "other.test"]).expect_ok();
    cluster.run(&["dyno", "move", "d1", "--to", "b1"]).expect_ok();
    cluster.run(&["dyno", "move", "d1", "--to", "b2", "--wait"]).expect_ok();
    assert!(epochs(&cluster).iter().max() > first.iter().max(), "an epoch went back");
    cluster.await_routed(HOST);
    let seen = cluster.client().send_all((0..12).map(|_| Ask::post("/order").service(Span::from_millis(20))));
    all_answered(&seen, |_| true);
    judge(&cluster, seen);
}
