//! The sample dyno over real sockets.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::digest::Digest;
use super::journal::{Event, Outcome};
use super::*;

struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

async fn start(journal: Option<PathBuf>) -> Running {
    start_threads(1, journal).await
}

async fn start_threads(threads: u16, journal: Option<PathBuf>) -> Running {
    let mut config = Config::reference("127.0.0.1:0".parse().unwrap(), DynoId::new("d1").unwrap());
    (config.floor, config.mean, config.threads, config.journal) = (Span::from_millis(1), Span::ZERO, threads, journal);
    let demo = Demo::bind(config).await.unwrap();
    let address = demo.address();
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(demo.run(async {
        let _ = stopped.await;
    }));
    Running { address, stop, task }
}

async fn send(address: SocketAddr, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

async fn receive(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

async fn ask(address: SocketAddr, request: &str) -> String {
    receive(send(address, request).await).await
}

async fn stats(address: SocketAddr) -> Stats {
    let answer = ask(address, "GET /demo/stats HTTP/1.1\r\nhost: x\r\n\r\n").await;
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

async fn wait_for(address: SocketAddr, mut condition: impl FnMut(&Stats) -> bool) -> Stats {
    let deadline = tokio::time::Instant::now() + Span::from_secs(10).to_std();
    loop {
        let seen = stats(address).await;
        if condition(&seen) {
            return seen;
        }
        assert!(tokio::time::Instant::now() < deadline, "still {seen:?}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn any_host_and_path_gets_a_text_and_the_connection_is_closed() {
    let dyno = start(None).await;
    let answer = ask(dyno.address, "GET /x HTTP/1.1\r\nhost: any\r\nx-demo-service-ms: 3\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("connection: close") && answer.contains("x-demo-dyno: d1"), "{answer}");
    assert!(answer.ends_with("\r\n\r\ndyno d1, request 1, 3 ms\n"), "{answer}");
    let refused = ask(dyno.address, "GET / HTTP/1.1\r\nhost: any\r\nx-demo-bytes: many\r\n\r\n").await;
    assert!(refused.starts_with("HTTP/1.1 400") && refused.contains("x-demo-bytes"), "{refused}");
    assert_eq!(stats(dyno.address).await.served, 1);
}

#[tokio::test]
async fn a_second_request_waits_and_is_counted_as_an_overlap() {
    let dyno = start(None).await;
    let first = send(dyno.address, "GET /1 HTTP/1.1\r\nhost: x\r\nx-demo-service-ms: 60\r\n\r\n").await;
    wait_for(dyno.address, |stats| stats.running == 1).await;
    let second = send(dyno.address, "PUT /2 HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n").await;
    let seen = wait_for(dyno.address, |stats| stats.running == 2).await;
    assert_eq!((seen.overlaps, seen.served), (1, 0));
    assert!(receive(second).await.contains("request 2"));
    assert!(receive(first).await.contains("request 1"));
    let seen = stats(dyno.address).await;
    assert_eq!((seen.overlaps, seen.running_max, seen.served, seen.running), (1, 2, 2, 0));
    assert_eq!(seen.methods, [("GET".to_owned(), 1), ("PUT".to_owned(), 1)].into());
}

#[tokio::test]
async fn requests_one_after_the_other_never_overlap() {
    let dyno = start(None).await;
    for n in 0..200 {
        let body = "x".repeat(n * 7);
        let request = format!(
            "POST /{n} HTTP/1.1\r\nhost: x\r\nx-demo-service-ms: 0\r\nx-demo-echo: 1\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = send(dyno.address, &request).await;
        // Reads to the last byte of the body and not to the end of the connection, as a router does.
        let (mut answer, whole) = (Vec::new(), body.len());
        loop {
            let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
            if end.is_some_and(|end| answer.len() == end + 4 + whole) {
                break;
            }
            assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "answer to {n} ended early");
        }
    }
    let seen = stats(dyno.address).await;
    assert_eq!((seen.overlaps, seen.served), (0, 200));
}

#[tokio::test]
async fn a_connection_without_a_byte_is_closed_only_when_the_dyno_is_idle() {
    let dyno = start(None).await;
    let running = send(dyno.address, "GET / HTTP/1.1\r\nhost: x\r\nx-demo-service-ms: 80\r\n\r\n").await;
    wait_for(dyno.address, |stats| stats.running == 1).await;
    let mut probe = TcpStream::connect(dyno.address).await.unwrap();
    probe.shutdown().await.unwrap();
    assert_eq!(probe.read(&mut [0]).await.unwrap(), 0);
    let seen = stats(dyno.address).await;
    assert_eq!((seen.running, seen.served, seen.overlaps, seen.idle_asked), (0, 1, 0, 1));
    assert!(receive(running).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_request_whose_client_left_runs_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("d1.jsonl");
    let dyno = start(Some(path.clone())).await;
    let left =
        send(dyno.address, "POST /a HTTP/1.1\r\nhost: x\r\nx-demo-key: k1\r\nx-demo-service-ms: 50\r\ncontent-length: 0\r\n\r\n").await;
    wait_for(dyno.address, |stats| stats.running == 1).await;
    drop(left);
    let next = ask(dyno.address, "GET /b HTTP/1.1\r\nhost: x\r\nx-dynomesh-epoch: 9\r\nx-dynomesh-block: b1\r\n\r\n").await;
    assert!(next.contains("request 2"));
    assert_eq!(stats(dyno.address).await.overlaps, 1);

    let lines = journal::read(&path).unwrap();
    let told: Vec<_> = lines
        .iter()
        .map(|line| match &line.event {
            Event::Listen { address, .. } => format!("listen {}", *address == dyno.address),
            Event::Start(a) => format!("start {} {:?} {:?}", a.n, a.key.as_deref(), a.epoch),
            Event::End(e) => format!("end {} {}", e.n, e.outcome == Outcome::Done),
        })
        .collect();
    assert_eq!(told[..3], ["listen true", "start 1 Some(\"k1\") None", "start 2 None Some(9)"]);
    // A full answer to a client that left may or may not be handed to the kernel, but it ends before the next one runs.
    assert!(told[3].starts_with("end 1"), "{told:?}");
    assert_eq!(told[4], "end 2 true");
    assert!(lines[3].boot_ns - lines[1].boot_ns >= 50_000_000, "the work was cut short");
}

#[tokio::test]
async fn bodies_are_written_down_in_short_and_answered_with_their_askers_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("d1.jsonl");
    let dyno = start(Some(path.clone())).await;
    let words = "x-demo-key: k1\r\nx-dynomesh-term: 4\r\nx-dynomesh-slot: 1f-a0-7\r\n";
    let plain = ask(dyno.address, &format!("POST / HTTP/1.1\r\nhost: x\r\n{words}content-length: 9\r\n\r\n123456789")).await;
    assert!(plain.contains("x-demo-received: 9-cbf43926\r\n") && plain.contains("x-demo-key: k1\r\n"), "{plain}");
    let echo = ask(dyno.address, "POST / HTTP/1.1\r\nhost: x\r\nx-demo-echo: 1\r\ncontent-length: 9\r\n\r\n123456789").await;
    assert!(!echo.contains("x-demo-received") && !echo.contains("x-demo-key"), "{echo}");
    ask(dyno.address, "HEAD / HTTP/1.1\r\nhost: x\r\n\r\n").await;

    let lines = journal::read(&path).unwrap();
    let body = |text: &str| Digest::of(text.split_once("\r\n\r\n").unwrap().1.as_bytes());
    let ends: Vec<_> = lines.iter().filter_map(|line| if let Event::End(end) = &line.event { Some(end) } else { None }).collect();
    let (sent, received): (Vec<_>, Vec<_>) = ends.iter().map(|end| (end.sent.unwrap(), end.received.unwrap())).unzip();
    assert_eq!(sent, [body(&plain), Digest::of(b"123456789"), Digest::default()]);
    assert_eq!(received, [Digest::of(b"123456789"), Digest::of(b"123456789"), Digest::default()]);
    let Event::Start(first) = &lines[1].event else { panic!("{:?}", lines[1]) };
    assert_eq!((first.term, first.replica().map(|replica| replica.0)), (Some(4), Some(31)));
}

#[tokio::test]
async fn asked_for_content_is_whole_and_as_told() {
    let dyno = start(None).await;
    let mut stream = send(dyno.address, "GET / HTTP/1.1\r\nhost: x\r\nx-demo-bytes: 300000\r\nx-demo-service-ms: 0\r\n\r\n").await;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let body = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    assert_eq!(answer.len() - body, 300_000);
    assert_eq!(content::first_difference(0, &answer[body..]), None);
}

#[tokio::test]
async fn a_chunked_body_comes_back_chunked_and_bodiless_answers_end_too() {
    let dyno = start(None).await;
    let chunked = "POST / HTTP/1.1\r\nhost: x\r\nx-demo-echo: 1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    let answer = ask(dyno.address, chunked).await;
    assert!(answer.contains("transfer-encoding: chunked") && answer.ends_with("0\r\n\r\n"), "{answer}");
    ask(dyno.address, "HEAD / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    ask(dyno.address, "GET / HTTP/1.1\r\nhost: x\r\nx-demo-status: 204\r\n\r\n").await;
    ask(dyno.address, "POST / HTTP/1.1\r\nhost: x\r\nx-demo-echo: 1\r\ncontent-length: 0\r\n\r\n").await;
    let seen = stats(dyno.address).await;
    assert_eq!((seen.served, seen.cut, seen.running), (4, 0, 0));
}

#[tokio::test]
async fn shutdown_lets_the_running_request_finish() {
    let dyno = start(None).await;
    let running = send(dyno.address, "GET / HTTP/1.1\r\nhost: x\r\nx-demo-service-ms: 60\r\n\r\n").await;
    let silent = TcpStream::connect(dyno.address).await.unwrap();
    wait_for(dyno.address, |stats| stats.running == 1).await;
    dyno.stop.send(()).unwrap();
    assert!(receive(running).await.starts_with("HTTP/1.1 200"));
    dyno.task.await.unwrap();
    drop(silent);
}

#[test]
fn service_times_follow_the_seed_and_keep_the_floor() {
    let draws = |seed| {
        let mut config = Config::reference("127.0.0.1:0".parse().unwrap(), DynoId::new("d1").unwrap());
        config.seed = seed;
        let book = Arc::new(Book::open(&config, config.listen).unwrap());
        let mut worker = Worker::new(&config, 0, book, Arc::new(Mutex::new(mpsc::channel(1).1)));
        (0..2000).map(|_| worker.draw().as_millis_f64()).collect::<Vec<_>>()
    };
    let times = draws(7);
    assert_eq!(times, draws(7));
    assert_ne!(times, draws(8));
    assert!(times.iter().all(|ms| *ms >= 20.0));
    let mean = times.iter().sum::<f64>() / 2000.0;
    assert!((110.0..130.0).contains(&mean), "mean {mean} ms");
}

#[tokio::test]
async fn threads_run_requests_beside_each_other_and_questions_too() {
    let dyno = start_threads(2, None).await;
    let long = "GET / HTTP/1.1\r\nhost: x\r\nx-demo-service-ms: 60000\r\n\r\n";
    let _runs = send(dyno.address, long).await;
    wait_for(dyno.address, |stats| stats.running == 1).await;
    assert!(ask(dyno.address, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.starts_with("HTTP/1.1 200"), "the other thread answers");
    let mut question = TcpStream::connect(dyno.address).await.unwrap();
    question.shutdown().await.unwrap();
    assert_eq!(question.read(&mut [0]).await.unwrap(), 0, "answered beside what runs");
    let _runs_too = send(dyno.address, long).await;
    wait_for(dyno.address, |stats| stats.running == 2).await;
    let _waits = send(dyno.address, long).await;
    assert_eq!(wait_for(dyno.address, |stats| stats.running == 3).await.running_max, 3, "one too many waits, and counts");
}
