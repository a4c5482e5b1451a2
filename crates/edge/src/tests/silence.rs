//! Leaders that are frozen, dead, deposed or not yet elected.

use std::time::{Duration, Instant};

use dynomesh_core::time::Span;
use http::StatusCode;
use tokio::net::{TcpSocket, TcpStream};

use super::mesh::{hasty, until};
use super::*;

/// A quarter of a second on a quiet machine. Here with room for a busy one, and still far from any time-out of TCP or of the request.
const LEFT_WITHIN: Duration = Duration::from_secs(3);

fn leader(term: u64, replica: u64, block: &PlayedBlock) -> String {
    format!("{term}/{replica}/{}", block.address)
}

#[test]
fn a_get_at_a_frozen_leader_is_answered_elsewhere() {
    run(async {
        let (b1, b2) = (PlayedBlock::answering("b1").await, PlayedBlock::answering("b2").await);
        let mut mesh = Mesh::start(&[&b1, &b2]).await;
        mesh.load("b2", 4, 4);
        b1.freeze(true);
        let began = Instant::now();
        let got = mesh.get("/").await;
        assert_eq!((got.status, &got.body[..]), (StatusCode::OK, &b"b2"[..]));
        assert!(began.elapsed() < LEFT_WITHIN, "{:?}", began.elapsed());
        assert_eq!(mesh.logged(1).await[0]["attempts"][0]["reason"], "silent");
        assert_eq!(mesh.get("/").await.header("x-dynomesh-attempts"), "1", "nobody goes there any more");
        b1.freeze(false);
        until(|| mesh.shared.directory.seats.counts() == (2, 2)).await;
    });
}

#[test]
fn a_withheld_post_at_a_frozen_leader_moves_and_never_runs_there() {
    run(async {
        let (b1, b2) = (PlayedBlock::answering("b1").await, PlayedBlock::answering("b2").await);
        let mut mesh = Mesh::start(&[&b1, &b2]).await;
        mesh.load("b2", 4, 4);
        b1.freeze(true);
        let began = Instant::now();
        let got = mesh.post("/", "order").await;
        assert_eq!((got.status, &got.body[..], got.header("x-dynomesh-attempts")), (StatusCode::OK, &b"b2"[..], "2"));
        assert!(began.elapsed() < LEFT_WITHIN, "{:?}", began.elapsed());
    });
}

#[test]
fn a_post_that_was_let_go_waits_for_its_frozen_leader() {
    run(async {
        let (took, taken) = tokio::sync::watch::channel(false);
        let (go, may_go) = tokio::sync::watch::channel(false);
        let b1 = PlayedBlock::start("b1", move |hop: Hop| {
            let (took, mut may_go) = (took.clone(), may_go.clone());
            async move {
                let body = hop.read().await?;
                took.send_replace(true);
                may_go.wait_for(|go| *go).await?;
                Ok(answered("b1", body))
            }
        })
        .await;
        let b2 = PlayedBlock::answering("b2").await;
        let mut mesh = Mesh::start(&[&b1, &b2]).await;
        mesh.load("b2", 4, 4);
        let play = async {
            let mut taken = taken;
            taken.wait_for(|taken| *taken).await.unwrap();
            b1.freeze(true);
            until(|| mesh.shared.metrics.silences.get() == 1).await;
            assert_eq!(mesh.get("/").await.body, "b2");
            b1.freeze(false);
            go.send_replace(true);
        };
        let (got, ()) = tokio::join!(mesh.post("/", "order"), play);
        assert_eq!((got.status, &got.body[..], got.header("x-dynomesh-attempts")), (StatusCode::OK, &b"order"[..], "1"));
    });
}

#[test]
fn a_slow_dyno_is_no_silent_block() {
    run(async {
        let slow = |name: &'static str| {
            PlayedBlock::start(name, move |_| async move {
                tokio::time::sleep(Duration::from_millis(500)).await;
                Ok(answered(name, "slow"))
            })
        };
        let (b1, b2) = (slow("b1").await, slow("b2").await);
        let mesh = Mesh::start(&[&b1, &b2]).await;
        let got = mesh.get("/").await;
        assert_eq!((got.status, got.header("x-dynomesh-attempts")), (StatusCode::OK, "1"));
        assert!(b1.beats() + b2.beats() >= 5, "it was asked meanwhile");
        assert_eq!(mesh.shared.metrics.abandoned.get(), 0);
    });
}

#[test]
fn all_blocks_silent_at_once_are_not_left() {
    run(async {
        let (b1, b2) = (PlayedBlock::answering("b1").await, PlayedBlock::answering("b2").await);
        let mesh = Mesh::start(&[&b1, &b2]).await;
        b1.freeze(true);
        b2.freeze(true);
        let thaw = async {
            until(|| mesh.shared.metrics.silences.get() == 2).await;
            b1.freeze(false);
            b2.freeze(false);
        };
        let many = futures::future::join_all((0..8).map(|_| mesh.get("/")));
        let (all, ()) = tokio::join!(many, thaw);
        assert!(all.iter().all(|got| got.status == StatusCode::OK));
        assert!(b1.requests() + b2.requests() <= 16, "each may have moved once, before the other was silent too");
    });
}

