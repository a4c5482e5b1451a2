//! Clients that wait for the dyno's word before they send their bodies.

use std::rc::Rc;

use dynomesh_core::dispatch::BlockChoice;
use dynomesh_core::time::Span;
use http::{Request, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::mesh::until;
use super::*;

const HEAD: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";

/// A block that asks for the body when it is told to.
async fn asking() -> (PlayedBlock, Rc<Notify>) {
    let go = Rc::new(Notify::new());
    let gone = go.clone();
    let block = PlayedBlock::start("b1", move |hop: Hop| {
        let gone = gone.clone();
        async move {
            let words = ["expect", "x-dynomesh-expects", "x-dynomesh-length"].map(|name| hop.header(name).map(str::to_owned));
            assert_eq!(words.map(Option::unwrap), ["100-continue", "1", "5"]);
            gone.notified().await;
            let body = hop.read().await?;
            Ok(answered("b1", body))
        }
    })
    .await;
    (block, go)
}

#[test]
fn a_client_is_asked_for_its_body_when_the_block_asks() {
    run(async {
        let (b1, go) = asking().await;
        let mesh = Mesh::start(&[&b1]).await;
        let mut stream = TcpStream::connect(mesh.edge).await.unwrap();
        stream.write_all(HEAD).await.unwrap();
        until(|| b1.requests() == 1).await;
        // Another request there and back: whatever the edge had to say is here.
        let _ = mesh.raw(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n").await;
        assert!(stream.try_read(&mut [0; 64]).is_err(), "nobody has asked for it");
        go.notify_one();
        let mut asked = [0; 25];
        within(stream.read_exact(&mut asked)).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&asked), "HTTP/1.1 100 Continue\r\n\r\n");
        stream.write_all(b"order").await.unwrap();
        let mut got = String::new();
        within(stream.read_to_string(&mut got)).await.unwrap();
        assert!(got.starts_with("HTTP/1.1 200 ") && got.ends_with("\r\n\r\norder"), "{got}");
    });
}

/// Wakes who waits when the request of which it is a part is given up.
struct Gone(Rc<Notify>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// Fails when such a client is bounded only by what the dyno is waited for, whose slot it would hold as long.
#[test]
fn a_client_that_was_asked_and_falls_silent_is_told_so_and_the_block_let_go() {
    for begun in ["", "or"] {
        run(async {
            let gone = Rc::new(Notify::new());
            let left = gone.clone();
            let b1 = PlayedBlock::start("b1", move |hop: Hop| {
                let gone = Gone(left.clone());
                async move {
                    let body = hop.read().await?;
                    drop(gone);
                    Ok(answered("b1", body))
                }
            })
            .await;
            let mesh = Mesh::with(&[&b1], |config| config.limits.body_idle = Span::from_millis(200)).await;
            let (got, _) = mesh.raw(&[HEAD, begun.as_bytes()].concat()).await;
            assert!(got.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 408 "), "{got}");
            assert!(got.contains("x-dynomesh-error: body-late"), "{got}");
            within(gone.notified()).await;
        });
    }
}

#[test]
fn a_client_that_was_refused_is_not_asked() {
    run(async {
        let b1 = PlayedBlock::start("b1", |_| async {
            let mut reply = answered("b1", "too large");
            *reply.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
            Ok(reply)
        })
        .await;
        let mesh = Mesh::start(&[&b1]).await;
        let (got, end) = mesh.raw(HEAD).await;
        end.unwrap();
        assert!(got.starts_with("HTTP/1.1 413 ") && got.ends_with("\r\n\r\ntoo large"), "{got}");
    });
}

#[test]
fn what_nobody_can_do_is_refused_and_without_a_body_nothing_is_expected() {
    run(async {
        let b1 = PlayedBlock::start("b1", |hop: Hop| async move {
            assert_eq!(hop.header("x-dynomesh-expects"), None);
            Ok(answered("b1", hop.read().await?))
        })
        .await;
        let mesh = Mesh::start(&[&b1]).await;
        let (got, _) =
            mesh.raw(b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: a-reply\r\nContent-Length: 5\r\n\r\norder").await;
        assert!(got.starts_with("HTTP/1.1 417 ") && got.contains("x-dynomesh-error: expectation"), "{got}");
        for framing in ["", "Content-Length: 0\r\n"] {
            let head = format!("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: 100-continue\r\n{framing}\r\n");
            let (got, _) = mesh.raw(head.as_bytes()).await;
            assert!(got.starts_with("HTTP/1.1 200 "), "{got}");
        }
    });
}

/// A request of [`HEAD`]'s kind, whose body follows at once.
async fn post(mesh: &Mesh) -> String {
    mesh.raw(&[HEAD, b"order"].concat()).await.0
}

#[test]
fn one_that_a_dyno_may_have_begun_with_is_not_repeated_and_any_other_is() {
    run(async {
        for (lost, status) in [(true, "502 "), (false, "200 ")] {
            let b1 = PlayedBlock::start("b1", move |_| async move {
                if lost { Err("dies".into()) } else { Ok(refused("not-dispatched", "no-dyno")) }
            })
            .await;
            let b2 = PlayedBlock::start("b2", |hop: Hop| async { Ok(answered("b2", hop.read().await?)) }).await;
            let mesh = Mesh::with(&[&b1, &b2], |config| config.block_choice = BlockChoice::Random).await;
            let mut got = post(&mesh).await;
            while b1.requests() == 0 {
                got = post(&mesh).await;
            }
            assert!(got.contains(&format!("HTTP/1.1 {status}")), "{got}");
            assert_eq!(b1.requests(), 1);
        }
    });
}

#[test]
fn an_http2_client_that_waits_in_vain_for_the_word_sends_on() {
    run(async {
        let b1 = PlayedBlock::start("b1", |hop: Hop| async move {
            assert_eq!(hop.header("x-dynomesh-expects"), None);
            Ok(answered("b1", hop.read().await?))
        })
        .await;
        let mesh = Mesh::start(&[&b1]).await;
        let request = Request::post("http://a/").header("expect", "100-continue").body(full("order")).unwrap();
        assert_eq!(&mesh.http2().await.send(request).await.0.body[..], b"order");
    });
}
