//! WebSockets that say something several times a second and compare what comes back.
//!
//! A connection may break, and then another is made. What came back before must be what was sent, in order and nothing else.

pub(crate) mod dyno;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use dynomesh_core::time::{Span, Time};
use dynomesh_testkit::client::SOCKET_PATH;
use dynomesh_testkit::clock;
use dynomesh_testkit::history::{Burst, Exchange};
use serde::Deserialize;

use super::{Finished, Place, Running};
use crate::system::SOCKETS_HOST;

/// Between two messages of a connection.
const PAUSE: Span = Span::from_millis(100);
/// Longest wait for an echo. A frozen router breaks the connection, which is allowed; it must not hang for ever.
const ECHO_MAX: Span = Span::from_secs(70);
/// Longest time until all slots for WebSockets are taken at once.
const FILL_MAX: Span = Span::from_secs(10);
/// A frame with a text that fits in one length byte.
const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;
const MASKED: u8 = 0x80;
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const LENGTH_MAX: u8 = 125;

/// How many.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    pub(super) connections: u32,
}

pub(crate) struct Sockets {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Tally>>,
}

/// What happened to the connections of one client.
#[derive(Debug, Default)]
struct Tally {
    opened: u64,
    echoed: u64,
    /// How often none could be opened.
    refused: u64,
    /// When one broke.
    broke: Vec<Time>,
    wrong: Vec<String>,
}

// === impl Sockets ===

impl Sockets {
    pub(super) fn start(spec: &Spec, place: &Place) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let client = |n: u32| {
            let (stop, edges) = (stop.clone(), place.edges.clone());
            thread::spawn(move || Tally::gather(n, &edges, &stop))
        };
        let clients = (0..spec.connections).map(client).collect();
        Sockets { stop, clients }
    }
}

impl Running for Sockets {
    fn take(&mut self) -> Vec<Exchange> {
        Vec::new()
    }

    fn finish(self: Box<Self>) -> Finished {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Tally::default();
        for client in self.clients {
            match client.join() {
                Ok(tally) => {
                    all.opened += tally.opened;
                    all.echoed += tally.echoed;
                    all.refused += tally.refused;
                    all.broke.extend(tally.broke);
                    all.wrong.extend(tally.wrong);
                }
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        if all.echoed == 0 {
            all.wrong.push("no WebSocket ever said anything back".into());
        }
        let Tally { opened, echoed, refused, broke, wrong } = all;
        let told =
            format!("WebSockets: {opened} opened, {refused} refused, {echoed} messages came back, {} connections broke", broke.len());
        Finished { told: Some(told), broke, complaints: wrong, ..Finished::default() }
    }

    fn rate(&self) -> f64 {
        0.0
    }
}

// === impl Tally ===

impl Tally {
    fn gather(n: u32, edges: &[SocketAddr], stop: &AtomicBool) -> Self {
        let mut tally = Tally::default();
        for turn in n as usize.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let edge = edges[turn % edges.len()];
            match open(edge) {
                Ok(stream) => {
                    tally.opened += 1;
                    if tally.talk(&stream, n, stop).is_err() {
                        tally.broke.push(clock::now());
                    }
                }
                Err(_) => {
                    tally.refused += 1;
                    thread::sleep(PAUSE.to_std());
                }
            }
        }
        tally
    }

    fn talk(&mut self, mut stream: &TcpStream, client: u32, stop: &AtomicBool) -> io::Result<()> {
        for n in 0.. {
            let text = format!("message {n} of client {client}");
            stream.write_all(&frame(text.as_bytes(), true))?;
            let (first, came) = read_frame(stream)?;
            if first == CLOSE {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            if came != text.as_bytes() {
                self.wrong.push(format!("a WebSocket said {:?} back instead of {text:?}", String::from_utf8_lossy(&came)));
            }
            self.echoed += 1;
            if stop.load(Ordering::Relaxed) {
                break;
            }
            thread::sleep(PAUSE.to_std());
        }
        stream.write_all(&[CLOSE, MASKED, 0, 0, 0, 0])
    }
}

/// Opens a WebSocket, or says why not.
fn open(edge: SocketAddr) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&edge, Span::from_secs(3).to_std())?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ECHO_MAX.to_std()))?;
    let head = format!(
        "GET {SOCKET_PATH} HTTP/1.1\r\nhost: {SOCKETS_HOST}\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: Y2hhb3MgY2hhb3MgY2hhbw==\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    let head = read_head(&stream)?;
    if head.starts_with("HTTP/1.1 101 ") { Ok(stream) } else { Err(io::Error::other(head)) }
}

fn read_head(mut stream: &TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
        if head.len() > 64 << 10 {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

fn frame(payload: &[u8], masked: bool) -> Vec<u8> {
    let len = u8::try_from(payload.len()).ok().filter(|len| *len <= LENGTH_MAX).unwrap_or(LENGTH_MAX);
    let payload = &payload[..len.into()];
    let mut frame = vec![TEXT, if masked { MASKED | len } else { len }];
    if masked {
        frame.extend(MASK);
        frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    } else {
        frame.extend(payload);
    }
    frame
}

/// The first byte and the payload of the next frame.
fn read_frame(mut stream: impl Read) -> io::Result<(u8, Vec<u8>)> {
    let mut head = [0; 2];
    stream.read_exact(&mut head)?;
    let [first, second] = head;
    let len = second & !MASKED;
    if len > LENGTH_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut mask = [0; 4];
    if second & MASKED != 0 {
        stream.read_exact(&mut mask)?;
    }
    let mut payload = vec![0; len.into()];
    stream.read_exact(&mut payload)?;
    payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    Ok((first, payload))
}

/// Has as many WebSockets open at once as there are slots, and returns how many there were and how long that took. Asks for twice as many, for blocks
/// are drawn at random, and those that wait take what the draw left free.
pub(crate) fn fill(edges: &[SocketAddr], slots: usize) -> (usize, Burst) {
    let began = clock::now();
    let open_now = AtomicUsize::new(0);
    let hold = |n: usize| {
        let Ok(_stream) = open(edges[n % edges.len()]) else { return };
        open_now.fetch_add(1, Ordering::SeqCst);
        while open_now.load(Ordering::SeqCst) < slots && clock::now() < began + FILL_MAX {
            thread::sleep(PAUSE.to_std());
        }
    };
    thread::scope(|scope| (0..2 * slots).for_each(|n| drop(scope.spawn(move || hold(n)))));
    (open_now.load(Ordering::SeqCst), Burst { began, ended: clock::now() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_as_it_was_written() {
        for masked in [true, false] {
            assert_eq!(read_frame(&frame(b"text", masked)[..]).unwrap(), (TEXT, b"text".to_vec()));
        }
        assert!(read_frame(&[TEXT, 127][..]).is_err());
    }
}
