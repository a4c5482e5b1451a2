//! hyper's own connections over it, and beside them hyper alone: what it would have let through.

use std::cell::RefCell;
use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::Notify;
use tokio::task::spawn_local;
use tokio::time::timeout;

use super::*;
use crate::workers::local_runtime;

const GOOD: &[u8] = b"GET /good HTTP/1.1\r\nHost: a\r\n\r\n";

/// What hyper takes and RFC 9112 forbids.
const FORGIVEN: [(Violation, &[u8]); 5] = [
    (Violation::BareLf, b"GET /bad HTTP/1.1\nHost: a\n\n"),
    (Violation::TwoFramings, b"POST /bad HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    (Violation::ContentLengthRepeated, b"POST /bad HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n"),
    (Violation::TransferCoding, b"POST /bad HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    (Violation::HostRepeated, b"GET /bad HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
];

/// How a served connection ended.
struct Served {
    paths: Vec<String>,
    /// All that the server wrote.
    written: String,
    verdict: Option<Violation>,
    answer: Option<Violation>,
}

fn on_thread<T>(test: impl Future<Output = T>) -> T {
    let limited = async { timeout(Duration::from_secs(20), test).await.expect("the test hangs") };
    local_runtime().unwrap().block_on(limited)
}

/// Serves `sent` in these pieces by hyper; every request is answered, after `go`, by `answer_size` bytes over a pipe of `pipe` bytes.
async fn serve(sent: &[&[u8]], strict: bool, go: Rc<Notify>, pipe: usize, answer_size: usize) -> Served {
    let (mut client, server) = duplex(pipe);
    let (server, verdict) = Strict::server(server, Limits::default());
    let paths = Rc::new(RefCell::new(Vec::new()));
    let (seen, told) = (paths.clone(), verdict.clone());
    let service = service_fn(move |request: Request<Incoming>| {
        seen.borrow_mut().push(request.uri().path().to_owned());
        let (running, go) = (told.run(), go.clone());
        async move {
            go.notified().await;
            go.notify_one();
            let content = request.into_body().collect().await;
            running.begin();
            content.map(|_| Response::new(Tracked(Full::new(Bytes::from(vec![b'x'; answer_size])), running)))
        }
    });
    let serving = spawn_local(async move {
        let builder = hyper::server::conn::http1::Builder::new();
        if strict {
            let _ = builder.serve_connection(TokioIo::new(server), service).await;
        } else {
            let _ = builder.serve_connection(TokioIo::new(server.into_inner()), service).await;
        }
    });
    for piece in sent {
        // What comes after the refusal may find nobody.
        if client.write_all(piece).await.is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    let mut written = Vec::new();
    if strict {
        client.read_to_end(&mut written).await.unwrap();
    } else {
        read_one(&mut client, &mut written).await;
        drop(client);
    }
    serving.await.unwrap();
    let paths = paths.borrow().clone();
    Served { paths, written: String::from_utf8(written).unwrap(), verdict: verdict.violation(), answer: verdict.answer() }
}

async fn read_one(client: &mut DuplexStream, written: &mut Vec<u8>) {
    while !written.ends_with(b"x") {
        assert_ne!(client.read_buf(written).await.unwrap(), 0, "hyper refused it");
    }
}

fn ready() -> Rc<Notify> {
    let go = Rc::new(Notify::new());
    go.notify_one();
    go
}

/// A response's body that says when it is over.
struct Tracked(Full<Bytes>, #[expect(dead_code, reason = "dropped with the body")] Running);

impl http_body::Body for Tracked {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.0.size_hint()
    }
}

#[test]
fn hyper_alone_takes_what_is_ambiguous() {
    for (violation, bytes) in FORGIVEN {
        let served = on_thread(serve(&[bytes], false, ready(), 4096, 1));
        assert_eq!(served.paths, ["/bad"], "{violation}");
        assert!(served.written.starts_with("HTTP/1.1 200 OK\r\n"), "{violation}: {}", served.written);
    }
}

#[test]
fn a_refused_request_never_reaches_hyper_and_those_before_it_are_answered() {
    for (violation, bytes) in FORGIVEN {
        let together = [GOOD, GOOD, bytes].concat();
        for sent in [vec![&together[..]], vec![GOOD, GOOD, bytes], together.chunks(1).collect()] {
            let served = on_thread(serve(&sent, true, ready(), 4096, 1));
            assert_eq!(served.paths, ["/good", "/good"], "{violation}");
            assert_eq!(served.written.matches("HTTP/1.1 200 OK\r\n").count(), 2, "{violation}: {}", served.written);
            assert_eq!((served.verdict, served.answer), (Some(violation), Some(violation)));
        }
    }
}

#[test]
fn a_running_request_is_answered_before_the_refusal() {
    on_thread(async {
        let go = Rc::new(Notify::new());
        let sent = [GOOD, FORGIVEN[0].1].concat();
        let pieces = [&sent[..]];
        let (served, ()) = tokio::join!(serve(&pieces, true, go.clone(), 4096, 1), async {
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            go.notify_one();
        });
        assert!(served.written.ends_with('x'), "{}", served.written);
        assert_eq!(served.answer, Some(Violation::BareLf));
    });
}

#[test]
fn a_large_answer_to_a_slow_reader_is_whole_before_the_refusal() {
    let sent = [GOOD, FORGIVEN[0].1].concat();
    let served = on_thread(serve(&[&sent], true, ready(), 128, 100_000));
    assert_eq!(served.written.matches('x').count(), 100_000);
    assert_eq!(served.answer, Some(Violation::BareLf));
}

#[test]
fn wrong_content_fails_the_request_at_once() {
    let head: &[u8] = b"POST /good HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n";
    let served = on_thread(serve(&[head, b"1\nx\r\n0\r\n\r\n"], true, ready(), 4096, 1));
    assert_eq!(served.paths, ["/good"]);
    assert!(served.written.is_empty(), "{}", served.written);
    assert_eq!(served.verdict, Some(Violation::BareLf));
}

/// What hyper's client makes of `response`: the status and the content.
async fn ask(response: &[u8], method: Method, strict: bool) -> Result<(u16, Bytes), hyper::Error> {
    let (client, mut server) = duplex(4096);
    let client = Strict::client(client, Limits::default());
    let builder = hyper::client::conn::http1::Builder::new();
    let request = Request::builder().method(method).header("host", "a").body(Empty::<Bytes>::new()).unwrap();
    let mut sender = if strict {
        let (sender, driver) = builder.handshake(TokioIo::new(client)).await?;
        spawn_local(driver);
        sender
    } else {
        let (sender, driver) = builder.handshake(TokioIo::new(client.into_inner())).await?;
        spawn_local(driver);
        sender
    };
    let answering = async {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            server.read_buf(&mut request).await.unwrap();
        }
        server.write_all(response).await.unwrap();
        drop(server);
    };
    let (response, ()) = tokio::join!(sender.send_request(request), answering);
    let response = response?;
    let status = response.status().as_u16();
    Ok((status, response.into_body().collect().await?.to_bytes()))
}

#[test]
fn a_client_is_kept_from_what_hyper_alone_takes() {
    let forgiven: [&[u8]; 3] = [
        b"HTTP/1.1 200 OK\nContent-Length: 1\n\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
    ];
    for response in forgiven {
        on_thread(async {
            assert_eq!(ask(response, Method::GET, false).await.unwrap(), (200, Bytes::from_static(b"x")));
            let refused = ask(response, Method::GET, true).await.unwrap_err();
            let cause = std::error::Error::source(&refused).expect("the stream's error").downcast_ref::<io::Error>().unwrap();
            assert_eq!(cause.kind(), io::ErrorKind::InvalidData);
        });
    }
}

#[test]
fn good_responses_pass() {
    let responses: [(&[u8], Method, &[u8]); 3] = [
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", Method::GET, b"x"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", Method::HEAD, b""),
        (b"HTTP/1.0 200 OK\r\n\r\nrest\n", Method::GET, b"rest\n"),
    ];
    for (response, method, content) in responses {
        assert_eq!(on_thread(ask(response, method, true)).unwrap(), (200, Bytes::from_static(content)));
    }
}
