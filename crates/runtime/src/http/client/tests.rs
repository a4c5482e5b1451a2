//! The pool against a server that counts its connections.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Full};
use tokio::net::TcpListener;

use super::*;
use crate::http::serve::{Peer, ServeSettings, serve};
use crate::shutdown::{Trigger, channel};
use crate::workers::local_runtime;

type Peers = Rc<RefCell<BTreeSet<SocketAddr>>>;

fn on_thread(test: impl Future<Output = ()>) {
    let limited = async { tokio::time::timeout(Duration::from_secs(20), test).await.expect("the test hangs") };
    local_runtime().unwrap().block_on(limited);
}

/// Answers everything with ten kilobytes and remembers who asked.
fn start() -> (Address, Peers, Trigger) {
    let listener = crate::net::listen((Ipv4Addr::LOCALHOST, 0).into(), "listen").unwrap();
    let address = Address::new(listener.local_addr().unwrap()).unwrap();
    let (stop, shutdown) = channel();
    let peers = Peers::default();
    let seen = peers.clone();
    let service = move |_, peer: Peer| {
        seen.borrow_mut().insert(peer.address);
        async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(vec![7; 10_000])))) }
    };
    let settings = ServeSettings { linger: Span::ZERO, ..Default::default() };
    spawn_local(serve(TcpListener::from_std(listener).unwrap(), settings, shutdown, service));
    (address, peers, stop)
}

fn request(method: &str) -> Request<Empty<Bytes>> {
    Request::builder().method(method).uri("/").header("host", "h").body(Empty::new()).unwrap()
}

async fn until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_connection_is_used_again_once_its_response_has_been_read() {
    on_thread(async {
        let (address, peers, _stop) = start();
        let pool = Pool::new(PoolSettings::default(), Clock::system());
        for turn in 0..20 {
            let connection = pool.get(address).await.unwrap();
            assert_eq!(connection.is_reused(), turn > 0);
            let response = connection.send(request("GET")).await.unwrap();
            assert_eq!(pool.idle(), 0, "the body is still to be read");
            assert_eq!(response.into_body().collect().await.unwrap().to_bytes().len(), 10_000);
            assert_eq!(pool.idle(), 1);
        }
        // A response without a body gives its connection back with its head.
        pool.get(address).await.unwrap().send(request("HEAD")).await.unwrap();
        assert_eq!((pool.idle(), peers.borrow().len()), (1, 1));
    });
}

#[test]
fn requests_at_once_use_as_many_connections_and_the_last_used_comes_first() {
    on_thread(async {
        let (address, peers, _stop) = start();
        let pool = Pool::new(PoolSettings { idle_max: 2, ..Default::default() }, Clock::system());
        let three = [(); 3].map(|()| pool.get(address));
        let [first, second, third] = futures::future::join_all(three).await.try_into().unwrap_or_else(|_| panic!("three"));
        for connection in [first, second, third] {
            let response = connection.unwrap().send(request("GET")).await.unwrap();
            response.into_body().collect().await.unwrap();
        }
        assert_eq!((peers.borrow().len(), pool.idle()), (3, 2));
        pool.forget(address);
        assert_eq!(pool.idle(), 0);
    });
}

#[test]
fn a_response_that_is_not_read_to_its_end_closes_its_connection() {
    on_thread(async {
        let (address, peers, _stop) = start();
        let pool = Pool::new(PoolSettings::default(), Clock::system());
        drop(pool.get(address).await.unwrap().send(request("GET")).await.unwrap());
        assert!(pool.take(address).is_none());
        pool.get(address).await.unwrap().send(request("GET")).await.unwrap().into_body().collect().await.unwrap();
        assert_eq!(peers.borrow().len(), 2);
    });
}

#[test]
fn a_connection_idle_too_long_is_not_used_again() {
    on_thread(async {
        let (address, _, _stop) = start();
        let (clock, hand) = Clock::manual(Time::from_nanos(1 << 40));
        let pool = Pool::new(PoolSettings { idle: Span::from_secs(30), ..Default::default() }, clock);
        pool.get(address).await.unwrap().send(request("GET")).await.unwrap().into_body().collect().await.unwrap();
        hand.advance(Span::from_secs(30));
        let connection = pool.take(address).expect("not older than the limit");
        connection.send(request("GET")).await.unwrap().into_body().collect().await.unwrap();
        hand.advance(Span::from_secs(31));
        assert!(pool.take(address).is_none());
    });
}

#[test]
fn a_request_comes_back_when_the_server_had_closed() {
    on_thread(async {
        let (address, _, stop) = start();
        let pool = Pool::new(PoolSettings::default(), Clock::system());
        let unused = pool.connect(address).await.unwrap();
        pool.get(address).await.unwrap().send(request("GET")).await.unwrap().into_body().collect().await.unwrap();
        stop.set();
        until(|| unused.is_closed()).await;
        let error = unused.send(request("POST")).await.err().expect("nobody is there");
        assert_eq!(error.unsent.expect("nothing was written").method(), "POST");
        assert!(!error.reused);
        // The idle one is noticed too, and a new one is refused with the address in the error.
        until(|| pool.take(address).is_none()).await;
        let error = pool.get(address).await.err().expect("nobody listens");
        assert_eq!((error.to_string(), error.cause.kind()), (format!("connect to {address}"), io::ErrorKind::ConnectionRefused));
    });
}
