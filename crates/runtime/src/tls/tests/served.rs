//! TLS as part of a listener: limits of time, both versions of HTTP, and clients that do not get far.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use dynomesh_core::time::Span;
use http::{Request, Response, Version};
use http_body_util::{BodyExt, Empty, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep};

use super::kit::{Authority, run, server};
use crate::http::serve::{Http2Settings, Peer, ServeSettings, serve};
use crate::shutdown::{Trigger, channel};
use crate::tls::ServerTls;

const HEAD_TIMEOUT: Span = Span::from_millis(300);

/// Answers with what the service knows of the connection.
fn start(tls: &ServerTls) -> (SocketAddr, Trigger) {
    let listener = crate::net::listen((Ipv4Addr::LOCALHOST, 0).into(), "listen").unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, shutdown) = channel();
    let settings = ServeSettings {
        tls: Some(tls.clone()),
        http2: Some(Http2Settings::default()),
        head_timeout: HEAD_TIMEOUT,
        linger: Span::ZERO,
        ..ServeSettings::default()
    };
    let service = |request: Request<_>, peer: Peer| async move {
        let text = format!("{:?} tls={}", request.version(), peer.is_tls);
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(text))))
    };
    spawn_local(serve(TcpListener::from_std(listener).unwrap(), settings, shutdown, service));
    (address, stop)
}

#[test]
fn requests_are_served_over_both_versions() {
    run(async {
        let authority = Authority::new();
        let (address, _stop) = start(&server(&authority.section()));
        let request = |uri: &str| Request::get(uri).header("host", "localhost").body(Empty::<Bytes>::new()).unwrap();
        let mut client = authority.client();

        client.alpn = vec![b"http/1.1".to_vec()];
        let stream = TokioIo::new(client.connect(address).await.unwrap());
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
        spawn_local(connection);
        let answer = sender.send_request(request("/")).await.unwrap().into_body().collect().await.unwrap();
        assert_eq!(answer.to_bytes(), "HTTP/1.1 tls=true");

        client.alpn = vec![b"h2".to_vec()];
        let stream = TokioIo::new(client.connect(address).await.unwrap());
        let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        spawn_local(connection);
        let answer = sender.send_request(request("https://localhost/")).await.unwrap();
        assert_eq!(answer.version(), Version::HTTP_2);
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "HTTP/2.0 tls=true");
    });
}

/// How long the server bears with a connection that sends this and no more.
async fn borne(address: SocketAddr, sent: &[u8]) -> Duration {
    let began = Instant::now();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(sent).await.unwrap();
    let mut answer = Vec::new();
    // A reset ends it as well as an orderly close.
    let _ = stream.read_to_end(&mut answer).await;
    began.elapsed()
}

#[test]
fn who_says_nothing_or_stops_half_way_is_cut_and_counted() {
    run(async {
        let authority = Authority::new();
        let tls = server(&authority.section());
        let (address, _stop) = start(&tls);
        let hello = hello(&authority).await;
        let failed = tls.0.counts.handshake_failures.get();
        for sent in [&[][..], &hello[..3], &hello[..hello.len() / 2], &hello] {
            let borne = borne(address, sent).await;
            let limit = HEAD_TIMEOUT.to_std();
            assert!((limit * 8 / 10..limit * 5).contains(&borne), "after {} bytes it was borne for {borne:?}", sent.len());
        }
        assert_eq!(tls.0.counts.handshake_failures.get() - failed, 4);

        // After the handshake the time for a head goes on.
        let began = Instant::now();
        let mut silent = authority.client().connect(address).await.unwrap();
        assert!(silent.read_u8().await.is_err());
        assert!(began.elapsed() < HEAD_TIMEOUT.to_std() * 5);
    });
}

/// The first bytes of a real client.
async fn hello(authority: &Authority) -> Vec<u8> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let (client, address) = (authority.client(), listener.local_addr().unwrap());
    let connecting = spawn_local(async move { drop(client.connect(address).await) });
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut hello = Vec::with_capacity(4096);
    while hello.len() < 5 || hello.len() < 5 + usize::from(hello[3]) * 256 + usize::from(hello[4]) {
        assert_ne!(stream.read_buf(&mut hello).await.unwrap(), 0);
    }
    connecting.abort();
    hello
}

#[test]
fn nonsense_is_answered_by_an_alert_and_harms_nobody() {
    run(async {
        let authority = Authority::new();
        let tls = server(&authority.section());
        let (address, _stop) = start(&tls);
        let mut plain = TcpStream::connect(address).await.unwrap();
        plain.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        plain.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer.first(), Some(&0x15), "an alert");
        while tls.0.counts.handshake_failures.get() == 0 {
            sleep(Duration::from_millis(1)).await;
        }
        authority.client().connect(address).await.unwrap();
    });
}
