//! A dyno that answers what a test tells it to, byte by byte: forged headers, broken bodies, nothing.
//!
//! It lives in the test's own process, takes every connection at once and is closed after each answer. A connection without a byte is
//! closed and not counted, as a probe is.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use dynomesh_core::time::Span;

/// How long a request may take to arrive.
const ARRIVE_MAX: Span = Span::from_secs(30);

/// A scripted dyno. It stops taking connections when it is dropped.
#[derive(Debug)]
pub struct Script {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
}

impl Script {
    /// Starts a dyno that answers each request, given with its body, by the bytes that `answer` returns.
    pub fn start(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::start_pausing(Span::ZERO, answer)
    }

    /// The same; it stops reading for so long where a request's head has arrived and its body has not.
    pub fn start_pausing(pause: Span, answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let (requests, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (answer, seen, stopped) = (Arc::new(answer), requests.clone(), stop.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let (answer, seen) = (answer.clone(), seen.clone());
                thread::spawn(move || {
                    // What goes wrong on a connection, its other side sees.
                    let _ = serve(stream, pause, &seen, &*answer);
                });
            }
        });
        Script { address, requests, stop }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The requests it has seen, each with its body.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the listening thread, which then sees that it is over.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(mut stream: TcpStream, pause: Span, seen: &Mutex<Vec<String>>, answer: &dyn Fn(&str) -> Vec<u8>) -> io::Result<()> {
    stream.set_read_timeout(Some(ARRIVE_MAX.to_std()))?;
    let Some(request) = read(&mut stream, pause)? else { return Ok(()) };
    seen.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
    stream.write_all(&answer(&request))
}

/// One request with its body, however it is framed; `None` if the connection ends without one.
fn read(stream: &mut TcpStream, pause: Span) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    let mut paused = false;
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
            let chunked = head.contains("transfer-encoding: chunked");
            let whole = if chunked { bytes.ends_with(b"0\r\n\r\n") } else { bytes.len() >= end + 4 + length.unwrap_or(0) };
            if whole {
                return Ok(Some(String::from_utf8_lossy(&bytes).into_owned()));
            }
            if !std::mem::replace(&mut paused, true) {
                thread::sleep(pause.to_std());
            }
        }
        let mut piece = [0; 4096];
        match stream.read(&mut piece)? {
            0 => return Ok(None),
            len => bytes.extend_from_slice(&piece[..len]),
        }
    }
}
