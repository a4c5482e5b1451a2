//! The server as its clients see it, byte for byte.

use std::cell::Cell;
use std::convert::Infallible;
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::task::{Context, Poll};

use http_body::Frame;
use http_body_util::{BodyExt, Full};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::shutdown::{Trigger, channel};
use crate::workers::local_runtime;

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: h\r\n\r\n";

/// A server on a thread's own runtime; `task` ends when it has stopped.
struct Served {
    address: SocketAddr,
    stop: Trigger,
    task: tokio::task::JoinHandle<()>,
}

fn start<F, B, E>(settings: ServeSettings, service: impl Fn(Request<Incoming>) -> F + Clone + 'static) -> Served
where
    F: Future<Output = Result<Response<B>, E>> + 'static,
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
    E: Into<BoxError> + 'static,
{
    let listener = crate::net::listen((Ipv4Addr::LOCALHOST, 0).into(), "listen").unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, shutdown) = channel();
    let listener = TcpListener::from_std(listener).unwrap();
    let task = spawn_local(serve(listener, settings, shutdown, move |request, _peer| service(request)));
    Served { address, stop, task }
}

fn start_hello(settings: ServeSettings) -> Served {
    start(settings, |_| async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("hello")))) })
}

/// Runs a test on a local runtime, with a time limit.
fn on_thread(test: impl Future<Output = ()>) {
    let limited = async { timeout(Duration::from_secs(20), test).await.expect("the test hangs") };
    local_runtime().unwrap().block_on(limited);
}

async fn ask(stream: &mut TcpStream, request: &[u8]) -> String {
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"hello") {
        assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "closed after {:?}", String::from_utf8_lossy(&answer));
    }
    String::from_utf8(answer).unwrap()
}

async fn read_to_end(stream: &mut TcpStream) -> Result<String, ErrorKind> {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.map_err(|error| error.kind())?;
    Ok(String::from_utf8(answer).unwrap())
}

#[test]
fn a_connection_serves_one_request_after_the_other() {
    on_thread(async {
        let served = start_hello(ServeSettings::default());
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        for _ in 0..3 {
            let answer = ask(&mut stream, GET).await;
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
            assert!(!answer.contains("connection: close"), "{answer}");
        }
    });
}

#[test]
fn an_oversized_head_is_answered_431() {
    on_thread(async {
        let served = start_hello(ServeSettings { head_max: 16 * 1024, buffer_max: 16 * 1024, ..Default::default() });
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        let fits = format!("GET / HTTP/1.1\r\nhost: h\r\nx: {}\r\n\r\n", "a".repeat(15 * 1024));
        assert!(ask(&mut stream, fits.as_bytes()).await.starts_with("HTTP/1.1 200 OK\r\n"));
        // Far more than is read: the answer must not be lost to a reset.
        let oversized = format!("GET / HTTP/1.1\r\nhost: h\r\nx: {}\r\n\r\n", "a".repeat(300 * 1024));
        stream.write_all(oversized.as_bytes()).await.unwrap();
        let answer = read_to_end(&mut stream).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    });
}

#[test]
fn malformed_requests_are_answered_400() {
    on_thread(async {
        let served = start_hello(ServeSettings::default());
        let malformed: [&[u8]; 4] = [
            b"nonsense\r\n\r\n",
            b"GET / HTTP/1.1\r\nbad header\r\n\r\n",
            b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: x\r\n\r\n",
            b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        ];
        for request in malformed {
            let mut stream = TcpStream::connect(served.address).await.unwrap();
            stream.write_all(request).await.unwrap();
            let answer = read_to_end(&mut stream).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 400 "), "{:?}: {answer}", String::from_utf8_lossy(request));
        }
    });
}

#[test]
fn an_early_answer_does_not_break_a_client_that_still_writes() {
    on_thread(async {
        let served = start_hello(ServeSettings::default());
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        let part = vec![b'x'; 100_000];
        stream.write_all(b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 500000\r\n\r\n").await.unwrap();
        stream.write_all(&part).await.unwrap();
        let answer = read_to_end(&mut stream).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("hello"), "{answer}");
        // A socket closed at once would answer the first of these with a reset, and the next would fail.
        for _ in 0..4 {
            stream.write_all(&part).await.unwrap();
        }
    });
}

