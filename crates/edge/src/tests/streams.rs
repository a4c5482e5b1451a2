//! Bodies: large, slow, broken off, delimited by close.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, BodyStream, StreamBody};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::mesh::until;
use super::*;
use crate::body::BoxError;

const MIB: usize = 1 << 20;
const PIECE: usize = 64 * 1024;

/// Byte `at` of a body that repeats nowhere near a power of two.
fn byte(at: usize) -> u8 {
    u8::try_from((at * 31 + at / 251) % 251).unwrap()
}

fn piece(number: usize) -> Bytes {
    (number * PIECE..(number + 1) * PIECE).map(byte).collect()
}

#[test]
fn a_body_of_64_mib_passes_intact_both_ways_without_being_buffered() {
    run(async {
        let b1 = PlayedBlock::start("b1", |hop: Hop| async move {
            // As a block does: the body is let go first, then comes the answer.
            let mut body = hop.body;
            let first = body.frame().await.ok_or("no body")??;
            let frames = futures::stream::iter([Ok(first)]).chain(BodyStream::new(body).map(|frame| frame.map_err(Into::into)));
            let (head, _) = answered("b1", "").into_parts();
            Ok(Response::from_parts(head, StreamBody::new(frames).boxed_unsync()))
        })
        .await;
        let mesh = Mesh::start(&[&b1]).await;
        for framing in ["content-length: 67108864", "transfer-encoding: chunked"] {
            let (mut read, mut write) = TcpStream::connect(mesh.edge).await.unwrap().into_split();
            let send = async {
                write.write_all(format!("POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{framing}\r\n\r\n").as_bytes()).await.unwrap();
                for number in 0..64 * MIB / PIECE {
                    if framing.ends_with("chunked") {
                        write.write_all(format!("{PIECE:x}\r\n").as_bytes()).await.unwrap();
                    }
                    write.write_all(&piece(number)).await.unwrap();
                    if framing.ends_with("chunked") {
                        write.write_all(b"\r\n").await.unwrap();
                    }
                }
                if framing.ends_with("chunked") {
                    write.write_all(b"0\r\n\r\n").await.unwrap();
                }
            };
            let receive = async {
                let mut got = Vec::new();
                read.read_to_end(&mut got).await.unwrap();
                got
            };
            let ((), got) = within(async { tokio::join!(send, receive) }).await;
            let head = got.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
            assert!(String::from_utf8_lossy(&got[..head]).contains("transfer-encoding: chunked"));
            let body = unchunked(&got[head..]);
            assert_eq!(body.len(), 64 * MIB);
            assert!(body.iter().enumerate().all(|(at, found)| *found == byte(at)), "bytes differ");
        }
    });
}

fn unchunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let line = bytes.windows(2).position(|two| two == b"\r\n").unwrap();
        let len = usize::from_str_radix(std::str::from_utf8(&bytes[..line]).unwrap(), 16).unwrap();
        body.extend_from_slice(&bytes[line + 2..line + 2 + len]);
        bytes = &bytes[line + 4 + len..];
        if len == 0 {
            return body;
        }
    }
}

#[test]
fn a_client_that_does_not_read_holds_the_block_back() {
    run(async {
        let sent = std::rc::Rc::new(std::cell::Cell::new(0_usize));
        let counted = sent.clone();
        let b1 = PlayedBlock::start("b1", move |_| {
            let counted = counted.clone();
            let pieces = futures::stream::iter(0..64 * MIB / PIECE).map(move |number| {
                counted.set(counted.get() + PIECE);
                Ok::<_, BoxError>(Frame::data(piece(number)))
            });
            async {
                let (mut head, _) = answered("b1", "").into_parts();
                head.headers.remove("content-length");
                Ok(Response::from_parts(head, unsync(StreamBody::new(pieces))))
            }
        })
        .await;
        let mesh = Mesh::start(&[&b1]).await;
        let mut stream = TcpStream::connect(mesh.edge).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut before = usize::MAX;
        while before != sent.get() {
            before = sent.get();
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        assert!(before < 40 * MIB, "{before} bytes are somewhere between a block and a client that reads none");
        let mut got = Vec::new();
        within(stream.read_to_end(&mut got)).await.unwrap();
        assert!(got.len() > 64 * MIB);
    });
}

/// The stream of a test is not `Send`, and need not be: it is boxed behind a channel of its own.
pub(super) fn unsync<S>(body: StreamBody<S>) -> http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError>
where
    S: futures::Stream<Item = Result<Frame<Bytes>, BoxError>> + 'static,
{
    let (sender, receiver) = tokio::sync::mpsc::channel::<Result<Frame<Bytes>, BoxError>>(1);
    tokio::task::spawn_local(async move {
        let mut body = std::pin::pin!(body);
        while let Some(frame) = body.frame().await {
            if sender.send(frame).await.is_err() {
                return;
            }
        }
    });
    let frames = futures::stream::unfold(receiver, |mut receiver| async { receiver.recv().await.map(|frame| (frame, receiver)) });
    StreamBody::new(frames).boxed_unsync()
}

/// A response of `pieces` and then an error.
fn breaking(pieces: Vec<&'static str>, length: Option<usize>) -> block::Reply {
    let (mut head, _) = answered("b1", "").into_parts();
    head.headers.remove("content-length");
    if let Some(length) = length {
        head.headers.insert("content-length", length.into());
    }
    let frames = pieces.into_iter().map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes()))));
    let frames: Vec<Result<_, BoxError>> = frames.chain([Err("breaks off".into())]).collect();
    // Paced, so that what came before the error is on its way when it happens.
    let frames = futures::stream::iter(frames).then(|frame| async move {
        tokio::time::sleep(Duration::from_millis(20)).await;
        frame
    });
    Response::from_parts(head, unsync(StreamBody::new(frames)))
}

