//! A client that waits for the dyno's own word: the head goes to the dyno first, and the body is asked for when it is wanted.

use std::time::Instant;

use super::*;

const HEAD: &str =
    "connection: close\r\nexpect: 100-continue\r\ntransfer-encoding: chunked\r\nx-dynomesh-length: 4\r\nx-dynomesh-expects: 1\r\n";

fn expecting(scene: &Scene) -> (Hop, Said) {
    let hop = scene.replica.begin("POST /", HEAD, "").unwrap();
    let mut said = scene.dyno.next();
    let head = said.read_head();
    assert!(
        head.contains("expect: 100-continue\r\n") && head.contains("content-length: 4\r\n") && !head.contains("x-dynomesh-expects"),
        "{head}"
    );
    (hop, said)
}

#[test]
fn the_body_is_asked_for_when_the_dyno_wants_it() {
    let scene = scene(kept());
    let (mut hop, mut said) = expecting(&scene);
    assert_eq!(hop.got_within(200), "", "asked for before the dyno wants it");
    said.say("HTTP/1.1 100 Continue\r\n\r\n");
    hop.read_until("HTTP/1.1 100 Continue\r\n\r\n");
    hop.say("4\r\nbody\r\n0\r\n\r\n");
    said.read_to("body");
    said.answer("ok");
    let (got, _) = hop.finish();
    assert!(got.contains("\r\n\r\nHTTP/1.1 200 OK\r\n") && got.ends_with("ok"), "{got}");
    // It has seen the end of both: it may be used again.
    let hop = scene.get("/next");
    said.read_head();
    said.answer("ok");
    assert_ok(hop);
}

#[test]
fn a_dyno_that_does_not_want_the_body_never_gets_it_nor_is_it_asked_for() {
    let scene = scene(kept());
    let (hop, mut said) = expecting(&scene);
    said.say("HTTP/1.1 417 Expectation Failed\r\ncontent-length: 2\r\n\r\nno");
    let (got, _) = hop.finish();
    assert!(got.starts_with("HTTP/1.1 417") && got.ends_with("no"), "{got}");
    assert_eq!(said.within(100), "");
    scene.answered(scene.get("/next"));
}

#[test]
fn a_dyno_that_says_nothing_gets_the_body_after_a_while() {
    let scene = scene(kept());
    let began = Instant::now();
    let (mut hop, mut said) = expecting(&scene);
    hop.read_until("HTTP/1.1 100 Continue\r\n\r\n");
    assert!(began.elapsed().as_millis() >= 900, "{:?}", began.elapsed());
    hop.say("4\r\nbody\r\n0\r\n\r\n");
    said.read_to("body");
    said.answer("ok");
    assert!(hop.finish().0.ends_with("ok"));
}

/// Without the client's wish it is as ever: the dyno sees nothing before the body has begun (P22).
#[test]
fn without_the_wish_the_dyno_sees_nothing_before_the_body() {
    let scene = scene(kept());
    let more = HEAD.replace("x-dynomesh-expects: 1\r\n", "");
    let mut hop = scene.replica.begin("POST /", &more, "").unwrap();
    hop.read_until("HTTP/1.1 100 Continue\r\n\r\n");
    assert!(scene.dyno.nobody_came());
    hop.say("4\r\nbody\r\n0\r\n\r\n");
    let mut said = scene.dyno.next();
    assert!(!said.read_head().contains("expect"));
    said.read_to("body");
    said.answer("ok");
    assert!(hop.finish().0.ends_with("ok"));
}
