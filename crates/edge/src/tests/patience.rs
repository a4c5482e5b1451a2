//! Clients that stand still while they send, or do not read what they asked for.

use std::cell::Cell;
use std::rc::Rc;

use bytes::Bytes;
use dynomesh_core::time::Span;
use futures::StreamExt;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::BodyExt;
use http_body_util::StreamBody;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::http2::{Told, endless};
use super::mesh::until;
use super::streams::unsync;
use super::*;

const HALF: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf";

fn impatient(replay_buffer: usize) -> impl FnOnce(&mut crate::Config) {
    move |config| {
        config.limits.body_idle = Span::from_millis(150);
        config.limits.replay_buffer = replay_buffer;
    }
}

#[test]
fn a_client_that_stands_still_while_it_sends_is_answered_408() {
    run(async {
        let b1 = PlayedBlock::start("b1", |hop: Hop| async { Ok(answered("b1", hop.read().await?)) }).await;
        // Gathered, and streamed.
        for replay_buffer in [1024, 1] {
            let mesh = Mesh::with(&[&b1], impatient(replay_buffer)).await;
            let before = b1.requests();
            let (got, _) = mesh.raw(HALF).await;
            assert!(got.starts_with("HTTP/1.1 408 ") && got.contains("x-dynomesh-error: body-late"), "{got}");
            let request = Request::post("http://a/").body(endless("half")).unwrap();
            let (got, _) = mesh.http2().await.send(request).await;
            assert_eq!((got.status.as_u16(), got.header("x-dynomesh-error"), got.header("connection")), (408, "body-late", ""));
            assert_eq!(b1.requests() - before, if replay_buffer == 1 { 2 } else { 0 });
            let line = mesh.logged(2).await.remove(1);
            assert_eq!((line["status"].as_u64(), line["bytes_up"].as_u64()), (Some(408), Some(4)));
            assert_eq!(mesh.shared.directory.loads.own_total(), 0);
        }
    });
}

#[test]
fn a_slow_client_that_goes_on_is_waited_for() {
    run(async {
        let b1 = PlayedBlock::start("b1", |hop: Hop| async { Ok(answered("b1", hop.read().await?)) }).await;
        let mesh = Mesh::with(&[&b1], impatient(1)).await;
        let mut stream = TcpStream::connect(mesh.edge).await.unwrap();
        stream.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 6\r\n\r\n").await.unwrap();
        for byte in b"patien" {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            stream.write_all(&[*byte]).await.unwrap();
        }
        let mut got = String::new();
        within(stream.read_to_string(&mut got)).await.unwrap();
        assert!(got.starts_with("HTTP/1.1 200 ") && got.ends_with("patien"), "{got}");
    });
}

#[test]
fn an_answer_that_its_client_does_not_read_is_given_up_and_the_connection_goes_on() {
    run(async {
        let gone = Rc::new(Cell::new(false));
        let told = gone.clone();
        let b1 = PlayedBlock::start("b1", move |hop: Hop| {
            let told = Told(told.clone());
            async move {
                if hop.path == "/short" {
                    return Ok(answered("b1", "short"));
                }
                let (mut head, _) = answered("b1", "").into_parts();
                head.headers.remove("content-length");
                let pieces = futures::stream::repeat_with(move || {
                    let _told = &told;
                    Ok(Frame::data(Bytes::from(vec![b'x'; 64 * 1024])))
                });
                Ok(Response::from_parts(head, unsync(StreamBody::new(pieces))))
            }
        })
        .await;
        let mesh = Mesh::with(&[&b1], |config| config.limits.idle_stream = Span::from_millis(300)).await;
        let mut client = mesh.http2().await;
        let unread = client.begin(Request::get("http://a/").body(empty()).unwrap()).await.unwrap();
        until(|| gone.get()).await;
        until(|| mesh.shared.directory.loads.own_total() == 0).await;
        let (got, _) = client.send(Request::get("http://a/short").body(empty()).unwrap()).await;
        assert_eq!(&got.body[..], b"short");
        assert!(within(unread.into_body().collect()).await.is_err(), "what is left ends with a reset");
        until(|| mesh.shared.metrics.in_flight.get() == 0).await;
    });
}

#[test]
fn an_answer_that_is_read_slowly_is_not_given_up() {
    run(async {
        let b1 = PlayedBlock::start("b1", |_| async {
            let (mut head, _) = answered("b1", "").into_parts();
            head.headers.remove("content-length");
            let pieces = futures::stream::iter(0..8).then(|_| async {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                Ok(Frame::data(Bytes::from("piece ")))
            });
            Ok(Response::from_parts(head, unsync(StreamBody::new(pieces))))
        })
        .await;
        let mesh = Mesh::with(&[&b1], |config| config.limits.idle_stream = Span::from_millis(400)).await;
        let (got, _) = mesh.http2().await.send(Request::get("http://a/").body(empty()).unwrap()).await;
        assert_eq!(got.body.len(), 48, "eight pieces over twice the limit");
    });
}