#[test]
fn a_slow_head_is_cut_while_an_idle_connection_stays() {
    on_thread(async {
        let served = start_hello(ServeSettings { head_timeout: Span::from_millis(40), idle: Span::from_secs(60), ..Default::default() });
        let mut idle = TcpStream::connect(served.address).await.unwrap();
        ask(&mut idle, GET).await;
        let mut silent = TcpStream::connect(served.address).await.unwrap();
        assert_eq!(read_to_end(&mut silent).await.unwrap(), "");
        let mut slow = TcpStream::connect(served.address).await.unwrap();
        ask(&mut slow, GET).await;
        slow.write_all(&GET[..10]).await.unwrap();
        assert_eq!(read_to_end(&mut slow).await.unwrap(), "");
        ask(&mut idle, GET).await;
    });
}

#[test]
fn a_connection_idle_too_long_is_closed() {
    on_thread(async {
        let served = start_hello(ServeSettings { idle: Span::from_millis(40), ..Default::default() });
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        ask(&mut stream, GET).await;
        assert_eq!(read_to_end(&mut stream).await.unwrap(), "");
    });
}

#[test]
fn connections_that_rest_go_on_as_if_they_had_not() {
    on_thread(async {
        let served = start_hello(ServeSettings::default());
        let mut streams = Vec::new();
        for _ in 0..3 {
            let mut stream = TcpStream::connect(served.address).await.unwrap();
            ask(&mut stream, GET).await;
            streams.push(stream);
        }
        let [mut again, mut wrong, mut left] = <[TcpStream; 3]>::try_from(streams).unwrap();
        // Nobody outside can tell that a connection rests: long enough for it, and for the steps of coarse time.
        sleep(REST_AFTER.to_std() + 3 * TICK_MAX).await;
        again.write_all(&GET[..10]).await.unwrap();
        wrong.write_all(b"GET / HTTP/1.1\nhost: h\n\n").await.unwrap();
        left.shutdown().await.unwrap();
        assert!(read_to_end(&mut wrong).await.unwrap().starts_with("HTTP/1.1 400 "));
        assert_eq!(read_to_end(&mut left).await.unwrap(), "");
        ask(&mut again, &GET[10..]).await;
        ask(&mut again, GET).await;
    });
}

/// Yields one frame, then fails.
struct Failing(bool);

impl Body for Failing {
    type Data = Bytes;
    type Error = BoxError;
    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let first = !std::mem::replace(&mut self.0, true);
        Poll::Ready(Some(if first { Ok(Frame::data(Bytes::from("part"))) } else { Err("the dyno is gone".into()) }))
    }
}

#[test]
fn an_answer_that_breaks_off_ends_in_a_reset() {
    on_thread(async {
        for version in [http::Version::HTTP_11, http::Version::HTTP_10] {
            let served = start(ServeSettings::default(), move |_| async move {
                let mut response = Response::new(Failing(false));
                *response.version_mut() = version;
                Ok::<_, Infallible>(response)
            });
            let mut stream = TcpStream::connect(served.address).await.unwrap();
            stream.write_all(GET).await.unwrap();
            assert_eq!(read_to_end(&mut stream).await, Err(ErrorKind::ConnectionReset), "{version:?}");
        }
        let served = start(ServeSettings::default(), |_| async { Err::<Response<Full<Bytes>>, _>("no true answer") });
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        stream.write_all(GET).await.unwrap();
        assert_eq!(read_to_end(&mut stream).await, Err(ErrorKind::ConnectionReset));
    });
}

/// Fails when the reset overtakes the head: who asked would not know that there was an answer, and might ask again.
#[test]
fn an_answer_that_breaks_right_behind_its_head_has_a_head() {
    on_thread(async {
        let served = start(ServeSettings::default(), |_| async { Ok::<_, Infallible>(Response::new(Failing(true))) });
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        stream.write_all(GET).await.unwrap();
        let mut got = Vec::new();
        let ended = loop {
            match stream.read_buf(&mut got).await {
                Ok(0) => break Ok(()),
                Ok(_) => {}
                Err(error) => break Err(error.kind()),
            }
        };
        assert!(got.starts_with(b"HTTP/1.1 200 OK\r\n") && got.ends_with(b"\r\n\r\n"), "{:?}", String::from_utf8_lossy(&got));
        assert_eq!(ended, Err(ErrorKind::ConnectionReset));
    });
}

