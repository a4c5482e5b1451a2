//! What clients see of an edge: answers, errors of its own, the access log, the admin listener.

use std::cell::RefCell;
use std::rc::Rc;

use dynomesh_core::time::Span;
use http::{Request, StatusCode};
use http_body_util::Full;

use super::mesh::hasty;
use super::*;

#[test]
fn a_request_goes_to_a_dyno_and_its_answer_comes_back_explained() {
    run(async {
        let seen = Rc::new(RefCell::new(None));
        let noted = seen.clone();
        let b1 = PlayedBlock::start("b1", move |hop: Hop| {
            let names: Vec<String> = hop.headers.keys().map(ToString::to_string).collect();
            *noted.borrow_mut() = Some((hop.method.clone(), hop.path.clone(), hop.headers.clone(), names));
            async { Ok(answered("b1", "hello")) }
        })
        .await;
        let mesh = Mesh::start(&[&b1]).await;
        let request =
            Request::get("/x?y=1").header("host", "shop.example").header("x-dynomesh-app", "forged").header("x-dynomesh-must-queue", "1");
        let got = mesh.send(request.body(Full::default()).unwrap()).await;
        assert_eq!((got.status, &got.body[..]), (StatusCode::OK, &b"hello"[..]));
        for (name, value) in [("block", "b1"), ("epoch", "42"), ("dyno", "d1"), ("attempts", "1"), ("edge", "edge-1"), ("queue-ms", "1.5")]
        {
            assert_eq!(got.header(&format!("x-dynomesh-{name}")), value, "{name}");
        }
        assert_eq!((got.header("x-dynomesh-verdict"), got.header("x-dynomesh-replica")), ("", ""));
        let (method, path, headers, names) = seen.borrow_mut().take().unwrap();
        assert_eq!((method.as_str(), path.as_str()), ("GET", "/x?y=1"));
        assert_eq!((&headers["host"], &headers["x-dynomesh-app"]), (&"shop.example".parse().unwrap(), &"demo".parse().unwrap()));
        assert_eq!((&headers["x-forwarded-for"], &headers["x-forwarded-proto"]), (&"127.0.0.1".parse().unwrap(), &"http".parse().unwrap()));
        assert_eq!(headers["x-forwarded-port"], mesh.edge.port().to_string());
        assert_eq!((&headers["via"], got.header("via")), (&"1.1 dynomesh".parse().unwrap(), "1.1 dynomesh"));
        assert_eq!(headers["x-request-id"], got.header("x-request-id"));
        let left: u64 = headers["x-dynomesh-deadline-ms"].to_str().unwrap().parse().unwrap();
        assert!((1..=60_000).contains(&left), "{left} ms left");
        assert!(!names.contains(&"x-dynomesh-must-queue".to_owned()) && !names.contains(&"expect".to_owned()), "{names:?}");
    });
}

#[test]
fn one_connection_serves_many_requests_and_so_does_one_to_the_block() {
    run(async {
        let b1 = PlayedBlock::answering("b1").await;
        let mesh = Mesh::start(&[&b1]).await;
        let mut stream = tokio::net::TcpStream::connect(mesh.edge).await.unwrap();
        for _ in 0..20 {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
            let mut got = Vec::new();
            while !got.ends_with(b"\r\n\r\nb1") {
                let mut piece = [0; 1024];
                let read = within(stream.read(&mut piece)).await.unwrap();
                assert!(read > 0, "closed after {}", String::from_utf8_lossy(&got));
                got.extend_from_slice(&piece[..read]);
            }
        }
        assert_eq!(b1.requests(), 20);
        assert_eq!(mesh.shared.metrics.connects.get(), 1);
        assert_eq!(mesh.shared.directory.loads.own_total(), 0);
    });
}

#[test]
fn errors_of_the_edges_own_say_whose_fault_it_was() {
    run(async {
        let b1 = PlayedBlock::answering("b1").await;
        let mut mesh = Mesh::start(&[]).await;
        let code = |got: &mesh::Got| (got.status.as_u16(), got.header("x-dynomesh-error").to_owned());
        assert_eq!(code(&mesh.get("/").await), (503, "no-block".into()));
        mesh.group("b1", 1, &[&b1]);
        mesh.load("b1", 0, 0);
        assert_eq!(code(&mesh.get("/").await), (503, "no-block".into()), "a block without slots is none");
        let got = mesh.send(Request::connect("a:80").header("host", "a:80").body(Full::default()).unwrap()).await;
        assert_eq!(code(&got), (501, "unsupported".into()));
        let got = mesh.send(Request::get("/").header("host", "a b").body(Full::default()).unwrap()).await;
        assert_eq!(code(&got), (400, "bad-host".into()));
        let round = ["1.1 dynomesh"; 6].join(", ");
        let got = mesh.send(Request::get("/").header("host", "a").header("via", round).body(Full::default()).unwrap()).await;
        assert_eq!(code(&got), (508, "loop".into()));
        assert!(!got.header("x-request-id").is_empty());
        assert_eq!(b1.requests(), 0);
    });
}

