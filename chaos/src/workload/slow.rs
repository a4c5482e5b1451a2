//! Clients that send a body slowly and read its echo slowly, each one request after the other on a connection of its own.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use dynomesh_agent::demo::content;
use dynomesh_agent::demo::digest::Digest;
use dynomesh_core::time::Span;
use dynomesh_testkit::clock;
use dynomesh_testkit::history::{Answer, Exchange, Outcome};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, StatusCode};
use serde::Deserialize;

use super::{Finished, Place, Running};
use crate::system::HOST;

/// Bytes that are sent or read at once ...
const PIECE: usize = 4 << 10;
/// ... and the pause behind them.
const PAUSE: Span = Span::from_millis(40);
/// Longest wait for anything.
const DEADLINE: Span = Span::from_secs(65);

/// Tells the requests of all slow clients apart.
static ASKED: AtomicU64 = AtomicU64::new(1);

/// How many, and how much each has to say.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    pub(super) clients: u32,
    /// Bytes of each body.
    size: u64,
}

pub(crate) struct Slow {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
    outcomes: mpsc::Receiver<Exchange>,
}

// === impl Slow ===

impl Slow {
    pub(super) fn start(spec: &Spec, place: &Place) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (told, outcomes) = mpsc::channel();
        let client = |n: usize| {
            let (stop, told, size) = (stop.clone(), told.clone(), spec.size);
            let mut edges = place.edges.clone();
            let turn = n % edges.len().max(1);
            edges.rotate_left(turn);
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let exchange = exchange(&edges, size);
                    let was_refused = matches!(exchange.outcome, Outcome::Refused);
                    if told.send(exchange).is_err() || was_refused {
                        thread::sleep(PAUSE.to_std());
                    }
                }
            })
        };
        let clients = (0..spec.clients as usize).map(client).collect();
        Slow { stop, clients, outcomes }
    }
}

impl Running for Slow {
    fn take(&mut self) -> Vec<Exchange> {
        self.outcomes.try_iter().collect()
    }

    fn finish(self: Box<Self>) -> Finished {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            if let Err(panic) = client.join() {
                std::panic::resume_unwind(panic);
            }
        }
        Finished { exchanges: self.outcomes.try_iter().collect(), ..Finished::default() }
    }

    fn rate(&self) -> f64 {
        0.0
    }
}

fn exchange(edges: &[SocketAddr], size: u64) -> Exchange {
    let key = format!("slow-{}-{}", std::process::id(), ASKED.fetch_add(1, Ordering::Relaxed));
    let begun = clock::now();
    let mut sent = Digest::default();
    let taken = edges.iter().find_map(|edge| Some((*edge, TcpStream::connect_timeout(edge, Span::from_secs(3).to_std()).ok()?)));
    let edge = taken.as_ref().map(|(edge, _)| *edge).or(edges.last().copied());
    let outcome = match taken {
        None => Outcome::Refused,
        Some((_, stream)) => match talk(&stream, &key, size, &mut sent) {
            Ok(answer) if answer.headers.contains_key("x-dynomesh-error") => Outcome::Failed(answer),
            Ok(answer) => Outcome::Ok(answer),
            Err(error) => Outcome::Unknown(error.to_string()),
        },
    };
    let (method, path, deadline) = (Method::POST, "/slow".to_owned(), DEADLINE);
    Exchange { key, method, path, due: begun, begun, ended: clock::now(), deadline, sent, edge, repeats: None, outcome }
}

fn talk(mut stream: &TcpStream, key: &str, size: u64, sent: &mut Digest) -> io::Result<Answer> {
    stream.set_read_timeout(Some(DEADLINE.to_std()))?;
    stream.set_write_timeout(Some(DEADLINE.to_std()))?;
    let head = format!(
        "POST /slow HTTP/1.1\r\nhost: {HOST}\r\nx-demo-key: {key}\r\nx-demo-echo: 1\r\nx-demo-service-ms: 10\r\ncontent-length: {size}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    let mut next = 0;
    while next < size {
        let len = PIECE.min(usize::try_from(size - next).unwrap_or(PIECE));
        let piece = content::piece(next, len);
        stream.write_all(&piece)?;
        sent.add(&piece);
        next += len as u64;
        thread::sleep(PAUSE.to_std());
    }
    read(stream, size)
}

fn read(mut stream: &TcpStream, size: u64) -> io::Result<Answer> {
    let mut bytes = Vec::new();
    let mut piece = [0; PIECE];
    let head = loop {
        match stream.read(&mut piece)? {
            0 => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("the answer ended after {} bytes", bytes.len()))),
            len => bytes.extend_from_slice(&piece[..len]),
        }
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let (status, headers) = parse(&bytes[..head])?;
    let expected = headers.get("content-length").and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let expected = expected.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "an answer without a length"))?;
    let mut body = bytes.split_off(head);
    while (body.len() as u64) < expected {
        match stream.read(&mut piece)? {
            0 => {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    format!("{status} with a body that broke off after {} bytes", body.len()),
                ));
            }
            len => body.extend_from_slice(&piece[..len]),
        }
        thread::sleep(PAUSE.to_std());
    }
    let is_echo = status.is_success() && expected == size;
    let difference = if is_echo { content::first_difference(0, &body) } else { None };
    let text = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
    Ok(Answer { status, headers, len: body.len() as u64, digest: Digest::of(&body), text, difference })
}

fn parse(head: &[u8]) -> io::Result<(StatusCode, HeaderMap)> {
    let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let text = std::str::from_utf8(head).map_err(|_| wrong("a head that is no text"))?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse::<u16>().ok());
    let status = status.and_then(|code| StatusCode::from_u16(code).ok()).ok_or_else(|| wrong("no status"))?;
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let name = HeaderName::try_from(name).map_err(|_| wrong("a header without a name"))?;
        headers.append(name, HeaderValue::from_str(value.trim()).map_err(|_| wrong("a header without a value"))?);
    }
    Ok((status, headers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_and_nonsense_is_refused() {
        let (status, headers) = parse(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nx-a: b\r\n\r\n").unwrap();
        assert_eq!((status.as_u16(), headers["x-a"].to_str().unwrap(), headers.len()), (200, "b", 2));
        assert!(parse(b"nonsense\r\n\r\n").is_err());
    }
}