#[test]
fn past_the_limit_connections_wait_their_turn() {
    on_thread(async {
        let served = start_hello(ServeSettings { connections_max: 1, ..Default::default() });
        let mut first = TcpStream::connect(served.address).await.unwrap();
        ask(&mut first, GET).await;
        let mut second = TcpStream::connect(served.address).await.unwrap();
        second.write_all(GET).await.unwrap();
        // The first is still served while the second waits.
        ask(&mut first, GET).await;
        assert!(second.read(&mut [0; 16]).now_or_never().is_none());
        drop(first);
        assert!(ask(&mut second, b"").await.starts_with("HTTP/1.1 200"));
    });
}

#[test]
fn a_stop_finishes_what_runs_and_closes_what_is_idle() {
    on_thread(async {
        let (release, released) = channel();
        let running = Rc::new(Cell::new(0));
        let counted = running.clone();
        let served = start(ServeSettings { linger: Span::from_millis(100), ..Default::default() }, move |request| {
            let (released, counted) = (released.clone(), counted.clone());
            async move {
                if request.uri().path() == "/slow" {
                    counted.set(counted.get() + 1);
                    released.wait().await;
                }
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("hello"))))
            }
        });
        let mut idle = TcpStream::connect(served.address).await.unwrap();
        ask(&mut idle, GET).await;
        let mut late = TcpStream::connect(served.address).await.unwrap();
        ask(&mut late, GET).await;
        let mut busy = TcpStream::connect(served.address).await.unwrap();
        busy.write_all(b"GET /slow HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
        while running.get() == 0 {
            tokio::task::yield_now().await;
        }

        served.stop.set();
        // One that is still used just after the stop is served and told to close.
        let answer = ask(&mut late, GET).await;
        assert!(answer.contains("connection: close\r\n"), "{answer}");
        assert_eq!(read_to_end(&mut late).await.unwrap(), "");
        // One that stays idle is closed after the linger, without a reset.
        assert_eq!(read_to_end(&mut idle).await.unwrap(), "");
        let refused = TcpStream::connect(served.address).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);

        assert!(!served.task.is_finished());
        release.set();
        let answer = read_to_end(&mut busy).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("hello"), "{answer}");
        drop((late, idle, busy));
        served.task.await.unwrap();
    });
}

#[test]
fn what_does_not_finish_in_time_is_cut() {
    on_thread(async {
        let settings = ServeSettings { linger: Span::ZERO, finish: Span::from_millis(30), ..Default::default() };
        let started = Rc::new(Cell::new(false));
        let mark = started.clone();
        let served = start(settings, move |_| {
            mark.set(true);
            std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>()
        });
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        stream.write_all(GET).await.unwrap();
        while !started.get() {
            tokio::task::yield_now().await;
        }
        served.stop.set();
        assert_eq!(read_to_end(&mut stream).await, Err(ErrorKind::ConnectionReset));
        served.task.await.unwrap();
    });
}

#[test]
fn bodies_pass_whole_in_both_directions() {
    on_thread(async {
        let served = start(ServeSettings::default(), |request: Request<Incoming>| async move {
            let body = request.into_body().collect().await?.to_bytes();
            Ok::<_, hyper::Error>(Response::new(Full::new(Bytes::from(format!("{} hello", body.len())))))
        });
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        let chunked = b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n";
        assert!(ask(&mut stream, chunked).await.ends_with("7 hello"));
    });
}