#[test]
fn an_unknown_host_is_not_told_the_known_ones() {
    run(async {
        let mesh = Mesh::start(&[]).await;
        mesh.shared.directory.update(&only_shop(), mesh.shared.clock.now());
        let got = mesh.send(Request::get("/").header("host", "other").body(Full::default()).unwrap()).await;
        assert_eq!((got.status.as_u16(), got.header("x-dynomesh-error")), (404, "unknown-host"));
        assert!(!format!("{got:?}").contains("shop"), "{got:?}");
        let lines = mesh.logged(1).await;
        assert_eq!((lines[0]["status"].as_u64(), lines[0]["error"].as_str()), (Some(404), Some("unknown-host")));
    });
}

fn only_shop() -> dynomesh_core::map::MapView {
    use dynomesh_core::app::{AppSpec, Policy};
    use dynomesh_core::id::{AppName, Version};
    use dynomesh_core::map::fact::{AppFact, Fact};
    let name = AppName::new("shop").unwrap();
    let spec = AppSpec { name: name.clone(), hosts: vec!["shop.example".parse().unwrap()], policy: Policy::default() };
    let mut map = dynomesh_core::map::MapView::new();
    map.absorb(Fact::App(AppFact { name, version: Version(1), spec: Some(spec) }));
    map
}

#[test]
fn malformed_and_oversized_heads_are_answered() {
    run(async {
        let b1 = PlayedBlock::answering("b1").await;
        let mesh = Mesh::start(&[&b1]).await;
        let (got, _) = mesh.raw(b"GET / HTTP/1.1\r\nbad header\r\n\r\n").await;
        assert!(got.starts_with("HTTP/1.1 400"), "{got}");
        let (got, _) = mesh.raw(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n").await;
        assert!(got.starts_with("HTTP/1.1 400") && got.contains("x-dynomesh-error: bad-host"), "{got}");
        let large = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Large: {}\r\n\r\n", "x".repeat(80 * 1024));
        let (got, _) = mesh.raw(large.as_bytes()).await;
        assert!(got.starts_with("HTTP/1.1 431"), "{got}");
        assert_eq!(b1.requests(), 0);
    });
}

#[test]
fn every_request_is_logged_with_its_attempts_and_times() {
    run(async {
        let b1 = PlayedBlock::start("b1", |_| async { Ok(refused("not-dispatched", "no-dyno")) }).await;
        let b2 = PlayedBlock::answering("b2").await;
        let mesh = Mesh::with(&[&b1, &b2], |config| config.block_choice = dynomesh_core::dispatch::BlockChoice::Random).await;
        while b1.requests() == 0 {
            assert_eq!(mesh.get("/path?q=1").await.status, StatusCode::OK);
        }
        let lines = mesh.logged(b2.requests()).await;
        let line = lines.last().unwrap();
        assert_eq!(line["attempts"][0]["block"], "b1");
        assert_eq!(line["attempts"][0]["reason"], "no-dyno");
        assert_eq!(line["attempts"][1]["block"], "b2");
        assert_eq!(line["attempts"][1]["reason"], "answered");
        for (key, value) in [
            ("method", "GET"),
            ("path", "/path?q=1"),
            ("protocol", "HTTP/1.1"),
            ("scheme", "http"),
            ("host", "any"),
            ("dyno", "d1"),
            ("app", "demo"),
            ("edge", "edge-1"),
        ] {
            assert_eq!(line[key], value, "{key}");
        }
        assert_eq!((line["status"].as_u64(), line["bytes"].as_u64(), line["complete"].as_bool()), (Some(200), Some(2), Some(true)));
        assert_eq!((line["queue_ms"].as_f64(), line["connect_ms"].as_f64()), (Some(1.5), Some(0.5)));
        assert!(line["total_ms"].as_f64().unwrap() > 0.0);
    });
}

#[test]
fn a_request_that_no_dyno_answers_ends_at_its_deadline() {
    run(async {
        let b1 = PlayedBlock::start("b1", |_| std::future::pending()).await;
        let mesh = Mesh::with(&[&b1], hasty(Span::from_millis(300), Span::from_millis(300))).await;
        let got = mesh.get("/").await;
        assert_eq!((got.status.as_u16(), got.header("x-dynomesh-error")), (504, "deadline"));
        assert_eq!(mesh.shared.directory.loads.own_total(), 0);
    });
}

#[test]
fn a_body_that_does_not_come_is_answered_at_the_deadline_and_no_block_is_asked() {
    run(async {
        let b1 = PlayedBlock::answering("b1").await;
        let mesh = Mesh::with(&[&b1], hasty(Span::from_millis(200), Span::from_millis(200))).await;
        let (got, _) = mesh.raw(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf").await;
        assert!(got.starts_with("HTTP/1.1 408") && got.contains("x-dynomesh-error: body-late"), "{got}");
        assert_eq!(b1.requests(), 0);
    });
}
