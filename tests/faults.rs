//! Every kind of process is killed, and frozen, under load.
//!
//! What is asked each time: no idempotent request fails or is slow, a POST fails only if it was on its way at that moment, and when the
//! fault is healed every invariant holds. A request's time is what it took beyond the work of its dyno, from when it was due.

use std::ops::RangeInclusive;

use dynomesh_core::time::{Span, Time};
use dynomesh_testkit::cluster::{Cluster, Options, process};
use dynomesh_testkit::history::Exchange;
use dynomesh_testkit::latency::Latencies;
use dynomesh_testkit::wait;
use dynomesh_tests::{all_answered, is_idempotent, judge, ordinary, spanned, was_open};

/// A fifth of what twelve dynos can do, so that one block alone still has room.
const RATE: f64 = 20.0;
/// Longest time a GET may take beyond its dyno's work. One second is promised on a quiet machine; tests share theirs.
const ADDED_MAX: Span = Span::from_secs(2);
/// How long a process stays frozen: many times what it takes to notice, and a request that waited for the thaw shows.
const FROZEN: Span = Span::from_secs(6);

fn mesh() -> Cluster {
    Cluster::with_dynos(Options::default().arg("--respawn"), 12)
}

/// When faults came: each from before it was begun until it had taken hold.
type Faults = Vec<RangeInclusive<Time>>;

/// What clients saw of faults.
struct Seen {
    exchanges: Vec<Exchange>,
    faults: Faults,
}

/// Runs load over faults and some time after them. They end by being healed.
fn under_load(cluster: &Cluster, seed: u64, faults: impl FnOnce() -> Faults) -> Seen {
    let load = cluster.client().load(ordinary(RATE, seed));
    wait::pass(Span::from_secs(1));
    let faults = faults();
    wait::pass(Span::from_secs(2));
    Seen { exchanges: load.finish(), faults }
}

impl Seen {
    /// Every GET was answered, and soon; only a POST that was on its way when a fault came may be lost.
    #[track_caller]
    fn gets_are_answered_and_soon(&self) {
        all_answered(&self.exchanges, |exchange| is_idempotent(exchange) || !self.met_a_fault(exchange));
        let added = Latencies::added(self.exchanges.iter().filter(|exchange| is_idempotent(exchange)));
        assert!(added.max() < ADDED_MAX, "added to GETs: {added}");
    }

    /// Nobody noticed anything.
    #[track_caller]
    fn all_are_answered_and_soon(&self) {
        all_answered(&self.exchanges, |_| true);
        let added = Latencies::added(&self.exchanges);
        assert!(added.max() < ADDED_MAX, "added: {added}");
    }

    fn met_a_fault(&self, exchange: &Exchange) -> bool {
        self.faults.iter().any(|fault| was_open(exchange, fault))
    }
}

/// Freezes processes for [`FROZEN`].
fn frozen(cluster: &Cluster, pids: &[u32]) -> Faults {
    let fault = spanned(|| pids.iter().for_each(|pid| cluster.freeze(*pid)));
    wait::pass(FROZEN);
    pids.iter().for_each(|pid| cluster.thaw(*pid));
    vec![fault]
}

/// Kills processes and waits until others run in their place.
fn killed(cluster: &Cluster, pids: &[u32]) -> Faults {
    let fault = spanned(|| {
        pids.iter().for_each(|pid| process::kill(*pid));
        let gone = || (!pids.iter().any(|pid| process::is_alive(*pid))).then_some(());
        wait::until("what was killed is gone", Span::from_secs(30), gone);
    });
    respawned(cluster, pids);
    vec![fault]
}

/// Waits until as many processes run as before, none of them one of `gone`.
fn respawned(cluster: &Cluster, gone: &[u32]) {
    wait::until("what was killed runs again", Span::from_secs(30), || {
        let ready = cluster.ready();
        let back = ready.pids().iter().all(|pid| !gone.contains(pid) && process::is_alive(*pid));
        (back && ready.is_led()).then_some(())
    });
}

#[test]
fn a_killed_leader_costs_no_idempotent_request() {
    let cluster = mesh();
    let seen = under_load(&cluster, 21, || (0..3).flat_map(|_| killed(&cluster, &[cluster.leader("b1").pid])).collect());
    seen.gets_are_answered_and_soon();
    judge(&cluster, seen.exchanges);
}

