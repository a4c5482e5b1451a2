//! Dynos that speak HTTP/2.

use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use dynomesh_core::app::{DynoProtocol, DynoSpec};
use dynomesh_core::id::{Address, AppName, DynoId};
use futures::stream::{self, StreamExt};
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::*;
use crate::tests::directory::APP;

/// As many as fill the window of a request, and some more.
const SMALL_FRAMES: usize = 60_000;

fn data(text: &'static str) -> Result<Frame<Bytes>, Infallible> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

/// Answers with what it was told, in the body and in a trailer; counts the connections on which it was told anything.
async fn echo(request: Request<Incoming>) -> Result<Response<impl hyper::body::Body<Data = Bytes, Error = Infallible>>, Infallible> {
    let (head, body) = request.into_parts();
    match head.uri.path() {
        "/many" => return Ok(Response::new(StreamBody::new(stream::iter(vec!["small"; SMALL_FRAMES]).map(data).boxed()))),
        "/endless" => {
            let more = |()| async {
                tokio::time::sleep(Span::from_millis(50).to_std()).await;
                Some((data("more"), ()))
            };
            return Ok(Response::new(StreamBody::new(stream::unfold((), more).boxed())));
        }
        _ => {}
    }
    // One that breaks off is worked on for ever.
    let Ok(all) = body.collect().await else { return std::future::pending().await };
    let sum = all.trailers().and_then(|trailers| trailers.get("x-sum")).map_or("none", |sum| sum.to_str().unwrap()).to_owned();
    let te = head.headers.get("te").map_or("", |te| te.to_str().unwrap());
    let told = format!("{} {} {:?} te={te} sum={sum} {:?}", head.method, head.uri, head.version, all.to_bytes());
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    let mut response = Response::builder();
    if head.uri.path().starts_with("/length") {
        response = response.header("content-length", told.len());
    }
    if head.uri.path() == "/length/announced" {
        response = response.header("trailer", "grpc-status");
    }
    let frames = [Frame::data(Bytes::from(told)), Frame::trailers(trailers)].map(Ok::<_, Infallible>);
    Ok(response.body(StreamBody::new(stream::iter(Vec::from(frames)).boxed())).unwrap())
}

fn start() -> (DynoSpec, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = Address::new(listener.local_addr().unwrap()).unwrap();
    listener.set_nonblocking(true).unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let counted = counted.clone();
                tokio::spawn(async move {
                    if stream.peek(&mut [0]).await.is_ok_and(|peeked| peeked > 0) {
                        counted.fetch_add(1, Ordering::SeqCst);
                        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                        let _ = server.serve_connection(TokioIo::new(stream), service_fn(echo)).await;
                    }
                });
            }
        });
    });
    let spec = DynoSpec { id: DynoId::new("d1").unwrap(), app: AppName::new(APP).unwrap(), address, max_conns: 1 };
    (spec, connections)
}

/// A block whose dyno echoes.
fn echoing() -> (Scene, Arc<AtomicUsize>) {
    let (scene, _, connections) = echoing_by(kept());
    (scene, connections)
}

fn echoing_by(policy: Policy) -> (Scene, DynoSpec, Arc<AtomicUsize>) {
    let mut scene = scene(Policy { dyno_protocol: DynoProtocol::Http2, ..policy });
    let (spec, connections) = start();
    let other = DynoSpec { id: DynoId::new("d2").unwrap(), ..spec };
    // In the place of the one that speaks for itself.
    scene.directory.assign_spec(scene.dyno.spec(), None, false, Span::ZERO);
    let epoch = scene.directory.assign_spec(other.clone(), Some("b1"), false, LONG);
    scene.directory.await_owned(epoch, Phase::Active);
    (scene, other, connections)
}

fn ask_of(scene: &Scene, line: &str, more: &str, body: &str) -> String {
    until("it is answered", || {
        let (got, _) = scene.replica.begin(line, more, body).unwrap().finish();
        got.starts_with("HTTP/1.1 200").then_some(got)
    })
}

