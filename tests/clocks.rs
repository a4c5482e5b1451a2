//! The time of day steps, on every node at once: no deadline depends on it (P10), nor whether a restarted process is heard (P18).
//!
//! Every process reads the same file of faults (`dynomesh_runtime::faults`); the kernel's own clock is left alone.

use std::fs;
use std::path::PathBuf;

use dynomesh_core::time::Span;
use dynomesh_testkit::cluster::{Cluster, Options, process};
use dynomesh_testkit::latency::Latencies;
use dynomesh_testkit::wait;
use dynomesh_tests::{all_answered, judge, ordinary};
use tempfile::TempDir;

/// Longest time a request may take beyond its dyno's work.
const ADDED_MAX: Span = Span::from_secs(2);

/// A file of faults for every process of a mesh.
struct Faults(TempDir);

impl Faults {
    fn none() -> Self {
        Faults(tempfile::tempdir().expect("a temporary directory"))
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("faults.toml")
    }

    fn options(&self) -> Options {
        Options::default().arg("--respawn").env("DYNOMESH_FAULTS", &self.file().display().to_string())
    }

    /// Moves the time of day of every process, and waits until all have read it.
    fn wall(&self, offset: &str) {
        let aside = self.0.path().join("faults.new");
        let written = fs::write(&aside, format!("wall_offset = \"{offset}\"\n")).and_then(|()| fs::rename(aside, self.file()));
        written.expect("the file of faults can be written");
        wait::pass(Span::from_millis(500));
    }
}

#[test]
fn nobody_notices_when_the_time_of_day_steps() {
    let faults = Faults::none();
    let cluster = Cluster::with_dynos(faults.options(), 6);
    let load = cluster.client().load(ordinary(15.0, 91));
    for offset in ["1h", "-2h", "0s"] {
        wait::pass(Span::from_secs(1));
        faults.wall(offset);
    }
    wait::pass(Span::from_secs(1));
    let seen = load.finish();
    all_answered(&seen, |_| true);
    let added = Latencies::added(&seen);
    assert!(added.max() < ADDED_MAX, "added: {added}");
    judge(&cluster, seen);
    // Whoever counted by the time of day would stand still since it was an hour ahead, and a voter's promise to the lost leader for ever.
    let lost = cluster.leader("b1");
    process::kill(lost.pid);
    cluster.leader_after("b1", lost.pid);
}

/// A whole block starts anew at an earlier time of day than before. Fails when its processes are taken for what is left of their former
/// selves: nobody hears then that a dyno was adopted or released.
#[test]
fn a_block_that_starts_at_an_earlier_time_of_day_is_heard() {
    let faults = Faults::none();
    let cluster = Cluster::with_dynos(faults.options(), 4);
    faults.wall("-1h");
    let old: Vec<u32> = cluster.replicas("b1").iter().map(|replica| replica.pid).collect();
    old.iter().for_each(|pid| process::kill(*pid));
    wait::until("another run of the block is led", Span::from_secs(30), || {
        let ready = cluster.ready();
        (ready.is_led() && ready.pids().iter().all(|pid| !old.contains(pid))).then_some(())
    });
    let blocks = cluster.list("dyno", "block");
    for (id, from) in cluster.list("dyno", "id").iter().zip(&blocks) {
        let to = if from == "b1" { "b2" } else { "b1" };
        cluster.run(&["dyno", "move", id, "--to", to]).expect_ok();
    }
    wait::until("every dyno has arrived", Span::from_secs(30), || {
        let rows = cluster.json(&["dyno", "list"]);
        let arrived = |row: &serde_json::Value| row["owner"] == row["block"] && row["owned_epoch"] == row["epoch"];
        rows.as_array().expect("a list").iter().all(arrived).then_some(())
    });
    let seen = cluster.client().load(ordinary(15.0, 92));
    wait::pass(Span::from_secs(1));
    let seen = seen.finish();
    all_answered(&seen, |_| true);
    judge(&cluster, seen);
}