#[test]
fn clients_that_are_asked_to_leave_are_served_once_more_and_idle_ones_closed() {
    on_thread(async {
        let settings = ServeSettings { head_timeout: Span::from_millis(400), ..ServeSettings::default() };
        let door = settings.door.clone();
        let served = start_hello(settings);
        let [mut used, mut idle] = [TcpStream::connect(served.address).await.unwrap(), TcpStream::connect(served.address).await.unwrap()];
        for stream in [&mut used, &mut idle] {
            assert!(!ask(stream, GET).await.contains("connection: close"));
        }
        assert_eq!(door.open(), 2);
        door.ask_to_leave(true);
        let answer = ask(&mut used, GET).await;
        assert!(answer.contains("connection: close"), "{answer}");
        assert_eq!(read_to_end(&mut used).await, Ok(String::new()));
        assert_eq!(read_to_end(&mut idle).await, Ok(String::new()), "an idle connection is closed in order");
        let mut newcomer = TcpStream::connect(served.address).await.unwrap();
        assert!(ask(&mut newcomer, GET).await.contains("connection: close"), "who comes all the same is served");
        drop(newcomer);
        while door.open() > 0 {
            sleep(Duration::from_millis(1)).await;
        }
        door.ask_to_leave(false);
        let mut stays = TcpStream::connect(served.address).await.unwrap();
        assert!(!ask(&mut stays, GET).await.contains("connection: close"));
    });
}

/// Talks HTTP/2 to `address` from its first byte.
async fn http2(address: SocketAddr) -> hyper::client::conn::http2::SendRequest<Full<Bytes>> {
    let stream = hyper_util::rt::TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (sender, connection) = hyper::client::conn::http2::handshake(hyper_util::rt::TokioExecutor::new(), stream).await.unwrap();
    spawn_local(connection);
    sender
}

#[test]
fn http2_is_spoken_to_who_begins_with_it_and_only_where_it_is_allowed() {
    on_thread(async {
        let settings = ServeSettings { http2: Some(Http2Settings::default()), ..Default::default() };
        let served = start_hello(settings);
        let mut sender = http2(served.address).await;
        let asks: Vec<_> = (0..3).map(|_| sender.send_request(Request::get("http://h/").body(Full::default()).unwrap())).collect();
        for answer in futures::future::join_all(asks).await {
            let answer = answer.unwrap();
            assert_eq!(answer.version(), http::Version::HTTP_2);
            assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "hello");
        }
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        assert!(ask(&mut stream, GET).await.starts_with("HTTP/1.1 200 OK\r\n"));

        let served = start_hello(ServeSettings::default());
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        let answer = read_to_end(&mut stream).await.unwrap();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 505 "), "{answer}");
    });
}

#[test]
fn a_stop_lets_streams_of_http2_end() {
    on_thread(async {
        let settings = ServeSettings { http2: Some(Http2Settings::default()), linger: Span::ZERO, ..Default::default() };
        let (go, gone) = tokio::sync::watch::channel(false);
        let begun = Rc::new(Notify::new());
        let begins = begun.clone();
        let served = start(settings, move |_| {
            let mut gone = gone.clone();
            begins.notify_one();
            async move {
                gone.wait_for(|go| *go).await.unwrap();
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("hello"))))
            }
        });
        let mut sender = http2(served.address).await;
        let answer = sender.send_request(Request::get("http://h/").body(Full::default()).unwrap());
        let answer = spawn_local(answer);
        begun.notified().await;
        served.stop.set();
        go.send_replace(true);
        let body = answer.await.unwrap().unwrap().into_body().collect().await.unwrap();
        assert_eq!(body.to_bytes(), "hello");
        served.task.await.unwrap();
    });
}

#[test]
fn a_service_takes_a_connection_over_and_a_stop_waits_for_it() {
    on_thread(async {
        let listener = crate::net::listen((Ipv4Addr::LOCALHOST, 0).into(), "listen").unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, shutdown) = channel();
        let service = |_, peer: Peer| async move {
            let tunnel = peer.take_over();
            spawn_local(async move {
                let (mut reader, mut writer) = tokio::io::split(tunnel.await.unwrap());
                tokio::io::copy(&mut reader, &mut writer).await.unwrap();
                writer.shutdown().await.unwrap();
            });
            let answer = Response::builder().status(101).header("upgrade", "echo").header("connection", "upgrade");
            Ok::<_, Infallible>(answer.body(Full::<Bytes>::default()).unwrap())
        };
        let settings = ServeSettings { linger: Span::ZERO, ..Default::default() };
        let task = spawn_local(serve(TcpListener::from_std(listener).unwrap(), settings, shutdown, service));
        let mut stream = TcpStream::connect(address).await.unwrap();
        // Its first words come with the request.
        stream.write_all(b"GET / HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\nearly ").await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\nearly ") {
            assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "{:?}", String::from_utf8_lossy(&answer));
        }
        assert!(answer.starts_with(b"HTTP/1.1 101 "));
        stop.set();
        assert!(!task.is_finished());
        stream.write_all(b"late").await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(read_to_end(&mut stream).await.unwrap(), "late");
        task.await.unwrap();
    });
}