/// HTTP/1.1 between the tiers has room for one of the two.
#[test]
fn announced_trailers_go_before_a_length_and_others_behind_it_are_left_out() {
    let (scene, _) = echoing();
    let more = "connection: close\r\nte: trailers\r\n";
    let got = ask_of(&scene, "GET /length/announced", more, "");
    assert!(!got.contains("content-length") && got.ends_with("0\r\nx-dynomesh-trailers: grpc-status:0\r\n\r\n"), "{got}");
    let got = ask_of(&scene, "GET /length", more, "");
    assert!(got.contains("content-length: ") && !got.contains("grpc-status") && got.contains("GET http://h/length"), "{got}");
}

#[test]
fn requests_bodies_and_trailers_go_by_http2_over_one_connection_after_the_other() {
    let (scene, connections) = echoing();
    let ask = |line: &str, more: &str, body: &str| ask_of(&scene, line, more, body);
    let got = ask("GET /one?x=1", "connection: close\r\nte: trailers\r\n", "");
    assert!(got.contains("GET http://h/one?x=1 HTTP/2.0 te=trailers sum=none"), "{got}");
    assert!(got.ends_with("0\r\nx-dynomesh-trailers: grpc-status:0\r\n\r\n") && !got.contains("x-dynomesh-framing"), "{got}");
    // An upgrade is an ordinary request there.
    let got = ask("GET /two", "connection: close, upgrade\r\nupgrade: websocket\r\nte: trailers\r\n", "");
    assert!(got.contains("GET http://h/two"), "{got}");
    assert_eq!(connections.load(Ordering::SeqCst), 1);
    let got = ask("GET /many", "connection: close\r\n", "");
    // By a letter that no chunk's size has, since chunks begin anywhere.
    assert_eq!(got.split_once("\r\n\r\n").map(|(_, body)| body.matches('m').count()), Some(SMALL_FRAMES));
    let more = "connection: close\r\nte: trailers\r\ntransfer-encoding: chunked\r\ntrailer: x-dynomesh-trailers\r\n";
    let got = ask("POST /three", more, "2\r\nhi\r\n0\r\nx-dynomesh-trailers: x-sum:7\r\n\r\n");
    assert!(got.contains("POST http://h/three HTTP/2.0 te=trailers sum=7 b\"hi\""), "{got}");
    assert_eq!(connections.load(Ordering::SeqCst), 2, "a request that must not run twice went over a used connection");
    assert_eq!(scene.metric("dyno_connects_total"), 2.0);
}

/// P12. Fails when only one of the tasks is ended that carry the connection.
#[test]
fn a_drain_cuts_a_response_by_http2_at_its_deadline_and_the_dyno_is_released() {
    let (mut scene, spec, _) = echoing_by(kept());
    let mut hop = scene.get("/endless");
    hop.read_until("more");
    scene.directory.assign_spec(spec, None, false, Span::from_millis(200));
    until("it is released, as d1 was", || (scene.metric("dynos_released_total") == 2.0).then_some(()));
    let (got, _) = hop.finish();
    assert!(!got.ends_with("0\r\n\r\n"), "a cut response must not look whole: {got}");
    assert_eq!(scene.metric("drain_cuts_total"), 1.0);
}

/// P13. Nobody saw the dyno end what its client had begun to send.
#[test]
fn a_request_by_http2_whose_body_breaks_off_leaves_its_slot_in_doubt() {
    let (scene, ..) = echoing_by(Policy { serial: Serial::No, ..kept() });
    let hop = scene.replica.begin("POST /upload", "connection: close\r\ncontent-length: 10\r\n", "half").unwrap();
    until("it runs", || (scene.metric("running") == 1.0).then_some(()));
    drop(hop);
    until("its slot is in doubt", || (scene.metric("slots_orphaned") == 1.0).then_some(()));
}
