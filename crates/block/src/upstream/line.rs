//! One TCP connection to a dyno, as the task that drives it and whoever sends a request over it share it.

use std::io;
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use dynomesh_core::app::DynoProtocol;
use dynomesh_core::id::Address;
use dynomesh_core::time::Span;
use dynomesh_runtime::net;
use socket2::SockRef;
use tokio::net::TcpStream;

use super::gate::Gate;
use super::socket::USER_TIMEOUT;

/// See the module.
pub(crate) struct Line {
    stream: TcpStream,
    protocol: DynoProtocol,
    /// That of the request under way.
    gate: Mutex<Option<Arc<Gate>>>,
    /// Requests begun.
    turn: AtomicU64,
    /// Whether the dyno has sent anything since the last one began.
    heard: AtomicBool,
    /// Whether the last one's body has been taken to its end.
    sent: AtomicBool,
}

impl Line {
    /// Connects. Nothing is sent, and what will be must be acknowledged in time (P7).
    pub(crate) async fn connect(address: Address, protocol: DynoProtocol, limit: Span) -> io::Result<Arc<Self>> {
        Self::over(net::connect(address, limit).await?, protocol)
    }

    pub(super) fn over(stream: TcpStream, protocol: DynoProtocol) -> io::Result<Arc<Self>> {
        net::set_user_timeout(&stream, Some(USER_TIMEOUT))?;
        let (heard, sent) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok(Arc::new(Line { stream, protocol, gate: Mutex::default(), turn: AtomicU64::new(0), heard, sent }))
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub(super) fn protocol(&self) -> DynoProtocol {
        self.protocol
    }

    /// A request begins: what is written from here on passes `gate`.
    pub(super) fn begin(&self, gate: Arc<Gate>, has_body: bool) {
        *self.gate() = Some(gate);
        self.heard.store(false, Ordering::Relaxed);
        self.sent.store(!has_body, Ordering::Relaxed);
        self.turn.fetch_add(1, Ordering::Release);
    }

    /// No request is under way.
    pub(super) fn rest(&self) {
        *self.gate() = None;
    }

    pub(super) fn gate(&self) -> MutexGuard<'_, Option<Arc<Gate>>> {
        self.gate.lock().expect("nothing panics under this lock")
    }

    pub(super) fn turn(&self) -> u64 {
        self.turn.load(Ordering::Acquire)
    }

    pub(super) fn note_heard(&self) {
        self.heard.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_heard(&self) -> bool {
        self.heard.load(Ordering::Relaxed)
    }

    pub(super) fn note_sent(&self) {
        self.sent.store(true, Ordering::Release);
    }

    pub(super) fn has_sent(&self) -> bool {
        self.sent.load(Ordering::Acquire)
    }

    /// Whether an idle connection is as it should be: open, and with HTTP/1.1 nothing said on it. Asks the kernel and takes nothing.
    pub(super) fn is_quiet(&self) -> bool {
        let mut byte = [MaybeUninit::uninit()];
        match SockRef::from(&self.stream).peek(&mut byte) {
            Ok(0) => false,
            Ok(_) => self.protocol == DynoProtocol::Http2,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        }
    }

    /// Ends it now, whoever still holds it: the dyno is told before this returns.
    pub(super) fn close(&self) {
        // Refused only where it has ended already.
        let _ = SockRef::from(&self.stream).shutdown(Shutdown::Both);
    }
}
