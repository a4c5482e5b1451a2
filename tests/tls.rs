//! TLS towards clients and between the tiers, as `dynomesh dev --tls` sets it up.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use dynomesh_core::time::Span;
use dynomesh_testkit::client::{Ask, Client, Framing, Secure, Wire};
use dynomesh_testkit::cluster::{APP, Cluster, HOST, Options, process};
use dynomesh_testkit::wait;
use dynomesh_tests::{all_answered, is_idempotent, judge, ordinary, spanned, was_open};
use hyper::Version;
use rcgen::{CertificateParams, DistinguishedName, DnType, Issuer, KeyPair};

const LIMIT: Span = Span::from_secs(20);

fn mesh(options: Options, dynos: usize) -> Cluster {
    Cluster::with_dynos(options.arg("--tls"), dynos)
}

/// A connection to the first edge by TLS, with the authority that `dev` made.
fn connect(cluster: &Cluster, version: Version) -> std::io::Result<Secure> {
    let ready = cluster.ready();
    let (https, ca) = ready.edges[0].https.zip(ready.ca).expect("`--tls` tells where and by whom");
    Secure::connect(https, &ca, version, LIMIT)
}

#[test]
fn requests_are_answered_over_both_versions_and_the_dyno_is_told() {
    let cluster = mesh(Options { edges: 1, blocks: 1, replicas: 1, ..Options::default() }, 2);
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let mut client = connect(&cluster, version).unwrap();
        for _ in 0..3 {
            let answered = client.send(&Ask::get("/").content_back(100_000), HOST, || {}).unwrap();
            assert_eq!((answered.status.as_u16(), answered.version, answered.len), (200, version, 100_000));
        }
        let answered = client.send(&Ask::post("/").echo(300_000, Framing::Length), HOST, || {}).unwrap();
        assert_eq!((answered.status.as_u16(), answered.len), (200, 300_000));
    }
    let told = fs::read_to_string(cluster.path("dev.log")).unwrap();
    let https = cluster.ready().edges[0].https.unwrap();
    let line = format!("https://localhost:{}/", https.port());
    assert!(told.lines().any(|told| told.contains("curl -i --cacert ") && told.contains(&line)), "no line to try was printed:\n{told}");
}

/// A block that speaks TLS speaks nothing else, and to nobody without a certificate of the mesh.
#[test]
fn a_block_answers_edges_alone() {
    let cluster = mesh(Options { edges: 1, blocks: 1, ..Options::default() }, 2);
    let ca = cluster.ready().ca.unwrap();
    for replica in cluster.replicas("b1") {
        let mut wire = Wire::connect(replica.http, LIMIT).unwrap();
        wire.write(format!("GET / HTTP/1.1\r\nhost: {HOST}\r\nx-dynomesh-app: {APP}\r\nx-dynomesh-beat: 1\r\n\r\n")).unwrap();
        let error = wire.read_head().expect_err("a plain request to a block was answered");
        assert!(matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset), "{error}");
        // The authority is right, but nothing is shown, and the name is not that of an edge.
        Secure::connect(replica.http, &ca, Version::HTTP_11, LIMIT).map(drop).expect_err("a stranger shook hands with a block");
    }
    cluster.client().send(Ask::get("/")).expect_ok();
}

/// The leader is killed under load: beats, searches and requests all go by mutual TLS.
#[test]
fn a_killed_leader_is_replaced_as_ever() {
    let cluster = mesh(Options::default().arg("--respawn"), 8);
    let load = cluster.client().load(ordinary(15.0, 7));
    wait::pass(Span::from_secs(1));
    let leader = cluster.leader("b1");
    let fault = spanned(|| {
        process::kill(leader.pid);
        cluster.leader_after("b1", leader.pid);
    });
    wait::pass(Span::from_secs(2));
    let seen = load.finish();
    all_answered(&seen, |exchange| is_idempotent(exchange) || !was_open(exchange, &fault));
    judge(&cluster, seen);
}

/// While a large answer is on its way every file is replaced, those of the tiers too: the answer arrives whole, its connection goes on,
/// and who comes later sees the new certificate.
#[test]
fn files_are_replaced_under_a_download() {
    let cluster = mesh(Options { edges: 1, blocks: 1, ..Options::default() }, 2);
    let dir = cluster.ready().ca.unwrap().parent().unwrap().to_owned();
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let mut old = connect(&cluster, version).unwrap();
        let before = old.certificate().to_vec();
        let len = 64_000_000;
        let answered = old.send(&Ask::get("/large").content_back(len), HOST, || {
            sign_anew(&dir, "edge", &["localhost"]);
            sign_anew(&dir, "tiers", &["dynomesh"]);
            let renewed = || connect(&cluster, version).ok().filter(|new| new.certificate() != before);
            let mut new = wait::until("the new certificate is shown", LIMIT, renewed);
            assert_eq!(new.send(&Ask::get("/"), HOST, || {}).unwrap().status.as_u16(), 200);
        });
        assert_eq!(answered.unwrap().len, len);
        assert_eq!(old.send(&Ask::get("/"), HOST, || {}).unwrap().status.as_u16(), 200, "the old connection goes on");
    }
    // The edge's connections to blocks are made anew with the new files on both sides.
    process::kill(cluster.leader("b1").pid);
    let client = cluster.client();
    wait::until("requests go by the new files", LIMIT, || client.send(Ask::get("/").deadline(Span::from_secs(5))).ok().map(drop));
}