#[test]
fn a_peer_that_reads_nothing_is_cut() {
    on_thread(async {
        let settings = ServeSettings { write_idle: Span::from_millis(200), ..Default::default() };
        let served = start(settings, |_| async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(vec![b'x'; 32 << 20])))) });
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        stream.write_all(GET).await.unwrap();
        // What the sockets hold is read after the cut; then comes the reset.
        sleep(Duration::from_millis(600)).await;
        let mut answer = Vec::new();
        assert_eq!(stream.read_to_end(&mut answer).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    });
}

/// Ten thousand PINGs at once; a client that is modest is served on.
#[test]
fn a_flood_of_empty_frames_ends_its_connection() {
    on_thread(async {
        let served = start_hello(ServeSettings { http2: Some(Http2Settings::default()), ..Default::default() });
        let mut modest = http2(served.address).await;
        let mut flood = TcpStream::connect(served.address).await.unwrap();
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
        for _ in 0..10_000 {
            bytes.extend(b"\0\0\x08\x06\0\0\0\0\0pingping");
        }
        let _ = flood.write_all(&bytes).await;
        let mut answer = Vec::new();
        // Ended in order or by a reset, but ended.
        let _ = flood.read_to_end(&mut answer).await;
        assert!(answer.len() < 10_000 * 17, "every PING was answered");
        let asked = modest.send_request(Request::get("http://h/").body(Full::default()).unwrap());
        assert_eq!(asked.await.unwrap().into_body().collect().await.unwrap().to_bytes(), "hello");
    });
}

#[test]
fn a_refused_request_is_answered_in_our_own_words_after_those_before_it() {
    on_thread(async {
        let (sender, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let refused = Refused(Arc::new(move |_, violation| sender.send(violation).unwrap()));
        let served = start_hello(ServeSettings { refused: Some(refused), ..Default::default() });
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        let smuggled =
            b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /secret HTTP/1.1\r\n";
        stream.write_all(&[GET, smuggled].concat()).await.unwrap();
        let answers = read_to_end(&mut stream).await.unwrap();
        let (good, refusal) = answers.split_once("hello").unwrap();
        assert!(good.starts_with("HTTP/1.1 200 OK\r\n"), "{answers}");
        assert!(refusal.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answers}");
        assert!(refusal.contains("x-dynomesh-error: bad-request\r\nconnection: close\r\n"), "{answers}");
        assert!(refusal.ends_with("\r\n\r\ndynomesh: Content-Length and Transfer-Encoding are both given\n"), "{answers}");
        assert_eq!(heard.recv().await, Some(Violation::TwoFramings));
    });
}

#[test]
fn wrong_content_is_answered_if_no_answer_was_begun() {
    on_thread(async {
        let served = start(ServeSettings::default(), |request| async {
            request.into_body().collect().await.map(|_| Response::new(Full::new(Bytes::from("hello"))))
        });
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        stream.write_all(b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n").await.unwrap();
        let answer = read_to_end(&mut stream).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.ends_with("dynomesh: a line ends in LF without CR\n"), "{answer}");
    });
}

/// An upload that the service does not read stands in the way of the word that its client has left.
#[test]
fn a_client_that_leaves_an_unread_upload_is_noticed() {
    on_thread(async {
        let left = Rc::new(Notify::new());
        let (begun, leaves) = (Rc::new(Notify::new()), left.clone());
        let begins = begun.clone();
        let served = start(ServeSettings::default(), move |request: Request<Incoming>| {
            let (begins, leaves) = (begins.clone(), leaves.clone());
            async move {
                let _leaves = OnDrop(leaves);
                begins.notify_one();
                let _unread = request.into_body();
                std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>().await
            }
        });
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        stream.write_all(b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 100000\r\n\r\n").await.unwrap();
        stream.write_all(&[b'x'; 90_000]).await.unwrap();
        begun.notified().await;
        drop(stream);
        left.notified().await;
    });
}

struct OnDrop(Rc<Notify>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}
