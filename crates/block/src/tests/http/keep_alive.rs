//! Connections to dynos that are used again, and when they must not be (P26).

use std::thread;

use super::*;
use crate::tests::replica::pass;

#[test]
fn without_keep_alive_every_request_has_a_connection_of_its_own() {
    let scene = scene(Policy { keep_alive: Span::ZERO, ..kept() });
    for _ in 0..2 {
        let hop = scene.get("/");
        let mut said = scene.dyno.next();
        assert!(said.read_head().contains("connection: close\r\n"));
        said.answer("ok");
        assert_ok(hop);
        said.await_closed();
    }
    assert_eq!(scene.metric("dyno_reuses_total"), 0.0);
}

#[test]
fn a_connection_is_used_again_by_requests_that_may_run_twice() {
    let scene = scene(kept());
    let hop = scene.get("/first");
    let mut said = scene.dyno.next();
    assert!(!said.read_head().contains("connection:"));
    said.answer("ok");
    assert_ok(hop);
    for _ in 0..5 {
        let hop = scene.get("/more");
        assert!(said.read_head().starts_with("GET /more"));
        said.answer("ok");
        assert_ok(hop);
    }
    assert_eq!((scene.metric("dyno_connects_total"), scene.metric("dyno_reuses_total")), (1.0, 5.0));
}

/// Fails when the idle connection stays open beside the fresh one: the dyno may have one only.
#[test]
fn a_post_takes_a_fresh_connection_and_the_idle_one_is_closed_first() {
    let scene = scene(kept());
    let mut first = scene.answered(scene.get("/"));
    let hop = scene.post("twice is not once");
    let mut second = scene.dyno.next();
    assert!(!first.is_open(), "an idle connection stayed open beside a fresh one");
    first.await_closed();
    second.read_to("twice is not once");
    second.answer("ok");
    assert_ok(hop);
    // The fresh one rests now.
    let hop = scene.get("/again");
    assert!(second.read_head().starts_with("GET /again"));
    second.answer("ok");
    assert_ok(hop);
    assert_eq!(scene.dyno.most_open(), 1);
}

#[test]
fn a_request_meets_no_connection_that_the_dyno_has_closed() {
    let scene = scene(kept());
    let mut first = scene.answered(scene.get("/"));
    first.end();
    scene.answered(scene.get("/next"));
    assert_eq!(scene.metric("dyno_resends_total"), 0.0);
}

/// The race: the dyno closes as the request comes. Fails with a 502 when it is not sent again.
#[test]
fn a_get_that_a_closing_connection_swallowed_is_sent_over_a_fresh_one() {
    let scene = scene(kept());
    let mut first = scene.answered(scene.get("/"));
    let hop = scene.get("/swallowed");
    first.read_head();
    drop(first);
    let mut second = scene.dyno.next();
    assert!(second.read_head().starts_with("GET /swallowed"));
    second.answer("ok");
    assert_ok(hop);
    assert_eq!(scene.metric("dyno_resends_total"), 1.0);
}

#[test]
fn a_get_that_was_answered_in_part_is_not_sent_again() {
    let scene = scene(kept());
    let mut first = scene.answered(scene.get("/"));
    let hop = scene.get("/begun");
    first.read_head();
    first.say("HTTP/1.1 200 OK\r\ncontent-le");
    drop(first);
    let (got, _) = hop.finish();
    assert!(got.starts_with("HTTP/1.1 502") && got.contains("x-dynomesh-verdict: over"), "{got}");
    assert!(scene.dyno.nobody_came());
}

#[test]
fn a_post_that_came_to_no_answer_is_never_sent_again() {
    let scene = scene(kept());
    scene.answered(scene.get("/"));
    let hop = scene.post("once");
    let mut said = scene.dyno.next();
    said.read_to("once");
    drop(said);
    let (got, _) = hop.finish();
    assert!(got.starts_with("HTTP/1.1 502"), "{got}");
    assert!(scene.dyno.nobody_came());
}

