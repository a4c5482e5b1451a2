//! Answers of dynos, good and bad: each comes through as it was meant, or as an error, and never as another's.

use super::*;
use crate::tests::replica::is_whole;

/// The answer to a GET, by what the dyno says to it before it ends the connection.
fn answer_to(line: &str, answer: &str) -> String {
    let scene = scene(Policy { keep_alive: Span::ZERO, ..kept() });
    let hop = scene.replica.begin(line, "connection: close\r\nte: trailers\r\n", "").unwrap();
    let mut said = scene.dyno.next();
    said.read_head();
    said.say(answer);
    drop(said);
    hop.finish().0
}

#[test]
fn an_unasked_switch_of_protocols_is_the_dynos_failure() {
    for line in ["GET /", "HEAD /"] {
        let got = answer_to(line, "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
        assert!(got.starts_with("HTTP/1.1 502") && got.contains("x-dynomesh-reason: dyno-failed"), "{got}");
    }
}

#[test]
fn answers_without_bodies_are_framed_as_such() {
    let got = answer_to("GET /", "HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n");
    assert!(got.starts_with("HTTP/1.1 204") && !got.contains("content-length") && !got.contains("transfer-encoding"), "{got}");
    let got = answer_to("GET /", "HTTP/1.1 304 Not Modified\r\ncontent-length: 77\r\netag: \"e\"\r\n\r\n");
    assert!(
        got.starts_with("HTTP/1.1 304") && got.ends_with("\r\n\r\n") && got.contains("etag: \"e\"") && !got.contains("transfer-encoding"),
        "{got}"
    );
    let got = answer_to("HEAD /", "HTTP/1.1 200 OK\r\ncontent-length: 77\r\n\r\n");
    assert!(got.contains("content-length: 77\r\n") && got.ends_with("\r\n\r\n"), "{got}");
    let got = answer_to("HEAD /", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
    assert!(!got.contains("content-length: 0") && got.ends_with("\r\n\r\n") && !got.contains("x-dynomesh-framing"), "{got}");
}

#[test]
fn interim_answers_end_at_the_block() {
    let got = answer_to(
        "GET /",
        "HTTP/1.1 103 Early Hints\r\nlink: <x>\r\nx-dynomesh-verdict: over\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    );
    assert!(got.starts_with("HTTP/1.1 200") && !got.contains("103") && got.contains("x-dynomesh-verdict: answered"), "{got}");
}

#[test]
fn a_body_that_breaks_off_does_not_look_whole() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfirst",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\nzz\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirstX\r\n0\r\n\r\n",
    ] {
        let got = answer_to("GET /", answer);
        assert!(got.starts_with("HTTP/1.1 200") && !is_whole(&got) && !got.contains("content-length: 5\r\n"), "{answer:?}: {got}");
    }
}

#[test]
fn a_body_that_ends_with_its_connection_says_so() {
    let got = answer_to("GET /", "HTTP/1.1 200 OK\r\n\r\nall");
    assert!(got.contains("x-dynomesh-framing: close\r\n") && is_whole(&got), "{got}");
}

#[test]
fn trailers_of_a_response_go_packed_to_the_edge_and_none_speak_for_the_block() {
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n2\r\nok\r\n0\r\n";
    let got = answer_to("GET /", &format!("{head}x-sum: 1&2\r\nx-dynomesh-verdict: over\r\n\r\n"));
    assert!(got.contains("trailer: x-sum, x-dynomesh-trailers\r\n"), "{got}");
    assert!(got.ends_with("0\r\nx-dynomesh-trailers: x-sum:1%262\r\n\r\n"), "{got}");
}

#[test]
fn trailers_of_a_request_reach_a_dyno_to_which_they_were_announced() {
    let scene = scene(kept());
    let more = "connection: close\r\ntransfer-encoding: chunked\r\ntrailer: x-sum, x-dynomesh-trailers\r\n";
    let body = "2\r\nhi\r\n0\r\nx-dynomesh-trailers: x-sum:7&x-other:8\r\n\r\n";
    let hop = scene.replica.begin("POST /", more, body).unwrap();
    let mut said = scene.dyno.next();
    let head = said.read_head();
    assert!(head.contains("trailer: x-sum\r\n") && !head.contains("x-dynomesh-trailers"), "{head}");
    assert_eq!(said.read_to("0\r\nx-sum: 7\r\n\r\n"), "2\r\nhi\r\n0\r\nx-sum: 7\r\n\r\n");
    said.answer("ok");
    assert_ok(hop);
}

/// The answer does not wait for a body that nobody wants, and what is left of that body is no next request.
#[test]
fn an_answer_that_comes_before_the_body_is_over_is_passed_on_and_ends_the_connection() {
    let scene = scene(kept());
    let more = "connection: close\r\ncontent-length: 1000\r\n";
    let hop = scene.replica.begin("PUT /", more, "some").unwrap();
    let mut said = scene.dyno.next();
    said.read_to("some");
    said.say("HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno");
    let (got, _) = hop.finish();
    assert!(got.starts_with("HTTP/1.1 413") && got.ends_with("no"), "{got}");
    said.await_closed();
    scene.answered(scene.get("/next"));
}

/// Fails when the failed write of the body counts for more than the answer that came before the dyno's reset.
#[test]
fn an_early_answer_survives_a_dyno_that_closes_over_what_it_has_not_read() {
    let scene = scene(kept());
    for turn in 0..6 {
        let more = "connection: close\r\ncontent-length: 150000\r\n";
        let hop = scene.replica.begin("PUT /", more, &"x".repeat(150_000)).unwrap();
        let mut said = scene.dyno.next();
        said.read_head();
        said.say("HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno");
        drop(said);
        let (got, _) = hop.finish();
        assert!(got.starts_with("HTTP/1.1 413") && got.ends_with("no"), "{turn}: {got}");
    }
}