/// Fails when an edge waits for TCP to tell it of a silent leader: every GET there would last as long as the frost.
#[test]
fn a_frozen_leader_is_left_at_once() {
    let cluster = mesh();
    let seen = under_load(&cluster, 22, || frozen(&cluster, &[cluster.leader("b1").pid]));
    seen.gets_are_answered_and_soon();
    judge(&cluster, seen.exchanges);
}

#[test]
fn a_killed_follower_is_not_noticed() {
    let cluster = mesh();
    let seen = under_load(&cluster, 23, || killed(&cluster, &[cluster.followers("b1")[0].pid]));
    seen.all_are_answered_and_soon();
    judge(&cluster, seen.exchanges);
}

#[test]
fn a_frozen_follower_is_not_noticed() {
    let cluster = mesh();
    let seen = under_load(&cluster, 24, || frozen(&cluster, &[cluster.followers("b1")[0].pid]));
    seen.all_are_answered_and_soon();
    judge(&cluster, seen.exchanges);
}

#[test]
fn a_killed_block_is_stood_in_for_by_the_other() {
    let cluster = mesh();
    let seen = under_load(&cluster, 25, || {
        let pids: Vec<u32> = cluster.replicas("b1").iter().map(|replica| replica.pid).collect();
        killed(&cluster, &pids)
    });
    seen.gets_are_answered_and_soon();
    judge(&cluster, seen.exchanges);
}

#[test]
fn a_frozen_block_is_stood_in_for_by_the_other() {
    let cluster = mesh();
    let seen = under_load(&cluster, 26, || {
        let pids: Vec<u32> = cluster.replicas("b1").iter().map(|replica| replica.pid).collect();
        frozen(&cluster, &pids)
    });
    seen.gets_are_answered_and_soon();
    judge(&cluster, seen.exchanges);
}

/// Only what was on its way through that edge may be lost, GETs too: no one is left to retry them.
#[test]
fn a_killed_edge_loses_what_was_on_its_way_through_it() {
    let cluster = mesh();
    let seen = under_load(&cluster, 27, || killed(&cluster, &[cluster.ready().edges[0].pid]));
    all_answered(&seen.exchanges, |exchange| !seen.met_a_fault(exchange));
    judge(&cluster, seen.exchanges);
}

/// A client of a frozen edge can but wait. Afterwards the edge must not take its own frost for that of the blocks.
#[test]
fn a_frozen_edge_answers_all_when_it_wakes() {
    let cluster = mesh();
    let seen = under_load(&cluster, 28, || frozen(&cluster, &[cluster.ready().edges[0].pid]));
    all_answered(&seen.exchanges, |_| true);
    judge(&cluster, seen.exchanges);
}

#[test]
fn a_killed_control_plane_is_not_noticed() {
    let cluster = mesh();
    let seen = under_load(&cluster, 29, || {
        let control: Vec<u32> = cluster.ready().control.iter().map(|control| control.pid).collect();
        killed(&cluster, &control)
    });
    seen.all_are_answered_and_soon();
    judge(&cluster, seen.exchanges);
}

#[test]
fn a_frozen_control_plane_is_not_noticed() {
    let cluster = mesh();
    let seen = under_load(&cluster, 30, || {
        let control: Vec<u32> = cluster.ready().control.iter().map(|control| control.pid).collect();
        frozen(&cluster, &control)
    });
    seen.all_are_answered_and_soon();
    judge(&cluster, seen.exchanges);
}

/// A dyno that dies with a request fails that request if it may not be repeated, and nothing else.
#[test]
fn a_killed_dyno_costs_no_idempotent_request() {
    let mut cluster = mesh();
    let load = cluster.client().load(ordinary(RATE, 31));
    wait::pass(Span::from_secs(1));
    let mut faults = Faults::new();
    for n in 0..4 {
        faults.push(spanned(|| cluster.dynos_mut()[n].kill()));
        wait::pass(Span::from_millis(700));
        cluster.dynos_mut()[n].restart();
    }
    wait::pass(Span::from_secs(2));
    let seen = Seen { exchanges: load.finish(), faults };
    all_answered(&seen.exchanges, |exchange| is_idempotent(exchange) || !seen.met_a_fault(exchange));
    judge(&cluster, seen.exchanges);
}
