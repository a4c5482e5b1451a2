//! Trailers, which go packed between edge and block.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;
use dynomesh_runtime::http::trailers::{announce, pack, unpack};
use futures::StreamExt;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};

use super::*;
use crate::body::BoxError;

fn map(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect()
}

fn body(data: &'static str, trailers: HeaderMap) -> UnsyncBoxBody<Bytes, BoxError> {
    let frames = [Frame::data(Bytes::from(data)), Frame::trailers(trailers)].map(Ok);
    StreamBody::new(futures::stream::iter(frames)).boxed_unsync()
}

/// A block whose dyno speaks gRPC, and the trailers of the requests it gets.
async fn grpc() -> (PlayedBlock, Rc<RefCell<Vec<HeaderMap>>>) {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let noted = seen.clone();
    let block = PlayedBlock::start("b1", move |hop: Hop| {
        let noted = noted.clone();
        async move {
            assert_eq!(hop.header("te"), Some("trailers"));
            if hop.path == "/refused" {
                let (mut head, body) = answered("b1", "").into_parts();
                head.headers.insert("grpc-status", "5".parse().unwrap());
                return Ok(Response::from_parts(head, body));
            }
            let asked = hop.body.collect().await?;
            let trailers = asked.trailers().cloned().map(|packed| unpack(Frame::<()>::trailers(packed)).into_trailers().unwrap());
            noted.borrow_mut().push(trailers.unwrap_or_default());
            let (mut head, _) = answered("b1", "").into_parts();
            head.headers.remove("content-length");
            if hop.path == "/announced" {
                head.headers.insert("trailer", "grpc-status".parse().unwrap());
            }
            announce(&mut head.headers);
            let trailers = map(&[("grpc-status", "0"), ("grpc-message", "50% & more"), ("x-dynomesh-verdict", "over")]);
            let frames = BodyExt::map_frame(body("answer", trailers), pack);
            Ok(Response::from_parts(head, frames.boxed_unsync()))
        }
    })
    .await;
    (block, seen)
}

#[test]
fn http2_clients_and_their_dynos_exchange_trailers() {
    run(async {
        let (b1, seen) = grpc().await;
        let mesh = Mesh::start(&[&b1]).await;
        let mut client = mesh.http2().await;
        let request = Request::post("http://a/call").header("content-type", "application/grpc").header("te", "trailers");
        let sent = map(&[("x-sum", "1"), ("x-dynomesh-verdict", "answered")]);
        let (got, trailers) = client.send(request.body(body("call", sent)).unwrap()).await;
        assert_eq!((&got.body[..], got.header("trailer")), (&b"answer"[..], ""));
        assert_eq!(trailers.unwrap(), map(&[("grpc-status", "0"), ("grpc-message", "50% & more")]));
        assert_eq!(seen.borrow_mut().remove(0), map(&[("x-sum", "1")]));
    });
}

#[test]
fn an_answer_of_a_head_alone_ends_its_stream_with_it() {
    run(async {
        let (b1, _) = grpc().await;
        let mesh = Mesh::start(&[&b1]).await;
        let got = mesh.http2().await.begin(Request::post("http://a/refused").body(full("call")).unwrap()).await.unwrap();
        assert_eq!(got.headers()["grpc-status"], "5");
        assert!(http_body::Body::is_end_stream(got.body()), "gRPC takes a status in the head only where nothing follows");
    });
}

#[test]
fn http1_clients_get_trailers_that_were_announced_and_asked_for() {
    run(async {
        let (b1, seen) = grpc().await;
        let mesh = Mesh::start(&[&b1]).await;
        for (path, te, told) in [("/announced", "TE: trailers\r\n", true), ("/announced", "", false), ("/", "TE: trailers\r\n", false)] {
            let head = format!(
                "POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close, TE\r\n{te}Trailer: x-sum\r\nTransfer-Encoding: chunked\r\n\r\n"
            );
            let (got, end) = mesh.raw(format!("{head}4\r\ncall\r\n0\r\nx-sum: 1\r\n\r\n").as_bytes()).await;
            end.unwrap();
            assert_eq!(got.ends_with("0\r\ngrpc-status: 0\r\n\r\n"), told, "{got}");
            assert!(got.contains("6\r\nanswer\r\n0\r\n") && !got.contains("x-dynomesh-trailers"), "{got}");
            assert_eq!(seen.borrow_mut().remove(0), map(&[("x-sum", "1")]));
        }
    });
}

#[test]
fn trailers_of_a_body_that_is_streamed_pass_too() {
    run(async {
        let (b1, seen) = grpc().await;
        let mesh = Mesh::with(&[&b1], |config| config.limits.replay_buffer = 1).await;
        let pieces = futures::stream::iter([Frame::data(Bytes::from("one")), Frame::data(Bytes::from("two"))]);
        let frames = pieces.chain(futures::stream::iter([Frame::trailers(map(&[("x-sum", "2")]))])).map(Ok::<_, BoxError>);
        let request = Request::post("http://a/call").body(StreamBody::new(frames).boxed_unsync()).unwrap();
        assert_eq!(mesh.http2().await.send(request).await.0.status.as_u16(), 200);
        assert_eq!(seen.borrow_mut().remove(0), map(&[("x-sum", "2")]));
    });
}

#[test]
fn the_sides_of_a_call_may_talk_by_turns_whoever_begins() {
    run(async {
        let b1 = PlayedBlock::start("b1", |hop: Hop| async move {
            let begins = hop.path == "/greets";
            assert!(!begins || hop.header("expect").is_none(), "the dyno must have the head before any of the body");
            let (mut head, _) = answered("b1", "").into_parts();
            head.headers.remove("content-length");
            let greeting = begins.then(|| Ok(Frame::data(Bytes::from("hello"))));
            let heard = http_body_util::BodyStream::new(hop.body).map(|frame| frame.map_err(Into::into));
            let frames = futures::stream::iter(greeting).chain(heard);
            Ok(Response::from_parts(head, StreamBody::new(frames).boxed_unsync()))
        })
        .await;
        let mesh = Mesh::with(&[&b1], |config| config.limits.body_idle = dynomesh_core::time::Span::from_millis(50)).await;
        for dyno_begins in [true, false] {
            let (say, said) = tokio::sync::mpsc::channel::<&str>(4);
            let frames = futures::stream::unfold(said, |mut said| async {
                said.recv().await.map(|word| (Ok::<_, BoxError>(Frame::data(Bytes::from(word))), said))
            });
            let request = Request::post(if dyno_begins { "http://a/greets" } else { "http://a/listens" });
            let request = request.header("content-type", "application/grpc+proto");
            if !dyno_begins {
                say.send("hello").await.unwrap();
            }
            let answer = mesh.http2().await.begin(request.body(StreamBody::new(frames).boxed_unsync()).unwrap()).await.unwrap();
            let mut body = answer.into_body();
            let mut heard = async || within(body.frame()).await.unwrap().unwrap().into_data().unwrap();
            assert_eq!(heard().await, "hello");
            // Longer than a client that only sends may be silent.
            tokio::time::sleep(std::time::Duration::from_millis(150)).await;
            say.send("and you?").await.unwrap();
            assert_eq!(heard().await, "and you?");
            drop(say);
            assert_eq!(within(body.collect()).await.unwrap().to_bytes(), "");
        }
    });
}