/// What follows a response belongs to none: it must not become the next one's. Fails when the connection is used again.
#[test]
fn a_connection_with_bytes_after_its_response_is_not_used_again() {
    for extra in ["x", "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"] {
        for apart in [false, true] {
            let scene = scene(kept());
            let hop = scene.get("/");
            let mut first = scene.dyno.next();
            first.read_head();
            if apart {
                first.answer("ok");
                assert_ok(hop);
                first.say(extra);
            } else {
                first.say(&format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok{extra}"));
                assert_ok(hop);
            }
            scene.answered(scene.get("/next"));
        }
    }
}

#[test]
fn responses_that_end_their_connection_end_it() {
    let ends = ["HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok", "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok"];
    for end in ends {
        let scene = scene(kept());
        let hop = scene.get("/");
        let mut first = scene.dyno.next();
        first.read_head();
        first.say(end);
        assert_ok(hop);
        first.await_closed();
        scene.answered(scene.get("/next"));
    }
}

#[test]
fn an_idle_connection_is_closed_when_its_time_is_up() {
    let scene = scene(Policy { keep_alive: Span::from_millis(300), ..kept() });
    let mut said = scene.answered(scene.get("/"));
    assert!(said.is_open());
    said.await_closed();
    scene.answered(scene.get("/next"));
}

#[test]
fn a_drained_dyno_keeps_no_idle_connection_nor_does_one_whose_app_changed() {
    let mut scene = scene(kept());
    let mut said = scene.answered(scene.get("/"));
    scene.directory.describe(Policy { keep_alive: Span::from_secs(50), ..kept() });
    said.await_closed();
    let mut said = scene.answered(scene.get("/"));
    let epoch = scene.directory.assign_spec(scene.dyno.spec(), Some("b1"), true, LONG);
    scene.directory.await_owned(epoch, Phase::Draining);
    said.await_closed();
}

#[test]
fn a_stopped_block_closes_its_idle_connections_at_once() {
    let scene = scene(kept());
    let mut said = scene.answered(scene.get("/"));
    drop(scene.replica);
    said.await_closed();
}

/// P9: a server of one connection at a time comes to a question only when nothing else is open. Fails when a connection rests meanwhile.
#[test]
fn no_connection_rests_while_a_dyno_is_asked_whether_it_is_serial() {
    let scene = scene(Policy { serial: Serial::Auto, ..kept() });
    let busy = scene.dyno.busy();
    let hop = scene.get("/long");
    let mut said = scene.dyno.next();
    said.read_head();
    let before = scene.dyno.questions();
    until("it is asked", || (scene.dyno.questions() > before).then_some(()));
    said.answer("ok");
    assert_ok(hop);
    said.await_closed();
    drop(busy);
}

/// `cap` as the kernel of the dyno's machine sees it: whatever is asked, by however many threads, it never has more connections than
/// slots. Fails when an idle connection is not counted.
#[test]
fn open_connections_never_exceed_the_slots() {
    const SLOTS: u32 = 3;
    let dyno = RawDyno::start(SLOTS);
    let scene = scene_of(Policy { serial: Serial::No, ..kept() }, dyno, |config| config.threads = 3);
    thread::scope(|scope| {
        let askers: Vec<_> = (0..8)
            .map(|number| {
                let replica = &scene.replica;
                scope.spawn(move || {
                    for turn in 0..40 {
                        let more = "connection: close\r\n";
                        let hop = match (number + turn) % 3 {
                            0 => replica.begin("POST /", "connection: close\r\ncontent-length: 1\r\n", "x"),
                            1 => replica.begin("GET /cut", more, ""),
                            _ => replica.begin("GET /", more, ""),
                        };
                        let (got, _) = hop.unwrap().finish();
                        assert!(got.starts_with("HTTP/1.1 200") || got.starts_with("HTTP/1.1 50"), "{got}");
                    }
                })
            })
            .collect();
        while !askers.iter().all(|asker| asker.is_finished()) {
            if let Some(said) = scene.dyno.try_next() {
                scope.spawn(move || serve(said));
            }
        }
    });
    assert!(scene.dyno.most_open() <= SLOTS as usize, "{} open at once", scene.dyno.most_open());
    assert!(scene.dyno.most_open() > 1, "the test tells nothing");
}

/// Answers until the block ends the connection; `/cut` is answered by closing it.
fn serve(mut said: Said) {
    while let Some(head) = said.try_head() {
        if head.starts_with("POST") {
            said.read_to("x");
        }
        if head.starts_with("GET /cut") {
            said.say("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok");
            return;
        }
        pass(1);
        if said.try_say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_err() {
            return;
        }
    }
}
