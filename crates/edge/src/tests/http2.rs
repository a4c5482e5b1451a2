//! Clients that speak HTTP/2, before blocks that speak HTTP/1.1.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use http::{HeaderMap, Request, Response, Version};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};

use super::mesh::until;
use super::streams::unsync;
use super::*;
use crate::body::BoxError;

/// A block that answers `b1` and notes the heads and bodies it gets.
async fn noting() -> (PlayedBlock, Rc<RefCell<Vec<(String, HeaderMap, Bytes)>>>) {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let noted = seen.clone();
    let block = PlayedBlock::start("b1", move |hop: Hop| {
        let noted = noted.clone();
        async move {
            let (target, headers) = (format!("{} {}", hop.method, hop.path), hop.headers.clone());
            let body = hop.read().await?;
            noted.borrow_mut().push((target, headers, body));
            Ok(answered("b1", "b1"))
        }
    })
    .await;
    (block, seen)
}

/// A body of unknown length that never ends after `piece`.
pub(super) fn endless(piece: &'static str) -> http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError> {
    let first = futures::stream::iter([Ok(Frame::data(Bytes::from(piece)))]);
    StreamBody::new(first.chain(futures::stream::pending())).boxed_unsync()
}

#[test]
fn a_request_passes_as_http1_and_its_answer_as_http2() {
    run(async {
        let (b1, seen) = noting().await;
        let mesh = Mesh::start(&[&b1]).await;
        let mut client = mesh.http2().await;
        let request = Request::get("http://shop.example/x?y=1").header("cookie", "a=1").header("cookie", "b=2").header("te", "trailers");
        let (got, _) = client.send(request.body(empty()).unwrap()).await;
        assert_eq!((got.status.as_u16(), &got.body[..], got.header("x-dynomesh-block")), (200, &b"b1"[..], "b1"));
        let (target, headers, _) = seen.borrow_mut().remove(0);
        assert_eq!(target, "GET /x?y=1");
        assert_eq!((&headers["host"], &headers["cookie"]), (&"shop.example".parse().unwrap(), &"a=1; b=2".parse().unwrap()));
        assert!(!headers.contains_key("transfer-encoding") && !headers.contains_key("content-length"), "{headers:?}");
        let got = client.begin(Request::get("http://a/").body(empty()).unwrap()).await.unwrap();
        assert_eq!(got.version(), Version::HTTP_2);
        assert_eq!(mesh.shared.metrics.connects.get(), 1, "both went over one connection to the block");
    });
}

#[test]
fn bodies_are_framed_for_the_block_as_they_came() {
    run(async {
        let (b1, seen) = noting().await;
        let mesh = Mesh::start(&[&b1]).await;
        let mut client = mesh.http2().await;
        let unsized_body = |text: &'static str| {
            let frames = futures::stream::iter([Ok::<_, BoxError>(Frame::data(Bytes::from(text)))]);
            StreamBody::new(frames).boxed_unsync()
        };
        for (body, length) in [(full("order"), "5"), (unsized_body("order"), "chunked"), (unsized_body(""), "none"), (empty(), "0")] {
            client.send(Request::post("http://a/").body(body).unwrap()).await;
            let (_, headers, body) = seen.borrow_mut().remove(0);
            assert_eq!(headers["x-dynomesh-length"], length);
            assert_eq!(&body[..], if ["none", "0"].contains(&length) { &b""[..] } else { &b"order"[..] });
        }
    });
}

#[test]
fn what_no_server_could_mean_is_refused() {
    run(async {
        let (b1, _) = noting().await;
        let mesh = Mesh::start(&[&b1]).await;
        let mut client = mesh.http2().await;
        for (request, code) in [
            (Request::get("http://a/").header("host", "b"), "bad-host"),
            (Request::get("http://user@a/"), "bad-host"),
            (Request::connect("a:80"), "unsupported"),
        ] {
            let (got, _) = client.send(request.body(empty()).unwrap()).await;
            assert_eq!(got.header("x-dynomesh-error"), code);
        }
        assert_eq!(b1.requests(), 0);
    });
}