/// A file that cannot be used changes nothing but the log.
#[test]
fn a_damaged_file_is_told_and_nothing_else_changes() {
    let cluster = mesh(Options { edges: 1, blocks: 1, replicas: 1, ..Options::default() }, 1);
    let dir = cluster.ready().ca.unwrap().parent().unwrap().to_owned();
    let before = connect(&cluster, Version::HTTP_11).unwrap().certificate().to_vec();
    put(&dir.join("edge.pem"), "no certificate");
    let log = || fs::read_to_string(cluster.path("data/log/edge-1.log")).unwrap_or_default();
    wait::until("the log tells", LIMIT, || log().contains("edge.pem is not PEM").then_some(()));
    wait::pass(Span::from_secs(3));
    assert_eq!(log().matches("edge.pem is not PEM").count(), 1, "it is told once");
    assert_eq!(connect(&cluster, Version::HTTP_2).unwrap().certificate(), before);
}

/// An edge with a certificate of others: every block is unreachable for it, and its log says why.
#[test]
fn an_edge_of_another_mesh_has_no_block() {
    let cluster = mesh(Options { edges: 2, blocks: 1, replicas: 1, ..Options::default() }, 1);
    let edge = cluster.ready().edges[0].clone();
    let config = cluster.path("data/config/edge-1.toml");
    let text = fs::read_to_string(&config).unwrap();
    let stranger = cluster.path("stranger");
    fs::create_dir(&stranger).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["dynomesh".to_owned()]).unwrap();
    put(&stranger.join("tiers.pem"), &params.self_signed(&key).unwrap().pem());
    put(&stranger.join("tiers.key"), &key.serialize_pem());
    let tls = cluster.path("data/tls").canonicalize().unwrap();
    let ours = |name: &str| tls.join(name).display().to_string();
    let theirs = |name: &str| stranger.join(name).display().to_string();
    let text = text.replace(&ours("tiers.pem"), &theirs("tiers.pem")).replace(&ours("tiers.key"), &theirs("tiers.key"));
    assert!(text.contains("stranger"), "{text}");
    put(&config, &text);
    process::kill(edge.pid);
    wait::until("the edge is gone", LIMIT, || (!process::is_alive(edge.pid)).then_some(()));
    let mut by_hand = cluster.start_process("edge", "edge-1", &[]);
    wait::until("it listens again", LIMIT, || Wire::connect(edge.http, LIMIT).ok().map(drop));
    let client = Client::new(vec![edge.http], HOST);
    wait::until("its log says why", LIMIT, || {
        let exchange = client.send(Ask::post("/").deadline(Span::from_secs(10)));
        assert!(exchange.ok().is_none(), "{exchange}");
        let log = fs::read_to_string(cluster.path("by-hand.log")).unwrap();
        let told = log.lines().find(|line| line.contains("no TLS with this block: it counts as unreachable"))?;
        assert!(told.contains("UnknownCA"), "{told}");
        Some(())
    });
    Client::new(vec![cluster.ready().edges[1].http], HOST).send(Ask::get("/")).expect_ok();
    by_hand.kill().and_then(|()| by_hand.wait()).expect("the files of the test are its own");
}

/// A new certificate of the authority of `dev`, which keeps its key beside it.
fn sign_anew(dir: &Path, name: &str, names: &[&str]) {
    let read = |name: &str| fs::read_to_string(dir.join(name)).expect("the files of the test are its own");
    let mut authority = CertificateParams::default();
    authority.distinguished_name = DistinguishedName::new();
    authority.distinguished_name.push(DnType::CommonName, "dynomesh dev");
    let issuer = Issuer::new(authority, KeyPair::from_pem(&read("ca.key")).expect("the files of the test are its own"));
    let mut params =
        CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).expect("the files of the test are its own");
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate().expect("the files of the test are its own");
    put(&dir.join(format!("{name}.pem")), &params.signed_by(&key, &issuer).expect("the files of the test are its own").pem());
    put(&dir.join(format!("{name}.key")), &key.serialize_pem());
}

/// Replaces a file as a whole.
fn put(path: &Path, text: &str) {
    let next = path.with_extension("next");
    fs::write(&next, text).expect("the files of the test are its own");
    fs::rename(next, path).expect("the files of the test are its own");
}
