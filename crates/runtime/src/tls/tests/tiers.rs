//! Mutual TLS between an edge's pool and a block's listener.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use bytes::Bytes;
use dynomesh_core::id::Address;
use dynomesh_core::time::Span;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;

use super::kit::{Authority, run};
use crate::clock::Clock;
use crate::http::client::{ConnectError, Pool, PoolSettings};
use crate::http::serve::{ServeSettings, serve};
use crate::shutdown::{Trigger, channel};
use crate::tls::{CertificateFiles, ClientTls, ServerTls, TiersName, TiersSection, TlsMetrics};

fn section(ca: PathBuf, files: CertificateFiles) -> TiersSection {
    TiersSection { ca, cert: files.cert, key: files.key, name: TiersName::default() }
}

fn block(authority: &Authority) -> ServerTls {
    let section = section(authority.ca(), authority.issue("block", &["dynomesh"]));
    ServerTls::for_tiers(&section, &TlsMetrics::default()).unwrap()
}

fn edge(section: &TiersSection) -> ClientTls {
    ClientTls::for_tiers(section, &TlsMetrics::default()).unwrap()
}

fn start(tls: Option<ServerTls>) -> (Address, Trigger) {
    let listener = crate::net::listen((Ipv4Addr::LOCALHOST, 0).into(), "http").unwrap();
    let address = Address::new(listener.local_addr().unwrap()).unwrap();
    let (stop, shutdown) = channel();
    let settings = ServeSettings { tls, linger: Span::ZERO, ..ServeSettings::default() };
    let service = |_, _| async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("hello")))) };
    spawn_local(serve(TcpListener::from_std(listener).unwrap(), settings, shutdown, service));
    (address, stop)
}

async fn ask(tls: &ClientTls, address: Address) -> Result<Bytes, ConnectError> {
    let pool = Pool::new(PoolSettings { tls: Some(tls.clone()), ..PoolSettings::default() }, Clock::system());
    let request = Request::get("/").header("host", "h").body(Empty::<Bytes>::new()).unwrap();
    let answer = pool.connect(address).await?.send(request).await.expect("who is connected is answered");
    Ok(answer.into_body().collect().await.unwrap().to_bytes())
}

#[test]
fn an_edge_and_a_block_of_one_mesh_understand_each_other() {
    run(async {
        let authority = Authority::new();
        let (address, _stop) = start(Some(block(&authority)));
        let tls = edge(&section(authority.ca(), authority.issue("edge", &["dynomesh"])));
        for _ in 0..3 {
            assert_eq!(ask(&tls, address).await.unwrap(), "hello");
        }
    });
}

/// No connection means that no request was written, so that any may go elsewhere.
#[test]
fn a_stranger_has_no_connection_on_either_side() {
    run(async {
        let (authority, stranger) = (Authority::new(), Authority::new());
        let server = block(&authority);
        let (address, _stop) = start(Some(server.clone()));
        let trusting = section(authority.ca(), stranger.issue("edge", &["dynomesh"]));
        let distrusting = section(stranger.ca(), authority.issue("edge", &["dynomesh"]));
        let other = TiersSection {
            name: TiersName::try_from("other".to_string()).unwrap(),
            ..section(authority.ca(), authority.issue("other", &["other"]))
        };
        for (edge_section, said) in [(trusting, "UnknownCA"), (distrusting, "UnknownIssuer"), (other, "not valid for name")] {
            let error = ask(&edge(&edge_section), address).await.unwrap_err();
            assert!(error.cause.to_string().contains(said), "{said}: {}", error.cause);
        }
        assert_eq!(server.0.counts.handshakes.get(), 0);
    });
}

/// The authorities may sign for others than the mesh.
#[test]
fn a_certificate_of_ours_without_the_name_of_the_mesh_is_refused() {
    run(async {
        let authority = Authority::new();
        let (address, _stop) = start(Some(block(&authority)));
        let mut client = authority.client();
        client.name = "dynomesh";
        client.shows = Some(authority.issue("mail", &["mail.example"]));
        let error = match client.connect(address.socket()).await {
            Ok(mut stream) => stream.read_u8().await.unwrap_err(),
            Err(error) => error,
        };
        assert!(error.to_string().contains("received fatal alert"), "{error}");
        let files = authority.issue("mail", &["mail.example"]);
        let error = ClientTls::for_tiers(&section(authority.ca(), files), &TlsMetrics::default()).unwrap_err().to_string();
        assert!(error.starts_with("`tiers.cert`: cannot be used: "), "{error}");
    });
}

#[test]
fn who_does_not_speak_tls_is_turned_away_and_told_apart() {
    run(async {
        let authority = Authority::new();
        let (address, _stop) = start(Some(block(&authority)));
        let mut plain = TcpStream::connect(address.socket()).await.unwrap();
        plain.write_all(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        plain.read_to_end(&mut answer).await.unwrap();
        assert!(!answer.starts_with(b"HTTP/"), "{}", String::from_utf8_lossy(&answer));

        let (plain, _stop) = start(None);
        let tls = edge(&section(authority.ca(), authority.issue("edge", &["dynomesh"])));
        let error = ask(&tls, plain).await.unwrap_err();
        assert!(error.cause.to_string().contains("InvalidContentType"), "{}", error.cause);
    });
}

/// Both sides take new files over, and no moment is without an understanding if the authorities overlap.
#[test]
fn the_authority_is_changed_without_a_pause() {
    run(async {
        let (old, new) = (Authority::new(), Authority::new());
        let read = |path: PathBuf| std::fs::read_to_string(path).unwrap();
        let edge_section = section(old.path("edge-ca.pem"), old.issue("edge", &["dynomesh"]));
        let block_section = section(old.path("block-ca.pem"), old.issue("block", &["dynomesh"]));
        let both = read(old.ca()) + &read(new.ca());
        for ca in [&edge_section.ca, &block_section.ca] {
            super::kit::put(ca, &read(old.ca()));
        }
        let server = ServerTls::for_tiers(&block_section, &TlsMetrics::default()).unwrap();
        let client = edge(&edge_section);
        let (address, _stop) = start(Some(server.clone()));
        let replace = |files: &CertificateFiles| {
            let (cert, key) = new.sign(&["dynomesh"]);
            super::kit::put(&files.cert, &cert);
            super::kit::put(&files.key, &key);
        };
        let files = |section: &TiersSection| CertificateFiles { cert: section.cert.clone(), key: section.key.clone() };
        let steps: [&dyn Fn(); 6] = [
            &|| super::kit::put(&edge_section.ca, &both),
            &|| super::kit::put(&block_section.ca, &both),
            &|| replace(&files(&edge_section)),
            &|| replace(&files(&block_section)),
            &|| super::kit::put(&edge_section.ca, &read(new.ca())),
            &|| super::kit::put(&block_section.ca, &read(new.ca())),
        ];
        for (number, step) in steps.iter().enumerate() {
            step();
            for files in [server.files(), client.files()] {
                files.look();
                files.look();
            }
            assert_eq!(ask(&client, address).await.unwrap(), "hello", "after step {number}");
        }
        assert_eq!(server.0.counts.reloads.get(), 3);
        // Who comes with what the old authority signed is a stranger now.
        let late = edge(&section(new.ca(), old.issue("late", &["dynomesh"])));
        ask(&late, address).await.unwrap_err();
    });
}
