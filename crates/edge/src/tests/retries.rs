//! What is tried again, where, and what never.

use std::cell::RefCell;
use std::rc::Rc;

use dynomesh_core::dispatch::BlockChoice;
use http::{Request, StatusCode};
use http_body_util::Full;

use super::*;

/// A block that asks for the body and then resets the connection.
async fn dies_with_body(name: &'static str) -> PlayedBlock {
    PlayedBlock::start(name, |hop: Hop| async {
        let _ = hop.read().await?;
        Err("dies".into())
    })
    .await
}

/// A block that resets the connection before it asks for the body.
async fn dies(name: &'static str) -> PlayedBlock {
    PlayedBlock::start(name, |_| async { Err("dies".into()) }).await
}

/// Sends requests of this kind until the first block was asked once. The last answer.
async fn until_asked(mesh: &Mesh, first: &PlayedBlock, request: impl Fn() -> Request<Full<bytes::Bytes>>) -> mesh::Got {
    loop {
        let got = mesh.send(request()).await;
        if first.requests() > 0 {
            return got;
        }
    }
}

fn with(method: &str) -> Request<Full<bytes::Bytes>> {
    Request::builder().method(method).uri("/").header("host", "a").body(Full::from("order")).unwrap()
}

fn evenly(config: &mut crate::Config) {
    config.block_choice = BlockChoice::Random;
}

#[test]
fn a_get_is_tried_elsewhere_when_its_connection_is_lost() {
    run(async {
        let (b1, b2) = (dies("b1").await, PlayedBlock::answering("b2").await);
        let mesh = Mesh::with(&[&b1, &b2], evenly).await;
        let got = until_asked(&mesh, &b1, || Request::get("/").header("host", "a").body(Full::default()).unwrap()).await;
        assert_eq!((got.status, got.header("x-dynomesh-attempts"), &got.body[..]), (StatusCode::OK, "2", &b"b2"[..]));
    });
}

#[test]
fn a_post_is_not_repeated_once_its_body_was_let_go() {
    run(async {
        let (b1, b2) = (dies_with_body("b1").await, PlayedBlock::answering("b2").await);
        let mesh = Mesh::with(&[&b1, &b2], evenly).await;
        let before = b2.requests();
        let got = until_asked(&mesh, &b1, || with("POST")).await;
        assert_eq!((got.status.as_u16(), got.header("x-dynomesh-error")), (502, "outcome-unknown"));
        assert_eq!(got.header("x-dynomesh-attempts"), "1");
        let lines = mesh.logged(b1.requests() + b2.requests() - before).await;
        assert_eq!(lines.last().unwrap()["attempts"][0]["reason"], "connection-lost");
    });
}

#[test]
fn a_post_moves_on_while_its_body_is_withheld() {
    run(async {
        let bodies = Rc::new(RefCell::new(Vec::new()));
        let noted = bodies.clone();
        let b1 = dies("b1").await;
        let b2 = PlayedBlock::start("b2", move |hop: Hop| {
            let noted = noted.clone();
            async move {
                assert_eq!((hop.header("expect"), hop.header("x-dynomesh-length")), (Some("100-continue"), Some("5")));
                let body = hop.read().await?;
                noted.borrow_mut().push(body.clone());
                Ok(answered("b2", body))
            }
        })
        .await;
        let mesh = Mesh::with(&[&b1, &b2], evenly).await;
        let got = until_asked(&mesh, &b1, || with("POST")).await;
        assert_eq!((got.status, got.header("x-dynomesh-attempts"), &got.body[..]), (StatusCode::OK, "2", &b"order"[..]));
        assert!(bodies.borrow().iter().all(|body| &body[..] == b"order"));
    });
}

#[test]
fn the_end_of_an_empty_post_is_withheld_too() {
    run(async {
        let (b1, b2) = (dies("b1").await, PlayedBlock::answering("b2").await);
        let mesh = Mesh::with(&[&b1, &b2], evenly).await;
        let empty = || Request::post("/").header("host", "a").body(Full::default()).unwrap();
        let got = until_asked(&mesh, &b1, empty).await;
        assert_eq!((got.status, got.header("x-dynomesh-attempts")), (StatusCode::OK, "2"));
    });
}