#[test]
fn a_response_that_breaks_off_never_looks_whole() {
    run(async {
        for length in [None, Some(100)] {
            let b1 = PlayedBlock::start("b1", move |_| async move { Ok(breaking(vec!["half ", "of it"], length)) }).await;
            let mesh = Mesh::start(&[&b1]).await;
            let (got, end) = mesh.raw(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
            assert!(got.contains("half "), "{got}");
            assert!(!got.ends_with("0\r\n\r\n"), "{got}");
            assert!(end.is_err(), "a clean end: {got}");
            let line = &mesh.logged(1).await[0];
            assert_eq!((line["complete"].as_bool(), line["status"].as_u64()), (Some(false), Some(200)));
        }
    });
}

#[test]
fn a_response_delimited_by_close_stays_one() {
    run(async {
        let b1 = PlayedBlock::start("b1", |_| async {
            let (mut head, _) = answered("b1", "").into_parts();
            head.headers.remove("content-length");
            head.headers.insert("x-dynomesh-framing", "close".parse().unwrap());
            let frames = ["all ", "of it"].map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes()))));
            Ok(Response::from_parts(head, unsync(StreamBody::new(futures::stream::iter(frames)))))
        })
        .await;
        let mesh = Mesh::start(&[&b1]).await;
        let (got, end) = mesh.raw(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        end.unwrap();
        assert!(got.starts_with("HTTP/1.0 200") && got.ends_with("\r\n\r\nall of it"), "{got}");
        assert!(!got.contains("transfer-encoding") && !got.contains("content-length"), "{got}");
    });
}

#[test]
fn one_delimited_by_close_that_breaks_off_is_reset() {
    run(async {
        let b1 = PlayedBlock::start("b1", |_| async {
            let mut response = breaking(vec!["half"], None);
            response.headers_mut().insert("x-dynomesh-framing", "close".parse().unwrap());
            Ok(response)
        })
        .await;
        let mesh = Mesh::start(&[&b1]).await;
        let (got, end) = mesh.raw(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert!(end.is_err(), "a clean end: {got}");
    });
}

#[test]
fn a_stalled_response_is_cut() {
    run(async {
        let b1 = PlayedBlock::start("b1", |_| async {
            let (mut head, _) = answered("b1", "").into_parts();
            head.headers.remove("content-length");
            let first = futures::stream::iter([Ok(Frame::data(Bytes::from_static(b"first")))]);
            Ok(Response::from_parts(head, unsync(StreamBody::new(first.chain(futures::stream::pending())))))
        })
        .await;
        let mesh = Mesh::with(&[&b1], |config| config.limits.idle_stream = dynomesh_core::time::Span::from_millis(100)).await;
        let (got, end) = mesh.raw(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert!(got.contains("first") && end.is_err(), "{got}");
    });
}

#[test]
fn a_slow_client_holds_no_slot() {
    run(async {
        let b1 = PlayedBlock::answering("b1").await;
        let mesh = Mesh::start(&[&b1]).await;
        let mut stream = TcpStream::connect(mesh.edge).await.unwrap();
        stream.write_all(b"POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 4\r\n\r\nab").await.unwrap();
        until(|| mesh.shared.metrics.in_flight.get() == 1).await;
        // Another request passes meanwhile, so the edge has had time to ask a block for the first one too.
        assert_eq!(mesh.get("/").await.status, StatusCode::OK);
        assert_eq!(b1.requests(), 1);
        stream.write_all(b"cd").await.unwrap();
        let mut got = String::new();
        within(stream.read_to_string(&mut got)).await.unwrap();
        assert!(got.starts_with("HTTP/1.1 200"), "{got}");
        assert_eq!(b1.requests(), 2);
    });
}

#[test]
fn the_block_learns_when_a_client_is_gone() {
    run(async {
        struct Gone(std::rc::Rc<std::cell::Cell<bool>>);
        impl Drop for Gone {
            fn drop(&mut self) {
                self.0.set(true);
            }
        }
        let gone = std::rc::Rc::new(std::cell::Cell::new(false));
        let told = gone.clone();
        let b1 = PlayedBlock::start("b1", move |_| {
            let gone = Gone(told.clone());
            async move {
                let _gone = gone;
                std::future::pending().await
            }
        })
        .await;
        let mesh = Mesh::start(&[&b1]).await;
        let mut stream = TcpStream::connect(mesh.edge).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        until(|| b1.requests() == 1).await;
        drop(stream);
        until(|| gone.get()).await;
        let line = &mesh.logged(1).await[0];
        assert_eq!(line["status"].as_u64(), Some(499));
        assert_eq!(mesh.shared.directory.loads.own_total(), 0);
        assert_eq!(mesh.shared.metrics.in_flight.get(), 0);
    });
}

#[test]
fn a_large_upload_moves_on_while_nothing_of_it_was_taken() {
    run(async {
        let b1 = PlayedBlock::start("b1", |_| async { Ok(refused("not-dispatched", "no-dyno")) }).await;
        let b2 = PlayedBlock::start("b2", |hop: Hop| async {
            let body = hop.read().await?;
            Ok(answered("b2", body.len().to_string()))
        })
        .await;
        let mut mesh = Mesh::start(&[&b1, &b2]).await;
        mesh.load("b2", 4, 4);
        let body: Vec<u8> = (0..MIB).map(byte).collect();
        let got = mesh.send(Request::post("/").header("host", "a").body(body.into()).unwrap()).await;
        assert_eq!((&got.body[..], got.header("x-dynomesh-attempts")), (&b"1048576"[..], "2"));
    });
}
