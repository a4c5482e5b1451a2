//! The adversarial battery: bytes that no honest client or dyno would send, judged on the raw bytes that arrive at the other end.
//!
//! A case says what is sent, what the dyno answers, and what may come of it ([`case`]). The dyno keeps every byte ([`dyno`]); what it
//! was sent is read again in many lenient ways ([`reading`]), all of which must see the same requests; what the client was told is read
//! strictly ([`answer`]). Behind every case two well-formed requests must be answered with their own bodies ([`run`]).
//!
//! `cargo test -p dynomesh-tests --test battery -- --nocapture` prints the table of families; `BATTERY=words` runs the cases whose
//! family and name contain the words.

mod answer;
mod case;
mod cases;
mod client;
mod dyno;
mod http2;
mod judge;
mod reading;
mod run;

use dynomesh_testkit::cluster::{Cluster, Options};

/// A small mesh with limits that pass while a test waits.
fn mesh() -> Cluster {
    let options = Options { edges: 1, blocks: 1, replicas: 1, ..Options::default() };
    let limits = [
        ("DYNOMESH_EDGE_LIMITS__HEAD_TIMEOUT", "1s"),
        ("DYNOMESH_EDGE_LIMITS__DEADLINE", "4s"),
        ("DYNOMESH_EDGE_ACCESS_LOG", "off"),
        ("DYNOMESH_BLOCK_LIMITS__FIRST_BYTE", "3s"),
        ("DYNOMESH_BLOCK_LIMITS__HOLD", "50ms"),
    ];
    Cluster::start(limits.iter().fold(options, |options, (name, value)| options.env(name, value)))
}

#[test]
fn no_bytes_of_http_1_bring_the_mesh_out_of_step() {
    let mesh = mesh();
    run::run(&run::lanes(&mesh, run::LANES, run::FRESH), cases::all());
}

#[test]
fn no_bytes_of_http_2_bring_the_mesh_out_of_step() {
    let mesh = mesh();
    run::run(&run::lanes(&mesh, run::LANES, run::FRESH), http2::all());
}

/// Issue of every proxy that keeps connections: one that dies as a request is written costs no client an answer and runs nothing twice,
/// and none is open beyond what its dyno may have.
#[test]
fn a_kept_connection_that_dies_as_a_request_is_written_costs_nothing() {
    let mesh = mesh();
    let settings = ["--keep-alive", "30s", "--max-conns", "2", "--queue-len", "64"];
    let lanes = run::lanes(&mesh, run::LANES, &settings);
    run::run(&lanes, cases::kept());
    let reuses: usize = lanes.iter().map(|lane| lane.recorder.reuses()).sum();
    assert!(reuses > 0, "no connection was used again: the cases tell nothing");
    let most = lanes.iter().map(|lane| lane.recorder.most_open()).max();
    assert!(most <= Some(2), "{most:?} connections of a dyno were open at once");
}

#[test]
fn no_flood_makes_the_mesh_grow_or_others_wait() {
    let mesh = mesh();
    let lanes = run::lanes(&mesh, 2, run::FRESH);
    http2::floods::run(&mesh, &lanes);
}
