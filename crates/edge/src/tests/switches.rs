//! WebSocket through the edge. What is carried is not looked at, so plain bytes stand for its frames.

use std::cell::RefCell;
use std::rc::Rc;

use http::{HeaderMap, Request, StatusCode};
use hyper::ext::Protocol;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::spawn_local;

use super::mesh::until;
use super::*;

const ASKS: &str = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key: k\r\n\r\n";

/// A block whose dyno says what it hears until that has ended, then `bye`; and the heads it got.
async fn echoing() -> (PlayedBlock, Rc<RefCell<Vec<HeaderMap>>>) {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let noted = seen.clone();
    let block = PlayedBlock::start("b1", move |hop: Hop| {
        noted.borrow_mut().push(hop.headers.clone());
        async move {
            if hop.path != "/chat" {
                return Ok(answered("b1", "no chat"));
            }
            let tunnel = hop.peer.take_over();
            spawn_local(async move {
                let mut tunnel = tunnel.await.unwrap();
                let mut heard = [0; 1024];
                while let Ok(length @ 1..) = tunnel.read(&mut heard).await {
                    tunnel.write_all(&heard[..length]).await.unwrap();
                }
                let _ = tunnel.write_all(b"bye").await;
                let _ = tunnel.shutdown().await;
            });
            let mut reply = answered("b1", "");
            *reply.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            reply.headers_mut().remove("content-length");
            for (name, value) in [("connection", "upgrade"), ("upgrade", "websocket"), ("sec-websocket-accept", "yes")] {
                reply.headers_mut().insert(name, value.parse().unwrap());
            }
            Ok(reply)
        }
    })
    .await;
    (block, seen)
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(within(stream.read_u8()).await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

#[test]
fn a_websocket_is_carried_until_both_sides_have_ended() {
    run(async {
        let (b1, seen) = echoing().await;
        let mesh = Mesh::start(&[&b1]).await;
        let mut stream = TcpStream::connect(mesh.edge).await.unwrap();
        // The first words come with the request.
        stream.write_all(format!("{ASKS}one ").as_bytes()).await.unwrap();
        let head = read_head(&mut stream).await;
        assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("x-dynomesh-block: b1\r\n"), "{head}");
        for line in ["connection: upgrade\r\n", "upgrade: websocket\r\n", "sec-websocket-accept: yes\r\n"] {
            assert!(head.contains(line), "{line} is missing in {head}");
        }
        let headers = seen.borrow_mut().remove(0);
        assert_eq!((&headers["connection"], &headers["upgrade"]), (&"upgrade".parse().unwrap(), &"websocket".parse().unwrap()));
        assert_eq!(headers["sec-websocket-key"], "k");
        assert_eq!((mesh.shared.metrics.in_flight.get(), mesh.shared.directory.loads.own_total()), (1, 1), "it counts for its life");
        stream.write_all(b"two").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut heard = String::new();
        within(stream.read_to_string(&mut heard)).await.unwrap();
        assert_eq!(heard, "one twobye");
        let line = mesh.logged(1).await.remove(0);
        assert_eq!((line["status"].as_u64(), line["complete"].as_bool()), (Some(101), Some(true)));
        assert_eq!((line["bytes_up"].as_u64(), line["bytes"].as_u64()), (Some(7), Some(10)));
        assert_eq!((mesh.shared.metrics.in_flight.get(), mesh.shared.directory.loads.own_total()), (0, 0));
    });
}

#[test]
fn a_websocket_of_http2_is_a_stream() {
    run(async {
        let (b1, seen) = echoing().await;
        let mesh = Mesh::start(&[&b1]).await;
        let mut client = mesh.http2().await;
        // Extended CONNECT is for who has seen that the server knows it.
        assert_eq!(&client.send(Request::get("http://a/").body(empty()).unwrap()).await.0.body[..], b"no chat");
        let connect = |path: &str, protocol| {
            let request = Request::connect(format!("http://a{path}")).extension(Protocol::from_static(protocol));
            request.header("sec-websocket-version", "13").body(empty()).unwrap()
        };
        let mut answer = client.begin(connect("/chat", "websocket")).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        for gone in ["sec-websocket-accept", "connection", "upgrade"] {
            assert!(!answer.headers().contains_key(gone), "{gone}");
        }
        let headers = seen.borrow_mut().remove(1);
        assert_eq!((&headers["upgrade"], headers["sec-websocket-key"].len()), (&"websocket".parse().unwrap(), 24));
        let mut stream = TokioIo::new(within(hyper::upgrade::on(&mut answer)).await.unwrap());
        stream.write_all(b"words").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut heard = String::new();
        within(stream.read_to_string(&mut heard)).await.unwrap();
        assert_eq!(heard, "wordsbye");
        let line = mesh.logged(2).await.remove(1);
        assert_eq!(line["protocol"], "HTTP/2.0");
        assert_eq!((line["method"].as_str(), line["complete"].as_bool()), (Some("CONNECT"), Some(true)));

        let (got, _) = client.send(connect("/", "websocket")).await;
        assert_eq!((got.status.as_u16(), got.header("x-dynomesh-error")), (502, "dyno-failed"), "a 200 would be a switch");
        let (got, _) = client.send(connect("/chat", "connect-udp")).await;
        assert_eq!((got.status.as_u16(), got.header("x-dynomesh-error")), (501, "unsupported"));
    });
}

#[test]
fn no_other_protocol_is_switched_to() {
    run(async {
        let (b1, seen) = echoing().await;
        let mesh = Mesh::start(&[&b1]).await;
        let ask = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n";
        let mut stream = TcpStream::connect(mesh.edge).await.unwrap();
        stream.write_all(ask.as_bytes()).await.unwrap();
        assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 200 "));
        let headers = seen.borrow_mut().remove(0);
        assert!(["connection", "upgrade", "http2-settings"].iter().all(|name| !headers.contains_key(*name)), "{headers:?}");
        // Nobody asked for this one.
        let got = mesh.get("/chat").await;
        assert_eq!((got.status.as_u16(), got.header("x-dynomesh-error")), (502, "dyno-failed"));
        until(|| mesh.shared.metrics.in_flight.get() == 0).await;
    });
}

#[test]
fn a_tunnel_whose_client_is_gone_or_silent_ends() {
    run(async {
        let (b1, _) = echoing().await;
        let mesh = Mesh::with(&[&b1], |config| config.limits.idle_stream = dynomesh_core::time::Span::from_millis(300)).await;
        for gone in [true, false] {
            let mut stream = TcpStream::connect(mesh.edge).await.unwrap();
            stream.write_all(ASKS.as_bytes()).await.unwrap();
            read_head(&mut stream).await;
            assert_eq!(mesh.shared.metrics.in_flight.get(), 1);
            if gone {
                stream.set_zero_linger().unwrap();
                drop(stream);
            } else {
                let mut rest = Vec::new();
                let _ = within(stream.read_to_end(&mut rest)).await;
                assert_eq!(rest, b"");
            }
            until(|| mesh.shared.metrics.in_flight.get() == 0).await;
        }
        assert_eq!(mesh.logged(2).await.iter().filter(|line| line["complete"] == false).count(), 2);
    });
}
