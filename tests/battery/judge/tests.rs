//! The judge, on invented recordings good and bad.

use std::sync::Arc;

use super::*;
use crate::case;

const HOST: &str = "h";

fn came(bytes: &str) -> Vec<Connection> {
    vec![Connection { bytes: bytes.into(), closed: false }]
}

fn wanted() -> Reach {
    Reach::These(vec![case::Seen::post("/case", "body")])
}

fn faults(reach: &Reach, bytes: &str) -> Vec<String> {
    reached(reach, false, &[], &came(bytes), HOST)
}

fn seen(heard: &str, methods: &[&str], state: State) -> Seen {
    let answers = Answers::read(heard.as_bytes(), methods, state == State::Ended);
    Seen { answers, state, next: Ok(()), good: Vec::new(), connections: Vec::new() }
}

fn told_faults(case: &Case, heard: &str, state: State) -> Vec<String> {
    let mut faults = Vec::new();
    told(case, &seen(heard, &["GET"], state), &mut faults);
    faults
}

#[test]
fn the_wanted_request_at_the_dyno_is_right() {
    assert_eq!(faults(&wanted(), "POST /case HTTP/1.1\r\nhost: h\r\ncontent-length: 4\r\n\r\nbody"), [""; 0]);
}

#[test]
fn a_smuggled_request_at_the_dyno_is_a_fault_however_it_is_read() {
    let more = "GET /smuggled-1 HTTP/1.1\r\nhost: h\r\n\r\n";
    for bytes in [
        format!("POST /case HTTP/1.1\r\nhost: h\r\ncontent-length: 4\r\n\r\nbody{more}"),
        format!("POST /case HTTP/1.1\r\nhost: h\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n{more}"),
        format!("POST /case HTTP/1.1\r\nhost: h\r\ncontent-length: 4\r\ncontent-length: {}\r\n\r\nbody{more}", 4 + more.len()),
        format!("POST /case HTTP/1.1\r\nhost: h\r\nx: y\ncontent-length: 4\r\n\r\nbody{more}"),
    ] {
        assert!(!faults(&wanted(), &bytes).is_empty(), "{bytes:?}");
        assert!(!faults(&Reach::Nothing, &bytes).is_empty(), "{bytes:?}");
    }
}

#[test]
fn of_requests_in_any_order_an_idempotent_one_may_come_twice_and_a_post_may_not() {
    let post = "POST /p HTTP/1.1\r\nhost: h\r\ncontent-length: 4\r\n\r\nbody";
    let get = "GET /g HTTP/1.1\r\nhost: h\r\n\r\n";
    let wanted = Reach::Each(vec![case::Seen::get("/g"), case::Seen::post("/p", "body")]);
    let faults = |all: &[&str]| {
        let connections: Vec<Connection> = all.iter().map(|bytes| Connection { bytes: bytes.as_bytes().into(), closed: true }).collect();
        reached(&wanted, true, &[], &connections, HOST)
    };
    assert_eq!(faults(&[post, get]), [""; 0]);
    assert_eq!(faults(&[get, post, get]), [""; 0]);
    for wrong in [&[post, get, post][..], &[post], &[get], &[get, post, "GET /other HTTP/1.1\r\nhost: h\r\n\r\n"]] {
        assert!(!faults(wrong).is_empty(), "{wrong:?}");
    }
}

#[test]
fn a_request_that_differs_from_the_wanted_one_is_a_fault() {
    for bytes in [
        "POST /case HTTP/1.1\r\nhost: h\r\ncontent-length: 4\r\n\r\nbode",
        "POST /other HTTP/1.1\r\nhost: h\r\ncontent-length: 4\r\n\r\nbody",
        "PUT /case HTTP/1.1\r\nhost: h\r\ncontent-length: 4\r\n\r\nbody",
        "POST /case HTTP/1.1\r\nhost: evil\r\ncontent-length: 4\r\n\r\nbody",
        "POST /case HTTP/1.1\r\nhost: h\r\ncontent-length: 9\r\n\r\nbody",
        "GET /good/of-nobody HTTP/1.1\r\nhost: h\r\n\r\n",
        "",
    ] {
        assert!(!faults(&wanted(), bytes).is_empty(), "{bytes:?}");
    }
}

#[test]
fn a_post_that_comes_twice_is_a_fault_and_a_get_may_be_allowed_to() {
    let post = "POST /case HTTP/1.1\r\nhost: h\r\ncontent-length: 4\r\n\r\nbody".repeat(2);
    assert_eq!(faults(&wanted(), &post).len(), 1);
    let get = "GET /case HTTP/1.1\r\nhost: h\r\n\r\n".repeat(2);
    assert_eq!(reached(&Reach::These(vec![case::Seen::get("/case")]), true, &[], &came(&get), HOST), [""; 0]);
}

#[test]
fn a_refusal_must_close_and_say_so_right() {
    let case = case::refused("6.3", "x", "");
    let bad = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(told_faults(&case, bad, State::Ended), [""; 0]);
    assert_eq!(told_faults(&case, bad, State::Open).len(), 1);
    assert!(!told_faults(&case, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", State::Ended).is_empty());
    assert!(!told_faults(&case, "", State::Ended).is_empty());
    assert!(!told_faults(&case, &bad.repeat(2), State::Ended).is_empty());
}

#[test]
fn a_broken_answer_must_not_look_whole() {
    let case = Case { dyno: Arc::default(), ..case::answered("8", "x", "").broken() };
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nonly";
    assert_eq!(told_faults(&case, cut, State::Ended), [""; 0]);
    assert_eq!(
        told_faults(&case, "HTTP/1.1 502 Bad Gateway\r\nx-dynomesh-error: dyno-failed\r\ncontent-length: 0\r\n\r\n", State::Open),
        [""; 0]
    );
    for whole in ["HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nonly", "HTTP/1.1 200 OK\r\n\r\nonly"] {
        assert!(!told_faults(&case, whole, State::Ended).is_empty(), "{whole:?}");
    }
    // What still hangs is neither whole nor told to be broken.
    assert!(!told_faults(&case, cut, State::Open).is_empty());
}