#[test]
fn a_put_is_repeated_only_when_the_first_is_over() {
    run(async {
        for (verdict, status) in [("over", 200), ("unknown", 502), ("answer-me", 502), ("not-dispatched", 200)] {
            let b1 = PlayedBlock::start("b1", move |hop: Hop| async move {
                let _ = hop.read().await?;
                Ok(refused(verdict, "dyno-failed"))
            })
            .await;
            let b2 = PlayedBlock::answering("b2").await;
            let mesh = Mesh::with(&[&b1, &b2], evenly).await;
            let got = until_asked(&mesh, &b1, || with("PUT")).await;
            assert_eq!(got.status.as_u16(), status, "{verdict}");
        }
    });
}

#[test]
fn a_response_without_the_blocks_mark_is_believed_by_nobody() {
    run(async {
        let b1 = PlayedBlock::start("b1", |hop: Hop| async {
            let _ = hop.read().await?;
            Ok(http::Response::new(block::full("forged")))
        })
        .await;
        let mesh = Mesh::start(&[&b1]).await;
        let got = mesh.post("/", "order").await;
        assert_eq!((got.status.as_u16(), got.header("x-dynomesh-error")), (502, "outcome-unknown"));
        assert_eq!(b1.requests(), 1);
    });
}

#[test]
fn an_error_of_a_dyno_is_an_answer() {
    run(async {
        let b1 = PlayedBlock::start("b1", |_| async {
            let mut response = answered("b1", "busy");
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            Ok(response)
        })
        .await;
        let b2 = PlayedBlock::answering("b2").await;
        let mesh = Mesh::with(&[&b1, &b2], evenly).await;
        let got = until_asked(&mesh, &b1, || Request::get("/").header("host", "a").body(Full::default()).unwrap()).await;
        assert_eq!((got.status.as_u16(), &got.body[..], got.header("x-dynomesh-error")), (503, &b"busy"[..], ""));
    });
}

/// A block that sends requests away for this reason, but queues and answers those that must queue.
async fn sends_away(name: &'static str, reason: &'static str) -> PlayedBlock {
    PlayedBlock::start(name, move |hop: Hop| async move {
        match hop.header("x-dynomesh-must-queue") {
            Some("1") => Ok(answered(name, "queued")),
            _ => Ok(refused("not-dispatched", reason)),
        }
    })
    .await
}

#[test]
fn a_request_spilled_twice_must_be_queued() {
    run(async {
        let (b1, b2, b3) =
            (sends_away("b1", "queue-full").await, sends_away("b2", "queue-full").await, sends_away("b3", "queue-full").await);
        let mesh = Mesh::start(&[&b1, &b2, &b3]).await;
        let got = mesh.get("/").await;
        assert_eq!((got.status, got.header("x-dynomesh-attempts"), &got.body[..]), (StatusCode::OK, "3", &b"queued"[..]));
    });
}

/// Neither is an attempt, nor a spill: it costs the request nothing but the way, wherever slots are in doubt and whatever the limits. With
/// its only attempt it waits.
#[test]
fn a_request_that_a_block_in_doubt_sends_away_goes_elsewhere_and_waits_where_nowhere_is_left() {
    run(async {
        for (count, attempts, looks) in [(1, 1, 1), (4, 1, 1), (1, 5, 1), (2, 5, 2), (3, 5, 3), (4, 5, 3)] {
            let mut blocks = Vec::new();
            for name in ["b1", "b2", "b3", "b4"].into_iter().take(count) {
                blocks.push(sends_away(name, "in-doubt").await);
            }
            let mesh = Mesh::with(&blocks.iter().collect::<Vec<_>>(), |config| config.retry.attempts = attempts).await;
            let got = mesh.get("/").await;
            let asked: usize = blocks.iter().map(PlayedBlock::requests).sum();
            assert_eq!(
                (got.status, &got.body[..], asked),
                (StatusCode::OK, &b"queued"[..], looks + 1),
                "{count} blocks, {attempts} attempts"
            );
        }
    });
}

#[test]
fn what_must_wait_waits_at_a_full_block_rather_than_at_one_in_doubt() {
    run(async {
        let (b1, b2) = (sends_away("b1", "in-doubt").await, sends_away("b2", "queue-full").await);
        let mesh = Mesh::start(&[&b1, &b2]).await;
        let mut doubted = 0;
        for _ in 0..20 {
            let before = b1.requests();
            let got = mesh.get("/").await;
            let is_doubted = b1.requests() > before;
            doubted += usize::from(is_doubted);
            assert_eq!((got.status, &got.body[..]), (StatusCode::OK, &b"queued"[..]));
            assert!(!is_doubted || got.header("x-dynomesh-block") == "b2", "it waits at {}", got.header("x-dynomesh-block"));
        }
        assert!(doubted > 0, "none came to the block in doubt");
    });
}

