//! A client that leaves while its request runs: finished for nobody, or cut where the app says so (P13).

use std::time::{Duration, Instant};

use dynomesh_core::app::ClientGone;

use super::*;

/// Far below what a dyno's answer is waited for when it is finished.
const CUT_WITHIN: Duration = Duration::from_secs(10);
/// As long is a body read on that is finished for nobody (decision 0007).
const READ_ON: Duration = Duration::from_secs(1);

fn cutting() -> Policy {
    Policy { client_gone: ClientGone::Cut, ..kept() }
}

/// The slot is nobody's before the dyno has shown that it is idle.
fn assert_in_doubt(scene: &Scene, busy: std::sync::MutexGuard<'_, ()>) {
    let mut waiting = scene.get("/next");
    assert_eq!(waiting.got_within(300), "");
    assert!(scene.dyno.nobody_came(), "given away while the dyno may still work");
    drop(busy);
    scene.answered(waiting);
}

#[test]
fn what_a_dyno_works_on_is_finished_when_its_client_leaves() {
    let scene = scene(kept());
    let hop = scene.get("/left");
    let mut said = scene.dyno.next();
    said.read_head();
    drop(hop);
    let waiting = scene.get("/next");
    assert!(scene.dyno.nobody_came() && said.is_open());
    said.answer("for nobody");
    assert!(said.read_head().starts_with("GET /next"));
    said.answer("ok");
    assert_ok(waiting);
}

/// Fails when the dyno's connection lives on until its answer is overdue, and when the slot is free before the dyno is.
#[test]
fn what_a_dyno_works_on_is_cut_where_the_app_says_so_and_its_slot_counts_until_it_is_idle() {
    let scene = scene(cutting());
    let hop = scene.get("/left");
    let mut said = scene.dyno.next();
    said.read_head();
    let busy = scene.dyno.busy();
    let left = Instant::now();
    drop(hop);
    said.await_closed();
    assert!(left.elapsed() < CUT_WITHIN, "{:?}", left.elapsed());
    assert_in_doubt(&scene, busy);
}

/// Fails when it is read on. A busy machine may take as long as that for once.
#[test]
fn a_body_under_way_is_cut_at_once_where_the_app_says_so() {
    let scene = scene(cutting());
    let mut took = Duration::MAX;
    for _ in 0..5 {
        let mut hop = scene.get("/left");
        let mut said = scene.dyno.next();
        said.read_head();
        said.say("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfirst");
        hop.read_until("first");
        let busy = scene.dyno.busy();
        let left = Instant::now();
        drop(hop);
        said.await_closed();
        took = took.min(left.elapsed());
        assert_in_doubt(&scene, busy);
        if took < READ_ON {
            return;
        }
    }
    panic!("{took:?} at best");
}

/// Whoever takes all of an answer has not left.
#[test]
fn an_answer_that_was_taken_whole_is_not_cut() {
    let scene = scene(cutting());
    let mut said = scene.answered(scene.get("/"));
    let hop = scene.get("/again");
    assert!(said.read_head().starts_with("GET /again"));
    said.answer("ok");
    assert_ok(hop);
    assert_eq!(scene.metric("dyno_connects_total"), 1.0);
}