/// Answers with this framing header taken out, and a body that then breaks off or ends.
fn answering(breaks: bool) -> block::Reply {
    let (mut head, _) = answered("b1", "").into_parts();
    head.headers.remove("content-length");
    head.headers.insert("x-dynomesh-framing", "close".parse().unwrap());
    let end = breaks.then(|| Err::<Frame<Bytes>, BoxError>("breaks off".into()));
    let frames = [Ok(Frame::data(Bytes::from("half")))].into_iter().chain(end);
    let paced = futures::stream::iter(frames.collect::<Vec<_>>()).then(|frame| async move {
        tokio::time::sleep(Duration::from_millis(20)).await;
        frame
    });
    Response::from_parts(head, StreamBody::new(paced).boxed_unsync())
}

#[test]
fn an_answer_delimited_by_close_ends_its_stream_and_one_that_breaks_off_is_reset() {
    run(async {
        let b1 = PlayedBlock::start("b1", |hop: Hop| async move { Ok(answering(hop.path == "/breaks")) }).await;
        let mesh = Mesh::start(&[&b1]).await;
        let mut client = mesh.http2().await;
        let (got, _) = client.send(Request::get("http://a/").body(empty()).unwrap()).await;
        assert_eq!((&got.body[..], got.header("connection")), (&b"half"[..], ""));
        let broken = client.begin(Request::get("http://a/breaks").body(empty()).unwrap()).await.unwrap();
        assert!(within(broken.into_body().collect()).await.is_err(), "a clean end");
        let (again, _) = client.send(Request::get("http://a/").body(empty()).unwrap()).await;
        assert_eq!(again.status.as_u16(), 200, "the connection goes on");
    });
}

/// Says when it is dropped.
pub(super) struct Told(pub(super) Rc<std::cell::Cell<bool>>);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

#[test]
fn a_stream_that_its_client_resets_frees_what_it_held() {
    run(async {
        for path in ["/queued", "/streaming", "/uploading"] {
            let gone = Rc::new(std::cell::Cell::new(false));
            let told = gone.clone();
            let b1 = PlayedBlock::start("b1", move |hop: Hop| {
                let told = Told(told.clone());
                async move {
                    let mut body = hop.body;
                    match hop.path.as_str() {
                        "/queued" => std::future::pending().await,
                        "/streaming" => {
                            let (mut head, _) = answered("b1", "").into_parts();
                            head.headers.remove("content-length");
                            let first = futures::stream::iter([Ok(Frame::data(Bytes::from("first")))]);
                            let rest = futures::stream::unfold(told, |told| async {
                                tokio::time::sleep(Duration::from_millis(10)).await;
                                Some((Ok(Frame::data(Bytes::from("more"))), told))
                            });
                            Ok(Response::from_parts(head, unsync(StreamBody::new(first.chain(rest)))))
                        }
                        _ => loop {
                            let _told = &told;
                            body.frame().await.ok_or("ended")??;
                        },
                    }
                }
            })
            .await;
            let mesh = Mesh::with(&[&b1], |config| config.limits.replay_buffer = 1).await;
            let mut client = mesh.http2().await;
            let body = if path == "/uploading" { endless("first") } else { empty() };
            // A played block learns of the end of a request at once only if it waits for nothing of its body.
            let method = if path == "/uploading" { "POST" } else { "GET" };
            let request = Request::builder().method(method).uri(format!("http://a{path}")).body(body).unwrap();
            let mut other = client.clone();
            if path == "/streaming" {
                let mut body = client.begin(request).await.unwrap().into_body();
                assert_eq!(within(body.frame()).await.unwrap().unwrap().into_data().unwrap(), "first");
                drop(body);
            } else {
                let asking = tokio::task::spawn_local(async move { client.begin(request).await });
                until(|| b1.requests() == 1).await;
                asking.abort();
            }
            until(|| gone.get()).await;
            until(|| mesh.shared.metrics.in_flight.get() == 0).await;
            assert_eq!(mesh.shared.directory.loads.own_total(), 0, "{path}");
            let (got, _) = other.send(Request::connect("a:80").body(empty()).unwrap()).await;
            assert_eq!(got.status.as_u16(), 501, "the connection goes on");
        }
    });
}
