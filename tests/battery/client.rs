//! A client that sends what it is told to and keeps every byte that comes.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::answer::Answers;

/// How long connecting and writing may take.
const WRITE_MAX: Duration = Duration::from_secs(5);
/// How often a condition is looked at while nothing comes.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// How a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Open,
    /// The other side closed it in order.
    Ended,
    /// It was reset.
    Reset,
}

/// A connection to an edge.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    /// What came.
    pub(crate) heard: Vec<u8>,
    pub(crate) state: State,
    /// Whether bytes could not be sent: the other side does not read, or is gone.
    pub(crate) failed: bool,
}

impl Client {
    /// Connects.
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, WRITE_MAX)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LOOK_EVERY))?;
        stream.set_write_timeout(Some(WRITE_MAX))?;
        Ok(Client { stream, heard: Vec::new(), state: State::Open, failed: false })
    }

    /// Sends bytes. Whether the other side takes them is seen by what it says.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        // An edge that has refused a request need not read the rest of it.
        self.failed |= self.stream.write_all(bytes).is_err();
    }

    /// Ends the sending half.
    pub(crate) fn shut(&mut self) {
        // Nothing is left to end on a connection that is closed.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Reads until something is seen, the connection is closed, or the time is over. Tells whether it was seen.
    pub(crate) fn until(&mut self, limit: Duration, mut seen: impl FnMut(&[u8]) -> bool) -> bool {
        let deadline = Instant::now() + limit;
        loop {
            if seen(&self.heard) {
                return true;
            }
            if self.state != State::Open || Instant::now() > deadline {
                return false;
            }
            let mut piece = [0; 16 << 10];
            match self.stream.read(&mut piece) {
                Ok(0) => self.state = State::Ended,
                Ok(len) => self.heard.extend_from_slice(&piece[..len]),
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
                Err(_) => self.state = State::Reset,
            }
        }
    }

    /// What it was told, in answer to requests with these methods.
    pub(crate) fn answers(&self, methods: &[&str]) -> Answers {
        Answers::read(&self.heard, methods, self.state == State::Ended)
    }
}
