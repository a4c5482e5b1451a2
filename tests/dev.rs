//! `dynomesh dev`: the whole mesh by one command, and nothing left behind.

use dynomesh_core::time::Span;
use dynomesh_testkit::client::{Ask, Client};
use dynomesh_testkit::cluster::{Cluster, Options, process};
use dynomesh_testkit::wait;

const LIMIT: Span = Span::from_secs(20);

#[test]
fn a_plain_request_works_at_once_and_a_stop_leaves_nothing() {
    let mut cluster = Cluster::start(Options { dynos: 4, ..Options::default() });
    let ready = cluster.ready();
    assert_eq!((ready.edges.len(), ready.blocks.len(), ready.control.len(), ready.dynos.len()), (2, 2, 1, 4));
    for edge in &ready.edges {
        // What `curl http://EDGE/` sends.
        let host = edge.http.to_string();
        Client::new(vec![edge.http], &host).send(Ask::get("/")).expect_ok();
    }
    let told = std::fs::read_to_string(cluster.path("dev.log")).unwrap();
    let first = format!("http://{}/", ready.edges[0].http);
    assert!(told.lines().any(|line| line.contains("curl ") && line.contains(&first)), "no line to try was printed:\n{told}");
    assert_eq!(cluster.stop(), [0; 0], "processes are left");
    let told = std::fs::read_to_string(cluster.path("dev.log")).unwrap();
    assert!(!told.contains("is killed"), "a process did not stop by itself:\n{told}");
}

/// Fails when a child does not notice that `dev` is gone.
#[test]
fn a_killed_dev_takes_everything_with_it() {
    let mut cluster = Cluster::start(Options { dynos: 2, ..Options::default() });
    let pids = cluster.kill_dev();
    assert!(pids.len() >= 11);
    wait::until("every child is gone", LIMIT, || (!pids.iter().any(|pid| cluster.is_ours(*pid))).then_some(()));
}

#[test]
fn a_child_that_dies_is_reported_and_started_again_if_asked() {
    for respawn in [false, true] {
        let options = Options { edges: 2, blocks: 1, replicas: 1, dynos: 1, ..Options::default() };
        let cluster = Cluster::start(if respawn { options.arg("--respawn") } else { options });
        let edge = cluster.ready().edges[0].clone();
        process::kill(edge.pid);
        let reported = || std::fs::read_to_string(cluster.path("dev.log")).is_ok_and(|log| log.contains(&edge.name)).then_some(());
        wait::until("the death is reported", LIMIT, reported);
        if respawn {
            let back = || cluster.ready().edges.iter().any(|other| other.name == edge.name && other.pid != edge.pid).then_some(());
            wait::until("the edge runs again and the ready file says so", LIMIT, back);
        }
        let client = cluster.client();
        wait::until("the mesh serves on", LIMIT, || client.send(Ask::get("/").deadline(Span::from_secs(5))).ok().map(drop));
    }
}

/// The user's own server: any program that listens on `$PORT`. Here it is the sample dyno, by its own command line.
#[test]
fn the_users_own_server_is_run_once_per_dyno() {
    let binary = dynomesh_testkit::cluster::binary();
    let options = Options { edges: 1, blocks: 1, replicas: 1, dynos: 3, ..Options::default() };
    let command = ["--", &binary.to_string_lossy(), "agent", "--demo", "--id", "own", "--listen", "127.0.0.1:$PORT"].map(str::to_owned);
    let cluster = Cluster::start(Options { args: command.to_vec(), ..options });
    let client = cluster.client();
    wait::until("the server is routed", LIMIT, || client.send(Ask::get("/").deadline(Span::from_secs(5))).ok().map(drop));
    let seen = client.send_all((0..3).map(|_| Ask::get("/").service(Span::from_secs(2))));
    let dynos: std::collections::BTreeSet<_> = seen.iter().map(|exchange| exchange.expect_ok().header("x-dynomesh-dyno")).collect();
    assert_eq!(dynos.len(), 3, "three requests at once ran at {dynos:?}");
    assert!(seen.iter().all(|exchange| exchange.expect_ok().dyno() == Some("own")));
}

#[test]
fn a_second_mesh_is_refused_the_data_directory_of_the_first() {
    let cluster = Cluster::start(Options { edges: 1, blocks: 1, replicas: 1, dynos: 1, ..Options::default() });
    let data = cluster.path("data");
    let args = ["dev", "--port", "0", "--data-dir", data.to_str().unwrap()];
    dynomesh_testkit::cluster::run(cluster.binary(), None, &args).expect_refused();
    cluster.client().send(Ask::get("/")).expect_ok();
}