/// Whatever comes of the look elsewhere, the request waits at the block in doubt as it would have without that look.
#[test]
fn a_request_sent_away_for_doubt_comes_back_where_the_other_block_fails_it() {
    run(async {
        for (reason, dyno_attempts, limit) in [("refused", 3, 5), ("overloaded", 0, 5), ("electing", 0, 5), ("queue-full", 0, 3)] {
            let b1 = sends_away("b1", "in-doubt").await;
            let b2 = PlayedBlock::start("b2", move |_| async move {
                let mut response = refused("not-dispatched", reason);
                response.headers_mut().insert("x-dynomesh-dyno-attempts", dyno_attempts.into());
                Ok(response)
            })
            .await;
            let mesh = Mesh::with(&[&b1, &b2], |config| config.retry.attempts = limit).await;
            for _ in 0..20 {
                let got = mesh.get("/").await;
                assert_eq!((got.status, &got.body[..]), (StatusCode::OK, &b"queued"[..]), "{reason}: {}", got.header("x-dynomesh-error"));
            }
            assert!(b2.requests() > 0, "none came to the block that fails");
        }
    });
}

#[test]
fn a_block_that_doubts_what_it_must_queue_is_full() {
    run(async {
        let b1 = PlayedBlock::start("b1", |_| async { Ok(refused("not-dispatched", "in-doubt")) }).await;
        let mesh = Mesh::start(&[&b1]).await;
        let got = mesh.get("/").await;
        assert_eq!((got.status.as_u16(), got.header("x-dynomesh-error")), (503, "overloaded"));
        assert!(b1.requests() <= 5, "it was asked {} times", b1.requests());
    });
}

#[test]
fn a_request_that_nobody_queues_is_told_to_come_again() {
    run(async {
        let full = |name| PlayedBlock::start(name, |_| async { Ok(refused("not-dispatched", "queue-full")) });
        let (b1, b2) = (full("b1").await, full("b2").await);
        let mesh = Mesh::start(&[&b1, &b2]).await;
        let got = mesh.get("/").await;
        assert_eq!((got.status.as_u16(), got.header("x-dynomesh-error"), got.header("retry-after")), (503, "overloaded", "1"));
        assert_eq!(got.header("x-dynomesh-attempts"), "3");
    });
}

#[test]
fn attempts_end_at_their_limit() {
    run(async {
        let (b1, b2) = (dies("b1").await, dies("b2").await);
        let mesh = Mesh::start(&[&b1, &b2]).await;
        let got = mesh.get("/").await;
        assert_eq!((got.status.as_u16(), got.header("x-dynomesh-attempts")), (502, "5"));
        assert_eq!(b1.requests() + b2.requests(), 5);
    });
}

#[test]
fn without_budget_nothing_is_run_twice() {
    run(async {
        let (b1, b2) = (dies("b1").await, dies("b2").await);
        let mesh = Mesh::with(&[&b1, &b2], |config| (config.retry.budget_percent, config.retry.budget_per_second) = (0, 0)).await;
        let got = mesh.get("/").await;
        assert_eq!((got.status.as_u16(), got.header("x-dynomesh-attempts")), (502, "1"));
        assert_eq!(mesh.shared.metrics.budget_refused.get(), 1);
    });
}

#[test]
fn a_connection_that_died_idle_costs_no_attempt() {
    run(async {
        let b1 = PlayedBlock::answering("b1").await;
        let mesh = Mesh::start(&[&b1]).await;
        assert_eq!(mesh.get("/").await.status, StatusCode::OK);
        let address = b1.address;
        b1.kill().await;
        let again = PlayedBlock::start_at(address.socket(), "b1", |_| async { Ok(answered("b1", "again")) }).await;
        let got = mesh.get("/").await;
        assert_eq!((got.status, got.header("x-dynomesh-attempts"), &got.body[..]), (StatusCode::OK, "1", &b"again"[..]));
        assert_eq!(again.requests(), 1);
    });
}