#[test]
fn a_new_leader_of_the_only_block_is_found_by_asking_its_replicas() {
    run(async {
        let (old, new, third) =
            (PlayedBlock::answering("old").await, PlayedBlock::answering("new").await, PlayedBlock::answering("third").await);
        new.role("follower", Some(leader(1, 1, &old)));
        third.role("follower", Some(leader(1, 1, &old)));
        let mut mesh = Mesh::start(&[]).await;
        mesh.group("b1", 1, &[&old, &new, &third]);
        mesh.load("b1", 4, 0);
        old.freeze(true);
        let election = async {
            until(|| mesh.shared.metrics.silences.get() == 1).await;
            new.role("leader", Some(leader(2, 2, &new)));
        };
        let (got, ()) = tokio::join!(mesh.get("/"), election);
        assert_eq!((got.status, &got.body[..]), (StatusCode::OK, &b"new"[..]));
    });
}

#[test]
fn a_killed_leaders_requests_wait_for_the_next_one() {
    run(async {
        let (old, new) = (PlayedBlock::answering("old").await, PlayedBlock::answering("new").await);
        new.role("electing", None);
        let mut mesh = Mesh::start(&[]).await;
        mesh.group("b1", 1, &[&old, &new]);
        mesh.load("b1", 4, 0);
        assert_eq!(mesh.get("/").await.body, "old");
        old.kill().await;
        let election = async {
            until(|| new.beats() > 3).await;
            new.role("leader", Some(leader(2, 2, &new)));
        };
        let (get, post, ()) = tokio::join!(mesh.get("/"), mesh.post("/", "order"), election);
        assert_eq!((get.status, &get.body[..]), (StatusCode::OK, &b"new"[..]));
        assert_eq!((post.status, &post.body[..]), (StatusCode::OK, &b"new"[..]));
    });
}

#[test]
fn a_block_that_elects_is_asked_again_until_it_is_done() {
    run(async {
        let b1 = std::rc::Rc::new(PlayedBlock::start("b1", |_| async { Ok(refused("not-dispatched", "electing")) }).await);
        b1.role("electing", None);
        let new = PlayedBlock::answering("new").await;
        new.role("follower", None);
        let mut mesh = Mesh::start(&[]).await;
        mesh.group("b1", 1, &[&b1, &new]);
        mesh.load("b1", 4, 0);
        let election = async {
            until(|| new.beats() > 3).await;
            new.role("leader", Some(leader(2, 2, &new)));
        };
        let (got, ()) = tokio::join!(mesh.post("/", "order"), election);
        assert_eq!((got.status, &got.body[..]), (StatusCode::OK, &b"new"[..]));
    });
}

#[test]
fn patience_ends_and_says_so() {
    run(async {
        let b1 = PlayedBlock::answering("b1").await;
        let mesh = Mesh::with(&[&b1], hasty(Span::from_secs(20), Span::from_millis(200))).await;
        b1.kill().await;
        let began = Instant::now();
        let got = mesh.get("/").await;
        assert_eq!((got.status.as_u16(), got.header("x-dynomesh-error"), got.header("retry-after")), (503, "no-leader", "1"));
        assert!(began.elapsed() >= Duration::from_millis(200), "{:?}", began.elapsed());
    });
}

#[test]
fn a_correction_is_followed_within_the_attempt() {
    run(async {
        let new = PlayedBlock::answering("new").await;
        let told = leader(2, 2, &new);
        let old = PlayedBlock::start("old", move |_| {
            let mut response = refused("not-dispatched", "not-leader");
            response.headers_mut().insert("x-dynomesh-leader", told.parse().unwrap());
            async { Ok(response) }
        })
        .await;
        let mut mesh = Mesh::start(&[]).await;
        mesh.group("b1", 1, &[&old, &new]);
        mesh.load("b1", 4, 0);
        for body in ["first", "second"] {
            let got = mesh.post("/", body).await;
            assert_eq!((got.status, got.header("x-dynomesh-attempts"), &got.body[..]), (StatusCode::OK, "1", &b"new"[..]));
        }
        assert_eq!((old.requests(), mesh.shared.metrics.corrections.get()), (1, 1), "the second goes there at once");
    });
}

#[test]
fn an_old_correction_is_not_followed() {
    run(async {
        let other = PlayedBlock::answering("other").await;
        let told = leader(1, 2, &other);
        let b1 = PlayedBlock::start("b1", move |_| {
            let mut response = refused("not-dispatched", "not-leader");
            response.headers_mut().insert("x-dynomesh-leader", told.parse().unwrap());
            async { Ok(response) }
        })
        .await;
        b1.role("follower", None);
        other.role("follower", None);
        let mut mesh = Mesh::with(&[], hasty(Span::from_secs(20), Span::from_millis(100))).await;
        mesh.group("b1", 5, &[&b1, &other]);
        mesh.load("b1", 4, 0);
        let got = mesh.get("/").await;
        assert_eq!(got.header("x-dynomesh-error"), "no-leader");
        assert_eq!((b1.requests(), other.requests()), (1, 0));
    });
}

#[test]
fn a_connect_that_hangs_is_given_up() {
    run(async {
        // A listener that accepts nobody and whose queue is full: the kernel drops what else comes.
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queued = Vec::new();
        while let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
            queued.push(stream);
        }
        let mut b1 = PlayedBlock::answering("b1").await;
        b1.address = dynomesh_core::id::Address::new(address).unwrap();
        let b2 = PlayedBlock::answering("b2").await;
        let mut mesh = Mesh::start(&[&b1, &b2]).await;
        mesh.load("b2", 4, 4);
        let began = Instant::now();
        let got = mesh.post("/", "order").await;
        assert_eq!((got.status, &got.body[..]), (StatusCode::OK, &b"b2"[..]));
        assert!(began.elapsed() < LEFT_WITHIN, "{:?}", began.elapsed());
        let reason = mesh.logged(1).await[0]["attempts"][0]["reason"].to_string();
        assert!(["\"connect-timeout\"", "\"silent\""].contains(&reason.as_str()), "{reason}");
    });
}
