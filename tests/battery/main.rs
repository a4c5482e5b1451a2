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
    run::run(&mesh(), cases::all());
}

#[test]
fn no_bytes_of_http_2_bring_the_mesh_out_of_step() {
    run::run(&mesh(), http2::all());
}

#[test]
fn no_flood_makes_the_mesh_grow_or_others_wait() {
    let mesh = mesh();
    let lanes = run::lanes(&mesh, 2);
    http2::floods::run(&mesh, &lanes);
}
