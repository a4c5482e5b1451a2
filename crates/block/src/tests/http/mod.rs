//! What goes over the wire between an edge, the block and a dyno: requests and answers as bytes on both sides.

mod expect;
mod gone;
mod http2;
mod keep_alive;
mod raw;
mod responses;
mod upgrade;

use dynomesh_core::app::{Phase, Policy, Serial};
use dynomesh_core::time::Span;
use tempfile::TempDir;

use super::directory::PlayedDirectory;
use super::replica::{Hop, Running, found_with};
use super::until;
use crate::config::Config;
use raw::{RawDyno, Said};

const LONG: Span = Span::from_secs(30);

/// A block of one replica that owns one dyno, whose every word the test says itself.
struct Scene {
    directory: PlayedDirectory,
    replica: Running,
    dyno: RawDyno,
    _dir: TempDir,
}

/// How the app's dynos are treated unless the test says otherwise.
fn kept() -> Policy {
    Policy { serial: Serial::Yes, keep_alive: Span::from_secs(60), ..Policy::default() }
}

fn scene(policy: Policy) -> Scene {
    scene_of(policy, RawDyno::start(1), |_| {})
}

fn scene_of(policy: Policy, dyno: RawDyno, adjust: impl Fn(&mut Config)) -> Scene {
    let dir = tempfile::tempdir().unwrap();
    let mut directory = PlayedDirectory::start("127.0.0.1:0".parse().unwrap());
    directory.describe(policy);
    let (mut replicas, _) = found_with(dir.path(), 1, &[directory.address()], adjust);
    let epoch = directory.assign_spec(dyno.spec(), Some("b1"), false, LONG);
    directory.await_owned(epoch, Phase::Active);
    let replica = replicas.pop().unwrap();
    // A fresh process grants only when it has heard the map.
    until("it leads", || replica.admin("/readyz").contains("200 OK").then_some(()));
    Scene { directory, replica, dyno, _dir: dir }
}

impl Scene {
    fn get(&self, path: &str) -> Hop {
        self.replica.send(path).unwrap()
    }

    /// A request with a body that is not withheld.
    fn post(&self, body: &str) -> Hop {
        self.replica.begin("POST /post", &format!("connection: close\r\ncontent-length: {}\r\n", body.len()), body).unwrap()
    }

    /// Has the dyno answer the next request over the connection it comes on, which is returned.
    fn answered(&self, hop: Hop) -> Said {
        let mut said = self.dyno.next();
        said.read_head();
        said.answer("ok");
        assert_ok(hop);
        said
    }

    fn metric(&self, name: &str) -> f64 {
        self.replica.metric(&format!("dynomesh_block_{name}"))
    }
}

#[track_caller]
fn assert_ok(hop: Hop) {
    let (got, _) = hop.finish();
    assert!(got.starts_with("HTTP/1.1 200 OK") && got.ends_with("\r\n\r\nok"), "{got}");
}
