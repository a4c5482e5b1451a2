//! A dyno that keeps every byte it was sent, connection by connection, and answers as the case under way says.

use std::io::{self, ErrorKind, Read, Write};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use socket2::SockRef;

use crate::answer::find;
use crate::case::{Act, Dyno};
use crate::reading::{PLAIN, Request, Rest};

/// How long a connection may be silent.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// A recording dyno.
#[derive(Debug)]
pub(crate) struct Recorder {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    taken: Mutex<Taken>,
    stop: AtomicBool,
    /// Most connections that were open at once.
    most_open: AtomicUsize,
    /// Requests that came over a connection that had served another.
    reuses: AtomicUsize,
}

#[derive(Debug, Default)]
struct Taken {
    part: Arc<Dyno>,
    connections: Vec<Connection>,
    /// Those that the dyno has not closed; the other side may have.
    open: Vec<(usize, TcpStream)>,
}

/// What came on one connection since the case began.
#[derive(Debug, Clone, Default)]
pub(crate) struct Connection {
    pub(crate) bytes: Vec<u8>,
    /// Whether it was closed by whichever side.
    pub(crate) closed: bool,
}

// === impl Recorder ===

impl Recorder {
    /// Starts one.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let state = Arc::new(State::default());
        let shared = state.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.stop.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(place) = shared.note(&stream) else { continue };
                let shared = shared.clone();
                thread::spawn(move || {
                    // What goes wrong on a connection, its other side sees.
                    let _ = serve(stream, &shared, place);
                    let mut taken = shared.taken();
                    taken.connections[place].closed = true;
                    taken.open.retain(|(open, _)| *open != place);
                });
            }
        });
        Recorder { address, state }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Begins a case: forgets what came before.
    pub(crate) fn begin(&self, part: Arc<Dyno>) {
        let mut taken = self.state.taken();
        taken.part = part;
        taken.connections.iter_mut().for_each(|connection| connection.bytes.clear());
    }

    /// What came since then, of the connections on which anything did.
    pub(crate) fn seen(&self) -> Vec<Connection> {
        self.state.taken().connections.iter().filter(|connection| !connection.bytes.is_empty()).cloned().collect()
    }

    /// Most connections that were open at once, by what the kernel knew of them as another came.
    pub(crate) fn most_open(&self) -> usize {
        self.state.most_open.load(Ordering::Relaxed)
    }

    /// Requests that came over a connection that had served another.
    pub(crate) fn reuses(&self) -> usize {
        self.state.reuses.load(Ordering::Relaxed)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::Relaxed);
        // Wakes the listening thread, which then sees that it is over.
        let _ = TcpStream::connect(self.address);
    }
}

impl State {
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection has come.
    fn note(&self, stream: &TcpStream) -> io::Result<usize> {
        let mut taken = self.taken();
        let place = taken.connections.len();
        taken.open.push((place, stream.try_clone()?));
        taken.connections.push(Connection::default());
        let open = taken.open.iter().filter(|(_, stream)| is_open(stream)).count();
        self.most_open.fetch_max(open, Ordering::Relaxed);
        Ok(place)
    }
}

/// Whether the other side has not closed a connection yet.
fn is_open(stream: &TcpStream) -> bool {
    /// MSG_PEEK and MSG_DONTWAIT of Linux.
    const LOOK: i32 = 0x02 | 0x40;
    match SockRef::from(stream).recv_with_flags(&mut [MaybeUninit::uninit()], LOOK) {
        Ok(read) => read > 0,
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}

/// Whether a request belongs to the battery itself, which has it answered well.
fn is_good(target: &str) -> bool {
    target.starts_with("/good/")
}

fn serve(mut stream: TcpStream, state: &State, place: usize) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(IDLE_MAX))?;
    let (mut bytes, mut early, mut served) = (Vec::new(), false, 0);
    loop {
        let part = state.taken().part.clone();
        if let Some(head) = head(&bytes) {
            let acts = match &*part {
                Dyno::Early(acts) if !is_good(&head.target) && !early => Some(acts),
                _ => None,
            };
            if let Some(acts) = acts {
                early = true;
                act(&mut stream, acts)?;
            }
        }
        let read = PLAIN.stream(&bytes);
        if let Some(request) = read.requests.first() {
            let good = is_good(&request.target);
            state.reuses.fetch_add(usize::from(served > 0), Ordering::Relaxed);
            served += 1;
            match &*part {
                Dyno::Tires(acts) if served > 1 => return act(&mut stream, acts),
                Dyno::Acts(acts) if !good => act(&mut stream, acts)?,
                Dyno::Early(_) if !good => early = false,
                Dyno::Idles(micros) => {
                    stream.write_all(&told(request))?;
                    thread::sleep(Duration::from_micros(*micros));
                    return Ok(());
                }
                _ => stream.write_all(&told(request))?,
            }
            bytes.drain(..PLAIN.first_len(&bytes).unwrap_or(bytes.len()));
            continue;
        }
        if matches!(read.rest, Rest::Bad(_)) {
            return Ok(());
        }
        let mut piece = [0; 16 << 10];
        let len = stream.read(&mut piece)?;
        if len == 0 {
            return Ok(());
        }
        state.taken().connections[place].bytes.extend_from_slice(&piece[..len]);
        bytes.extend_from_slice(&piece[..len]);
    }
}

/// The first request's head, if it has come.
fn head(bytes: &[u8]) -> Option<Request> {
    let end = find(bytes, b"\r\n\r\n")?;
    let line = bytes[..end].split(|byte| *byte == b'\r').next()?;
    let line = String::from_utf8_lossy(line);
    let mut words = line.split(' ');
    Some(Request { method: words.next()?.into(), target: words.next()?.into(), ..Request::default() })
}

/// The good answer: it says what was seen.
pub(crate) fn told(request: &Request) -> Vec<u8> {
    let seen = saying(&request.method, &request.target, &request.body);
    let mut answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", seen.len()).into_bytes();
    answer.extend_from_slice(if request.method == "HEAD" { &[] } else { &seen });
    answer
}

/// The body of the good answer.
pub(crate) fn saying(method: &str, target: &str, body: &[u8]) -> Vec<u8> {
    let shown = &body[..body.len().min(64)];
    format!("{method} {target} {} {}", body.len(), shown.escape_ascii()).into_bytes()
}

fn act(stream: &mut TcpStream, acts: &[Act]) -> io::Result<()> {
    for act in acts {
        match act {
            Act::Say(bytes) => stream.write_all(bytes)?,
            Act::Pause(millis) => thread::sleep(Duration::from_millis(*millis)),
            Act::Close => return Err(io::ErrorKind::ConnectionAborted.into()),
            Act::Reset => {
                SockRef::from(&*stream).set_linger(Some(Duration::ZERO))?;
                return Err(io::ErrorKind::ConnectionReset.into());
            }
        }
    }
    Ok(())
}
