//! A dyno that says what a test tells it to, byte by byte.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use dynomesh_core::app::DynoSpec;
use dynomesh_core::id::{Address, AppName, DynoId};

use crate::tests::TEST_TIME_MAX;
use crate::tests::directory::APP;

/// Hands out the connections on which something was said; those of probes, which say nothing, are its own business.
pub(super) struct RawDyno {
    address: Address,
    max_conns: u32,
    connections: Receiver<TcpStream>,
    most: Arc<AtomicUsize>,
    silent: Arc<Silent>,
}

/// Connections that ended without a word: each is closed when its turn comes.
#[derive(Default)]
struct Silent {
    turn: Mutex<()>,
    came: AtomicUsize,
}

/// One connection of the block's.
pub(super) struct Said {
    stream: TcpStream,
    /// What was read and not asked for yet.
    rest: String,
}

impl RawDyno {
    pub(super) fn start(max_conns: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address::new(listener.local_addr().unwrap()).unwrap();
        let (sender, connections) = channel();
        let most = Arc::new(AtomicUsize::new(0));
        let silent = Arc::<Silent>::default();
        let (counted, asked) = (most.clone(), silent.clone());
        let open = Mutex::new(Vec::<TcpStream>::new());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut open = open.lock().unwrap();
                open.push(stream.try_clone().unwrap());
                open.retain(is_open);
                counted.fetch_max(open.len(), Ordering::SeqCst);
                let (sender, asked) = (sender.clone(), asked.clone());
                thread::spawn(move || {
                    if stream.peek(&mut [0]).is_ok_and(|peeked| peeked > 0) {
                        let _ = sender.send(stream);
                    } else {
                        asked.came.fetch_add(1, Ordering::SeqCst);
                        drop(asked.turn.lock());
                        let _ = stream.shutdown(Shutdown::Both);
                    }
                });
            }
        });
        RawDyno { address, max_conns, connections, most, silent }
    }

    pub(super) fn spec(&self) -> DynoSpec {
        DynoSpec { id: DynoId::new("d1").unwrap(), app: AppName::new(APP).unwrap(), address: self.address, max_conns: self.max_conns }
    }

    /// The next connection on which something is said.
    #[track_caller]
    pub(super) fn next(&self) -> Said {
        let stream = self.connections.recv_timeout(TEST_TIME_MAX).expect("a connection comes");
        stream.set_read_timeout(Some(TEST_TIME_MAX)).unwrap();
        Said { stream, rest: String::new() }
    }

    /// Whether no such connection has come.
    pub(super) fn nobody_came(&self) -> bool {
        self.connections.recv_timeout(Duration::from_millis(100)).is_err()
    }

    /// Works on something: questions wait until that is over.
    pub(super) fn busy(&self) -> MutexGuard<'_, ()> {
        self.silent.turn.lock().unwrap()
    }

    /// Connections that ended without a word so far.
    pub(super) fn questions(&self) -> usize {
        self.silent.came.load(Ordering::SeqCst)
    }

    /// Most connections that were open at once, by what the kernel knew of them as another came.
    pub(super) fn most_open(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }
}

/// Whether the other side has not closed a connection yet.
fn is_open(stream: &TcpStream) -> bool {
    let socket = socket2::SockRef::from(stream);
    let mut byte = [std::mem::MaybeUninit::uninit()];
    match socket.recv_with_flags(&mut byte, libc_peek_dontwait()) {
        Ok(read) => read > 0,
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}

/// MSG_PEEK | MSG_DONTWAIT, which std has no words for.
fn libc_peek_dontwait() -> i32 {
    0x02 | 0x40
}

impl Said {
    /// Reads a head, and leaves what follows it.
    #[track_caller]
    pub(super) fn read_head(&mut self) -> String {
        self.read_to("\r\n\r\n")
    }

    /// Reads up to and with `end`.
    #[track_caller]
    pub(super) fn read_to(&mut self, end: &str) -> String {
        loop {
            if let Some(at) = self.rest.find(end) {
                let rest = self.rest.split_off(at + end.len());
                return std::mem::replace(&mut self.rest, rest);
            }
            let mut buf = [0; 4096];
            let read = self.stream.read(&mut buf).expect("the block goes on");
            assert_ne!(read, 0, "ended before {end:?}: {}", self.rest);
            self.rest += &String::from_utf8_lossy(&buf[..read]);
        }
    }

    /// What comes within this time, and nothing else.
    pub(super) fn within(&mut self, ms: u64) -> String {
        self.stream.set_read_timeout(Some(Duration::from_millis(ms))).unwrap();
        let mut buf = [0; 4096];
        while let Ok(read) = self.stream.read(&mut buf)
            && read > 0
        {
            self.rest += &String::from_utf8_lossy(&buf[..read]);
        }
        self.stream.set_read_timeout(Some(TEST_TIME_MAX)).unwrap();
        std::mem::take(&mut self.rest)
    }

    #[track_caller]
    pub(super) fn say(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).expect("the block goes on");
    }

    /// A whole answer.
    #[track_caller]
    pub(super) fn answer(&mut self, body: &str) {
        self.say(&format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()));
    }

    /// Says no more.
    pub(super) fn end(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Waits for the block to close it.
    #[track_caller]
    pub(super) fn await_closed(&mut self) {
        let mut buf = [0; 4096];
        loop {
            match self.stream.read(&mut buf) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset) => return,
                Err(error) => panic!("not closed: {error}"),
            }
        }
    }

    /// All that comes until the block closes it.
    #[track_caller]
    pub(super) fn bytes_to_end(&mut self) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.rest).into_bytes();
        self.stream.read_to_end(&mut bytes).expect("the block closes it in order");
        bytes
    }

    /// Whether the block has not closed it.
    pub(super) fn is_open(&self) -> bool {
        is_open(&self.stream)
    }
}

impl Drop for Said {
    /// The one who counts has a handle on it too.
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

// Where the block may end a connection at any time.
impl RawDyno {
    pub(super) fn try_next(&self) -> Option<Said> {
        let stream = self.connections.recv_timeout(Duration::from_millis(20)).ok()?;
        // It closes what rests too long, as dynos do.
        stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        Some(Said { stream, rest: String::new() })
    }
}

impl Said {
    /// The next head, or nothing where the connection ends.
    pub(super) fn try_head(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.rest.find("\r\n\r\n") {
                let rest = self.rest.split_off(at + 4);
                return Some(std::mem::replace(&mut self.rest, rest));
            }
            let mut buf = [0; 4096];
            let read = self.stream.read(&mut buf).ok().filter(|read| *read > 0)?;
            self.rest += &String::from_utf8_lossy(&buf[..read]);
        }
    }

    pub(super) fn try_say(&mut self, text: &str) -> std::io::Result<()> {
        self.stream.write_all(text.as_bytes())
    }
}
